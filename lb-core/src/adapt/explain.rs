//! Why a weight is what it is, in plain fields for status, events and `explain`.

use super::Report;
use crate::weight::Factor;
use std::net::IpAddr;
use std::time::Duration;

/// What the last decision did with a backend, and why not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There has been no decision yet.
    Waiting,
    /// It takes no new flows: its factor is kept for its return.
    NotServing,
    /// It is in slow start: it has too few flows to be compared.
    SlowStart,
    /// No report, or none that is fresh: its factor goes back to 1.
    Stale,
    /// Fewer than two backends report: nobody to compare with, factors go back to 1.
    Alone,
    /// Within the deadband.
    Deadband,
    /// At a bound that does not let it go further.
    Bound,
    /// Changed, all the way.
    Changed,
    /// Changed as far as one step goes; more will follow.
    Slew,
    /// Would change, but the minute's changes are used up.
    ChangeBudget,
    /// Would change, but that would move more live flows than the minute has left.
    MoveBudget,
    /// Would change, but a smaller update of others does most of the good and moves fewer live flows; next time.
    Deferred,
}

impl Standing {
    /// One word or two, for tables and JSON; part of the contract of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::NotServing => "not_serving",
            Self::SlowStart => "slow_start",
            Self::Stale => "stale",
            Self::Alone => "alone",
            Self::Deadband => "deadband",
            Self::Bound => "bound",
            Self::Changed => "changed",
            Self::Slew => "slew",
            Self::ChangeBudget => "change_budget",
            Self::MoveBudget => "move_budget",
            Self::Deferred => "deferred",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Waiting => "no decision yet",
            Self::NotServing => "takes no new flows; the factor is kept for its return",
            Self::SlowStart => "in slow start: not compared with the others yet",
            Self::Stale => "no fresh load report: the factor returns to 1",
            Self::Alone => "fewer than two backends report: nothing to compare, the factor returns to 1",
            Self::Deadband => "close enough to the others: within the deadband",
            Self::Bound => "at its bound (min_factor or max_factor)",
            Self::Changed => "changed by the last decision",
            Self::Slew => "changed by the last decision as far as max_step allows; more will follow",
            Self::ChangeBudget => "would change, but max_changes_per_minute is used up",
            Self::MoveBudget => "would change, but max_moved_per_minute leaves no room",
            Self::Deferred => "would change, but another update does most of the good and moves fewer flows",
        }
    }
}

/// Everything that makes up the weight of one backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explanation {
    /// The backend.
    pub address: IpAddr,
    /// The configured weight, or the operator's override.
    pub configured: u32,
    /// Factor of slow start.
    pub slow_start: Factor,
    /// Factor of the adaptive weights, in force.
    pub adaptive: Factor,
    /// The factor that the controller is heading for, before rounding.
    pub wanted: f64,
    /// For the Maglev table, in [`crate::weight::SCALE`]ths of a configured weight.
    pub scaled: u32,
    /// The newest report.
    pub last: Option<Report>,
    /// Its age.
    pub age: Option<Duration>,
    /// Smoothed reports, unless stale.
    pub level: Option<f64>,
    /// What the last decision did.
    pub standing: Standing,
}

/// A factor that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The backend.
    pub address: IpAddr,
    /// Factor until now.
    pub from: Factor,
    /// Factor from now on.
    pub to: Factor,
    /// [`Standing::Changed`] or [`Standing::Slew`], or [`Standing::Stale`] or [`Standing::Alone`] for a return to 1.
    pub reason: Standing,
}

/// One update of a pool; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// By address.
    pub list: Vec<Change>,
    /// Slots of the Maglev table that get another owner.
    pub changed_slots: u32,
    /// Live flows in those slots, estimated. Tracked ones stay where they are on this node; another node that takes
    /// them over would send them to the new owner.
    pub moved_flows: f64,
    /// The same as a share of all live flows of the pool; of all slots if no flows are known.
    pub moved_ratio: f64,
}
