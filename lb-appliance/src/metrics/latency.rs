//! Forwarding latency: from the workers' log-linear counts to Prometheus' buckets and to percentiles.
//!
//! A count stands for values that are known to 1/16; it is taken at the largest of them, so that neither a
//! bucket nor a percentile ever makes the balancer look faster than it was.

use super::families::Distribution;
use crate::instruments::WorkerInstruments;
use hdrhistogram::{CreationError, Histogram};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Two digits keep every value of the source apart: it knows values to 1/16.
const SIGNIFICANT_DIGITS: u8 = 2;
/// The end of the workers' range, nanoseconds (18 minutes).
const LATENCY_NANOS_MAX: u64 = 1 << 40;

/// Latency of all workers in nanoseconds, for percentiles.
///
/// # Errors
/// None in practice: the bounds are constants that hdrhistogram takes.
pub fn latency_summary(workers: &[Arc<WorkerInstruments>]) -> Result<Histogram<u64>, CreationError> {
    let mut summary = Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, SIGNIFICANT_DIGITS)?;
    for (nanos, count) in workers.iter().flat_map(|worker| worker.latency.counts()) {
        summary.saturating_record_n(nanos, count);
    }
    Ok(summary)
}

/// Latency of all workers in classic buckets, seconds. `bounds` are ascending.
pub(super) fn distribution(workers: &[Arc<WorkerInstruments>], bounds: &[Duration]) -> Distribution {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for (nanos, count) in workers.iter().flat_map(|worker| worker.latency.counts()) {
        *counts.entry(nanos).or_default() += count;
    }
    let mut rest = counts.iter().peekable();
    let mut seen = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for bound in bounds {
        while let Some((_, count)) = rest.next_if(|(nanos, _)| u128::from(**nanos) <= bound.as_nanos()) {
            seen += count;
        }
        buckets.push((bound.as_secs_f64(), seen));
    }
    let sum: u64 = workers.iter().map(|worker| worker.latency.sum_nanos.get()).sum();
    Distribution { buckets, count: counts.values().sum(), sum: sum as f64 / 1e9 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::counters::WorkerCounters;

    fn worker(nanos: &[u64]) -> Arc<WorkerInstruments> {
        let worker = WorkerInstruments::new("0".into(), Arc::new(WorkerCounters::new(0, 0)), 1);
        nanos.iter().for_each(|nanos| worker.latency.record(*nanos));
        Arc::new(worker)
    }

    #[test]
    fn buckets_are_cumulative_over_workers_and_never_flatter() {
        let workers = [worker(&[900, 1_900, 1_000_000]), worker(&[100, 2_001])];
        let bounds = [1, 2, 5].map(Duration::from_micros);
        let found = distribution(&workers, &bounds);
        // 2001 ns is known as "up to 2047 ns": it belongs above 2 us. 1 ms is above every bound.
        assert_eq!(found.buckets, [(1e-6, 2), (2e-6, 3), (5e-6, 4)]);
        assert_eq!(found.count, 5);
        assert_eq!(found.sum, 1_004_901e-9);
    }

    #[test]
    fn no_bounds_is_no_bucket_but_still_a_count() {
        let found = distribution(&[worker(&[7])], &[]);
        assert_eq!((found.buckets.len(), found.count), (0, 1));
    }

    #[test]
    fn percentiles_agree_with_the_sorted_values() {
        // Independent oracle: the values themselves, sorted.
        let values: Vec<u64> = (0..10_000_u64).map(|index| 500 + (index * 7_919) % 90_000).collect();
        let (even, odd): (Vec<_>, Vec<_>) = values.iter().partition(|value| *value % 2 == 0);
        let summary = latency_summary(&[worker(&even), worker(&odd)]).expect("constant bounds");
        let mut sorted = values;
        sorted.sort_unstable();
        assert_eq!(summary.len(), 10_000);
        for percentile in [1, 50, 90, 99] {
            let exact = sorted[percentile * 100 - 1] as f64;
            let found = summary.value_at_quantile(percentile as f64 / 100.0) as f64;
            // 1/16 of the source and 1/100 of hdrhistogram, upwards only.
            assert!(found >= exact && found <= exact * 1.08, "p{percentile}: {found} for {exact}");
        }
    }

    #[test]
    fn values_beyond_the_range_are_kept_at_its_end() {
        let summary = latency_summary(&[worker(&[u64::MAX])]).expect("constant bounds");
        assert_eq!(summary.len(), 1);
        assert!(summary.max() >= LATENCY_NANOS_MAX - 1);
    }
}
