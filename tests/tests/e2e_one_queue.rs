//! Two workers on a device with one queue: software spreads the flows.
//!
//! Promises kept here: every request is answered and both workers take part, what the queue received is what the workers
//! account for, the log names the distribution, and a worker without a queue sleeps as well as it wakes.

use std::fs;
use std::time::{Duration, Instant};

use lb_tests::balancer::Balancer;
use lb_tests::client::{get, post};
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::skip::{Skip, unless};

const REQUESTS: usize = 200;
const WATCHED: Duration = Duration::from_secs(4);
const SHARE_MAX: f64 = 0.05;

/// The lab, and its balancer with two workers on the one queue that the driver has by default.
fn started() -> Result<(Lab, Balancer), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let text = fs::read_to_string(lab.config()).expect("the lab's configuration");
    assert!(!text.contains("qpairs"), "one queue is the driver's default");
    let config = lab.folder().join("one-queue.yaml");
    fs::write(&config, text.replace("idle: adaptive", "idle: adaptive\n  workers: [0, 1]")).expect("written");
    let balancer = Balancer::start_with(&lab, &config)?;
    Ok((lab, balancer))
}

fn one_queue() -> Result<(), Skip> {
    let (lab, balancer) = started()?;
    for address in [VIP4, VIP6] {
        let answers = get(&lab, address, REQUESTS);
        assert_eq!(answers.good(), REQUESTS, "{address}: {:?}", answers.failures);
    }
    assert_eq!(post(&lab, VIP4, 300_000).good(), 1, "one flow, many packets in a row");

    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    let by_worker: Vec<f64> =
        scrape.named("guideway_worker_packets_total").map(|sample| sample.value).collect();
    assert_eq!(by_worker.len(), 2);
    assert!(by_worker.iter().all(|packets| *packets > 100.0), "flows are spread: {by_worker:?}");
    let by_queue: Vec<f64> =
        scrape.named("guideway_queue_receive_packets_total").map(|sample| sample.value).collect();
    assert_eq!(
        by_queue,
        [by_worker.iter().sum(), 0.0],
        "one worker has the queue, nothing is lost on the way"
    );
    let sent: Vec<f64> =
        scrape.named("guideway_queue_transmit_packets_total").map(|sample| sample.value).collect();
    assert_eq!(sent, [scrape.sum("guideway_forwarded_packets_total"), 0.0]);

    let (used_before, began) = (balancer.process().cpu_time().expect("running"), Instant::now());
    std::thread::sleep(WATCHED);
    let used = balancer.process().cpu_time().expect("still running").saturating_sub(used_before);
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < SHARE_MAX, "two idle workers use {:.1} % of a core", share * 100.0);
    assert_eq!(get(&lab, VIP4, 50).good(), 50, "both wake up again");

    let finished = balancer.stop("TERM");
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    for line in ["software_distribution", "\"distribution\":\"software\"", "all packets accounted for"] {
        assert!(finished.stderr.contains(line), "{line} is not in\n{}", finished.stderr);
    }
    Ok(())
}

#[test]
fn two_workers_share_one_queue() {
    unless(one_queue());
}

fn stopped_under_load() -> Result<(), Skip> {
    let (lab, balancer) = started()?;
    let finished = balancer.stop_under_load(&lab);
    // The program itself compares what it has polled with what has left, and fails if they differ.
    assert!(!finished.timed_out && finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    assert!(finished.stderr.contains("all packets accounted for"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_stop_under_load_loses_nothing_between_the_workers() {
    unless(stopped_under_load());
}
