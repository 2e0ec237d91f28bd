//! Series of ports, their queues and the pools of packet buffers.
//!
//! A port's counters are the NIC's own; punted packets and queues are counted by the workers. A port that has
//! been closed keeps its identity and is down; its counters are gone.

use super::catalogue::Metric;
use super::families::Families;
use super::sources::Sources;
use crate::instruments::{PortProbe, PortSample, QueueCounters};
use std::collections::BTreeMap;

/// The label of a device without a NUMA node.
const NO_NUMA_NODE: &str = "none";

pub(super) fn collect(sources: &Sources, families: &mut Families) {
    for (index, port) in sources.ports.iter().enumerate() {
        collect_port(families, port.as_ref());
        let name = port.identity().name.as_str();
        let queues = sources.workers.iter().map(|worker| worker.queues.get(index));
        let sum = |of: fn(&QueueCounters) -> u64| queues.clone().flatten().map(of).sum();
        families.count(Metric::PortPunted, &[name], sum(|queue| queue.punted.get()));
        families.count(Metric::PortInjected, &[name], sum(|queue| queue.injected.get()));
        families.count(Metric::PortInjectedRefused, &[name], sum(|queue| queue.inject_refused.get()));
        if sources.settings.per_queue {
            for (number, queue) in queues.enumerate() {
                let Some(queue) = queue else { continue };
                collect_queue(families, name, &number.to_string(), queue);
            }
        }
    }
    collect_pools(sources, families);
}

fn collect_port(families: &mut Families, port: &dyn PortProbe) {
    let identity = port.identity();
    let numa_node = identity.numa_node.map_or_else(|| NO_NUMA_NODE.to_owned(), |node| node.to_string());
    let name = identity.name.as_str();
    families.info(Metric::PortInfo, &[name, &identity.driver, &identity.device, &numa_node]);
    let sample = port.sample();
    let is_up = sample.is_some_and(|sample| sample.is_up);
    families.put(Metric::PortUp, &[name], f64::from(u8::from(is_up)));
    let Some(sample) = sample else { return };
    if let Some(speed) = sample.speed_bytes {
        families.put(Metric::PortSpeed, &[name], speed as f64);
    }
    for (metric, value) in counters(&sample) {
        families.count(metric, &[name], value);
    }
}

fn counters(sample: &PortSample) -> [(Metric, u64); 8] {
    [
        (Metric::PortReceivePackets, sample.receive_packets),
        (Metric::PortReceiveBytes, sample.receive_bytes),
        (Metric::PortTransmitPackets, sample.transmit_packets),
        (Metric::PortTransmitBytes, sample.transmit_bytes),
        (Metric::PortReceiveMissed, sample.receive_missed),
        (Metric::PortReceiveErrors, sample.receive_errors),
        (Metric::PortTransmitErrors, sample.transmit_errors),
        (Metric::PortReceiveNombuf, sample.receive_no_buffer),
    ]
}

fn collect_queue(families: &mut Families, port: &str, queue: &str, counters: &QueueCounters) {
    let labels = [port, queue];
    families.count(Metric::QueueReceivePackets, &labels, counters.received_packets.get());
    families.count(Metric::QueueReceiveBytes, &labels, counters.received_bytes.get());
    families.count(Metric::QueueTransmitPackets, &labels, counters.sent_packets.get());
    families.count(Metric::QueueTransmitBytes, &labels, counters.sent_bytes.get());
    families.count(Metric::QueueTransmitFull, &labels, counters.full.get());
}

/// One series per NUMA node, however many pools it has.
fn collect_pools(sources: &Sources, families: &mut Families) {
    let mut nodes: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for pool in &sources.pools {
        let (size, in_use) = nodes.entry(pool.numa_node()).or_default();
        *size += pool.size();
        *in_use += pool.in_use();
    }
    for (node, (size, in_use)) in nodes {
        let node = node.to_string();
        families.put(Metric::MbufPoolSize, &[&node], size as f64);
        families.put(Metric::MbufPoolInUse, &[&node], in_use as f64);
    }
}
