//! Liveness and readiness: the checks behind `/livez` and `/readyz`.
//!
//! Live means that restarting would help nobody: every worker's loop turns. Ready means that traffic sent here
//! is served. A check that fails says what fails, in words that name it.

use super::sources::Sources;

/// Age of a heartbeat beyond which a worker counts as stuck, seconds. An idle worker sleeps 0.1 s at most.
pub const HEARTBEAT_SECONDS_MAX: u64 = 5;
const MILLIS_PER_SECOND: u64 = 1_000;

/// Outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What is wrong; `None` if nothing is.
    pub complaint: Option<String>,
}

impl Check {
    fn new(name: &'static str, complaints: Vec<String>) -> Self {
        Self { name, complaint: (!complaints.is_empty()).then(|| complaints.join(", ")) }
    }
}

/// The check of liveness at `now_unix_millis`.
pub fn liveness(sources: &Sources, now_unix_millis: u64) -> Check {
    let complaints = sources.workers.iter().filter_map(|worker| {
        let heartbeat = worker.turns.heartbeat_unix_millis.get();
        if heartbeat == 0 {
            return Some(format!("worker {} has not started", worker.label));
        }
        // A heartbeat from the future is a wall clock that was set back, not a dead worker.
        let age = now_unix_millis.saturating_sub(heartbeat);
        (age >= HEARTBEAT_SECONDS_MAX * MILLIS_PER_SECOND).then(|| {
            format!(
                "worker {} has not turned for {:.1} s",
                worker.label,
                age as f64 / MILLIS_PER_SECOND as f64
            )
        })
    });
    Check::new("workers", complaints.collect())
}

/// The checks of readiness at `now_unix_millis`.
pub fn readiness(sources: &Sources, now_unix_millis: u64) -> Vec<Check> {
    let closed = sources.ports.iter().filter(|port| port.sample().is_none());
    let ports = closed.map(|port| format!("port {} is not open", port.identity().name)).collect();
    let tables = if sources.generation().is_some() { vec![] } else { vec!["no tables are loaded".into()] };
    let serving = if sources.is_serving() { vec![] } else { vec!["starting or stopping".into()] };
    vec![
        Check::new("ports", ports),
        liveness(sources, now_unix_millis),
        Check::new("tables", tables),
        Check::new("serving", serving),
    ]
}
