//! net_af_packet on veth: frames both ways, an idle worker sleeps, each queue on its own descriptor.
//! Needs root (a namespace of its own); says *skipped* otherwise.

mod support;

use std::time::Duration;

use dpdk::{Port, PortConfig, QueueLimits};
use support::exchange::exchange;
use support::namespace::{self, Wire, ip};
use support::{device, eal, frame, pool, receive};

#[test]
fn af_packet_ports_exchange_frames_and_sleep() {
    if !namespace::enter() {
        return;
    }
    namespace::veth("gwport0", "gwpeer0");
    namespace::veth("gwport1", "gwpeer1");
    let (one, two) = ("net_af_packet0,iface=gwport0", "net_af_packet1,iface=gwport1,qpairs=2");
    let eal = eal(&[one, two]);
    let pool = pool(&eal);
    let limits = |text: &str| Port::queue_limits(&eal, &device(text)).unwrap();
    assert_eq!((limits(one), limits(two)), (QueueLimits { rx: 1, tx: 1 }, QueueLimits { rx: 2, tx: 2 }));
    assert!(Port::queue_limits(&eal, &device("net_af_packet7,iface=gwport0")).is_err());
    let pair = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
    let refused = Port::configure(&eal, &device(two), &PortConfig { rx_queues: 3, ..pair.clone() }, &pool);
    assert!(refused.err().is_some_and(|error| error.to_string().contains("qpairs=3")));

    ip("link set gwpeer0 mtu 1600");
    let config = PortConfig { mtu: Some(1600), ..PortConfig::default() };
    let port = Port::configure(&eal, &device(one), &config, &pool).unwrap();
    let monitor = port.monitor();
    let (port, mut rx, mut tx) = port.start().unwrap();
    assert_eq!((port.info().driver.as_str(), port.wait_fds().len()), ("net_af_packet", 1));
    // The frame is longer than what the driver says of itself (1518 bytes): the interface decides.
    assert!(ip("-d link show gwport0").contains("mtu 1600"));
    let mut wire = Wire::open("gwpeer0");
    wire.send(&frame(1, 1614));
    assert_eq!(receive(&mut rx[0], 1, Duration::from_secs(5)), [frame(1, 1614)]);
    exchange(&mut rx[0], &mut tx[0], &mut wire, &pool);
    let stats = monitor.stats().unwrap();
    assert!(stats.rx_packets >= 101 && stats.tx_packets == 48, "{stats:?}");
    assert!(monitor.link().unwrap().up);
    assert!(eal.port_by_device(&device(two)).is_err(), "a port that failed to configure is closed");

    assert!(ip("link show gwport0").contains("PROMISC"));
    drop((port, rx, tx));
    assert!(!ip("link show gwport0").contains("PROMISC"), "closing the port undoes it");
}
