//! What changes weights while guideway runs: slow start and adaptive weights.

use std::time::Duration;

/// `pools[].slow_start`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// Until the full share, 1 s ..= 1 h.
    pub duration: Duration,
    /// Factor to begin with, 0.02 ..= 1.
    pub start: f64,
}

/// `pools[].adaptive_weights`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveWeights {
    /// Where load reports come from.
    pub source: LoadSource,
    /// Between decisions, 1 s ..= 1 min.
    pub interval: Duration,
    /// Age from which a report counts as none; at least `interval`.
    pub stale_after: Duration,
    /// Smallest factor, 0.02 ..= 1.
    pub min_factor: f64,
    /// Largest factor, 1 ..= 8.
    pub max_factor: f64,
    /// Most that one change adds or takes, relative to the factor.
    pub max_step: f64,
    /// A factor that is off by less, relative to it, stays.
    pub deadband: f64,
    /// Table rebuilds within any 60 s.
    pub max_changes_per_minute: u32,
    /// Share of the live flows whose slots may change hands within any 60 s.
    pub max_moved_per_minute: f64,
}

/// `pools[].adaptive_weights.source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSource {
    /// A header of the response to the HTTP health check.
    Header,
    /// The agent check.
    Agent,
    /// The time that a probe takes.
    Latency,
}
