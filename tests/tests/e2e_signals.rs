//! Stopping: SIGTERM and SIGINT end the balancer in order, with status 0, idle or under load, on any driver.

use lb_tests::balancer::Balancer;
use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::skip::{Skip, unless};

fn stops(pmd: Pmd, signal: &str) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::L2dsr, Outer::V4, pmd)?;
    let balancer = Balancer::start(&lab)?;
    let devices = lab.namespace("lb").devices();
    assert_eq!(get(&lab, VIP4, 20).good(), 20);
    let finished = balancer.stop(signal);
    assert!(
        !finished.timed_out && finished.status.success(),
        "SIG{signal}: {}\n{}",
        finished.status,
        finished.stderr
    );
    assert_eq!(lab.namespace("lb").devices(), devices, "network devices");
    Ok(())
}

#[test]
fn sigterm_on_af_packet() {
    unless(stops(Pmd::AfPacket, "TERM"));
}

#[test]
fn sigint_on_af_xdp() {
    unless(stops(Pmd::AfXdp, "INT"));
}

fn stops_under_load() -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let balancer = Balancer::start(&lab)?;
    let finished = balancer.stop_under_load(&lab);
    assert!(!finished.timed_out && finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    Ok(())
}

#[test]
fn sigterm_under_load() {
    unless(stops_under_load());
}

fn restarts() -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfXdp)?;
    for round in 1..=3 {
        let balancer = Balancer::start(&lab)?;
        assert_eq!(get(&lab, VIP4, 20).good(), 20, "round {round}");
        assert!(balancer.stop("TERM").status.success(), "round {round}");
    }
    Ok(())
}

#[test]
fn a_stopped_balancer_leaves_the_port_usable() {
    unless(restarts());
}
