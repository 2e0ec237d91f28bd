//! One backend's reports, smoothed.
//!
//! Reports come in any order, late, twice, or not at all. They are kept until the next decision, which takes them in
//! the order of their time; so the order of arrival decides nothing.

use super::Report;
use std::collections::BTreeSet;
use std::time::Duration;

/// Reports kept between two decisions; of more, the oldest go.
const PENDING_MAX: usize = 32;
/// Reports at or above this are as good as this: a broken backend must not dwarf the pool.
const VALUE_MAX: f64 = 100.0;
/// Time constant of the smoothing: a few reports, well below the lifetime of most flows.
const SMOOTHING: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub(super) struct Signal {
    /// Time and bits of the value: for numbers from 0 up, the order of bits is the order of numbers.
    pending: BTreeSet<(Duration, u64)>,
    /// Time of the newest report taken, and the smoothed value.
    level: Option<(Duration, f64)>,
    /// The newest report as it came.
    last: Option<Report>,
}

impl Signal {
    /// Keeps a report for the next decision; `false` when its value is not a number from 0 up.
    pub(super) fn push(&mut self, report: Report) -> bool {
        if !report.value.is_finite() || report.value < 0.0 {
            return false;
        }
        // Adding 0 turns -0 into 0, whose bits order as they should.
        let value = report.value.min(VALUE_MAX) + 0.0;
        self.pending.insert((report.at, value.to_bits()));
        if self.pending.len() > PENDING_MAX {
            self.pending.pop_first();
        }
        true
    }

    /// Takes what has come since the last decision. A report from the future counts as one of now; one that is older
    /// than what has been taken is too late and is dropped.
    pub(super) fn fold(&mut self, now: Duration) {
        for (at, bits) in std::mem::take(&mut self.pending) {
            let (at, value) = (at.min(now), f64::from_bits(bits));
            self.level = match self.level {
                Some((since, _)) if at < since => continue,
                Some((since, level)) => {
                    let elapsed = (at - since).as_secs_f64();
                    let fresh = 1.0 - (-elapsed.max(1.0) / SMOOTHING.as_secs_f64()).exp();
                    Some((at, level + (value - level) * fresh))
                }
                None => Some((at, value)),
            };
            self.last = Some(Report { value, at });
        }
    }

    /// The smoothed value, unless the newest report is older than `stale_after`.
    pub(super) fn level(&self, now: Duration, stale_after: Duration) -> Option<f64> {
        self.level.filter(|(at, _)| now.saturating_sub(*at) <= stale_after).map(|(_, level)| level)
    }

    /// Forgets the smoothed value: what comes next starts afresh.
    pub(super) fn restart(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }

    /// The newest report taken.
    pub(super) fn last(&self) -> Option<Report> {
        self.last
    }
}
