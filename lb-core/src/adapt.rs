//! Adaptive weights: factors on a pool's weights that level the utilisation its backends report.
//!
//! One [`Controller`] per pool. What must hold: it acts on differences within the pool only (a pool that is evenly
//! busy is left alone), it never leaves its bounds, it makes few changes and small ones, it moves few live flows, and
//! without reports it lets go: factors return to 1. The law, the defaults and what they were measured with are in
//! `docs/adaptive-weights.md`. Time is a duration since any fixed instant of a clock that never steps back.

mod budget;
mod controller;
mod explain;
mod plan;
mod signal;
#[cfg(test)]
mod tests;

pub use controller::Controller;
pub use explain::{Change, Changes, Explanation, Standing};

use crate::weight::Factor;
use std::net::IpAddr;
use std::time::Duration;

/// What a load report measures, which decides how far it can be trusted as a measure of capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Utilisation, 0 to 1 and above when overloaded: proportional to the load, so the controller integrates until
    /// all are equal.
    Utilisation,
    /// Latency in seconds. It rises with load but also with distance, which no weight mends, so the controller
    /// answers in proportion instead of driving a distant backend to its lower bound.
    Latency,
}

/// How boldly weights may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What the reports mean.
    pub source: Source,
    /// Time between decisions.
    pub interval: Duration,
    /// A report older than this counts as none.
    pub stale_after: Duration,
    /// Smallest factor, above 0 and at most 1.
    pub factor_min: f64,
    /// Largest factor, 1 to 8.
    pub factor_max: f64,
    /// Most that one change may add to or take from a factor, relative to it (0.1 = 10 %); a 64th is always allowed.
    pub step_max: f64,
    /// A factor that is off by less than this, relative to it, stays.
    pub deadband: f64,
    /// Most changes of the pool within any 60 s. Each is one rebuild of its Maglev table.
    pub changes_per_minute_max: u32,
    /// Most live flows whose slot may get another owner within any 60 s, as a share of all (0 to 1).
    pub moved_per_minute_max: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Source::Utilisation,
            interval: Duration::from_secs(5),
            stale_after: Duration::from_secs(30),
            factor_min: 0.1,
            factor_max: 2.0,
            step_max: 0.1,
            deadband: 0.05,
            changes_per_minute_max: 6,
            moved_per_minute_max: 0.1,
        }
    }
}

impl Settings {
    /// The bounds in 64ths, inside of what was asked for; always a range that holds 1.
    fn bounds(&self) -> (Factor, Factor) {
        let quanta = f64::from(Factor::QUANTA);
        let min = Factor::nearest((self.factor_min * quanta).ceil() / quanta).min(Factor::ONE);
        let max = Factor::nearest((self.factor_max * quanta).floor() / quanta).max(Factor::ONE);
        (min, max)
    }
}

/// One backend of the pool as the controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its identity, unique in the pool.
    pub address: IpAddr,
    /// The configured weight, or the operator's override.
    pub weight: u32,
    /// Whether it takes new flows now: up, active, enabled.
    pub is_serving: bool,
    /// Its factor of slow start; below 1 it is left out of the comparison.
    pub slow_start: Factor,
}

/// A load report of one backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Utilisation (1 = fully used) or latency in seconds; see [`Source`].
    pub value: f64,
    /// When it was measured, or received if the backend does not say.
    pub at: Duration,
}
