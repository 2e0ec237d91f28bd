//! Slow start: a backend that comes up gets its share of new flows step by step.
//!
//! Cold caches and unfilled pools of connections make a fresh backend slower than its weight says. The share rises in
//! a staircase of at most [`STEPS`] steps, because each step rebuilds a Maglev table and moves slots of others.

use crate::weight::Factor;
use std::time::Duration;

/// Most weight changes of one ramp.
pub const STEPS: u32 = 10;

/// How a backend is brought in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// From the first flow to the full share; zero: no ramp.
    pub duration: Duration,
    /// Factor at the beginning, above 0 and at most 1.
    pub start: f64,
}

impl Ramp {
    /// The factor `elapsed` after the backend came up: at most 1, never falling, 1 from `duration` on.
    #[must_use]
    pub fn factor(&self, elapsed: Duration) -> Factor {
        Factor::nearest(ramp(elapsed, self.duration, self.start)).min(Factor::ONE)
    }

    /// When the factor next changes, as time since the backend came up; `None` once it is 1.
    ///
    /// The controller sleeps until then. Steps that round to the factor of now are left out.
    #[must_use]
    pub fn next_change(&self, elapsed: Duration) -> Option<Duration> {
        let now = self.factor(elapsed);
        let mut step = steps_done(elapsed, self.duration)? + 1;
        while step < STEPS && self.factor(step_at(step, self.duration)) == now {
            step += 1;
        }
        (now < Factor::ONE).then(|| step_at(step, self.duration))
    }

    /// Whether the factor is still below 1.
    #[must_use]
    pub fn is_rising(&self, elapsed: Duration) -> bool {
        self.factor(elapsed) < Factor::ONE
    }
}

/// The staircase itself, before rounding to 64ths: from `floor` in equal steps to 1 at `duration`.
///
/// In (0, 1] whatever the arguments: a floor outside of that counts as the smallest factor or as 1.
#[must_use]
pub fn ramp(elapsed: Duration, duration: Duration, floor: f64) -> f64 {
    let smallest = Factor::SMALLEST.value();
    let floor = if floor.is_nan() { smallest } else { floor.clamp(smallest, 1.0) };
    let Some(done) = steps_done(elapsed, duration) else { return 1.0 };
    floor + (1.0 - floor) * f64::from(done) / f64::from(STEPS)
}

/// Whole steps climbed so far, `None` at the top.
fn steps_done(elapsed: Duration, duration: Duration) -> Option<u32> {
    if elapsed >= duration {
        return None;
    }
    // elapsed < duration, so the quotient is below STEPS.
    Some((elapsed.as_nanos() * u128::from(STEPS) / duration.as_nanos()) as u32)
}

/// When step number `step` begins: the first nanosecond at which `steps_done` says so.
fn step_at(step: u32, duration: Duration) -> Duration {
    let nanos = (duration.as_nanos() * u128::from(step)).div_ceil(u128::from(STEPS));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn walk(ramp: &Ramp) -> Vec<(Duration, Factor)> {
        let mut walked = vec![(Duration::ZERO, ramp.factor(Duration::ZERO))];
        let mut at = Duration::ZERO;
        while let Some(next) = ramp.next_change(at) {
            assert!(next > at, "{next:?} is not after {at:?}");
            at = next;
            walked.push((at, ramp.factor(at)));
        }
        walked
    }

    #[test]
    fn thirty_seconds_from_a_tenth() {
        let ramp = Ramp { duration: Duration::from_secs(30), start: 0.1 };
        let walked = walk(&ramp);
        let seconds: Vec<u64> = walked.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(seconds, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
        let quanta: Vec<u16> = walked.iter().map(|(_, factor)| factor.quanta()).collect();
        assert_eq!(quanta, [6, 12, 18, 24, 29, 35, 41, 47, 52, 58, 64]);
    }

    #[test]
    fn no_duration_is_no_ramp() {
        let ramp = Ramp { duration: Duration::ZERO, start: 0.1 };
        assert_eq!(ramp.factor(Duration::ZERO), Factor::ONE);
        assert_eq!(ramp.next_change(Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn sleeping_from_change_to_change_misses_none(
            nanos in 1..9 * 3600 * SECOND, start in 0.0_f64..=1.0, probe in 0.0_f64..1.1,
        ) {
            let ramp = Ramp { duration: Duration::from_nanos(nanos), start };
            let walked = walk(&ramp);
            prop_assert!(walked.len() as u32 <= STEPS + 1);
            prop_assert!(walked.windows(2).all(|pair| pair[0].1 < pair[1].1), "{walked:?}");
            prop_assert_eq!(walked.last().map(|last| last.1), Some(Factor::ONE));
            // Between two changes nothing changes.
            let at = Duration::from_nanos((nanos as f64 * probe) as u64);
            let current = walked.iter().rev().find(|(since, _)| *since <= at).map(|(_, factor)| *factor);
            prop_assert_eq!(Some(ramp.factor(at)), current);
            prop_assert_eq!(ramp.is_rising(at), ramp.next_change(at).is_some());
        }

        #[test]
        fn the_staircase_stays_in_range(
            elapsed in any::<u64>(), duration in any::<u64>(), floor in proptest::num::f64::ANY,
        ) {
            let factor = ramp(Duration::from_nanos(elapsed), Duration::from_nanos(duration), floor);
            prop_assert!(factor > 0.0 && factor <= 1.0);
        }
    }
}
