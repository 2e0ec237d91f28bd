//! What translation of addresses asks of pools, VIPs and local addresses.
//!
//! Nothing is accepted that would lose packets silently: families that cannot meet, addresses that nobody answers to.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::{Findings, Place};
use super::super::model::{ClientAddress, Encap, Protocol, Sessions};
use super::super::read::Located;
use super::super::section::encap::EncapDraft;
use super::super::section::pools::PoolDraft;
use super::super::section::vips::VipDraft;
use super::next_hop;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    let mut ranges = HashMap::new();
    for pool in &draft.pools {
        let Some(encap) = &pool.encap else { continue };
        if !encap.encap.is_nat() {
            ports_unused(pool, findings);
            continue;
        }
        for vip in vips_of(draft, pool) {
            families(pool, encap, vip, findings);
            clients(encap, vip, findings);
            sessions(vip, findings);
            protocol(vip, findings);
        }
        if let Encap::FullNat { first_port, last_port, .. } = encap.encap {
            local_families(pool, encap, findings);
            for address in &encap.local_addresses {
                taken(draft, address, findings);
                reached(draft, pool, address, findings);
                one_range(address, (first_port, last_port), &mut ranges, findings);
            }
        }
    }
}

fn vips_of<'d>(draft: &'d Draft, pool: &PoolDraft) -> impl Iterator<Item = &'d VipDraft> {
    let name = pool.name.as_ref().map(|name| name.value.clone());
    let uses = move |vip: &&VipDraft| vip.pool.as_ref().map(|pool| &pool.value) == name.as_ref();
    draft.vips.iter().filter(move |vip| vip.pool.is_some()).filter(uses)
}

fn family(is_v6: bool) -> &'static str {
    if is_v6 { "IPv6" } else { "IPv4" }
}

fn ports_unused(pool: &PoolDraft, findings: &Findings<'_>) {
    for port in pool.backends.iter().filter_map(|backend| backend.port.as_ref()) {
        let hint = "remove it, or make the pool `nat` or `full_nat`";
        let message = "without translation the backend gets the VIP's port, whatever stands here";
        findings.add_hint(Code::BackendPortUnused, &port.place, message, hint);
    }
}

/// One finding per pool and VIP.
fn families(pool: &PoolDraft, encap: &EncapDraft, vip: &VipDraft, findings: &Findings<'_>) {
    let backends = || pool.backends.iter().filter_map(|backend| backend.address.as_ref());
    let is_full = encap.encap != Encap::Nat;
    for address in &vip.addresses {
        let is_v6 = address.value.is_ipv6();
        let shown = address.value.first();
        // From IPv6 to IPv4 full NAT is NAT64; the other way round has no room for the client's address.
        let cannot_meet =
            |backend: &&Located<IpAddr>| backend.value.is_ipv6() != is_v6 && !(is_full && is_v6);
        let Some(backend) = backends().find(cannot_meet) else { continue };
        let other = family(!is_v6);
        let message = format!("{shown} cannot be translated to {}", backend.value);
        let hint = if is_v6 {
            format!(
                "`nat` keeps the family: use `full_nat` (NAT64), or a pool with {} backends",
                family(true)
            )
        } else {
            format!("give the VIP an {other} address only, or a pool with IPv4 backends")
        };
        let note = (&backend.place, format!("an {other} backend"));
        findings.add_pair(Code::NatFamily, &address.place, message, &hint, note);
        return;
    }
}

fn clients(encap: &EncapDraft, vip: &VipDraft, findings: &Findings<'_>) {
    let Encap::FullNat { client_address, .. } = encap.encap else { return };
    if client_address != ClientAddress::None
        && vip.protocol.as_ref().is_some_and(|one| one.value == Protocol::Udp)
    {
        let message = "the pool's `client_address` needs TCP, and this VIP is UDP";
        let hint = "give the VIP a pool of its own with `client_address: none`";
        findings.add_hint(Code::ClientAddressNeedsTcp, &vip.place, message, hint);
    }
}

fn protocol(vip: &VipDraft, findings: &Findings<'_>) {
    let Some(protocol) = &vip.protocol else { return };
    if !matches!(protocol.value, Protocol::Tcp | Protocol::Udp) {
        let message = format!("`{}` cannot be translated", protocol.value.name());
        let hint = "write `tcp` or `udp`, or use a pool without translation";
        findings.add_hint(Code::UntranslatedProtocol, &protocol.place, message, hint);
    }
}

fn sessions(vip: &VipDraft, findings: &Findings<'_>) {
    if vip.sessions.as_ref().is_some_and(|one| one.value == Sessions::None) {
        let message = "answers are translated by the session of their flow: `sessions: none` cannot be";
        let hint = "remove `sessions: none`, or use a pool without translation";
        findings.add_hint(Code::SessionsNeeded, &vip.place, message, hint);
    }
}

/// One finding per family.
fn local_families(pool: &PoolDraft, encap: &EncapDraft, findings: &Findings<'_>) {
    for is_v6 in [false, true] {
        let mut backends = pool.backends.iter().filter_map(|backend| backend.address.as_ref());
        let Some(backend) = backends.find(|address| address.value.is_ipv6() == is_v6) else { continue };
        let has = encap.local_addresses.iter().any(|address| address.value.is_ipv6() == is_v6);
        // What could not be read may be the one that is missing.
        if has || encap.local_addresses.is_empty() {
            continue;
        }
        let message = format!("no local address is {}, as {} is", family(is_v6), backend.value);
        let hint = "add one to the pool's `local_addresses`";
        findings.add_hint(Code::NoLocalAddress, &backend.place, message, hint);
    }
}

/// Answers to it must be answers of backends and nothing else.
fn taken(draft: &Draft, address: &Located<IpAddr>, findings: &Findings<'_>) {
    let same = |other: &&Located<IpAddr>| other.value == address.value;
    let vip = draft.vips.iter().flat_map(|vip| &vip.addresses);
    let vip = vip.filter(|vip| vip.value.contains(address.value)).map(|vip| &vip.place).next();
    let backend =
        draft.pools.iter().flat_map(|pool| &pool.backends).filter_map(|one| one.address.as_ref()).find(same);
    for (place, what) in [(vip, "a VIP"), (backend.map(|backend| &backend.place), "a backend")] {
        let Some(place) = place else { continue };
        let message = format!("{} is {what} already", address.value);
        let hint = "write an address that nothing else uses";
        findings.add_pair(Code::LocalAddressTaken, &address.place, message, hint, (place, what.into()));
    }
}

/// The port number of an answer tells its worker, so one address has one range.
fn one_range<'d>(
    address: &'d Located<IpAddr>,
    range: (u16, u16),
    ranges: &mut HashMap<IpAddr, ((u16, u16), &'d Place)>,
    findings: &Findings<'_>,
) {
    let (known, place) = *ranges.entry(address.value).or_insert((range, &address.place));
    if known != range {
        let message = format!("{} has the ports {}-{} in another pool", address.value, known.0, known.1);
        let hint = "write the same `ports` in both, or use another address";
        findings.add_pair(Code::LocalPortsDiffer, &address.place, message, hint, (place, "there".into()));
    }
}

/// An address within a prefix of a port is asked for by ARP or neighbour discovery there.
fn reached(draft: &Draft, pool: &PoolDraft, address: &Located<IpAddr>, findings: &Findings<'_>) {
    let ports = &draft.dataplane.ports;
    let holds = |prefix: &Located<ipnet::IpNet>| prefix.value.contains(&address.value);
    let Some(at) = ports.iter().position(|port| port.addresses.iter().any(holds)) else { return };
    let name = ports[at].name.as_ref().map_or("", |name| name.value.as_str());
    let hops = pool.backends.iter().filter_map(|backend| next_hop::resolve(backend, ports).ok().flatten());
    let used: HashSet<usize> = hops.map(|hop| hop.port).collect();
    if !used.is_empty() && !used.contains(&at) {
        let message =
            format!("{} lies at port `{name}`, which leads to no backend of the pool", address.value);
        let hint =
            "write an address of the port that leads to the backends, or one that is routed to guideway";
        findings.add_hint(Code::LocalAddressUnreached, &address.place, message, hint);
    } else if !ports[at].punt_given {
        let message = format!("nobody answers ARP or neighbour discovery for {}", address.value);
        let hint = format!(
            "add `punt: gw-{name}` to the port and the address to that interface, or route the address to the port"
        );
        findings.add_hint(Code::LocalAddressUnreached, &address.place, message, hint);
    }
}
