//! Shared by the DPDK tests: an unprivileged EAL per test process, frames, and bounded loops.
//!
//! Every file beside this folder is one process with one test, because EAL starts once per process.
#![expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

pub mod exchange;
pub mod namespace;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use dpdk::{Burst, DeviceSpec, Eal, EalConfig, Mbuf, Memory, Mempool, MempoolConfig, RxQueue};

/// Small enough for many tests at a time, large enough for every pool used here.
pub const MEMORY: Memory = Memory::NoHuge { mib: 64 };

/// Lines that reached the sink of this process.
pub static LINES: Mutex<Vec<(dpdk::log::Level, String)>> = Mutex::new(Vec::new());

/// A sink for `dpdk::log::set_sink` that collects into `LINES`.
pub fn collect(level: dpdk::log::Level, line: &str) {
    LINES.lock().unwrap().push((level, line.to_owned()));
}

pub fn device(text: &str) -> DeviceSpec {
    text.parse().unwrap()
}

/// The configuration of an EAL that needs no privilege.
pub fn config(devices: &[&str]) -> EalConfig {
    EalConfig {
        memory: MEMORY,
        file_prefix: format!("gw-test-{}", std::process::id()),
        devices: devices.iter().map(|text| device(text)).collect(),
        ..EalConfig::default()
    }
}

pub fn eal(devices: &[&str]) -> Eal {
    Eal::init(&config(devices)).unwrap()
}

pub fn pool(eal: &Eal) -> Mempool {
    Mempool::new(eal, &MempoolConfig { mbufs: 4095, ..MempoolConfig::default() }).unwrap()
}

/// A buffer that holds `frame`.
pub fn mbuf(pool: &Mempool, frame: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().expect("the pool is not empty");
    mbuf.append(frame.len()).expect("the frame fits").copy_from_slice(frame);
    mbuf
}

/// An Ethernet frame of an experimental ethertype (IEEE 802 local experimental 1), told apart by `number`.
pub fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0u8; len];
    frame[..6].copy_from_slice(&[0xff; 6]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame[14..18].copy_from_slice(&number.to_be_bytes());
    for (index, byte) in frame[18..].iter_mut().enumerate() {
        *byte = (index as u32 ^ number) as u8;
    }
    frame
}

/// Receives until `count` packets of the test's ethertype are there or the time is over; others are freed.
pub fn receive(queue: &mut RxQueue, count: usize, limit: Duration) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let end = Instant::now() + limit;
    let mut burst = Burst::new();
    while frames.len() < count && Instant::now() < end {
        if queue.rx(&mut burst) == 0 {
            dpdk::wait_readable(queue.wait_fds(), Duration::from_millis(1)).unwrap();
        }
        for mbuf in burst.drain() {
            assert!(mbuf.is_contiguous() && mbuf.len() == mbuf.packet_len());
            if mbuf.data().get(12..14) == Some(&[0x88, 0xb5]) {
                frames.push(mbuf.data().to_vec());
            }
        }
    }
    frames
}
