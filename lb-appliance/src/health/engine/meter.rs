//! Durations of probes per pool and kind: a histogram with fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds; a last one without bound follows.
const BOUNDS_US: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000];

/// What a meter has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Probes per bucket, not cumulated; one more than there are bounds.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// Sum of all durations.
    pub sum: Duration,
}

impl Histogram {
    /// Upper bounds of the buckets but the last, seconds.
    pub fn bounds_seconds() -> [f64; BOUNDS_US.len()] {
        BOUNDS_US.map(|bound| bound as f64 / 1e6)
    }

    /// All probes.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The counting side.
#[derive(Default)]
pub(super) struct Meter {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Meter {
    pub(super) fn observe(&self, duration: Duration) {
        let us = duration.as_micros();
        let index = BOUNDS_US.iter().position(|bound| us <= u128::from(*bound)).unwrap_or(BOUNDS_US.len());
        self.counts[index].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_pass() {
        let meter = Meter::default();
        for us in [0, 500, 501, 2_500_000, 2_500_001] {
            meter.observe(Duration::from_micros(us));
        }
        let histogram = meter.read();
        assert_eq!((histogram.counts[0], histogram.counts[1]), (2, 1));
        assert_eq!((histogram.counts[11], histogram.counts[12]), (1, 1));
        assert_eq!((histogram.count(), histogram.sum), (5, Duration::from_micros(5_001_002)));
    }
}
