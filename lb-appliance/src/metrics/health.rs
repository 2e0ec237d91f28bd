//! Liveness and readiness: the checks behind `/livez` and `/readyz`.
//!
//! Live means that restarting would help nobody: every worker's loop turns. Ready means that traffic sent here
//! is served. A check that fails says what fails, in words that name it.

use super::sources::Sources;
use crate::instruments::WorkerInstruments;
use std::time::{Duration, Instant};

/// Age of a heartbeat from which on a worker counts as stuck. An idle worker sleeps 0.1 s at most.
pub const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(5);

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

/// What is wrong with the loop of a worker, if anything is.
pub fn stuck(worker: &WorkerInstruments, now: Instant) -> Option<String> {
    let Some(age) = worker.turns.heartbeat.age_at(now) else {
        return Some(format!("worker {} has not started", worker.label));
    };
    let has_not_turned = || format!("worker {} has not turned for {:.1} s", worker.label, age.as_secs_f64());
    (age >= HEARTBEAT_AGE_MAX).then(has_not_turned)
}

/// The check of liveness.
pub fn liveness(sources: &Sources, now: Instant) -> Check {
    Check::new("workers", sources.workers.iter().filter_map(|worker| stuck(worker, now)).collect())
}

/// The checks of readiness.
pub fn readiness(sources: &Sources, now: Instant) -> Vec<Check> {
    let closed = sources.ports.iter().filter(|port| port.sample().is_none());
    let ports = closed.map(|port| format!("port {} is not open", port.identity().name)).collect();
    let tables = if sources.generation().is_some() { vec![] } else { vec!["no tables are loaded".into()] };
    let serving = if sources.is_serving() { vec![] } else { vec!["starting or stopping".into()] };
    vec![
        Check::new("ports", ports),
        liveness(sources, now),
        Check::new("tables", tables),
        Check::new("serving", serving),
    ]
}
