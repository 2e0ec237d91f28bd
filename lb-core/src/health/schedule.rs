//! One probe target: when it is probed, and which results change its state.
//!
//! The promise to operators is a bound: a backend that stops answering is out within `fall x interval + timeout` and
//! back within `rise x interval + timeout`. Jitter therefore only ever shortens a gap, and the fast interval is used
//! while results contradict the state. Gaps count from start to start; what starts late is not caught up with.

use super::State;

/// Longest wait before the first probe of a new target, ns: news about a new backend is wanted soon.
const FIRST_WITHIN_NS: u64 = 1_000_000_000;
/// A gap is shortened by at most one part in this many.
const JITTER_PART: u64 = 10;

/// How a target is probed. All times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// Longest time between two starts.
    pub interval_ns: u64,
    /// The same while results contradict the state; not above `interval_ns`.
    pub fast_interval_ns: u64,
    /// Longest time a probe may take; not above `interval_ns`.
    pub timeout_ns: u64,
    /// Failures in a row that make an up target down; at least 1.
    pub fall: u16,
    /// Successes in a row that make a down target up; at least 1.
    pub rise: u16,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The target did what was expected.
    Pass,
    /// It did not.
    Fail,
    /// The probe could not be made for reasons of our own (no descriptor left): it says nothing about the target.
    Nothing,
}

/// What a started probe has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The moment at which it counts as failed.
    pub deadline_ns: u64,
    /// How long after its due time it started.
    pub late_ns: u64,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub previous: State,
    /// Now.
    pub state: State,
}

/// The state machine of one target. One probe at a time: `start`, then `finish`.
#[derive(Clone, Debug)]
pub struct Schedule {
    timing: Timing,
    state: State,
    /// Results in a row that contradict the state.
    streak: u16,
    due_ns: u64,
    started_ns: u64,
    /// Probes begun.
    begun: u64,
    random: u64,
}

impl Schedule {
    /// A target nobody has probed; its first probe is due within a second, or within its interval if that is shorter.
    ///
    /// `seed` decides all randomness: seeds that differ spread the probes evenly.
    pub fn new(timing: Timing, seed: u64, now_ns: u64) -> Self {
        let mut schedule = Self {
            timing,
            state: State::Unknown,
            streak: 0,
            due_ns: now_ns,
            started_ns: now_ns,
            begun: 0,
            random: seed,
        };
        schedule.due_ns += schedule.below(timing.interval_ns.min(FIRST_WITHIN_NS));
        schedule
    }

    /// The same for a target whose state is known from before: its check was changed, the backend was not.
    pub fn resumed(timing: Timing, seed: u64, now_ns: u64, state: State) -> Self {
        Self { state, ..Self::new(timing, seed, now_ns) }
    }

    /// What is known.
    pub fn state(&self) -> State {
        self.state
    }

    /// When the next probe is to start. Means nothing between `start` and `finish`.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Begins a probe.
    pub fn start(&mut self, now_ns: u64) -> Start {
        self.started_ns = now_ns;
        self.begun += 1;
        Start {
            deadline_ns: now_ns.saturating_add(self.timing.timeout_ns),
            late_ns: now_ns.saturating_sub(self.due_ns),
        }
    }

    /// Ends the probe, plans the next one, and says what changed. A result that comes after the deadline is a failure.
    pub fn finish(&mut self, now_ns: u64, finish: Finish) -> Option<Change> {
        let deadline = self.started_ns.saturating_add(self.timing.timeout_ns);
        let finish = if now_ns > deadline && finish == Finish::Pass { Finish::Fail } else { finish };
        let change = self.take(finish);
        let gap = self.gap_ns();
        self.due_ns = self.started_ns.saturating_add(gap).max(now_ns);
        change
    }

    fn take(&mut self, finish: Finish) -> Option<Change> {
        let wanted = match finish {
            Finish::Pass => State::Up,
            Finish::Fail => State::Down,
            Finish::Nothing => return None,
        };
        if wanted == self.state {
            self.streak = 0;
            return None;
        }
        self.streak = self.streak.saturating_add(1);
        let enough = match self.state {
            // The first result decides at once: there is nothing to be loyal to.
            State::Unknown => 1,
            State::Up => self.timing.fall,
            State::Down => self.timing.rise,
        };
        if self.streak < enough {
            return None;
        }
        let previous = std::mem::replace(&mut self.state, wanted);
        self.streak = 0;
        Some(Change { previous, state: wanted })
    }

    fn gap_ns(&mut self) -> u64 {
        let full = if self.streak > 0 { self.timing.fast_interval_ns } else { self.timing.interval_ns };
        // Targets that came together were all first probed within a second: the second gap, anything up to the
        // interval, spreads them evenly over the whole of it, and for good.
        if self.begun == 1 && self.streak == 0 {
            return self.below(full).max(full / JITTER_PART);
        }
        full - self.below(full / JITTER_PART)
    }

    /// A number below `bound` (0 for 0), next of the target's own sequence: splitmix64 (Steele, Lea, Flood 2014).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}
