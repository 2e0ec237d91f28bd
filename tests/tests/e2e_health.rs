//! Health checks of the whole program against real nginx: one that dies is out in time, and back in time.

use std::time::{Duration, Instant};

use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
use lb_tests::service::Service;
use lb_tests::skip::{Skip, unless};

const REQUESTS: usize = 60;
const RELOADS: usize = 30;
const INTERVAL: Duration = Duration::from_millis(500);
const FALL: u32 = 3;
const RISE: u32 = 2;
/// For two busy cores, the look at the metrics, and the workers' turn.
const SLACK: Duration = Duration::from_secs(2);

fn timeout(interval: Duration) -> Duration {
    interval * 4 / 5
}

fn service(interval: Duration) -> Service {
    let more = format!(
        "    health_check:\n      http: {{port: 80, path: /}}\n      interval: {}ms\n      timeout: {}ms\n      \
         fall: {FALL}\n      rise: {RISE}\n",
        interval.as_millis(),
        timeout(interval).as_millis()
    );
    Service { more, ..Service::of(&[1, 2, 3]) }
}

/// 1 or 0 as the metrics have it; `None` while there is no such sample.
fn up(operator: &Operator, backend: &str) -> Option<f64> {
    let scrape = operator.metrics();
    scrape
        .named("guideway_backend_up")
        .find(|sample| sample.labels["backend"] == backend)
        .map(|sample| sample.value)
}

fn checked(operator: &Operator, backend: &str) -> String {
    let document = operator.ask(&["backend", "show", &format!("echo/{backend}")]);
    document["health"]["state"].as_str().unwrap_or_default().to_owned()
}

fn events_about(operator: &Operator, kind: &str, backend: &str) -> usize {
    let wanted = |(found, message): &&(String, String)| found == kind && message.contains(backend);
    operator.events().iter().filter(wanted).count()
}

fn killed_and_back(lab: &Lab) -> Result<(), Skip> {
    lab.manage();
    let operator = Operator::start(lab, &service(INTERVAL))?;
    let all_up = || ["web-1", "web-2", "web-3"].iter().all(|name| checked(&operator, name) == "up");
    assert!(wait_until(Duration::from_secs(10), all_up), "{:?}", operator.events());
    let nginx = &lab.backends()[1];

    nginx.kill();
    let start = Instant::now();
    let limit = FALL * INTERVAL + timeout(INTERVAL) + SLACK;
    let is_out = wait_until(limit, || up(&operator, "web-2") == Some(0.0));
    eprintln!(
        "a killed nginx is out after {:.2?} (fall x interval + timeout: {:?})",
        start.elapsed(),
        limit - SLACK
    );
    assert!(is_out, "{}", operator.ask(&["backend", "show", "echo/web-2"]));
    assert_eq!(checked(&operator, "web-2"), "down");
    assert_eq!(operator.ask(&["backend", "show", "echo/web-2"])["state"], "down");
    let vips = operator.ask(&["status"])["vips"].clone();
    assert_eq!(vips[0]["healthy_backends"], 2, "{vips}");
    assert_eq!(events_about(&operator, "backend_down", "web-2"), 1, "{:?}", operator.events());
    let answers = get(lab, VIP4, REQUESTS);
    assert_eq!(answers.good(), REQUESTS, "{:?}", answers.failures);
    assert!(!answers.by_backend.contains_key("web-2"), "{:?}", answers.by_backend);

    nginx.start(lab);
    let start = Instant::now();
    let limit = RISE * INTERVAL + timeout(INTERVAL) + SLACK;
    let is_back = wait_until(limit, || up(&operator, "web-2") == Some(1.0));
    eprintln!("and back after {:.2?} (rise x interval + timeout: {:?})", start.elapsed(), limit - SLACK);
    assert!(is_back, "{}", operator.ask(&["backend", "show", "echo/web-2"]));
    assert_eq!(checked(&operator, "web-2"), "up");
    assert!(events_about(&operator, "backend_up", "web-2") >= 1, "{:?}", operator.events());
    let answers = get(lab, VIP4, REQUESTS);
    assert_eq!(answers.good(), REQUESTS, "{:?}", answers.failures);
    assert!(answers.by_backend.contains_key("web-2"), "{:?}", answers.by_backend);
    Ok(())
}

#[test]
fn a_killed_nginx_is_out_in_time_and_back_in_time() {
    let attempt = || -> Result<(), Skip> {
        lb_tests::program::guideway_path()?;
        let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
        killed_and_back(&lab)
    };
    unless(attempt());
}

fn reloads_among_probes(lab: &Lab) -> Result<(), Skip> {
    lab.manage();
    let (quick, quicker) = (service(Duration::from_millis(400)), service(Duration::from_millis(350)));
    let operator = Operator::start(lab, &quick)?;
    let all_up = || ["web-1", "web-2", "web-3"].iter().all(|name| checked(&operator, name) == "up");
    assert!(wait_until(Duration::from_secs(10), all_up), "{:?}", operator.events());
    lab.backends()[2].kill();
    assert!(wait_until(Duration::from_secs(10), || checked(&operator, "web-3") == "down"));
    for round in 0..RELOADS {
        operator.change(&if round % 2 == 0 { quicker.clone().weight(1, 50) } else { quick.clone() });
        assert_eq!(
            checked(&operator, "web-3"),
            "down",
            "what is known of a backend outlives a reload ({round})"
        );
    }
    let answers = get(lab, VIP4, REQUESTS);
    assert_eq!(answers.good(), REQUESTS, "{:?}", answers.failures);
    assert!(!answers.by_backend.contains_key("web-3"), "{:?}", answers.by_backend);
    for backend in ["web-1", "web-2"] {
        assert_eq!(events_about(&operator, "backend_down", backend), 0, "{:?}", operator.events());
    }
    Ok(())
}

#[test]
fn reloads_among_many_probes_forget_nothing() {
    let attempt = || -> Result<(), Skip> {
        lb_tests::program::guideway_path()?;
        let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
        reloads_among_probes(&lab)
    };
    unless(attempt());
}
