//! An operator's words on backends, seen by those who are served: drain, disable, weights, how long a word lasts.

use std::time::Duration;

use lb_tests::flows::{Echo, Flows, Survey};
use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
use lb_tests::service::Service;
use lb_tests::skip::{Skip, unless};

const CONNECTIONS: usize = 600;
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Closed connections are forgotten soon, so that a drain comes to its end.
fn service() -> Service {
    let forwarding = "  connections: {idle_timeout: {tcp_closing: 1s}}\n".to_owned();
    Service { forwarding, ..Service::of(&[1, 2, 3]) }
}

struct Site {
    flows: Flows,
    operator: Operator,
    _echoes: Vec<Echo>,
    lab: Lab,
}

fn site() -> Result<Site, Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let echoes = (1..=3).map(|number| Echo::start(&lab, number)).collect::<Result<_, _>>()?;
    let operator = Operator::start(&lab, &service())?;
    let flows = Flows::start(&lab)?;
    Ok(Site { flows, operator, _echoes: echoes, lab })
}

/// Opens more connections; the look at these alone.
fn newcomers(flows: &mut Flows, count: usize) -> Survey {
    let before = flows.check_tcp().0.len();
    flows.open_tcp(count);
    Survey(flows.check_tcp().0.split_off(before))
}

fn events_of(operator: &Operator, kind: &str) -> usize {
    operator.events().iter().filter(|(found, _)| found == kind).count()
}

fn drains(site: Site) -> Result<(), Skip> {
    let Site { mut flows, operator, _echoes, lab: _lab } = site;
    flows.open_tcp(CONNECTIONS);
    let first = flows.check_tcp();
    let on_web2 = first.by_backend()["web-2"];

    let applied = operator.ask(&["backend", "drain", "echo/web-2"]);
    assert!(applied["undo"].as_str().is_some_and(|undo| undo.contains("web-2")), "how to undo it: {applied}");
    let backend = operator.ask(&["backend", "show", "echo/web-2"]);
    assert_eq!((&backend["state"], &backend["drained"]), (&"drain".into(), &false.into()), "{backend}");
    assert_eq!(backend["active_connections"], on_web2, "in flight: {backend}");
    let new = newcomers(&mut flows, CONNECTIONS / 4);
    assert!(!new.by_backend().contains_key("web-2"), "no new connections: {:?}", new.by_backend());
    assert_eq!(flows.check_tcp().dead(), 0, "those it has stay");

    // The word stays over a reload, and `diff` says so.
    operator.change(&service().weight(1, 50));
    let diff = operator.ask(&["diff"]);
    assert_eq!(diff["overrides"][0]["backend"], "web-2", "{diff}");
    assert_eq!(operator.ask(&["backend", "show", "echo/web-2"])["reason"], "operator");
    assert_eq!(flows.check_tcp().dead(), 0, "a reload while it drains");
    assert_eq!(events_of(&operator, "backend_drained"), 0, "it is not drained yet");

    flows.close_tcp();
    let finished =
        operator.command(&["backend", "drain", "echo/web-2", "--wait", "--timeout", "60s", "--quiet"]);
    assert!(finished.status.success(), "the drain ends: {}{}", finished.stdout, finished.stderr);
    assert!(
        wait_until(WAIT_LIMIT, || events_of(&operator, "backend_drained") == 1),
        "{:?}",
        operator.events()
    );
    assert_eq!(operator.ask(&["backend", "show", "echo/web-2"])["drained"], true);

    operator.ask(&["backend", "undrain", "echo/web-2"]);
    let new = newcomers(&mut flows, CONNECTIONS / 4);
    assert!(new.by_backend().contains_key("web-2"), "it takes part again: {:?}", new.by_backend());
    Ok(())
}

#[test]
fn a_drained_backend_keeps_what_it_has_and_gets_nothing_new() {
    unless(site().and_then(drains));
}

fn words_last(site: Site) -> Result<(), Skip> {
    let Site { mut flows, operator, _echoes, lab } = site;
    flows.open_tcp(CONNECTIONS);
    let first = flows.check_tcp();

    operator.ask(&["backend", "weight", "echo/web-1", "10"]);
    assert_eq!(flows.check_tcp().dead(), 0, "another weight");
    operator.ask(&["backend", "disable", "echo/web-3"]);
    let disabled = flows.check_tcp();
    assert!(disabled.broken(&["web-3"]).is_empty(), "{:?}", disabled.broken(&["web-3"]).first());
    assert_eq!(disabled.dead(), first.by_backend()["web-3"], "flows of a disabled backend go at once");
    operator.ask(&["backend", "enable", "echo/web-3"]);

    operator.ask(&["backend", "weight", "echo/web-2", "1", "--for", "1s"]);
    assert_eq!(operator.ask(&["backend", "show", "echo/web-2"])["override"]["weight"], 1);
    assert!(
        wait_until(WAIT_LIMIT, || events_of(&operator, "override_ended") == 1),
        "{:?}",
        operator.events()
    );
    assert_eq!(operator.ask(&["backend", "show", "echo/web-2"])["weight"], 100.0);

    operator.ask(&["backend", "weight", "echo/web-2", "7", "--persist"]);
    let operator = operator.restart(&lab)?;
    let backend = operator.ask(&["backend", "show", "echo/web-2"]);
    assert_eq!(
        (&backend["weight"], &backend["override"]["persistent"]),
        (&7.0.into(), &true.into()),
        "{backend}"
    );
    assert_eq!(
        operator.ask(&["backend", "show", "echo/web-1"])["weight"],
        100.0,
        "this word was not to be kept"
    );
    operator.ask(&["backend", "clear", "echo/web-2"]);
    let operator = operator.restart(&lab)?;
    assert_eq!(
        operator.ask(&["backend", "show", "echo/web-2"])["weight"],
        100.0,
        "forgotten on disk as well"
    );
    Ok(())
}

#[test]
fn a_word_lasts_as_long_as_it_was_given() {
    unless(site().and_then(words_last));
}
