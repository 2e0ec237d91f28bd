//! Series of VIPs: sums over the workers' records of each service.
//!
//! Workers count packets and the bytes of the clients' IP datagrams; lengths of frames follow from them,
//! because every packet of a record gets headers of the same length.

use super::catalogue::Metric;
use super::families::Families;
use super::generation::Generation;
use super::sources::Sources;
use crate::control::Traffic;
use lb_core::reason::DropReason;
use lb_core::service::ServiceIndex;

/// What can still happen to a packet once its VIP is known, in the pipeline.
pub(super) const REASONS: [DropReason; 5] = [
    DropReason::Fragment,
    DropReason::NoBackend,
    DropReason::TtlExceeded,
    DropReason::MtuExceeded,
    DropReason::NoHeadroom,
];

pub(super) fn collect(sources: &Sources, generation: &Generation, families: &mut Families) {
    let traffic = generation.ledger.services(&sources.workers);
    for (service, name) in generation.names.vips.iter().enumerate() {
        let Some(number) = generation.tables.layout().services.get(service).copied() else { continue };
        let counted = traffic.get(&number).copied().unwrap_or_default();
        collect_identity(generation, service, families);
        collect_traffic(name, &counted, families);
        collect_drops(sources, generation, (name, number), families);
    }
}

fn collect_identity(generation: &Generation, service: usize, families: &mut Families) {
    let (name, vip) = (generation.names.vips[service].as_str(), &generation.vips[service]);
    let pool = generation.names.pools.get(vip.pool).map_or("", |pool| pool.name.as_str());
    for address in &vip.addresses {
        families.info(Metric::VipInfo, &[name, address, vip.protocol, &vip.ports, pool]);
    }
    let backends = generation.pools.get(vip.pool).map_or(&[][..], |pool| &pool.backends);
    let healthy = backends.iter().filter(|backend| backend.is_up).count();
    families.put(Metric::VipBackends, &[name], backends.len() as f64);
    families.put(Metric::VipHealthyBackends, &[name], healthy as f64);
    let is_panicking = generation.pools.get(vip.pool).is_some_and(|pool| pool.is_panicking);
    families.put(Metric::VipPanic, &[name], f64::from(u8::from(is_panicking)));
}

fn collect_traffic(name: &str, traffic: &Traffic, families: &mut Families) {
    families.count(Metric::VipReceivePackets, &[name], traffic.packets);
    families.count(Metric::VipReceiveBytes, &[name], traffic.receive_bytes);
    families.count(Metric::VipTransmitPackets, &[name], traffic.packets);
    families.count(Metric::VipTransmitBytes, &[name], traffic.transmit_bytes);
    families.count(Metric::VipConnections, &[name], traffic.connections);
    families.put(Metric::VipActiveConnections, &[name], traffic.active as f64);
}

fn collect_drops(
    sources: &Sources,
    generation: &Generation,
    (name, number): (&str, ServiceIndex),
    families: &mut Families,
) {
    for reason in REASONS {
        let packets = generation.ledger.drops(number, reason, &sources.workers);
        families.count(Metric::VipDroppedPackets, &[name, reason.name()], packets);
    }
}
