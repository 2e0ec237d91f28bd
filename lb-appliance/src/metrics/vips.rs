//! Series of VIPs: sums over the workers' records of each service.
//!
//! Workers count packets and the bytes of the clients' IP datagrams; lengths of frames follow from them,
//! because every packet of a record gets headers of the same length.

use super::catalogue::Metric;
use super::families::Families;
use super::generation::Generation;
use super::sources::Sources;
use crate::instruments::WorkerInstruments;
use lb_core::reason::DropReason;
use lb_core::wire::ETHERNET_LEN;
use std::sync::Arc;

/// What can still happen to a packet once its VIP is known, in the pipeline.
pub(super) const REASONS: [DropReason; 5] = [
    DropReason::Fragment,
    DropReason::NoBackend,
    DropReason::TtlExceeded,
    DropReason::MtuExceeded,
    DropReason::NoHeadroom,
];

/// What records counted, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) packets: u64,
    /// As received: IP datagrams with an untagged Ethernet header each.
    pub(super) receive_bytes: u64,
    /// As sent, encapsulation included.
    pub(super) transmit_bytes: u64,
    pub(super) connections: u64,
    pub(super) active: u64,
}

impl Traffic {
    /// Adds what all workers counted for one record.
    pub(super) fn add(&mut self, workers: &[Arc<WorkerInstruments>], record: usize, header_len: usize) {
        for counters in workers.iter().filter_map(|worker| worker.packets.records.get(record)) {
            // Read once: bytes on both sides must be of the same packets.
            let (packets, ip_bytes) = (counters.packets.get(), counters.ip_bytes.get());
            self.packets += packets;
            self.receive_bytes += ip_bytes + packets * ETHERNET_LEN as u64;
            self.transmit_bytes += ip_bytes + packets * header_len as u64;
            self.connections += counters.connections.get();
            self.active += counters.active.get();
        }
    }
}

pub(super) fn collect(sources: &Sources, generation: &Generation, families: &mut Families) {
    let mut traffic = vec![Traffic::default(); generation.vips.len()];
    for (record, owner) in generation.tables.owners().iter().enumerate() {
        if let Some(sum) = traffic.get_mut(owner.service) {
            sum.add(&sources.workers, record, generation.tables.records()[record].kind().header_len());
        }
    }
    for (service, name) in generation.names.vips.iter().enumerate().take(traffic.len()) {
        collect_identity(generation, service, families);
        collect_traffic(name, &traffic[service], families);
        collect_drops(sources, name, service, families);
    }
}

fn collect_identity(generation: &Generation, service: usize, families: &mut Families) {
    let (name, vip) = (generation.names.vips[service].as_str(), &generation.vips[service]);
    let pool = generation.names.pools.get(vip.pool).map_or("", |pool| pool.name.as_str());
    for address in &vip.addresses {
        families.info(Metric::VipInfo, &[name, address, vip.protocol, &vip.ports, pool]);
    }
    let backends = generation.pools.get(vip.pool).map_or(&[][..], |pool| &pool.backends);
    let healthy = backends.iter().filter(|backend| backend.is_up()).count();
    families.put(Metric::VipBackends, &[name], backends.len() as f64);
    families.put(Metric::VipHealthyBackends, &[name], healthy as f64);
}

fn collect_traffic(name: &str, traffic: &Traffic, families: &mut Families) {
    families.count(Metric::VipReceivePackets, &[name], traffic.packets);
    families.count(Metric::VipReceiveBytes, &[name], traffic.receive_bytes);
    families.count(Metric::VipTransmitPackets, &[name], traffic.packets);
    families.count(Metric::VipTransmitBytes, &[name], traffic.transmit_bytes);
    families.count(Metric::VipConnections, &[name], traffic.connections);
    families.put(Metric::VipActiveConnections, &[name], traffic.active as f64);
}

fn collect_drops(sources: &Sources, name: &str, service: usize, families: &mut Families) {
    for reason in REASONS {
        let drops = sources.workers.iter().filter_map(|worker| worker.packets.service_drops.get(service));
        let packets = drops.map(|drops| drops.packets[reason as usize].get()).sum();
        families.count(Metric::VipDroppedPackets, &[name, reason.name()], packets);
    }
}
