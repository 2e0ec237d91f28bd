//! Series of backends: sums over workers and over the VIPs that share a pool.
//!
//! One series per (pool, backend), whether or not a VIP uses the pool; off with `metrics.per_backend: false`.

use super::catalogue::Metric;
use super::families::Families;
use super::generation::{BackendCondition, BackendInfo, Generation};
use super::sources::Sources;
use crate::control::Traffic;

pub(super) fn collect(sources: &Sources, generation: &Generation, families: &mut Families) {
    if !sources.settings.per_backend {
        return;
    }
    let mut traffic: Vec<Vec<Traffic>> =
        generation.pools.iter().map(|pool| vec![Traffic::default(); pool.backends.len()]).collect();
    for (record, owner) in generation.tables.owners() {
        if let Some(sum) = traffic.get_mut(owner.pool).and_then(|pool| pool.get_mut(owner.backend)) {
            sum.add(&generation.ledger.record(record, &sources.workers));
        }
    }
    for ((names, pool), traffic) in generation.names.pools.iter().zip(&generation.pools).zip(&traffic) {
        for ((name, info), traffic) in names.backends.iter().zip(&pool.backends).zip(traffic) {
            let labels = [names.name.as_str(), name.as_str()];
            collect_traffic(families, labels, traffic);
            collect_state(families, labels, info);
        }
    }
}

fn collect_traffic(families: &mut Families, labels: [&str; 2], traffic: &Traffic) {
    families.count(Metric::BackendTransmitPackets, &labels, traffic.packets);
    families.count(Metric::BackendTransmitBytes, &labels, traffic.transmit_bytes);
    families.count(Metric::BackendConnections, &labels, traffic.connections);
    families.put(Metric::BackendActiveConnections, &labels, traffic.active as f64);
}

fn collect_state(families: &mut Families, labels: [&str; 2], info: &BackendInfo) {
    families.put(Metric::BackendUp, &labels, f64::from(u8::from(info.is_up)));
    families.put(Metric::BackendWeight, &labels, info.weight);
    let [pool, backend] = labels;
    for condition in BackendCondition::ALL {
        let is_it = f64::from(u8::from(info.condition == condition));
        families.put(Metric::BackendState, &[pool, backend, condition.name()], is_it);
    }
}
