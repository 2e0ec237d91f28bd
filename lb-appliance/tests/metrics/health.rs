//! Liveness and readiness, check by check.

use super::fixture::{CONFIG, now_unix_millis, sample, sources, sources_with};
use lb_appliance::metrics::{Check, HEARTBEAT_SECONDS_MAX, Identity, Sources, liveness, readiness};

fn complaints(checks: &[Check]) -> Vec<String> {
    checks.iter().filter_map(|check| Some(format!("{}: {}", check.name, check.complaint.as_ref()?))).collect()
}

#[test]
fn a_worker_that_does_not_turn_is_named() {
    let (sources, now) = (sources(), 1_700_000_000_000);
    let beat = |worker: usize, millis: u64| sources.workers[worker].turns.heartbeat_unix_millis.set(millis);
    beat(0, now);
    beat(1, now - HEARTBEAT_SECONDS_MAX * 1_000 + 1);
    assert_eq!(liveness(&sources, now).complaint, None);
    beat(1, now - HEARTBEAT_SECONDS_MAX * 1_000);
    assert_eq!(liveness(&sources, now).complaint.as_deref(), Some("worker 3 has not turned for 5.0 s"));
    beat(0, 0);
    let both = "worker 2 has not started, worker 3 has not turned for 5.0 s";
    assert_eq!(liveness(&sources, now).complaint.as_deref(), Some(both));
}

#[test]
fn a_clock_that_was_set_back_kills_nobody() {
    let (sources, now) = (sources(), 1_700_000_000_000);
    sources.workers.iter().for_each(|worker| worker.turns.heartbeat_unix_millis.set(now + 3_600_000));
    assert_eq!(liveness(&sources, now).complaint, None);
}

#[test]
fn readiness_names_what_is_missing() {
    let now = now_unix_millis();
    let ready = sources();
    assert_eq!(complaints(&readiness(&ready, now)), Vec::<String>::new());
    ready.set_serving(false);
    assert_eq!(complaints(&readiness(&ready, now)), ["serving: starting or stopping"]);
    ready.set_serving(true);
    ready.workers[0].turns.heartbeat_unix_millis.set(0);
    assert_eq!(complaints(&readiness(&ready, now)), ["workers: worker 2 has not started"]);
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
