//! Health checks on the side of the controller: whom to probe, and what their results mean.

use super::action::AdminState;
use super::effective::Vitality;
use super::events::{EventLog, Kind, unix_seconds};
use super::running::Running;
use super::view::{HealthStatus, ProbeReport, ProbeStep};
use crate::health::plan::targets_where;
use crate::health::{self, Administrative, EngineHandle, HealthEvent, Row, Snapshot, tunnel};
use lb_core::health::State;
use std::collections::HashMap;

type Name = (String, String);

/// Has the engine probe what is to be probed by what is in force.
pub(super) fn retarget(engine: &EngineHandle, running: &Running) {
    let mut admin = HashMap::new();
    for (pool, effective) in running.config.pools.iter().zip(running.pools.iter()) {
        for (backend, one) in pool.backends.iter().zip(&effective.backends) {
            admin.insert((pool.name.as_str(), backend.name.as_str()), one.operator);
        }
    }
    let is_wanted = |pool: &crate::config::model::Pool, backend: &crate::config::model::Backend| {
        admin.get(&(pool.name.as_str(), backend.name.as_str())) != Some(&AdminState::Maintenance)
    };
    let (ways, needs) = tunnel::ways(&running.config, &running.tables);
    engine.tunnels().replace(ways, needs);
    engine.set_targets(targets_where(&running.config.pools, is_wanted));
}

/// What the checks say of every backend that has one.
pub(super) fn vitality(snapshot: &Snapshot) -> HashMap<Name, Vitality> {
    let mut states: HashMap<Name, Vec<State>> = HashMap::new();
    for row in &snapshot.rows {
        states.entry((row.pool.clone(), row.backend.clone())).or_default().push(row.state);
    }
    let combined = |(name, states): (Name, Vec<State>)| {
        let vitality = match lb_core::health::combine(states) {
            State::Unknown => Vitality::Unknown,
            State::Up => Vitality::Up,
            State::Down => Vitality::Down,
        };
        (name, vitality)
    };
    states.into_iter().map(combined).collect()
}

/// What agents want of their backends.
pub(super) fn agents(snapshot: &Snapshot) -> HashMap<Name, AdminState> {
    let wanted = |row: &Row| {
        let state = match row.agent.as_ref()?.administrative? {
            Administrative::Ready => AdminState::Active,
            Administrative::Drain => AdminState::Drain,
            // Probed on, so that the agent can end it.
            Administrative::Maintenance => AdminState::Disabled,
        };
        Some(((row.pool.clone(), row.backend.clone()), state))
    };
    snapshot.rows.iter().filter_map(wanted).collect()
}

/// Puts a health event into the history.
pub(super) fn note(events: &EventLog, event: &HealthEvent) {
    let object = format!("backend {}/{}", event.pool, event.backend);
    if let Some(agent) = &event.agent {
        events.note(Kind::AgentReport, &object, &format!("its agent says `{}`", agent.line()));
    }
    let cause = event.cause.map_or(String::new(), |cause| format!(" ({cause})"));
    let message = format!("{} check: {}{cause}", event.probe, event.detail);
    match (event.previous, event.state) {
        (State::Down | State::Unknown, State::Up) => events.note(Kind::BackendUp, &object, &message),
        (State::Up | State::Unknown, State::Down) => events.note(Kind::BackendDown, &object, &message),
        _ => {}
    }
}

/// What is known of one backend, as a document. With an agent beside the probe, the worse of the two.
pub(super) fn status(snapshot: &Snapshot, pool: &str, backend: &str) -> Option<HealthStatus> {
    let row = snapshot
        .of(pool, backend)
        .iter()
        .max_by_key(|row| (row.state == State::Down, row.probe != "agent"))?;
    let last = row.last.as_ref();
    Some(HealthStatus {
        probe: row.probe.into(),
        state: row.state.word().into(),
        since_seconds: row.since.map(unix_seconds),
        cause: last.and_then(|last| last.cause).map(|cause| cause.word().into()),
        detail: last.map(|last| last.detail.clone()).filter(|detail| !detail.is_empty()),
        latency_seconds: last.map(|last| last.latency.as_secs_f64()),
        checks: row.checks,
        failures: row.failures.iter().map(|(_, count)| count).sum(),
    })
}

/// A probe that was asked for, as a document.
pub(super) fn report(pool: String, backend: String, reports: &[health::ProbeReport]) -> Option<ProbeReport> {
    let worst = reports.iter().find(|report| !report.outcome.ok()).or(reports.first())?;
    let mut after = 0.0;
    let mut steps = Vec::new();
    for report in reports {
        for step in &report.steps {
            after += step.took.as_secs_f64();
            let name =
                if reports.len() > 1 { format!("{} {}", report.kind, step.name) } else { step.name.into() };
            steps.push(ProbeStep { step: name, result: step.detail.clone(), after_seconds: after });
        }
        let cause =
            report.outcome.cause.map_or(String::new(), |cause| format!(" ({cause}: {})", cause.help()));
        let verdict = if report.outcome.ok() { "passed" } else { "failed" };
        let result = format!("{verdict}: {}{cause}", report.outcome.detail);
        steps.push(ProbeStep { step: "verdict".into(), result, after_seconds: after });
    }
    Some(ProbeReport {
        pool,
        backend,
        probe: worst.kind.into(),
        ok: worst.outcome.ok(),
        cause: worst.outcome.cause.map(|cause| cause.word().into()),
        steps,
    })
}
