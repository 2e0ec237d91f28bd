//! The sign that a worker's loop turns: when it last looked at its clock.
//!
//! By the monotonic clock: a wall clock that is set must neither make a worker that turns look stuck, nor hide one
//! that is.

use lb_core::counters::Counter;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What all heartbeats of the process are counted from: before its start, so that one of the past can be said too.
static START: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(3_600)).unwrap_or(now)
});

/// One worker's heartbeat. Only the worker may beat, anybody may look.
#[derive(Debug)]
pub struct Heartbeat {
    /// Milliseconds since [`START`], and one more: 0 is never.
    last: Counter,
}

impl Default for Heartbeat {
    fn default() -> Self {
        LazyLock::force(&START);
        Self { last: Counter::default() }
    }
}

impl Heartbeat {
    /// Notes that the loop turns.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// As [`Self::beat`], at another time.
    pub fn beat_at(&self, now: Instant) {
        self.last.set(Self::stamp(now) + 1);
    }

    /// A number that is another one after every beat that is a millisecond later.
    pub fn number(&self) -> u64 {
        self.last.get()
    }

    /// How long ago the last one was; `None` if there was none.
    pub fn age(&self) -> Option<Duration> {
        self.age_at(Instant::now())
    }

    /// As [`Self::age`], at another time.
    pub fn age_at(&self, now: Instant) -> Option<Duration> {
        let last = self.last.get().checked_sub(1)?;
        Some(Duration::from_millis(Self::stamp(now).saturating_sub(last)))
    }

    fn stamp(now: Instant) -> u64 {
        // 585 million years fit.
        now.saturating_duration_since(*START).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_has_an_age_once_there_was_one() {
        let (heartbeat, start) = (Heartbeat::default(), *START);
        assert_eq!(heartbeat.age_at(start + Duration::from_secs(1)), None);
        heartbeat.beat_at(start);
        assert_eq!(heartbeat.age_at(start + Duration::from_secs(7)), Some(Duration::from_secs(7)));
        heartbeat.beat_at(start + Duration::from_secs(9));
        assert_eq!(heartbeat.age_at(start + Duration::from_secs(8)), Some(Duration::ZERO), "not negative");
    }
}
