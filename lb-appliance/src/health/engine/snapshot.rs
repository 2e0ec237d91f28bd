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
        let rows = self.of(pool, backend);
        (!rows.is_empty()).then(|| lb_core::health::combine(rows.iter().map(|row| row.state)))
    }

    /// The rows of a backend. A search, not a walk: status asks for every one of ten thousand backends.
    pub fn of(&self, pool: &str, backend: &str) -> &[Row] {
        let name = |row: &Row| (row.pool.as_str(), row.backend.as_str()).cmp(&(pool, backend));
        let first = self.rows.partition_point(|row| name(row).is_lt());
        let len = self.rows[first..].partition_point(|row| name(row).is_eq());
        &self.rows[first..first + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pool: &str, backend: &str, probe: &'static str) -> Row {
        Row {
            pool: pool.into(),
            backend: backend.into(),
            probe,
            address: IpAddr::from([10, 0, 0, 1]),
            state: State::Up,
            since: None,
            last: None,
            agent: None,
            checks: 0,
            failures: Vec::new(),
            late: 0,
            changes: 0,
        }
    }

    #[test]
    fn the_rows_of_a_backend_are_those_that_a_walk_finds() {
        let names = [("a", "1"), ("a", "1"), ("a", "10"), ("a", "2"), ("b", "1"), ("b", "1")];
        let rows: Vec<Row> = names.iter().map(|(pool, backend)| row(pool, backend, "tcp")).collect();
        let snapshot = Snapshot { rows, timings: Vec::new(), late: 0 };
        for (pool, backend) in
            [("a", "1"), ("a", "10"), ("a", "2"), ("b", "1"), ("a", "0"), ("c", "1"), ("", "")]
        {
            let walked: Vec<&Row> =
                snapshot.rows.iter().filter(|row| row.pool == pool && row.backend == backend).collect();
            assert_eq!(snapshot.of(pool, backend).iter().collect::<Vec<_>>(), walked, "{pool}/{backend}");
            assert_eq!(snapshot.state(pool, backend).is_some(), !walked.is_empty());
        }
    }
}
