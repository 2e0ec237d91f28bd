//! Changes under live flows: thousands of real TCP connections are watched one by one while the balancer changes.
//!
//! Promises kept here: a connection breaks only if its own backend is taken away; a reload of ten thousand backends
//! loses no packet; and what `diff` forecasts is what then moves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use lb_tests::flows::{Echo, Flows, Survey};
use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::operator::Operator;
use lb_tests::service::Service;
use lb_tests::skip::{Skip, unless};

const CONNECTIONS: usize = 2_000;
const RELOADS: usize = 100;

/// A lab with five backends, each with an echo server.
fn lab_of_five() -> Result<(Lab, Vec<Echo>), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    for number in 4..=5 {
        lab.extend(number, Encap::Ipip);
    }
    let echoes = (1..=5).map(|number| Echo::start(&lab, number)).collect::<Result<_, _>>()?;
    Ok((lab, echoes))
}

/// Every connection that was not served by one of `except` must have answered.
fn none_broken(survey: &Survey, except: &[&str], step: &str) {
    let broken = survey.broken(except);
    eprintln!(
        "{step}: {} connections, {} dead (served by {except:?} once), {} of the others broken",
        survey.0.len(),
        survey.dead(),
        broken.len()
    );
    assert!(broken.is_empty(), "{step}: {} broken, the first: {:?}", broken.len(), broken.first());
}

/// Connections that lead to a backend now.
fn served_by(survey: &Survey, name: &str) -> usize {
    survey.0.iter().filter(|told| told.now.as_deref() == Ok(name)).count()
}

fn survives(lab: &Lab, mut echoes: Vec<Echo>) -> Result<(), Skip> {
    let mut service = Service::of(&[1, 2, 3, 4]);
    let operator = Operator::start(lab, &service)?;
    let mut flows = Flows::start(lab)?;
    flows.open_tcp(CONNECTIONS);
    let first = flows.check_tcp();
    eprintln!("opened: {:?}", first.by_backend());
    assert_eq!(first.by_backend().len(), 4, "all four backends serve: {:?}", first.by_backend());
    none_broken(&first, &[], "before");

    service = service.weight(1, 20);
    operator.change(&service);
    none_broken(&flows.check_tcp(), &[], "weight of web-1 100 to 20");

    service = service.state(2, "drain");
    operator.change(&service);
    none_broken(&flows.check_tcp(), &[], "web-2 drains");

    service = service.with(5);
    operator.change(&service);
    let grown = flows.check_tcp();
    none_broken(&grown, &[], "web-5 added");
    assert_eq!(
        served_by(&grown, "web-2"),
        first.by_backend()["web-2"],
        "a drained backend keeps its connections"
    );

    storm(&operator, &mut flows, &[service.clone(), service.clone().weight(4, 60)]);

    flows.open_tcp(CONNECTIONS / 4);
    let joined = flows.check_tcp();
    let newcomers = Survey(joined.0[CONNECTIONS..].to_vec());
    eprintln!("opened while web-2 drains: {:?}", newcomers.by_backend());
    assert!(!newcomers.by_backend().contains_key("web-2"), "a draining backend takes no new connections");
    assert!(newcomers.by_backend().contains_key("web-5"), "the added backend takes new connections");

    operator.change(&service.clone().without(3));
    let removed = flows.check_tcp();
    none_broken(&removed, &["web-3"], "web-3 removed");
    assert_eq!(removed.dead(), joined.by_backend()["web-3"], "a removed backend is really gone");

    echoes.remove(3).kill();
    none_broken(&flows.check_tcp(), &["web-3", "web-4"], "web-4 killed");

    operator.change(&service);
    none_broken(&flows.check_tcp(), &["web-3", "web-4"], "web-3 back");
    let scrape = operator.balancer.metrics_at_rest();
    assert!(
        scrape.balance().holds(),
        "received = sent + answered + punted + dropped: {:?}",
        scrape.balance()
    );
    Ok(())
}

/// Reloads in a row, between two files in turn, while every connection talks.
fn storm(operator: &Operator, flows: &mut Flows, services: &[Service; 2]) {
    let start = Instant::now();
    let is_over = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut looks = Vec::new();
            while !is_over.load(Ordering::Relaxed) || looks.is_empty() {
                looks.push(flows.check_tcp());
            }
            looks
        });
        for round in 0..RELOADS {
            operator.change(&services[round % 2]);
        }
        is_over.store(true, Ordering::Relaxed);
        client.join().expect("the client's thread")
    });
    eprintln!(
        "{RELOADS} reloads in {:.1} s, {} looks at all connections meanwhile",
        start.elapsed().as_secs_f64(),
        looks.len()
    );
    assert!(looks.iter().all(|look| look.dead() == 0), "a connection broke during the reloads");
    none_broken(&flows.check_tcp(), &[], "after the reloads");
}

#[test]
fn no_connection_breaks_whatever_changes() {
    unless(lab_of_five().and_then(|(lab, echoes)| survives(&lab, echoes)));
}
