//! An idle balancer in `adaptive` mode sleeps: less than 5 % of one core, measured by the kernel's own account.

use std::time::{Duration, Instant};

use lb_tests::balancer::Balancer;
use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::skip::{Skip, unless};

const WATCHED: Duration = Duration::from_secs(4);
const SHARE_MAX: f64 = 0.05;

fn idle(pmd: Pmd) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, pmd)?;
    let balancer = Balancer::start(&lab)?;
    // It must wake up for traffic and fall asleep again: idling from the start would prove less.
    assert_eq!(get(&lab, VIP4, 20).good(), 20);
    std::thread::sleep(Duration::from_millis(500));
    let (used_before, began) = (balancer.process().cpu_time().expect("running"), Instant::now());
    std::thread::sleep(WATCHED);
    let used = balancer.process().cpu_time().expect("still running").saturating_sub(used_before);
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < SHARE_MAX, "an idle balancer uses {:.1} % of a core", share * 100.0);
    assert_eq!(get(&lab, VIP4, 20).good(), 20, "it wakes up again");
    Ok(())
}

#[test]
fn adaptive_sleeps_on_af_packet() {
    unless(idle(Pmd::AfPacket));
}

#[test]
fn adaptive_sleeps_on_af_xdp() {
    unless(idle(Pmd::AfXdp));
}
