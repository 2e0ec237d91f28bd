//! net_pcap with files: 100 frames in are 100 frames out, byte for byte. Needs no privilege.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use dpdk::{Burst, Port, PortConfig};
use support::{device, eal, frame, pool};

/// A classic little-endian pcap of Ethernet frames, written by hand: the independent side of the test.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (frame, second) in frames.iter().zip(0u32..) {
        for word in [second, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn frames_of(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    // Microsecond or nanosecond stamps.
    assert!([0xa1b2_c3d4, 0xa1b2_3c4d].contains(&word(0)), "magic {:x}", word(0));
    let (mut at, mut frames) = (24, Vec::new());
    while at < file.len() {
        let (captured, original) = (word(at + 8) as usize, word(at + 12) as usize);
        assert_eq!(captured, original, "no frame is cut");
        frames.push(file[at + 16..at + 16 + captured].to_vec());
        at += 16 + captured;
    }
    frames
}

#[test]
fn a_hundred_frames_in_are_a_hundred_frames_out() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcap"));
    let frames: Vec<Vec<u8>> = (0..100).map(|number| frame(number, 60 + number as usize * 14)).collect();
    fs::write(&input, pcap(&frames)).unwrap();

    let spec = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let eal = eal(&[&spec]);
    let pool = pool(&eal);
    let port = Port::configure(&eal, &device(&spec), &PortConfig::default(), &pool).unwrap();
    let monitor = port.monitor();
    let (port, mut rx, mut tx) = port.start().unwrap();
    let mut burst = Burst::new();
    let (mut received, end) = (0, Instant::now() + Duration::from_secs(5));
    while received < frames.len() && Instant::now() < end {
        received += rx[0].rx(&mut burst);
        while !burst.is_empty() {
            tx[0].tx(&mut burst);
        }
    }
    let stats = monitor.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (100, 100));
    drop((port, rx, tx)); // closes the output file
    assert_eq!(frames_of(&fs::read(&output).unwrap()), frames);
}
