//! net_ring: what is sent comes back. Contents survive, a full ring leaves the rest with the sender, a worker
//! thread may own the queues, and dropping in any order is safe.

mod support;

use std::thread;
use std::time::Duration;

use dpdk::{Burst, Port, PortConfig};
use support::{device, eal, frame, mbuf, pool, receive};

#[test]
fn frames_come_back_unchanged_on_a_worker_that_outlives_the_port() {
    let eal = eal(&["net_ring0"]);
    let handle = eal.handle();
    let pool = pool(&eal);
    let port = Port::configure(&eal, &device("net_ring0"), &PortConfig::default(), &pool).unwrap();
    let monitor = port.monitor();
    let (port, mut rx, mut tx) = port.start().unwrap();
    let (mut rx, mut tx) = (rx.remove(0), tx.remove(0));
    drop(port);
    assert!(monitor.stats().is_some(), "the queues keep the port started");

    let worker_pool = pool.clone();
    let worker = thread::spawn(move || {
        let guard = handle.register_thread().unwrap();
        assert!(guard.lcore_id() < 128);
        let sent: Vec<Vec<u8>> = (0..32).map(|number| frame(number, 60 + number as usize * 40)).collect();
        let mut burst = Burst::new();
        for frame in &sent {
            burst.push(mbuf(&worker_pool, frame)).unwrap();
        }
        assert_eq!(tx.tx(&mut burst), sent.len());
        assert_eq!(receive(&mut rx, sent.len(), Duration::from_secs(5)), sent);

        // More than the ring holds: the unsent stay, in order, and are still ours.
        let mut offered = 0;
        loop {
            while let Some(room) = (!burst.is_full()).then(|| mbuf(&worker_pool, &frame(offered, 60))) {
                burst.push(room).unwrap();
                offered += 1;
            }
            if tx.tx(&mut burst) < 64 {
                break;
            }
        }
        assert!(!burst.is_empty(), "the ring is bounded");
        let next = u32::from_be_bytes(burst.as_slice()[0].data()[14..18].try_into().unwrap());
        assert_eq!(next as usize, offered as usize - burst.len(), "the unsent are the last ones, in order");
        let back = receive(&mut rx, next as usize, Duration::from_secs(5));
        assert_eq!(back.len(), next as usize);
        assert!(back.iter().zip(0..).all(|(got, number)| *got == frame(number, 60)));
    });
    worker.join().unwrap();
    assert!(monitor.stats().is_none() && monitor.link().is_none(), "the last queue closed the port");
    assert_eq!(pool.in_use(), 0);
    drop(eal);
}
