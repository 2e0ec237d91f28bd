//! Subcommands that change something.

use super::samples::{self, golden};
use super::{run, value};
use serde_json::{Value, json};

fn applied(message: &str, undo: &str) -> Value {
    json!({"generation": 8, "seen": 2, "workers": 2, "message": message, "changes": [
        {"kind": "changed", "object": "backend web/web-1", "field": "state", "from": "active", "to": "drain",
            "restart": false}],
        "undo": undo, "confirm_within_seconds": null, "warnings": []})
}

#[test]
fn words_on_backends_say_what_changed_and_how_to_undo_it() {
    const PATCH: &str = "PATCH /api/v1/pools/web/backends/web-1";
    let answer = || vec![(PATCH, 200, applied("web/web-1 drains", "guideway backend clear web/web-1"))];
    let (code, out, err) = run("backend drain web/web-1 --for 30m", answer());
    assert_eq!((code, err.as_str()), (0, ""));
    golden("backend-drain.txt", &out);
    let (_, out, _) = run("backend drain web/web-1 -o json", answer());
    golden("backend-drain.json", &out);
    for verb in ["undrain", "enable", "disable", "maintenance", "clear"] {
        assert_eq!(run(&format!("backend {verb} web/web-1"), answer()).0, 0, "{verb}");
    }
    assert_eq!(run("backend weight web/web-1 50 --persist", answer()).0, 0);
    assert_eq!(run("backend weight web/web-1 50 -q", answer()), (0, String::new(), String::new()));
}

#[test]
fn a_drain_can_be_waited_for() {
    let backend = |flows: u64, drained: bool| {
        let mut backend = samples::pools()[0].backends[1].clone();
        (backend.active_connections, backend.drained) = (flows, drained);
        value(backend)
    };
    const GET: &str = "GET /api/v1/pools/web/backends/web-2";
    let answers = vec![
        ("PATCH /api/v1/pools/web/backends/web-2", 200, applied("web/web-2 drains", "guideway rollback")),
        (GET, 200, backend(17, false)),
        // No place among the followers: it looks every second instead.
        ("GET /api/v1/events?follow=true", 503, Value::Null),
        (GET, 200, backend(3, false)),
        ("GET /api/v1/events?follow=true", 503, Value::Null),
        (GET, 200, backend(0, true)),
    ];
    let (code, out, err) = run("backend drain web/web-2 --wait", answers);
    assert_eq!((code, err.as_str()), (0, ""));
    for words in ["web/web-2: 17 flows left", "web/web-2: 3 flows left", "web/web-2 is drained after"] {
        assert!(out.contains(words), "{words} in:\n{out}");
    }
}

#[test]
fn a_drain_that_somebody_ends_or_that_takes_too_long_is_said() {
    const PATCH: &str = "PATCH /api/v1/pools/web/backends/web-1";
    const GET: &str = "GET /api/v1/pools/web/backends/web-1";
    let up = value(&samples::pools()[0].backends[0]);
    let answers = vec![(PATCH, 200, applied("drains", "undo")), (GET, 200, up)];
    let (code, _, err) = run("backend drain web/web-1 --wait", answers);
    assert_eq!(code, 1);
    assert!(err.contains("somebody has ended the drain"), "{err}");
    let mut draining = samples::pools()[0].backends[0].clone();
    draining.state = "drain".into();
    let answers = vec![
        (PATCH, 200, applied("drains", "undo")),
        (GET, 200, value(&draining)),
        // If the first look took less than the time that was given.
        ("GET /api/v1/events?follow=true", 503, Value::Null),
        (GET, 200, value(&draining)),
    ];
    let (code, out, _) = run("backend drain web/web-1 --wait --timeout 1ms", answers);
    assert_eq!(code, 1);
    assert!(out.contains("goes on draining"), "{out}");
}

#[test]
fn a_file_goes_along_with_its_name_or_by_its_path_if_it_includes_others() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("next.yaml");
    let path = file.display().to_string();
    let escaped = path.replace('/', "%2F");
    std::fs::write(&file, "version: 1\n").expect("write");
    let by_name: &'static str = Box::leak(
        format!("POST /api/v1/config/apply?confirm_within=60s&force=true&name={escaped}").into_boxed_str(),
    );
    let mut document = applied("1 changed", "guideway rollback");
    document["confirm_within_seconds"] = json!(60.0);
    let (code, out, err) =
        run(&format!("reload {path} --confirm-within 60s --force"), vec![(by_name, 200, document)]);
    assert_eq!((code, err.as_str()), (0, ""));
    golden("reload-trial.txt", &out);
    std::fs::write(&file, "version: 1\ninclude: [conf.d/*.yaml]\n").expect("write");
    let whole = file.canonicalize().expect("path").display().to_string().replace('/', "%2F");
    let by_path: &'static str = Box::leak(format!("POST /api/v1/config/apply?file={whole}").into_boxed_str());
    let answer = vec![(by_path, 200, applied("1 changed", "guideway rollback"))];
    assert_eq!(run(&format!("reload {path}"), answer).0, 0);
}

#[test]
fn confirm_rollback_and_probe() {
    let confirm = vec![("POST /api/v1/config/confirm", 200, applied("confirmed", "guideway rollback"))];
    assert_eq!(run("confirm", confirm).0, 0);
    let rollback = vec![("POST /api/v1/config/rollback", 200, applied("rolled back", "guideway reload"))];
    assert_eq!(run("rollback", rollback).0, 0);
    let report = json!({"pool": "web", "backend": "web-1", "probe": "http", "ok": false, "cause": "timeout",
        "steps": [{"step": "connect", "result": "connected to 10.0.1.11:8080", "after_seconds": 0.0004},
            {"step": "response", "result": "nothing within 1s", "after_seconds": 1.0}]});
    let (code, out, _) = run("health probe web/web-1", vec![("POST /api/v1/health/probe", 200, report)]);
    assert_eq!(code, 1);
    golden("health-probe.txt", &out);
}

#[test]
fn the_log_level_says_how_to_go_back() {
    let level = |filter: &str| json!({"filter": filter, "then": "info", "remaining_seconds": 600.0});
    let answers = vec![
        ("GET /api/v1/log-level", 200, json!({"filter": "info", "then": null, "remaining_seconds": null})),
        ("PUT /api/v1/log-level", 200, level("debug")),
    ];
    let (code, out, _) = run("log-level debug --for 10m", answers);
    assert_eq!(code, 0);
    assert_eq!(out, "log level: debug\nin 10m00s again: info\nundo with: guideway log-level 'info'\n");
}
