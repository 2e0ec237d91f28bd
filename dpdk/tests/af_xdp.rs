//! net_af_xdp on veth: frames both ways, an idle worker sleeps, the kernel sees none of it.
//! Needs root (a namespace of its own); says *skipped* otherwise.

mod support;

use dpdk::{Port, PortConfig};
use support::exchange::exchange;
use support::namespace::{self, Wire};
use support::{device, eal, pool};

#[test]
fn af_xdp_ports_exchange_frames_and_sleep() {
    if !namespace::enter() {
        return;
    }
    namespace::veth("gwport0", "gwpeer0");
    let spec = "net_af_xdp0,iface=gwport0";
    let eal = eal(&[spec]);
    let pool = pool(&eal);
    let port = Port::configure(&eal, &device(spec), &PortConfig::default(), &pool).unwrap();
    let monitor = port.monitor();
    let (port, mut rx, mut tx) = port.start().unwrap();
    assert_eq!((port.info().driver.as_str(), port.wait_fds().len()), ("net_af_xdp", 1));
    exchange(&mut rx[0], &mut tx[0], &mut Wire::open("gwpeer0"), &pool);
    let stats = monitor.stats().unwrap();
    assert!(stats.rx_packets >= 101 && stats.tx_packets == 48, "{stats:?}");
}
