//! The wall clock is set while the balancer runs: no connection breaks, no backend fails, no `--for` ends early or late.
//!
//! libfaketime moves the wall clock of this one process, and leaves the monotonic clock and the machine alone.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lb_tests::flows::{Echo, Flows};
use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
use lb_tests::service::Service;
use lb_tests::skip::{Skip, unless};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const CONNECTIONS: usize = 200;
/// What `--for` is given here.
const WORD: Duration = Duration::from_secs(8);
const DAY_SECONDS: i64 = 86_400;

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// When the first event of a kind was, by the balancer's clock.
fn time_of(operator: &Operator, kind: &str) -> Option<f64> {
    let events = operator.ask(&["events"]);
    let events = events.as_array().expect("a list of events");
    events.iter().find(|event| event["kind"] == kind)?["at_seconds"].as_f64()
}

fn stands() -> Result<(), Skip> {
    if !Path::new(LIBRARY).exists() {
        return Err(Skip(format!("no {LIBRARY}: apt-get install libfaketime")));
    }
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let _echoes: Vec<Echo> = (1..=3).map(|number| Echo::start(&lab, number)).collect::<Result<_, _>>()?;
    let offset = lab.folder().join("clock");
    let set = |seconds: i64| std::fs::write(&offset, format!("{seconds:+}\n")).expect("set the clock");
    set(0);
    let environment = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().expect("a path of the lab")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let frame = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
    let operator = Operator::start_in(&lab, &Service::of(&[1, 2, 3]).text(&frame), &environment)?;
    let mut flows = Flows::start(&lab)?;
    flows.open_tcp(CONNECTIONS);
    assert_eq!(flows.check_tcp().dead(), 0, "before");

    let for_a_while = format!("{}s", WORD.as_secs());
    let start = Instant::now();
    operator.ask(&["backend", "weight", "echo/web-2", "7", "--for", &for_a_while]);
    for (way, days) in [("forward", 1), ("back", -1)] {
        set(days * DAY_SECONDS);
        let left = &operator.ask(&["backend", "show", "echo/web-2"])["override"]["remaining_seconds"];
        let left = left.as_f64().unwrap_or_else(|| panic!("a clock set {way} ends the word"));
        assert!(left <= WORD.as_secs_f64(), "a clock set {way} prolongs the word to {left} s");
        // At once: the age of a heartbeat is no matter of the wall clock.
        assert_eq!(operator.balancer.status("/readyz"), 200, "after the clock was set {way}");
        assert_eq!(operator.balancer.status("/livez"), 200, "after the clock was set {way}");
        assert_eq!(flows.check_tcp().dead(), 0, "connections after the clock was set {way}");
        assert_eq!(operator.ask(&["backend", "show", "echo/web-1"])["state"], "up", "set {way}");
    }
    let is_over = || time_of(&operator, "override_ended").is_some();
    assert!(wait_until(WORD + Duration::from_secs(10), is_over), "{:?}", operator.events());
    assert!(start.elapsed() >= WORD, "it ended before its time: {:?}", start.elapsed());
    // That the clock was set at all: the events bear the balancer's own time.
    let ended = time_of(&operator, "override_ended").expect("seen above");
    let behind = unix_seconds() - ended;
    assert!((behind - DAY_SECONDS as f64).abs() < 3_600.0, "the clock was not set: {behind} s behind");
    assert_eq!(operator.ask(&["backend", "show", "echo/web-2"])["weight"], 100.0);
    assert_eq!(flows.check_tcp().dead(), 0, "at the end");
    Ok(())
}

#[test]
fn a_clock_that_is_set_by_a_day_breaks_nothing_and_ends_no_word_early_or_late() {
    unless(stands());
}
