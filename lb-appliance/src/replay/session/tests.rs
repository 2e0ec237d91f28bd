//! What time does to the connection table: not visible in verdicts, so looked at from inside.

use super::*;
use crate::config;
use lb_core::checksum;

const CONFIG: &str = "
version: 1
forwarding:
  connections: {per_worker: 1024, idle_timeout: {tcp: 9h, tcp_closing: 30s, udp: 60s}}
  encapsulation: {source: {ipv4: 198.51.100.11}}
pools: [{name: web, encap: {ipip: {}}, backends: [{name: web-1, address: 10.0.1.1}]}]
vips: [{name: web, addresses: [203.0.113.1], protocol: udp, pool: web}]
";

/// A UDP frame of the client with this number.
fn frame(client: u8) -> Vec<u8> {
    let mut ip = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, client, 203, 0, 113, 1];
    let sum = checksum::finish(checksum::sum(&ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend(ip);
    frame.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    frame
}

/// The replay after a capture of (second, client), all forwarded.
fn after(packets: &[(u32, u8)], burst: usize) -> Replay {
    let mut capture =
        vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (second, client) in packets {
        let frame = frame(*client);
        for field in [*second, 0, frame.len() as u32, frame.len() as u32] {
            capture.extend(field.to_le_bytes());
        }
        capture.extend(frame);
    }
    let config = config::parse("test.yaml", CONFIG).unwrap_or_else(|findings| panic!("{findings}"));
    let mut replay = Replay::new(&config, &ReplayOptions { burst, ..ReplayOptions::default() }).unwrap();
    let mut capture = Capture::open(capture.as_slice()).unwrap();
    let mut sink = PcapSink::new(std::io::sink(), capture.resolution()).unwrap();
    assert!(replay.pump(&mut capture, &mut sink, &mut None).unwrap().is_none());
    assert_eq!(replay.summary.forwarded, packets.len() as u64);
    assert_eq!(replay.summary.conserved(&replay.counters), Ok(()));
    replay
}

fn entries(packets: &[(u32, u8)]) -> (usize, u64) {
    let counts = |replay: Replay| (replay.pipeline.connections().len(), replay.counters.expirations.get());
    let (one, many) = (counts(after(packets, 1)), counts(after(packets, BURST_MAX)));
    assert_eq!(one, many, "the burst size matters");
    many
}

#[test]
fn flows_time_out_by_the_stamps_of_the_capture() {
    let second = 1_700_000_000;
    assert_eq!(entries(&[(second, 1), (second, 2), (second, 2)]), (2, 0));
    // Client 1 is heard of every 20 s, client 2 once, at the start.
    let mut packets = vec![(second, 2)];
    packets.extend((0..10).map(|n| (second + 20 * n, 1)));
    assert_eq!(entries(&packets), (1, 1));
}

#[test]
fn timed_out_entries_are_found_whatever_the_steps_of_time() {
    // From one second at a time, where a pass takes eight, to gaps that wrap the 16 bits of a tick.
    for step in [1, 3, 7, 8, 9, 100, 65_530, 65_536, 65_540, 131_072, 400_000_000] {
        let mut packets = vec![(7, 2)];
        let count = (200 / step).max(1);
        packets.extend((1..=count).map(|n| (7 + n * step, 1)));
        // Client 1 times out between two of its own packets if they are more than 60 s apart.
        let expired = if step > 60 { u64::from(count) } else { 1 };
        assert_eq!(entries(&packets), (1, expired), "steps of {step} s");
    }
}

#[test]
fn time_that_goes_back_ends_nothing() {
    assert_eq!(entries(&[(1000, 1), (1010, 2), (10, 3), (1011, 1)]), (3, 0));
}
