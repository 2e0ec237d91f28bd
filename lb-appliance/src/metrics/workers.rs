//! Series of workers and their connection tables, and the two histograms over all workers.

use super::catalogue::Metric;
use super::families::{Distribution, Families};
use super::latency;
use super::sources::Sources;
use crate::instruments::{BURST_BOUNDS, WorkerInstruments};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOS_PER_SECOND: f64 = 1e9;

pub(super) fn collect(sources: &Sources, families: &mut Families) {
    for worker in &sources.workers {
        collect_table(families, worker);
        collect_turns(families, worker);
    }
    families.distribution(Metric::WorkerBurst, &[], &bursts(&sources.workers));
    let latency = latency::distribution(&sources.workers, &sources.settings.latency_buckets);
    families.distribution(Metric::ForwardLatency, &[], &latency);
}

fn collect_table(families: &mut Families, worker: &WorkerInstruments) {
    let (label, packets) = ([worker.label.as_str()], &worker.packets);
    families.put(Metric::ConnectionEntries, &label, packets.entries.get() as f64);
    families.put(Metric::ConnectionCapacity, &label, packets.capacity.get() as f64);
    families.count(Metric::ConnectionInsertions, &label, packets.insertions.get());
    families.count(Metric::ConnectionEvictions, &label, packets.evictions.get());
    families.count(Metric::ConnectionExpirations, &label, packets.expirations.get());
    families.count(Metric::ConnectionRefusals, &label, packets.refusals.get());
    families.count(Metric::ConnectionLookups, &label, packets.lookups.get());
    families.count(Metric::ConnectionHits, &label, packets.hits.get());
    for (outcome, counter) in [
        ("routed", &packets.id_routed),
        ("unroutable", &packets.id_unroutable),
        ("unknown", &packets.id_unknown),
    ] {
        families.count(Metric::ServerIdPackets, &[label[0], outcome], counter.get());
    }
}

fn collect_turns(families: &mut Families, worker: &WorkerInstruments) {
    let (label, turns) = ([worker.label.as_str()], &worker.turns);
    families.put(Metric::WorkerBusy, &label, turns.busy_nanos.get() as f64 / NANOS_PER_SECOND);
    families.put(Metric::WorkerIdle, &label, turns.idle_nanos.get() as f64 / NANOS_PER_SECOND);
    families.count(Metric::WorkerPackets, &label, worker.packets.received.get());
    families.count(Metric::WorkerPolls, &label, turns.polls.get());
    families.count(Metric::WorkerEmptyPolls, &label, turns.empty_polls.get());
    // Said by the wall clock of the scrape, which is what its reader compares it with.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let heartbeat = turns.heartbeat.age().map_or(0.0, |age| now.saturating_sub(age).as_secs_f64());
    families.put(Metric::WorkerHeartbeat, &label, heartbeat);
}

/// Sizes of all bursts. Their sum is what the workers took in: every packet comes in a burst.
fn bursts(workers: &[Arc<WorkerInstruments>]) -> Distribution {
    let mut count = 0;
    let mut buckets = Vec::with_capacity(BURST_BOUNDS.len());
    for (index, bound) in BURST_BOUNDS.iter().enumerate() {
        count += workers.iter().map(|worker| worker.turns.bursts[index].get()).sum::<u64>();
        buckets.push((*bound as f64, count));
    }
    let packets: u64 = workers.iter().map(|worker| worker.packets.received.get()).sum();
    Distribution { buckets, count, sum: packets as f64 }
}
