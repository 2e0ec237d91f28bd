//! From the configuration in force to the way of every tunnelled probe.
//!
//! The VIP of a pool's probes is the first one in the file that uses the pool, and of its addresses the first of a
//! family of which the port that leads to the backend has an address too: that is where the answer must come back to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lb_core::tables::Tables;
use lb_core::wire::ETHERNET_LEN;

use super::super::plan::Subscriber;
use super::{Need, Way, Ways};
use crate::config::model::{Backend, Config, Encap, Pool, Port, Via, Vip};

/// Least MTU of IPv6 (RFC 8200 section 5).
const IPV6_MTU_MIN: u16 = 1280;

/// The ways of all backends with a tunnelled check, and what the kernel must know for them.
pub fn ways(config: &Config, tables: &Tables) -> (Ways, BTreeSet<Need>) {
    let (mut ways, mut needs) = (Ways::new(), BTreeSet::<Need>::new());
    for (index, pool) in config.pools.iter().enumerate() {
        if pool.health.check.as_ref().is_none_or(|check| check.via != Via::Tunnel) {
            continue;
        }
        let vip = config.vips.iter().enumerate().find(|(_, vip)| vip.pool == index);
        for (at, backend) in pool.backends.iter().enumerate() {
            let way = match vip {
                Some((service, vip)) => way(config, tables, (service, vip), (pool, at, backend)),
                None => Err(format!("no VIP uses pool {}, so there is no tunnel to probe", pool.name)),
            };
            if let Ok((_, need)) = &way {
                needs.insert(need.clone());
            }
            let subscriber = Subscriber { pool: pool.name.clone(), backend: backend.name.clone() };
            ways.insert(subscriber, way.map(|(way, _)| way));
        }
    }
    (ways, least(needs))
}

/// One need per interface and VIP: that of the longest headers.
fn least(needs: BTreeSet<Need>) -> BTreeSet<Need> {
    let mut least: Vec<Need> = Vec::new();
    for need in needs {
        // In order of interface, VIP and MTU.
        if least.last().is_none_or(|last| (&last.device, last.vip) != (&need.device, need.vip)) {
            least.push(need);
        }
    }
    least.into_iter().collect()
}

fn way(
    config: &Config,
    tables: &Tables,
    (service, vip): (usize, &Vip),
    (pool, at, backend): (&Pool, usize, &Backend),
) -> Result<(Way, Need), String> {
    let found = backend.next_hop.and_then(|hop| config.dataplane.ports.get(hop.port));
    let port = found.ok_or("no port leads to the backend")?;
    let device = port.punt.as_ref().ok_or_else(|| {
        format!("port {} has no punt interface in the running process: restart it", port.name)
    })?;
    let (address, source) = ends(vip, port)
        .ok_or_else(|| format!("port {} has no address of the family of VIP {}", port.name, vip.name))?;
    let record = tables.layout().records.get(service).and_then(|records| records.get(at)).copied();
    let record = record.ok_or("the tables do not know the backend yet")?;
    let headers = tables.header_len(record);
    let mtu = port.mtu.saturating_sub((headers - ETHERNET_LEN) as u16);
    let mtu = if address.is_ipv6() { mtu.max(IPV6_MTU_MIN) } else { mtu };
    let way = Way {
        vip_name: vip.name.clone(),
        vip: address,
        source,
        device: device.clone(),
        record,
        encap: word(pool.encap),
        backend: backend.address,
    };
    Ok((way, Need { device: device.clone(), vip: address, mtu }))
}

/// The first address of a VIP that an address of the port can talk to, and that one.
fn ends(vip: &Vip, port: &Port) -> Option<(IpAddr, IpAddr)> {
    let own = |is_ipv6: bool| {
        let own = port.addresses.iter().map(|own| own.addr());
        own.into_iter().find(|own| own.is_ipv6() == is_ipv6)
    };
    // Of a prefix the first address: each is as good as any other.
    vip.addresses.iter().find_map(|prefix| Some((prefix.first(), own(prefix.is_ipv6())?)))
}

fn word(encap: Encap) -> &'static str {
    match encap {
        Encap::Ipip => "ipip",
        Encap::Gue { .. } => "gue",
        Encap::Vxlan { .. } => "vxlan",
        Encap::Gre { .. } => "gre",
        Encap::Geneve { .. } => "geneve",
        Encap::L2Dsr => "l2dsr",
    }
}
