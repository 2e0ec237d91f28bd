//! What an engine knows at one moment, for status and metrics.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use lb_core::health::State;

use super::super::agent::AgentReport;
use super::super::outcome::Cause;
use super::meter::Histogram;

/// The last result of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Last {
    /// Whether it passed.
    pub ok: bool,
    /// Why not.
    pub cause: Option<Cause>,
    /// What was seen.
    pub detail: String,
    /// How long it took.
    pub latency: Duration,
    /// When it ended, by the wall clock.
    pub at: SystemTime,
    /// Load that the backend reported in its HTTP header.
    pub load: Option<f64>,
}

/// One check of one backend. Pools that share a probe each have a row, with the same counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The pool.
    pub pool: String,
    /// The backend.
    pub backend: String,
    /// `http`, `agent`...
    pub probe: &'static str,
    /// Its address.
    pub address: IpAddr,
    /// What is known.
    pub state: State,
    /// Since when; `None` for unknown.
    pub since: Option<SystemTime>,
    /// The last result.
    pub last: Option<Last>,
    /// The agent's last word, which an agent that falls silent keeps.
    pub agent: Option<AgentReport>,
    /// Probes ended.
    pub checks: u64,
    /// Of these without success, by cause; causes that never came up are left out.
    pub failures: Vec<(Cause, u64)>,
    /// Probes that started more than 100 ms late.
    pub late: u64,
    /// Changes of state.
    pub changes: u64,
}

/// Durations of the probes of one kind in one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Timings {
    /// The pool.
    pub pool: String,
    /// `http`, `agent`...
    pub probe: &'static str,
    /// How long they took.
    pub histogram: Histogram,
}

/// Everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Sorted by pool, backend, probe.
    pub rows: Vec<Row>,
    /// Sorted by pool, probe.
    pub timings: Vec<Timings>,
    /// Probes of all targets, past ones too, that started more than 100 ms late.
    pub late: u64,
}

impl Snapshot {
    /// The state of a backend over all its checks; `None` if it has none.
    pub fn state(&self, pool: &str, backend: &str) -> Option<State> {
        let mut states = self.rows.iter().filter(|row| row.pool == pool && row.backend == backend).peekable();
        states.peek()?;
        Some(lb_core::health::combine(states.map(|row| row.state)))
    }
}
