//! `guideway diff` against what then happens: flows that live, and flows that nobody remembers.
//!
//! The flows are UDP from fixed ports, so every run sees the same flows, and each answer says where its packet went.

use std::time::Duration;

use lb_tests::flows::{Echo, Flows, Survey};
use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
use lb_tests::service::Service;
use lb_tests::skip::{Skip, unless};

/// One percentage point.
const ERROR_MAX: f64 = 0.01;
const FIRST_PORT: u16 = 10_000;
const LIVE_FLOWS: u16 = 4_000;
/// Slots are forecast for all flows there could be; so many show them with an error of 0.4 points (one deviation).
const NEW_FLOWS: u16 = 12_000;

/// A change of the service.
type Change = fn(Service) -> Service;

/// What `diff` says of the UDP VIP.
#[derive(Debug)]
struct Forecast {
    slots: f64,
    live: f64,
    live_moved: f64,
}

fn forecast(operator: &Operator, next: &Service) -> Forecast {
    operator.write(&operator.text(next));
    let diff = operator.ask(&["diff"]);
    let impact = diff["impact"].as_array().expect("impact");
    // A VIP that nothing happens to is not listed.
    let ours = impact.iter().find(|one| one["vip"] == "echo-udp");
    let number = |key: &str| ours.map_or(0.0, |one| one[key].as_f64().expect("a number"));
    Forecast {
        slots: number("slots_moved"),
        live: number("live_flows"),
        live_moved: number("live_flows_moved"),
    }
}

fn lab_of_four() -> Result<(Lab, Vec<Echo>), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    lab.extend(4, Encap::Ipip);
    let echoes = (1..=4).map(|number| Echo::start(&lab, number)).collect::<Result<_, _>>()?;
    Ok((lab, echoes))
}

fn answered(survey: &Survey) {
    assert_eq!(survey.dead(), 0, "{:?}", survey.broken(&[]).first());
}

fn close(forecast: f64, actual: f64, step: &str) {
    assert!((forecast - actual).abs() <= ERROR_MAX, "{step}: forecast {forecast:.4}, moved {actual:.4}");
}

fn live_flows(lab: &Lab) -> Result<(), Skip> {
    let mut service = Service::of(&[1, 2, 3, 4]);
    let operator = Operator::start(lab, &service)?;
    let mut flows = Flows::start(lab)?;
    flows.open_udp(LIVE_FLOWS, FIRST_PORT);
    let mut before = flows.check_udp(3);
    answered(&before);
    let counted = || operator.metrics().sum("guideway_vip_active_connections") == f64::from(LIVE_FLOWS);
    assert!(wait_until(Duration::from_secs(10), counted), "every flow has an entry");

    // What moves no live flow, what moves those of one backend, and a backend that comes back.
    let steps: [(&str, Change, bool); 5] = [
        ("weight of web-1 100 to 30", |service| service.weight(1, 30), false),
        ("web-2 drains", |service| service.state(2, "drain"), false),
        ("web-3 disabled", |service| service.state(3, "disabled"), true),
        ("web-3 active again", |service| service.state(3, "active"), false),
        ("web-4 removed", |service| service.without(4), true),
    ];
    for (step, change, must_move) in steps {
        service = change(service);
        let forecast = forecast(&operator, &service);
        operator.change(&service);
        let after = flows.check_udp(3);
        answered(&after);
        let moved = after.moved_since(&before) as f64;
        eprintln!("{step}: {forecast:?}; {moved} moved");
        close(forecast.live_moved / f64::from(LIVE_FLOWS), moved / f64::from(LIVE_FLOWS), step);
        assert!(forecast.live == f64::from(LIVE_FLOWS) || forecast.slots == 0.0, "{step}: {forecast:?}");
        assert_eq!(moved > 0.0, must_move, "{step}: {moved} moved");
        before = after;
    }
    Ok(())
}

#[test]
fn live_flows_move_as_forecast() {
    unless(lab_of_four().and_then(|(lab, _echoes)| live_flows(&lab)));
}

fn new_flows(lab: &Lab) -> Result<(), Skip> {
    // Entries are forgotten within seconds: every look is a look at new flows from the same ports.
    let forwarding = "  connections: {idle_timeout: {udp: 1s, tcp_closing: 1s}}\n".to_owned();
    let mut service = Service { forwarding, ..Service::of(&[1, 2, 3, 4]) };
    let operator = Operator::start(lab, &service)?;
    let mut flows = Flows::start(lab)?;
    flows.open_udp(NEW_FLOWS, FIRST_PORT);
    let mut before = flows.check_udp(3);
    answered(&before);
    let steps: [(&str, Change); 2] = [
        ("weight of web-1 100 to 30", |service| service.weight(1, 30)),
        ("web-2 drains and web-3 is removed", |service| service.state(2, "drain").without(3)),
    ];
    for (step, change) in steps {
        service = change(service);
        let forecast = forecast(&operator, &service);
        operator.change(&service);
        let forgotten = || operator.metrics().sum("guideway_vip_active_connections") == 0.0;
        assert!(wait_until(Duration::from_secs(60), forgotten), "{step}: entries go by age");
        let after = flows.check_udp(3);
        answered(&after);
        let moved = after.moved_since(&before) as f64 / f64::from(NEW_FLOWS);
        eprintln!("{step}: {:.4} of the slots, {moved:.4} of {NEW_FLOWS} new flows", forecast.slots);
        close(forecast.slots, moved, step);
        assert!(forecast.slots > 0.1, "{step}: {forecast:?}");
        before = after;
    }
    Ok(())
}

#[test]
fn new_flows_move_as_the_slots_do() {
    unless(lab_of_four().and_then(|(lab, _echoes)| new_flows(&lab)));
}
