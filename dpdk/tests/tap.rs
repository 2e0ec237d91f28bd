//! net_tap: frames both ways through a kernel interface of our own making, which vanishes with the port.
//! Needs root (a namespace of its own) and /dev/net/tun; says *skipped* otherwise.

mod support;

use std::path::Path;
use std::process::Command;

use dpdk::{Port, PortConfig};
use support::exchange::exchange;
use support::namespace::{self, Wire, ip};
use support::{device, eal, pool};

#[test]
fn tap_ports_exchange_frames_and_sleep() {
    if !Path::new("/dev/net/tun").exists() {
        return namespace::skipped("there is no /dev/net/tun");
    }
    if !namespace::enter() {
        return;
    }
    let spec = "net_tap0,iface=gwtap0,mac=02:00:00:00:00:aa";
    let eal = eal(&[spec]);
    let pool = pool(&eal);
    let port = Port::configure(&eal, &device(spec), &PortConfig::default(), &pool).unwrap();
    assert_eq!(port.info().mac, [2, 0, 0, 0, 0, 0xaa]);
    let monitor = port.monitor();
    let (port, mut rx, mut tx) = port.start().unwrap();
    assert_eq!((port.info().driver.as_str(), port.wait_fds().len()), ("net_tap", 1));
    ip("link set gwtap0 up");
    exchange(&mut rx[0], &mut tx[0], &mut Wire::open("gwtap0"), &pool);
    let stats = monitor.stats().unwrap();
    assert!(stats.rx_packets >= 101 && stats.tx_packets == 48, "{stats:?}");
    drop((port, rx, tx));
    let shown = Command::new("ip").args(["link", "show", "gwtap0"]).output().unwrap();
    assert!(!shown.status.success(), "the interface went with the port");
}
