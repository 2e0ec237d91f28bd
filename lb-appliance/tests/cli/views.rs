//! Subcommands that look.

use super::samples::{self, golden};
use super::{Answer, run, value};
use serde_json::json;

/// A command line in every form, each compared with its file.
fn in_every_form(name: &str, line: &str, code: i32, answers: impl Fn() -> Vec<Answer>) {
    for (form, ending) in [("table", "txt"), ("wide", "wide.txt"), ("json", "json"), ("yaml", "yaml")] {
        let (status, out, err) = run(&format!("{line} -o {form}"), answers());
        assert_eq!((status, err.as_str()), (code, ""), "{line} -o {form}: {out}");
        golden(&format!("{name}.{ending}"), &out);
        if form == "table" {
            let widest = out.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            // Sentences may be longer; tables are not.
            assert!(widest <= 80 || !out.contains("STATE"), "{widest} columns:\n{out}");
        }
        if form == "json" {
            let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            assert_eq!(document["api"], "v1");
            assert!(document["kind"].is_string() && !document["data"].is_null());
        }
    }
}

#[test]
fn status() {
    in_every_form("status", "status", 5, || vec![("GET /api/v1/status", 200, value(samples::status()))]);
    let well = lb_appliance::control::view::Status { problems: vec![], ..samples::status() };
    let (code, out, _) = run("status", vec![("GET /api/v1/status", 200, value(well))]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn vips_and_backends() {
    let vips = || value(samples::status().vips);
    in_every_form("vip-list", "vip list", 0, || vec![("GET /api/v1/vips", 200, vips())]);
    let one = || value(&samples::status().vips[0]);
    in_every_form("vip-show", "vip show web", 0, || vec![("GET /api/v1/vips/web", 200, one())]);
    let pools = || value(samples::pools());
    in_every_form("backend-list", "backend list", 0, || vec![("GET /api/v1/pools", 200, pools())]);
    let backend = || value(&samples::pools()[0].backends[1]);
    in_every_form("backend-show", "backend show web/web-2", 0, || {
        vec![("GET /api/v1/pools/web/backends/web-2", 200, backend())]
    });
    in_every_form("health-show", "health show", 0, || vec![("GET /api/v1/pools", 200, pools())]);
}

#[test]
fn events_and_drops() {
    in_every_form("events", "events", 0, || vec![("GET /api/v1/events", 200, value(samples::events()))]);
    let drops = || json!({"dropped": samples::status().dropped});
    in_every_form("drops", "drops", 0, || vec![("GET /api/v1/drops", 200, drops())]);
    let (code, out, _) =
        run("events --since 1ms", vec![("GET /api/v1/events", 200, value(samples::events()))]);
    assert_eq!((code, out.as_str()), (0, "no events\n"));
}

#[test]
fn runtime() {
    let worker = |packets: u64, busy: f64, idle: f64| {
        json!({"worker": "2", "generation": 7, "heartbeat_age_seconds": 0.0, "packets": packets, "busy_seconds": busy,
            "idle_seconds": idle, "entries": 524_288, "capacity": 1_048_576, "busy_ratio": 0.5,
            "nanoseconds_per_packet": 100.0})
    };
    let report = |uptime: f64, worker| json!({"uptime_seconds": uptime, "workers": [worker]});
    let since_start = || vec![("GET /api/v1/runtime", 200, report(10.0, worker(50_000_000, 5.0, 5.0)))];
    in_every_form("runtime", "runtime --since-start", 0, since_start);
    let answers = vec![
        ("GET /api/v1/runtime", 200, report(10.0, worker(50_000_000, 5.0, 5.0))),
        ("GET /api/v1/runtime", 200, report(12.0, worker(54_000_000, 5.5, 6.5))),
    ];
    let (code, out, err) = run("runtime", answers);
    assert_eq!((code, err.as_str()), (0, ""));
    for words in ["25.0 %", "2.00M", "125", "50.0 %"] {
        assert!(out.contains(words), "{words} in:\n{out}");
    }
}

#[test]
fn flows_and_decisions() {
    let entry = json!({"worker": "2", "fingerprint": "0123456789abcdef", "vip": "web", "pool": "web",
        "backend": "web-1", "state": "established", "idle_seconds": 3});
    let gone = json!({"worker": "3", "fingerprint": "fedcba9876543210", "vip": null, "pool": null,
        "backend": null, "state": "closing", "idle_seconds": 30});
    let list = || {
        let target = "GET /api/v1/connections?max=100&vip=web&pool=web&backend=web-1";
        vec![(target, 200, json!([entry, gone]))]
    };
    in_every_form("conn-list", "conn list --vip web --backend web/web-1", 0, list);
    let counts = json!([{"vip": "web", "pool": "web", "backend": "web-1", "active": 1600, "total": 608_230}]);
    in_every_form("conn-count", "conn count", 0, || {
        vec![("GET /api/v1/connections/count", 200, counts.clone())]
    });
    let none = "GET /api/v1/connections?src=198.51.100.7%3A40000&dst=203.0.113.10%3A443&proto=tcp";
    let flow = "--src 198.51.100.7:40000 --dst 203.0.113.10:443";
    let (code, out, _) = run(&format!("conn find {flow}"), vec![(none, 200, json!([]))]);
    assert_eq!(code, 1);
    assert!(out.contains("no worker has an entry"), "{out}");
    let explanation = json!({"verdict": "forward", "reason": null, "vip": "web", "pool": "web", "backend": "web-1",
        "by": "maglev", "slot": 4711, "hash": "0123456789abcdef", "generation": 7, "steps": [
            {"stage": "vip", "result": "web: 203.0.113.10 tcp 443"},
            {"stage": "maglev", "result": "hash 0123456789abcdef, slot 4711 of 65537"}]});
    let target = "GET /api/v1/explain?src=198.51.100.7%3A40000&dst=203.0.113.10%3A443&proto=tcp&syn=true";
    in_every_form("explain", &format!("explain {flow} --syn"), 0, || {
        vec![(target, 200, explanation.clone())]
    });
}

#[test]
fn maglev() {
    let table = json!({"vip": "web", "pool": "web", "size": 65_537, "digest": "0123456789abcdef", "backends": [
        {"backend": "web-1", "weight": 100, "slots": 43_691, "share": 0.66666, "wanted": 0.66667},
        {"backend": "web-2", "weight": 50, "slots": 21_846, "share": 0.33334, "wanted": 0.33333}]});
    in_every_form("maglev-show", "maglev show web", 0, || {
        vec![("GET /api/v1/maglev/web", 200, table.clone())]
    });
    let forecast = json!({"vip": "web", "removed": ["web-1", "web-2"], "slots_moved": 0.667,
        "slots_moved_needlessly": 0.0002, "live_flows_moved": 1600});
    in_every_form("maglev-disrupt", "maglev disrupt web --remove web-1,web-2", 0, || {
        vec![("GET /api/v1/maglev/web?remove=web-1%2Cweb-2", 200, forecast.clone())]
    });
}

#[test]
fn diff() {
    let change = |kind: &str,
                  object: &str,
                  field: Option<&str>,
                  from: Option<&str>,
                  to: Option<&str>,
                  restart| {
        json!({"kind": kind, "object": object, "field": field, "from": from, "to": to, "restart": restart})
    };
    let report = json!({
        "changes": [
            change("added", "backend web/web-3", None, None, None, false),
            change("removed", "vip old", None, None, None, false),
            change("changed", "backend web/web-1", Some("weight"), Some("100"), Some("50"), false),
            change("changed", "dataplane", Some("burst"), Some("32"), Some("64"), true),
        ],
        "impact": [{"vip": "web", "slots_moved": 0.251, "live_flows": 2400, "live_flows_moved": 600}],
        "overrides": [{"pool": "web", "backend": "web-2", "state": "drain", "weight": null,
            "remaining_seconds": 1799.0, "persistent": false}],
        "needs_force": "VIP `old` would be gone, and it is the last one",
        "warnings": [],
    });
    in_every_form("diff", "diff", 0, || vec![("POST /api/v1/config/diff", 200, report.clone())]);
    let answers = vec![("POST /api/v1/config/diff", 200, report.clone())];
    assert_eq!(run("diff --exit-code", answers).0, 1);
}
