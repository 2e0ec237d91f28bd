//! Changes under live flows: thousands of real TCP connections are watched one by one while the balancer changes.
//!
//! Promises kept here: a connection breaks only if its own backend is taken away; a reload of ten thousand backends
//! loses no packet; and what `diff` forecasts is what then moves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lb_tests::flows::{Echo, Flows, Survey};
use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
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

    storm(&operator, &mut flows, &[service.clone().weight(4, 60), service.clone()]);

    roll_back(&operator, &mut flows, &service);

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

/// Ends what goes on meanwhile, also when the work panics: otherwise a failure would hang.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `look` again and again, once at least, while `work` is done; what the looks have seen.
fn meanwhile<T: Send>(mut look: impl FnMut() -> T + Send, work: impl FnOnce()) -> Vec<T> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut seen = vec![look()];
            while !is_over.load(Ordering::Relaxed) {
                seen.push(look());
            }
            seen
        });
        let over = Over(&is_over);
        work();
        drop(over);
        client.join().expect("the client's thread")
    })
}

/// Reloads in a row, between two files in turn, while every connection talks.
fn storm(operator: &Operator, flows: &mut Flows, services: &[Service; 2]) {
    let start = Instant::now();
    let reload = || (0..RELOADS).for_each(|round| operator.change(&services[round % 2]));
    let looks = meanwhile(|| flows.check_tcp(), reload);
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{RELOADS} reloads in {seconds:.1} s, {} looks at all connections meanwhile", looks.len());
    assert!(looks.iter().all(|look| look.dead() == 0), "a connection broke during the reloads");
    none_broken(&flows.check_tcp(), &[], "after the reloads");
}

/// Back by command and back by itself; what was taken away meanwhile is there again, with its connections.
fn roll_back(operator: &Operator, flows: &mut Flows, service: &Service) {
    operator.write(&operator.text(&service.clone().weight(5, 10)));
    let applied = operator.ask(&["reload"]);
    assert_eq!(applied["seen"], applied["workers"], "every worker goes by it: {applied}");
    none_broken(&flows.check_tcp(), &[], "weight of web-5 100 to 10");
    operator.ask(&["rollback"]);
    none_broken(&flows.check_tcp(), &[], "rolled back");

    operator.write(&operator.text(&service.clone().weight(1, 300)));
    operator.ask(&["reload", "--confirm-within", "2s"]);
    none_broken(&flows.check_tcp(), &[], "on trial");
    let is_back = || operator.metrics().sum("guideway_config_pending_confirmation") == 0.0;
    assert!(wait_until(Duration::from_secs(20), is_back), "it rolls back by itself");
    none_broken(&flows.check_tcp(), &[], "rolled back by itself");

    // No packet comes between the two, not even a delayed acknowledgement: most connections of web-3 never learn of it.
    // Some do: the workers forget entries of a backend that is gone little by little, and at once.
    std::thread::sleep(Duration::from_millis(500));
    operator.write(&operator.text(&service.clone().without(3)));
    operator.ask(&["reload"]);
    operator.ask(&["rollback"]);
    let back = flows.check_tcp();
    none_broken(&back, &["web-3"], "web-3 removed and rolled back");
    assert!(
        back.dead() < back.by_backend()["web-3"] / 2,
        "connections of web-3 are found again: {} dead",
        back.dead()
    );

    operator.write(&operator.text(service));
    let diff = operator.ask(&["diff"]);
    assert_eq!(diff["changes"], serde_json::json!([]), "what runs is what was before: {diff}");
}

#[test]
fn no_connection_breaks_whatever_changes() {
    unless(lab_of_five().and_then(|(lab, echoes)| survives(&lab, echoes)));
}

/// Pools of ten backends that nobody asks, besides the one that serves.
const IDLE_VIPS: u32 = 1_000;
/// A reload must take less than a second in a release build; this only catches what is out of all proportion.
const RELOAD_LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });

fn reloads_without_loss(lab: &Lab) -> Result<(), Skip> {
    let service = Service { idle_vips: IDLE_VIPS, ..Service::of(&[1, 2, 3]) };
    let operator = Operator::start(lab, &service)?;
    let mut flows = Flows::start(lab)?;
    flows.open_udp(64, 20_000);
    let first = flows.check_udp(3);
    assert_eq!(first.dead(), 0, "UDP flows to {:?}", first.by_backend());
    let dropped = operator.metrics().sum("guideway_dropped_packets_total");
    let backends = service.backends.len() + 10 * IDLE_VIPS as usize;

    let steps = [
        ("nothing changed", 0, 100),
        ("one backend changed", 0, 50),
        ("one backend of every pool changed", IDLE_VIPS, 50),
        ("and back", 0, 100),
    ];
    for (step, changed_idle_vips, weight) in steps {
        operator.write(&operator.text(&Service { changed_idle_vips, ..service.clone().weight(1, weight) }));
        let mut took = Duration::ZERO;
        let looks = meanwhile(
            || flows.check_udp(1),
            || {
                // Traffic before and after it as well.
                std::thread::sleep(Duration::from_millis(300));
                let (applied, time) = operator.ask_timed(&["reload"]);
                assert_eq!(applied["seen"], applied["workers"], "{applied}");
                took = time;
                std::thread::sleep(Duration::from_millis(300));
            },
        );
        let (asked, lost) = (looks.len() * looks[0].0.len(), looks.iter().map(Survey::dead).sum::<usize>());
        eprintln!(
            "{backends} backends in {} VIPs, {step}: {:.2} s, {asked} datagrams, {lost} lost",
            IDLE_VIPS + 2,
            took.as_secs_f64()
        );
        assert_eq!(lost, 0, "{step}: packets lost");
        assert!(took < RELOAD_LIMIT, "{step}: {took:?}");
    }
    let scrape = operator.balancer.metrics_at_rest();
    assert_eq!(scrape.sum("guideway_dropped_packets_total"), dropped, "packets dropped");
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    Ok(())
}

#[test]
fn ten_thousand_backends_reload_without_a_lost_packet() {
    unless(lab_of_five().and_then(|(lab, _echoes)| reloads_without_loss(&lab)));
}
