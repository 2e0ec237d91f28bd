//! When to sleep and how much to sweep: the worker's small timers, as values.
//!
//! Time is an argument, in nanoseconds of the worker's clock.

use std::time::Duration;

/// Nothing came for this long: sleep. Short, because a sleep ends with the next packet.
const IDLE_NANOS: u64 = 50_000;
/// Longest sleep when packets wake it; bounds how late the stop flag and the clock are seen.
const SLEEP: Duration = Duration::from_millis(100);
/// Sleep when nothing wakes it (a PMD without descriptors): bounds the added latency.
const NAP: Duration = Duration::from_micros(200);

/// Decides about sleeping.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdlePace {
    last_packet: u64,
    sleep: Duration,
}

impl IdlePace {
    pub(super) fn new(now: u64, wakes_for_packets: bool) -> Self {
        Self { last_packet: now, sleep: if wakes_for_packets { SLEEP } else { NAP } }
    }

    /// A turn with packets: no sleep.
    pub(super) fn busy(&mut self, now: u64) -> Option<Duration> {
        self.last_packet = now;
        None
    }

    /// A turn without packets: how long to sleep, if it is time.
    pub(super) fn empty(&self, now: u64) -> Option<Duration> {
        (now.saturating_sub(self.last_packet) >= IDLE_NANOS).then_some(self.sleep)
    }
}

/// A whole sweep of the connection table takes this long.
const SWEEP_NANOS: u64 = 8_000_000_000;
/// Most lines per call, so that a pause of the worker is not followed by a long sweep.
const SWEEP_LINES_MAX: u64 = 2_048;

/// Spreads the sweep of the connection table evenly over time.
#[derive(Clone, Copy, Debug)]
pub(super) struct SweepPace {
    lines: u64,
    swept_until: u64,
}

impl SweepPace {
    pub(super) fn new(lines: usize, now: u64) -> Self {
        Self { lines: lines as u64, swept_until: now }
    }

    /// Lines to look at now.
    pub(super) fn lines_due(&mut self, now: u64) -> usize {
        let elapsed = now.saturating_sub(self.swept_until);
        let due = u128::from(elapsed) * u128::from(self.lines) / u128::from(SWEEP_NANOS);
        if due == 0 {
            return 0;
        }
        self.swept_until = now;
        due.min(u128::from(SWEEP_LINES_MAX)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_only_after_a_quiet_while() {
        let mut pace = IdlePace::new(0, true);
        assert_eq!(pace.empty(IDLE_NANOS - 1), None);
        assert_eq!(pace.empty(IDLE_NANOS), Some(SLEEP));
        assert_eq!(pace.busy(IDLE_NANOS + 1), None);
        assert_eq!(pace.empty(IDLE_NANOS + 2), None);
        assert_eq!(IdlePace::new(0, false).empty(IDLE_NANOS), Some(NAP));
    }

    #[test]
    fn a_sweep_takes_its_period_whatever_the_steps() {
        for (lines, step) in [(4, 1_000_000), (1 << 16, 50_000), (1 << 20, 1_000_000)] {
            let mut pace = SweepPace::new(lines, 0);
            let (mut now, mut swept) = (0, 0);
            while swept < lines {
                now += step;
                swept += pace.lines_due(now);
            }
            let share = now as f64 / SWEEP_NANOS as f64;
            assert!((0.99..1.3).contains(&share), "{lines} lines in {share} of the period");
        }
    }
}
