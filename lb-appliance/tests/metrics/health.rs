//! Liveness and readiness, check by check.

use super::fixture::{CONFIG, sample, sources, sources_with};
use lb_appliance::instruments::WorkerInstruments;
use lb_appliance::metrics::{Check, HEARTBEAT_AGE_MAX, Identity, Sources, liveness, readiness, stuck};
use lb_core::counters::WorkerCounters;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn complaints(checks: &[Check]) -> Vec<String> {
    checks.iter().filter_map(|check| Some(format!("{}: {}", check.name, check.complaint.as_ref()?))).collect()
}

#[test]
fn a_worker_that_does_not_turn_is_named() {
    let (sources, now) = (sources(), Instant::now());
    let fresh = WorkerInstruments::new("4".into(), Arc::new(WorkerCounters::for_any_tables()), 1);
    assert_eq!(stuck(&fresh, now).as_deref(), Some("worker 4 has not started"));
    let beat = |worker: usize, at: Instant| sources.workers[worker].turns.heartbeat.beat_at(at);
    beat(0, now);
    beat(1, now - HEARTBEAT_AGE_MAX + Duration::from_millis(1));
    assert_eq!(liveness(&sources, now).complaint, None);
    beat(1, now - HEARTBEAT_AGE_MAX);
    assert_eq!(liveness(&sources, now).complaint.as_deref(), Some("worker 3 has not turned for 5.0 s"));
    // A look that began before the beat.
    beat(1, now + Duration::from_secs(60));
    assert_eq!(liveness(&sources, now).complaint, None);
}

#[test]
fn readiness_names_what_is_missing() {
    let now = Instant::now();
    let ready = sources();
    assert_eq!(complaints(&readiness(&ready, now)), Vec::<String>::new());
    ready.set_serving(false);
    assert_eq!(complaints(&readiness(&ready, now)), ["serving: starting or stopping"]);
    ready.set_serving(true);
    ready.workers[0].turns.heartbeat.beat_at(now - HEARTBEAT_AGE_MAX);
    assert_eq!(complaints(&readiness(&ready, now)), ["workers: worker 2 has not turned for 5.0 s"]);
    let closed = sources_with(CONFIG, None);
    assert_eq!(complaints(&readiness(&closed, now)), ["ports: port uplink0 is not open"]);
    let down = sources_with(CONFIG, Some(lb_appliance::instruments::PortSample { is_up: false, ..sample() }));
    assert!(
        complaints(&readiness(&down, now)).is_empty(),
        "a link that is down is an alert, not unreadiness"
    );
    let empty = Sources::new(Identity::default(), ready.settings.clone(), vec![], vec![], vec![]);
    let expected = ["tables: no tables are loaded", "serving: starting or stopping"];
    assert_eq!(complaints(&readiness(&empty, now)), expected);
}
