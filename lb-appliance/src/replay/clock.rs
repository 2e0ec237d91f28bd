//! Virtual time: the capture's stamps as the worker's clock, and the sweeps that fall due by it.
//!
//! Time starts at 0 with the first frame and never goes back. The pace of the sweep is the worker's: a
//! whole pass over the connection table every eight seconds.

use lb_core::clock::{TIMEOUT_TICKS_MAX, Tick};

/// Ticks per second of stamps.
const TICK_NANOS: u64 = 1_000_000_000;
/// Ticks for one pass over the whole table.
const PASS_TICKS: u64 = 8;
/// Longest step of the clock between whole passes while nothing comes. An entry that has just escaped a
/// pass must be met again before 16 bits of age run out.
const STEP_TICKS: u64 = 16_384;

const _: () = assert!(TIMEOUT_TICKS_MAX as u64 + PASS_TICKS + STEP_TICKS < 1 << 16, "ages must not wrap");

/// The clock of a replay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VirtualClock {
    origin: Option<u64>,
    elapsed_nanos: u64,
}

impl VirtualClock {
    /// Goes on to a frame's stamp, nanoseconds since any origin; false if the stamp lies in the past, in
    /// which case the clock stays.
    pub(super) fn advance(&mut self, stamp_nanos: u64) -> bool {
        let origin = *self.origin.get_or_insert(stamp_nanos);
        match stamp_nanos.checked_sub(origin) {
            Some(elapsed) if elapsed >= self.elapsed_nanos => {
                self.elapsed_nanos = elapsed;
                true
            }
            _ => false,
        }
    }

    /// Whole ticks since the first frame, not wrapped.
    pub(super) fn ticks(&self) -> u64 {
        self.elapsed_nanos / TICK_NANOS
    }
}

/// The moment that a number of whole ticks is for the packet path.
pub(super) fn tick(ticks: u64) -> Tick {
    // The wrap is the one that `Tick` documents.
    Tick(ticks as u16)
}

/// The sweeps between two moments in ticks: (moment, lines) of a table of `lines` lines. Whoever applies
/// them may stop as soon as the table is empty.
pub(super) fn sweeps(from: u64, to: u64, lines: usize) -> impl Iterator<Item = (Tick, usize)> {
    let gap = to.saturating_sub(from);
    let due = if gap < PASS_TICKS { (lines as u64 * gap).div_ceil(PASS_TICKS) as usize } else { lines };
    let between = (1..).map(move |step| from + step * STEP_TICKS).take_while(move |at| *at < to);
    let last = (gap > 0).then_some(to);
    between.chain(last).map(move |at| (tick(at), due))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_with_the_first_frame_and_never_goes_back() {
        let mut clock = VirtualClock::default();
        assert!(clock.advance(5_500_000_000));
        assert_eq!(clock.ticks(), 0);
        assert!(clock.advance(7_499_999_999));
        assert_eq!(clock.ticks(), 1);
        assert!(!clock.advance(7_000_000_000));
        assert!(!clock.advance(0), "before the first frame");
        assert_eq!(clock.ticks(), 1);
        assert!(clock.advance(u64::MAX));
    }

    #[test]
    fn eight_seconds_in_any_steps_pass_the_whole_table() {
        for step in 1..=20 {
            let swept: usize = (0..40)
                .step_by(step)
                .flat_map(|from| sweeps(from, from + step as u64, 1000))
                .map(|(_, lines)| lines)
                .sum();
            let passes = 40_usize.div_ceil(step.max(PASS_TICKS as usize));
            assert!(swept >= passes * 1000, "{swept} lines in steps of {step} s");
        }
        assert_eq!(sweeps(3, 3, 1000).count(), 0, "no time, no sweep");
    }

    #[test]
    fn long_silence_is_crossed_in_steps_that_ages_survive() {
        let found: Vec<_> = sweeps(10, 10 + 40_000, 64).collect();
        let expected = [16_394, 32_778, 40_010].map(|at| (Tick(at), 64));
        assert_eq!(found, expected);
    }
}
