//! Results depend on configuration and capture alone; every frame of any traffic is accounted for.

use super::wire::{ACK, Client};
use super::{Numbers, capture, configuration, replayed, summary};
use lb_appliance::replay::ReplayOptions;
use pcap_file::{Endianness, TsResolution};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A small connection table, so that it overflows; a VIP without sessions; one without backends.
const CONFIG: &str = r#"
version: 1
forwarding:
  maglev: {table_size: 1009}
  connections: {per_worker: 1024, idle_timeout: {tcp: 20s, tcp_closing: 2s, udp: 5s}}
  encapsulation: {source: {ipv4: 198.51.100.11, ipv6: "2001:db8:100::11"}}
pools:
  - name: web
    encap: {ipip: {}}
    backends:
      - {name: web-1, address: 10.0.1.1, weight: 30}
      - {name: web-2, address: 10.0.1.2}
      - {name: web-3, address: "2001:db8:1::3"}
      - {name: web-4, address: 10.0.1.4, state: drain}
  - {name: dns, encap: {gue: {}}, backends: [{name: dns-1, address: 10.0.2.1}, {name: dns-2, address: 10.0.2.2}]}
  - {name: none, encap: {ipip: {}}, backends: []}
vips:
  - {name: web, addresses: [203.0.113.0, "2001:db8:cafe::"], ports: [80, 443], protocol: tcp, pool: web}
  - {name: dns, addresses: [203.0.113.1, "2001:db8:cafe::1"], protocol: udp, pool: dns, sessions: none}
  - {name: void, addresses: [203.0.113.2, "2001:db8:cafe::2"], ports: [80], protocol: tcp, pool: none}
"#;

/// Traffic of all kinds: good packets of many flows, and a tenth of frames that somebody has damaged.
fn traffic(seed: u64, count: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut now = Duration::from_secs(1_700_000_000);
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let gap_max = if numbers.below(500) == 0 { 30_000_000 } else { 40_000 };
        now += Duration::from_micros(numbers.below(gap_max));
        let early_max = if numbers.below(200) == 0 { 3_000_000 } else { 1 };
        let early = Duration::from_micros(numbers.below(early_max));
        let mut frame = client(&mut numbers).frame();
        match numbers.below(40) {
            0 => frame.truncate(numbers.below(90) as usize),
            1 | 2 => {
                let at = numbers.below(60).min(frame.len() as u64 - 1) as usize;
                frame[at] = numbers.next() as u8;
            }
            3 => frame = (0..numbers.below(100)).map(|_| numbers.next() as u8).collect(),
            _ => {}
        }
        frames.push((now - early, frame));
    }
    let stamped = frames.iter().map(|(stamp, frame)| (*stamp, frame.as_slice()));
    capture::classic(TsResolution::MicroSecond, Endianness::Little, stamped)
}

fn client(numbers: &mut Numbers) -> Client {
    let (vip, host) = (numbers.below(3) as u8, numbers.below(40) as u16);
    let (from, to): (IpAddr, IpAddr) = if numbers.below(2) == 0 {
        (Ipv4Addr::new(192, 0, 2, host as u8).into(), Ipv4Addr::new(203, 0, 113, vip).into())
    } else {
        let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, last);
        (Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, host).into(), address(u16::from(vip)).into())
    };
    let port = [80, 80, 80, 443][numbers.below(4) as usize];
    Client {
        from: SocketAddr::new(from, 1024 + numbers.below(200) as u16),
        to: SocketAddr::new(to, port),
        is_udp: (vip == 1) != (numbers.below(10) == 0),
        sequence: 1,
        flags: [0x02, ACK, ACK, ACK, 0x11, 0x04][numbers.below(6) as usize],
        ttl: [64, 64, 64, 64, 1, 2][numbers.below(6) as usize],
        payload_len: numbers.below(60) as usize,
    }
}

#[test]
fn a_hundred_thousand_frames_of_all_kinds_are_conserved_and_repeatable() {
    const COUNT: usize = 100_000;
    let (config, input) = (configuration(CONFIG), traffic(1, COUNT));
    let outcome = replayed(&config, &input, &ReplayOptions::default());
    let found = summary(&outcome);
    eprintln!("{found}");
    assert_eq!(found.frames, COUNT as u64);
    assert!(found.backwards > 100 && found.snapped == 0, "{found:?}");
    for verdict in ["forward", "punt", "drop"] {
        let count = outcome.lines.iter().filter(|line| line.contains(&format!(":\"{verdict}\""))).count();
        assert!(count > COUNT / 100, "only {count} of {verdict}");
    }
    for reason in ["malformed", "checksum", "no_backend", "ttl_exceeded"] {
        assert!(outcome.lines.iter().any(|line| line.contains(reason)), "no frame was refused as {reason}");
    }
    // Every field of a line is what the contract allows, and goes with the verdict.
    for (n, line) in outcome.lines.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(value["n"], n as u64);
        let is_forward = value["verdict"] == "forward";
        assert_eq!(value["reason"].is_null(), is_forward, "{line}");
        assert_eq!(value["backend"].is_string(), is_forward, "{line}");
        assert!(value["vip"].is_string() || !is_forward, "{line}");
        assert_ne!(value["backend"], "web-4", "a draining backend takes no new flow");
    }
    let again = replayed(&config, &input, &ReplayOptions { burst: 7, ..ReplayOptions::default() });
    assert_eq!(summary(&again), found);
    assert!(again.lines == outcome.lines && again.output == outcome.output, "the burst size matters");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_burst_size_changes_nothing(seed: u64, count in 1..300usize, one in 1..=64usize, other in 1..=64usize) {
        let (config, input) = (configuration(CONFIG), traffic(seed, count));
        let outcome = |burst| replayed(&config, &input, &ReplayOptions { burst, ..ReplayOptions::default() });
        let (one, other) = (outcome(one), outcome(other));
        prop_assert_eq!(summary(&one), summary(&other));
        prop_assert_eq!(one.lines, other.lines);
        prop_assert_eq!(one.output, other.output);
    }
}
