//! What the kernel is told so that it sends to a VIP by a punt interface: rules, a routing table, neighbours.
//!
//! The route is in a table of its own that only sockets bound to the interface are led to (`oif`), so other traffic of
//! this host to the VIP goes where it always went. Sockets that are bound to an interface pass over a local route of
//! another one, so it works as well where the VIP is on the loopback. Looked at again every few seconds: somebody may
//! have flushed routes, or the interface may have been down.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteScope};
use rtnetlink::packet_route::rule::RuleAction;
use rtnetlink::{Error, Handle, RouteMessageBuilder, RuleAddRequest};

use super::{Known, Need, Tunnels};
use crate::netlink::{errno, index_of};

/// Our routing table; no well-known one, and beyond what people number by hand.
const TABLE: u32 = 17_737;
/// Of the rule for bound sockets: before any table but that of local addresses.
const BOUND_PRIORITY: u32 = 100;
/// Of the rule for everybody: behind all others. It makes the reverse path of an answer known on hosts without a
/// default route, where `rp_filter` would drop it.
const LAST_PRIORITY: u32 = 40_000;
/// The worker writes another one before the frame leaves; locally administered.
const NEIGHBOUR_MAC: [u8; 6] = [0x02, 0x67, 0x77, 0, 0, 1];
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps the kernel at what [`Tunnels::replace`] says, for ever.
pub async fn keep(tunnels: Arc<Tunnels>) {
    let mut needs = tunnels.needs.subscribe();
    let mut told = BTreeSet::new();
    loop {
        let wanted = needs.borrow_and_update().clone();
        if !wanted.is_empty() || !told.is_empty() {
            let known = arrange(&wanted, &told).await;
            for ((device, vip), why) in known.iter().filter_map(|(at, is)| Some((at, is.as_ref().err()?))) {
                tracing::warn!(event = "tunnel_route_failed", device, %vip, why, "no probes through the tunnel");
            }
            tunnels.known.send_replace(known);
            told.clone_from(&wanted);
        }
        let changed = if wanted.is_empty() {
            needs.changed().await
        } else {
            tokio::time::timeout(LOOK, needs.changed()).await.unwrap_or(Ok(()))
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Has the kernel know all of `wanted` and nothing more of `told`.
async fn arrange(wanted: &BTreeSet<Need>, told: &BTreeSet<Need>) -> Known {
    let all = |why: &str| wanted.iter().map(|need| (place(need), Err(why.to_owned()))).collect();
    let (connection, handle) = match rtnetlink::new_connection() {
        Ok((connection, handle, _)) => (tokio::spawn(connection), handle),
        Err(error) => return all(&format!("the kernel cannot be asked (netlink): {error}")),
    };
    withdraw(&handle, wanted, told).await;
    let mut known = Known::new();
    for need in wanted {
        known.insert(place(need), provide(&handle, need).await);
    }
    connection.abort();
    known
}

fn place(need: &Need) -> (String, IpAddr) {
    (need.device.clone(), need.vip)
}

/// Removes what nobody needs any more. What cannot be removed is gone already, with its interface.
async fn withdraw(handle: &Handle, wanted: &BTreeSet<Need>, told: &BTreeSet<Need>) {
    for old in told {
        let is_over = !wanted.iter().any(|need| place(need) == place(old));
        if let (true, Ok(index)) = (is_over, index_of(handle, &old.device).await) {
            let _ = handle.route().del(route(old, index)).execute().await;
            let mut neighbour = handle.neighbours().add(index, old.vip);
            let message = neighbour.message_mut().clone();
            let _ = handle.neighbours().del(message).execute().await;
        }
        let is_alike = |need: &Need| need.vip.is_ipv6() == old.vip.is_ipv6();
        if !wanted.iter().any(|need| is_alike(need) && need.device == old.device) {
            delete_rule(handle, old.vip, Some(&old.device)).await;
        }
        if !wanted.iter().any(is_alike) {
            delete_rule(handle, old.vip, None).await;
        }
    }
}

async fn provide(handle: &Handle, need: &Need) -> Result<(), String> {
    let Need { device, vip, .. } = need;
    let failed = |what: &str, error: &Error| {
        let hint = match errno(error) {
            Some(libc::EPERM | libc::EACCES) => ": CAP_NET_ADMIN is needed",
            Some(libc::ENETDOWN) => ": the interface is down",
            _ => "",
        };
        format!("{what} to {vip} by {device} cannot be set: {error}{hint}")
    };
    let index = index_of(handle, device).await.map_err(|error| match errno(&error) {
        Some(libc::ENODEV) => format!("there is no interface {device}, the punt interface of the port"),
        _ => format!("the interface {device} cannot be looked up: {error}"),
    })?;
    add_rule(handle, *vip, Some(device)).await.map_err(|error| failed("the rule", &error))?;
    add_rule(handle, *vip, None).await.map_err(|error| failed("the rule", &error))?;
    let set = handle.route().add(route(need, index)).replace().execute().await;
    set.map_err(|error| failed("the route", &error))?;
    let neighbour = handle.neighbours().add(index, *vip).link_layer_address(&NEIGHBOUR_MAC).replace();
    neighbour.execute().await.map_err(|error| failed("the neighbour entry", &error))?;
    if vip.is_ipv4() { accept_answers(device, *vip) } else { Ok(()) }
}

fn route(need: &Need, index: u32) -> RouteMessage {
    let mut message = match need.vip {
        IpAddr::V4(vip) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(vip, 32)
            .output_interface(index)
            .table_id(TABLE)
            .scope(RouteScope::Link)
            .build(),
        IpAddr::V6(vip) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(vip, 128)
            .output_interface(index)
            .table_id(TABLE)
            .build(),
    };
    message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(u32::from(need.mtu))]));
    message
}

/// The rule for sockets bound to `device`, or that for everybody.
fn rule(handle: &Handle, device: Option<&str>) -> RuleAddRequest {
    let rule = handle.rule().add().table_id(TABLE).action(RuleAction::ToTable);
    match device {
        Some(device) => rule.priority(BOUND_PRIORITY).output_interface(device),
        None => rule.priority(LAST_PRIORITY),
    }
}

/// Adds a rule. One that is there already will do.
async fn add_rule(handle: &Handle, family: IpAddr, device: Option<&str>) -> Result<(), Error> {
    let rule = rule(handle, device);
    let added = match family {
        IpAddr::V4(_) => rule.v4().execute().await,
        IpAddr::V6(_) => rule.v6().execute().await,
    };
    match added {
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}

async fn delete_rule(handle: &Handle, family: IpAddr, device: Option<&str>) {
    let rule = rule(handle, device);
    let message = match family {
        IpAddr::V4(_) => rule.v4().message_mut().clone(),
        IpAddr::V6(_) => rule.v6().message_mut().clone(),
    };
    // It may be gone already.
    let _ = handle.rule().del(message).execute().await;
}

/// Answers come from the VIP, for which the kernel may know another way, or which it may hold itself. IPv6 has neither
/// check.
fn accept_answers(device: &str, vip: IpAddr) -> Result<(), String> {
    let strict = |of: &str| read(of, "rp_filter").is_ok_and(|value| value.trim() == "1");
    if strict("all") || strict(device) {
        // The larger of both values counts: 2 is loose and wins over 1.
        write(device, "rp_filter", "2")?;
    }
    let is_ours = UdpSocket::bind((vip, 0)).is_ok();
    if is_ours && read(device, "accept_local").is_ok_and(|value| value.trim() == "0") {
        write(device, "accept_local", "1")?;
    }
    Ok(())
}

fn path(device: &str, key: &str) -> String {
    format!("/proc/sys/net/ipv4/conf/{device}/{key}")
}

fn read(device: &str, key: &str) -> io::Result<String> {
    std::fs::read_to_string(path(device, key))
}

fn write(device: &str, key: &str, value: &str) -> Result<(), String> {
    std::fs::write(path(device, key), value).map_err(|error| {
        format!("answers from the VIP would be dropped: net.ipv4.conf.{device}.{key}={value} cannot be set: {error}")
    })
}
