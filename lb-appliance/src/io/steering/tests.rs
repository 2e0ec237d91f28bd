//! Steering: sticky, uniform, fragments together, and frames that belong to nobody.

use super::*;
use proptest::prelude::*;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// How a packet of one flow may be framed.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    vlan_tags: usize,
    ip_options: usize,
    payload: usize,
    flags_and_offset: u16,
    ttl: u8,
}

fn ethernet(vlan_tags: usize, ethertype: [u8; 2]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for _ in 0..vlan_tags {
        frame.extend([0x81, 0, 0, 100]);
    }
    frame.extend(ethertype);
    frame
}

fn v4(source: u32, destination: u32, protocol: u8, ports: u32, framing: Framing) -> Vec<u8> {
    let header_len = 20 + framing.ip_options * 4;
    let mut frame = ethernet(framing.vlan_tags, [8, 0]);
    let len = (header_len + 20 + framing.payload) as u16;
    let [flags, offset] = framing.flags_and_offset.to_be_bytes();
    frame.extend([0x40 | (header_len / 4) as u8, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([1, 2, flags, offset, framing.ttl, protocol, 0, 0]);
    frame.extend(source.to_be_bytes());
    frame.extend(destination.to_be_bytes());
    frame.resize(frame.len() + framing.ip_options * 4, 1);
    frame.extend(ports.to_be_bytes());
    frame.resize(frame.len() + 16 + framing.payload, 0x50);
    frame
}

/// `extensions`: destination options of 8 bytes each in front of the TCP or UDP header.
fn v6(source: u128, destination: u128, protocol: u8, ports: u32, extensions: usize) -> Vec<u8> {
    let mut frame = ethernet(0, [0x86, 0xdd]);
    let next = |left: usize| if left == 0 { protocol } else { 60 };
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(((extensions * 8 + 20) as u16).to_be_bytes());
    frame.extend([next(extensions), 64]);
    frame.extend(source.to_be_bytes());
    frame.extend(destination.to_be_bytes());
    for left in (0..extensions).rev() {
        frame.extend([next(left), 0, 1, 4, 0, 0, 0, 0]);
    }
    frame.extend(ports.to_be_bytes());
    // A TCP header of 20 bytes, and a UDP length that agrees.
    frame.extend([0, 20, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    frame
}

proptest! {
    #[test]
    fn every_packet_of_a_flow_goes_to_one_worker(
        workers in 1usize..9,
        addresses in any::<(u32, u32)>(),
        ports in any::<u32>(),
        framings in prop::collection::vec((0usize..3, 0usize..4, 0usize..900, prop::bool::ANY, any::<u8>()), 1..8),
        wide in any::<(u128, u128)>(),
    ) {
        let steering = Steering::new(workers);
        let (source, destination) = addresses;
        let home = steering.worker_of(&v4(source, destination, TCP, ports, Framing::default())).unwrap();
        prop_assert!(home < workers);
        for (vlan_tags, ip_options, payload, may_not_fragment, ttl) in framings {
            let flags_and_offset = if may_not_fragment { 0x4000 } else { 0 };
            let framing = Framing { vlan_tags, ip_options, payload, flags_and_offset, ttl };
            let frame = v4(source, destination, TCP, ports, framing);
            prop_assert_eq!(steering.clone().worker_of(&frame), Some(home));
        }
        let home = steering.worker_of(&v6(wide.0, wide.1, TCP, ports, 0)).unwrap();
        // Extension headers are walked by the parser, which refuses addresses that nobody may send.
        let is_parsed = headers::parse(&v6(wide.0, wide.1, TCP, ports, 1), PortFilter::ANY).is_ok();
        if is_parsed {
            for extensions in [1, 2, 4] {
                let frame = v6(wide.0, wide.1, TCP, ports, extensions);
                prop_assert_eq!(steering.worker_of(&frame), Some(home));
            }
        }
    }

    /// An error that quotes what a backend sent, eight bytes of the transport header, goes where the client's packets go.
    #[test]
    fn an_error_goes_where_its_flow_is(
        addresses in any::<(u32, u32)>(),
        wide in any::<(u128, u128)>(),
        ports in any::<u32>(),
        router in any::<u32>(),
        kind in prop_oneof![Just(3u8), Just(11), Just(12)],
    ) {
        let steering = Steering::new(8);
        let back = ports.rotate_left(16);
        let home = steering.worker_of(&v4(addresses.0, addresses.1, TCP, ports, Framing::default()));
        let quote = v4(addresses.1, addresses.0, TCP, back, Framing::default())[14..42].to_vec();
        let mut error = v4(router, addresses.1, 1, 0, Framing::default());
        error.truncate(34);
        error.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        error.extend(quote);
        prop_assert_eq!(steering.worker_of(&error), home);

        let home = steering.worker_of(&v6(wide.0, wide.1, UDP, ports, 0));
        let quote = v6(wide.1, wide.0, UDP, back, 0)[14..62].to_vec();
        let mut error = v6(router.into(), wide.1, 58, 0, 0);
        error.truncate(54);
        error.extend([if kind == 12 { 2 } else { 1 }, 0, 0, 0, 0, 0, 0, 0]);
        error.extend(quote);
        prop_assert_eq!(steering.worker_of(&error), home);
    }

    #[test]
    fn fragments_of_a_datagram_stay_together(addresses in any::<(u32, u32)>(), ports in any::<[u32; 4]>()) {
        let steering = Steering::new(8);
        // First (More Fragments), middle and last; what lies where the ports would be differs.
        let fragments = [0x2000, 0x2010, 0x0020, 0x6030].iter().zip(ports).map(|(&flags_and_offset, ports)| {
            let framing = Framing { flags_and_offset, ..Framing::default() };
            steering.worker_of(&v4(addresses.0, addresses.1, UDP, ports, framing)).unwrap()
        });
        let workers: std::collections::HashSet<_> = fragments.collect();
        prop_assert_eq!(workers.len(), 1);
    }

    #[test]
    fn no_frame_is_too_odd(frame in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..120) {
        let steering = Steering::new(3);
        prop_assert!(steering.worker_of(&frame).is_none_or(|worker| worker < 3));
        let mut whole = v6(1 << 125, 2 << 125, 60, 7, 3);
        whole.truncate(cut);
        prop_assert!(steering.worker_of(&whole).is_none_or(|worker| worker < 3));
    }
}

#[test]
fn frames_without_ip_addresses_stay_where_they_are() {
    let steering = Steering::new(4);
    for ethertype in [[8, 6], [0x88, 0xcc], [0x81, 0]] {
        let mut frame = ethernet(0, ethertype);
        frame.resize(60, 0);
        assert_eq!(steering.worker_of(&frame), None, "{ethertype:x?}");
    }
    assert_eq!(steering.worker_of(&v4(1, 2, TCP, 3, Framing { vlan_tags: 3, ..Framing::default() })), None);
    assert_eq!(steering.worker_of(&[0; 13]), None);
    assert_eq!(steering.worker_of(&v4(1, 2, TCP, 3, Framing::default())[..33]), None, "a header cut short");
}

#[test]
fn packets_without_ports_go_by_their_addresses() {
    let steering = Steering::new(8);
    for pair in 0..64 {
        let of = |ports| steering.worker_of(&v4(pair, 9, 1, ports, Framing::default()));
        assert_eq!(of(1), of(0x0800_abcd), "ICMP has no ports");
    }
}

/// Chi-square of flows over workers, against a quantile by Wilson and Hilferty: five of the standard normal, for
/// the key is new in every run, and one run in 100,000 may fail.
fn is_uniform(counts: &[u32]) -> bool {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    let freedom = counts.len() as f64 - 1.0;
    let part = 2.0 / (9.0 * freedom);
    let limit = freedom * (1.0 - part + 5.0 * part.sqrt()).powi(3);
    counts.iter().map(square).sum::<f64>() < limit
}

/// What tells flows apart, and the frame of flow number n.
type Family<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>);

#[test]
fn flows_are_spread_evenly_whatever_tells_them_apart() {
    const FLOWS: u32 = 40_000;
    for workers in [2usize, 3, 5, 8, 16] {
        let steering = Steering::new(workers);
        let families: [Family<'_>; 5] = [
            ("source ports", &|n| v4(0xc633_6407, 0xcb00_710a, TCP, n << 16 | 80, Framing::default())),
            ("destination ports", &|n| v4(0xc633_6407, 0xcb00_710a, UDP, 5000 << 16 | n, Framing::default())),
            ("IPv4 sources", &|n| v4(0x0a00_0000 + n, 0xcb00_710a, TCP, 80, Framing::default())),
            ("IPv6 sources", &|n| v6(0x2001 << 112 | u128::from(n), 7, TCP, 80, 0)),
            ("IPv6 networks", &|n| v6(0x2001 << 112 | u128::from(n) << 64, 7, TCP, 80, 0)),
        ];
        for (name, frame) in families {
            let mut counts = vec![0; workers];
            (0..FLOWS).for_each(|n| counts[steering.worker_of(&frame(n)).unwrap()] += 1);
            assert!(is_uniform(&counts), "{name} over {workers}: {counts:?}");
        }
    }
    assert!(!is_uniform(&[20_700, 19_300]), "the test tells 2 % from nothing");
}

#[test]
fn two_processes_spread_differently() {
    let worker = |steering: &Steering, n| steering.worker_of(&v4(n, 1, TCP, 80, Framing::default()));
    let (one, other) = (Steering::new(8), Steering::new(8));
    let same = (0..4_000).filter(|n| worker(&one, *n) == worker(&other, *n)).count();
    assert!((200..1_500).contains(&same), "{same} of 4000 alike; 500 are expected of independent keys");
}
