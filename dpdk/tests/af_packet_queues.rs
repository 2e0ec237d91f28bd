//! net_af_packet with two queue pairs: each receive queue sleeps on a descriptor of its own.
//! Needs root (a namespace of its own); says *skipped* otherwise.

mod support;

use std::time::Duration;

use dpdk::{Port, PortConfig};
use support::namespace::{self, Wire};
use support::{device, eal, frame, pool, receive};

#[test]
fn a_frame_wakes_the_queue_it_is_in() {
    if !namespace::enter() {
        return;
    }
    namespace::veth("gwport0", "gwpeer0");
    namespace::veth("gwport1", "gwpeer1");
    let (other, spec) = ("net_af_packet0,iface=gwport1", "net_af_packet1,iface=gwport0,qpairs=2");
    let eal = eal(&[other, spec]);
    let pool = pool(&eal);
    let config = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
    let (port, mut rx, _tx) = Port::configure(&eal, &device(spec), &config, &pool).unwrap().start().unwrap();
    assert_eq!(port.wait_fds().len(), 2, "the other port's descriptor is not among them");
    assert!(rx.iter().all(|queue| queue.wait_fds().len() == 1));

    // The kernel's fanout spreads IPv4 flows by hash: sixteen ports reach both queues but for one time in 2^15.
    let mut wire = Wire::open("gwpeer0");
    let mut seen = [0; 2];
    for number in 0..16u16 {
        wire.send(&udp(number));
        let ready: Vec<usize> = (0..2)
            .filter(|&queue| dpdk::wait_readable(rx[queue].wait_fds(), Duration::from_millis(50)).unwrap())
            .collect();
        assert_eq!(ready.len(), 1, "one queue wakes");
        let mut burst = dpdk::Burst::new();
        assert_eq!(rx[ready[0]].rx(&mut burst), 1, "and it is the one with the frame");
        assert_eq!(burst.as_slice()[0].data(), udp(number));
        seen[ready[0]] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    wire.send(&frame(1, 60));
    let frames: usize = rx.iter_mut().map(|queue| receive(queue, 1, Duration::from_millis(200)).len()).sum();
    assert_eq!(frames, 1);
}

/// An IPv4 UDP datagram from source port 5000 + `number`; the checksum of the header is right, that of UDP absent.
fn udp(number: u16) -> Vec<u8> {
    let mut packet = frame(0, 60);
    packet[12..14].copy_from_slice(&[8, 0]);
    let mut header = [0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&folded.to_be_bytes());
    packet[14..34].copy_from_slice(&header);
    packet[34..36].copy_from_slice(&(5000 + number).to_be_bytes());
    packet[36..42].copy_from_slice(&[0, 9, 0, 26, 0, 0]);
    packet
}
