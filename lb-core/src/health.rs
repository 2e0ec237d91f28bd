//! Health of backends as pure logic: when to probe, what a result changes, and who then gets new flows.
//!
//! No socket and no clock here: time is an argument, nanoseconds of a monotonic clock since any fixed origin, so a
//! step of the wall clock cannot reach this code. [`Schedule`] is one target's state machine; [`judge`] turns the
//! health of a pool's backends into the set that receives new flows.

mod judge;
mod schedule;

pub use judge::{AllDown, Member, Policy, Verdict, judge};
pub use schedule::{Change, Finish, Schedule, Start, Timing};

/// What is known of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No probe has given a result yet. Takes traffic: a balancer that has just started must not be an outage.
    #[default]
    Unknown,
    /// The last word of the probes was "up".
    Up,
    /// The last word of the probes was "down".
    Down,
}

impl State {
    /// Whether a backend in this state may receive new flows.
    pub fn takes_traffic(self) -> bool {
        self != Self::Down
    }

    /// The word in events, metrics and status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One state for a backend that several checks watch (its probe and its agent): down if any says so, else unknown
/// if any has not spoken, else up. Without a check: up.
pub fn combine(states: impl IntoIterator<Item = State>) -> State {
    states.into_iter().max_by_key(|state| severity(*state)).unwrap_or(State::Up)
}

fn severity(state: State) -> u8 {
    match state {
        State::Up => 0,
        State::Unknown => 1,
        State::Down => 2,
    }
}

#[cfg(test)]
mod tests;
