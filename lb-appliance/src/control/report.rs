//! Answers to questions about what is in force.

use super::problem::{ProblemCode, problem};
use super::running::Running;
use super::view::{ConnectionCount, MaglevForecast, MaglevStatus, PoolStatus, Problem, Status, VipStatus};

/// Everything at a glance.
pub(super) fn status(running: &Running) -> Status {
    Status {
        node: running.config.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at_seconds: 0.0,
        uptime_seconds: 0.0,
        generation: running.generation,
        seen: 0,
        config_hash: String::new(),
        forwarding_hash: String::new(),
        last_reload: None,
        pending_confirmation: None,
        overrides: 0,
        problems: Vec::new(),
        workers: Vec::new(),
        vips: vips(running),
        dropped: Vec::new(),
    }
}

/// The VIPs.
pub(super) fn vips(_running: &Running) -> Vec<VipStatus> {
    Vec::new()
}

/// The pools with their backends.
pub(super) fn pools(_running: &Running) -> Vec<PoolStatus> {
    Vec::new()
}

/// Connections by VIP and backend.
pub(super) fn connection_counts(_running: &Running) -> Vec<ConnectionCount> {
    Vec::new()
}

/// The Maglev table of a VIP.
pub(super) fn maglev(_running: &Running, vip: &str) -> Result<MaglevStatus, Problem> {
    Err(problem(ProblemCode::NotFound, format!("there is no VIP `{vip}`")))
}

/// What would happen to a VIP if backends went.
pub(super) fn maglev_without(_running: &Running, vip: &str, _: &[String]) -> Result<MaglevForecast, Problem> {
    Err(problem(ProblemCode::NotFound, format!("there is no VIP `{vip}`")))
}
