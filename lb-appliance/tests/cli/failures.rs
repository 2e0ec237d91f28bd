//! What goes wrong: one message that names the thing and the mend, and the exit code that scripts tell it by.

use super::{run, run_at};
use serde_json::json;
use std::path::Path;

#[test]
fn an_unreachable_balancer_is_exit_code_4() {
    for line in ["status", "vip list", "backend drain web/web-1", "reload", "events -f", "diff", "log-level"]
    {
        let (code, out, err) = run_at(line, Path::new("/nowhere/at/all.sock"));
        assert_eq!((code, out.as_str()), (4, ""), "{line}: {err}");
        assert!(err.contains("/nowhere/at/all.sock") && err.contains("guideway run"), "{line}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    // Docker knows 0 and 1.
    assert_eq!(run_at("healthcheck", Path::new("/nowhere/at/all.sock")).0, 1);
}

#[test]
fn a_refused_configuration_is_exit_code_3_with_its_findings() {
    let problem = json!({"type": "urn:guideway:GW9004", "title": "the configuration is not valid", "status": 422,
        "detail": "1 errors; the running configuration stays as it is", "code": "GW9004", "findings": [
            {"code": "GW0202", "severity": "error", "file": "next.yaml", "line": 9, "column": 12,
                "field": "vips[0].pool", "message": "there is no pool `wbe`", "hint": "did you mean `web`?"}]});
    let (code, out, err) = run("reload", vec![("POST /api/v1/config/apply", 422, problem)]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert_eq!(
        err,
        "next.yaml:9:12: error[GW0202]: vips[0].pool: there is no pool `wbe` (did you mean `web`?)\n\
         guideway: GW9004: 1 errors; the running configuration stays as it is\n"
    );
}

#[test]
fn any_other_refusal_is_exit_code_1() {
    let problem = json!({"type": "urn:guideway:GW9001", "title": "there is no such object", "status": 404,
        "detail": "there is no VIP `wbe`; did you mean `web`?", "code": "GW9001"});
    let (code, _, err) = run("vip show wbe", vec![("GET /api/v1/vips/wbe", 404, problem)]);
    assert_eq!((code, err.as_str()), (1, "guideway: GW9001: there is no VIP `wbe`; did you mean `web`?\n"));
    let (code, _, err) = run("vip show web", vec![("GET /api/v1/vips/web", 502, json!("proxy"))]);
    assert_eq!(code, 1);
    assert!(err.contains("is it a guideway"), "{err}");
    let (code, _, err) =
        run("vip show web", vec![("GET /api/v1/vips/web", 200, json!({"unexpected": true}))]);
    assert_eq!(code, 1);
    assert!(err.contains("as old as the balancer"), "{err}");
}

#[test]
fn usage_is_exit_code_2() {
    for (line, words) in [
        ("backend drain web-1", "POOL/BACKEND"),
        ("backend drain web/web-1 --for soon", "not a duration"),
        ("backend drain web/web-1 --for 30m --persist", "cannot be used with"),
        ("backend weight web/web-1 70000", "70000"),
        ("explain --src 1.2.3.4 --dst 1.2.3.4:5", "--src"),
        ("explain --src 1.2.3.4:5 --dst 1.2.3.4:5 --proto esp", "no ports"),
        ("conn find --src 1.2.3.4 --dst 1.2.3.4 --proto icmpv6", "use `icmp`"),
        ("explain --src 1.2.3.4:5 --dst 1.2.3.4:5 --proto tpc", "no protocol"),
        ("conn list --max 0", "max"),
        ("reload --confirm-within 0s", "no time"),
        ("backend drain web/web-1 --wait -o json", "--wait"),
        ("top", "needs a terminal"),
    ] {
        let (code, out, err) = run_at(line, Path::new("/nowhere/at/all.sock"));
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(err.contains(words), "{line}: {err}");
    }
    let (code, _, err) = run_at("diff /nowhere/at/all.yaml", Path::new("/nowhere/at/all.sock"));
    assert_eq!(code, 1);
    assert!(err.contains("cannot read /nowhere/at/all.yaml"), "{err}");
}

#[test]
fn a_stuck_worker_is_unhealthy_and_a_backend_that_is_down_is_not() {
    let mut status = super::samples::status();
    let answer = |status: &lb_appliance::control::view::Status| {
        vec![("GET /api/v1/status", 200, super::value(status))]
    };
    assert_eq!(run("healthcheck", answer(&status)), (0, "ok\n".into(), String::new()));
    status.workers[1].heartbeat_age_seconds = Some(12.5);
    let (code, out, _) = run("healthcheck", answer(&status));
    assert_eq!((code, out.as_str()), (1, "worker 3 has not turned for 12.5 s\n"));
    status.workers[1].heartbeat_age_seconds = None;
    assert_eq!(run("healthcheck", answer(&status)).1, "worker 3 has not started\n");
}
