//! The header edits, read back by pnet_packet: every mode with either family inside.
//!
//! `opened` is the other end of the tunnel and checks what every packet owes the RFCs; `properties` holds
//! for any packet; the sentences here are the cases that somebody once got wrong.

mod composed;
mod faults;
mod opened;
mod properties;

use super::*;
use crate::flow::FlowKey;
use crate::hash::FlowHasher;
use crate::headers::{PortFilter, parse};
use crate::sample::{ACK, Extension, ROUTER_MAC, Sample, Transport};
use crate::spec::{BackendSpec, BackendState, Egress, GueVariant, Mode};
use opened::{Opened, open, open_from};
use std::collections::HashSet;
use std::net::IpAddr;

const BACKEND_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
const PORT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
const INNER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x77];
const VNI: u32 = 0x12_3456;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A backend of every kind of edit.
fn backends() -> Vec<BackendSpec> {
    let ends = [("192.0.2.1", "192.0.2.9"), ("2001:db8:aa::1", "2001:db8:bb::9")];
    let mut backends = Vec::new();
    for (source, to) in ends.map(|(source, to)| (address(source), address(to))) {
        for mode in [
            Mode::Ipip { source },
            Mode::Gue { source, port: 6080, variant: GueVariant::Header },
            Mode::Gue { source, port: 6080, variant: GueVariant::Direct },
            Mode::Vxlan { source, port: 4789, vni: VNI, inner_mac: INNER_MAC },
            Mode::L2Dsr,
        ] {
            let egress = Egress { port: 0, mtu: 1500, source_mac: PORT_MAC, next_hop_mac: BACKEND_MAC };
            backends.push(BackendSpec { address: to, weight: 1, state: BackendState::Active, egress, mode });
        }
    }
    backends
}

fn backend_of(kind: Kind) -> BackendSpec {
    backends().into_iter().find(|backend| Record::new(backend).kind == kind).unwrap()
}

/// A buffer that spoils every byte that comes into the frame, as the contract of [`Packet`] allows.
#[derive(Clone, Debug)]
struct Spoiler {
    buffer: Vec<u8>,
    start: usize,
    len: usize,
}

impl Spoiler {
    fn new(frame: &[u8], headroom_len: usize) -> Self {
        let mut buffer = vec![0xee; headroom_len];
        buffer.extend(frame);
        Self { buffer, start: headroom_len, len: frame.len() }
    }
}

impl Packet for Spoiler {
    fn frame(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }

    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        let start = self.start.checked_add_signed(-grow)?;
        if start + len > self.buffer.len() {
            return None;
        }
        let before = self.start..self.start + self.len;
        for at in (start..start + len).filter(|at| !before.contains(at)) {
            self.buffer[at] = 0xee;
        }
        (self.start, self.len) = (start, len);
        Some(self.frame_mut())
    }
}

fn parsed(frame: &[u8]) -> (Headers, FlowHash) {
    let (headers, key): (Headers, FlowKey) = parse(frame, PortFilter::ANY).unwrap();
    (headers, FlowHasher::new(1).hash_portable(&key))
}

/// What leaves toward a backend.
fn edited(sample: &Sample, backend: &BackendSpec) -> Vec<u8> {
    let frame = sample.frame();
    let (headers, hash) = parsed(&frame);
    let mut packet = Spoiler::new(&frame, 128);
    let (record, tail) = (Record::new(backend), RecordTail::new(backend));
    apply(&mut packet, &headers, hash, &record, &tail).unwrap();
    packet.frame().to_vec()
}

/// What arrives at a backend, and the kind of its record.
fn delivered(sample: &Sample, backend: &BackendSpec) -> (Kind, Opened) {
    let kind = Record::new(backend).kind;
    (kind, open_from(backend, &edited(sample, backend)))
}

/// The client's datagram one hop later, built anew.
fn one_hop_later(sample: &Sample) -> Vec<u8> {
    sample.clone().with(|one| one.ttl -= 1).datagram()
}

fn tcp4() -> Sample {
    Sample::tcp("198.51.100.7:40000", "203.0.113.10:443", ACK)
}

fn tcp6() -> Sample {
    Sample::tcp("[2001:db8::7]:40000", "[2001:db8:cafe::10]:443", ACK)
}

#[test]
fn every_mode_carries_either_family() {
    for backend in backends() {
        for (sample, protocol, ethertype) in [(tcp4(), 4, [0x08, 0x00]), (tcp6(), 41, [0x86, 0xdd])] {
            let (kind, opened) = delivered(&sample, &backend);
            let sentence = format!("{kind:?}, {} inside", sample.to);
            assert_eq!(
                opened.inner,
                one_hop_later(&sample),
                "{sentence}: the datagram with its TTL one lower"
            );
            assert_eq!((opened.destination_mac, opened.source_mac), (BACKEND_MAC, PORT_MAC), "{sentence}");
            assert!(opened.tags.is_empty(), "{sentence}");
            let vxlan = [&[8, 0, 0, 0, 0x12, 0x34, 0x56, 0][..], &INNER_MAC, &PORT_MAC, &ethertype].concat();
            let (shim, outer_protocol, port) = match kind {
                Kind::Ipip4 | Kind::Ipip6 => (vec![], Some(protocol), None),
                Kind::Gue4 | Kind::Gue6 => (vec![0, protocol, 0, 0], Some(17), Some(6080)),
                Kind::GueDirect4 | Kind::GueDirect6 => (vec![], Some(17), Some(6080)),
                Kind::Vxlan4 | Kind::Vxlan6 => (vxlan, Some(17), Some(4789)),
                Kind::L2Dsr => (vec![], None, None),
                Kind::Composed => unreachable!("in a file of its own"),
            };
            assert_eq!(opened.shim, shim, "{sentence}");
            assert_eq!(opened.outer.map(|outer| outer.protocol), outer_protocol, "{sentence}");
            assert_eq!(opened.ports.map(|(_, destination)| destination), port, "{sentence}");
            if let Some(outer) = opened.outer {
                assert_eq!((Some(outer.source), outer.destination), (backend.mode.source(), backend.address));
                assert_eq!(outer.ttl, 64, "{sentence}");
            }
        }
    }
}

#[test]
fn dscp_and_ecn_are_seen_from_outside() {
    for backend in backends() {
        for tos in [0x00, 0x01, 0x02, 0x03, 0xb8, 0xbb, 0xff] {
            for sample in [tcp4(), tcp6()] {
                let sample = sample.with(|one| one.tos = tos);
                let (kind, opened) = delivered(&sample, &backend);
                assert!(
                    opened.outer.is_none_or(|outer| outer.tos == tos),
                    "{kind:?}: {tos:#x} became {opened:?}"
                );
                assert_eq!(opened.inner, one_hop_later(&sample), "{kind:?}: and stays inside");
            }
        }
    }
}

#[test]
fn ethernet_padding_does_not_travel_through_a_tunnel() {
    for backend in backends() {
        let sample = tcp4().with(|one| (one.payload.clear(), one.padding = 6).1);
        assert_eq!(sample.frame().len(), 60);
        let (kind, opened) = delivered(&sample, &backend);
        // A frame that keeps its length must keep its padding: 60 bytes are the least (IEEE 802.3).
        let padding = if kind == Kind::L2Dsr { vec![0x5a; 6] } else { vec![] };
        assert_eq!(opened.inner, [one_hop_later(&sample), padding].concat(), "{kind:?}");
    }
}

#[test]
fn vlan_tags_are_kept_in_order() {
    let one = vec![(0x8100, 0x2064)];
    let two = vec![(0x88a8, 0x0065), (0x8100, 0xe0c8)];
    for backend in backends() {
        for tags in [&one, &two] {
            for sample in [tcp4(), tcp6(), tcp4().with(|one| one.padding = 9)] {
                let sample = sample.with(|one| one.tags = tags.clone());
                let (kind, opened) = delivered(&sample, &backend);
                assert_eq!(&opened.tags, tags, "{kind:?}");
                let datagram = one_hop_later(&sample);
                assert_eq!(opened.inner[..datagram.len()], datagram, "{kind:?}, {tags:x?}");
                assert!(kind == Kind::L2Dsr || opened.inner.len() == datagram.len(), "{kind:?}: padding");
                assert_eq!((opened.destination_mac, opened.source_mac), (BACKEND_MAC, PORT_MAC), "{kind:?}");
            }
        }
    }
}

/// The outer UDP checksum over IPv6 comes without a look at the payload. Here is what such a short cut gets
/// wrong; `open` compares with the sum over everything.
#[test]
fn the_udp_checksum_over_ipv6_is_right_whatever_is_inside() {
    let udp4 = || Sample::udp("198.51.100.7:53", "203.0.113.10:53");
    let udp6 = || Sample::udp("[2001:db8::7]:53", "[2001:db8:cafe::10]:53");
    let behind = |extension: Extension| tcp6().with(|one| one.extensions = vec![extension]);
    let table: &[(&str, Sample)] = &[
        ("TCP in IPv4", tcp4()),
        ("TCP in IPv6", tcp6()),
        ("UDP in IPv4", udp4()),
        ("UDP in IPv6", udp6()),
        ("an odd number of bytes of TCP in IPv4", tcp4().with(|one| one.payload = vec![0xff; 7])),
        ("an odd number of bytes of UDP in IPv6", udp6().with(|one| one.payload = vec![0xff; 7])),
        ("nothing but a UDP header", udp4().with(|one| one.payload.clear())),
        ("UDP without checksum in IPv4", udp4().with(|one| one.transport = Transport::UdpUnchecked)),
        (
            "UDP without checksum in IPv6 (RFC 6935)",
            udp6().with(|one| one.transport = Transport::UdpUnchecked),
        ),
        ("UDP options in IPv4 (RFC 9868)", udp4().with(|one| one.transport = Transport::UdpSurplus(5))),
        ("UDP options in IPv6 (RFC 9868)", udp6().with(|one| one.transport = Transport::UdpSurplus(12))),
        ("IPv4 options", tcp4().with(|one| one.options = vec![1; 12])),
        ("IPv4 options and UDP without checksum", {
            udp4().with(|one| (one.options = vec![1; 4], one.transport = Transport::UdpUnchecked).1)
        }),
        ("hop-by-hop options", behind(Extension::HopByHop(1))),
        ("destination options", behind(Extension::Destination(0))),
        ("a routing header", behind(Extension::Routing(4, 2))),
        ("an authentication header", behind(Extension::Authentication)),
        ("an atomic fragment", behind(Extension::Fragment(0, false))),
        ("a full-sized segment", tcp4().with(|one| one.payload = vec![0xfe; 1380])),
        ("TTL 2", tcp4().with(|one| one.ttl = 2)),
        ("hop limit 255", tcp6().with(|one| one.ttl = 255)),
    ];
    for kind in [Kind::Gue6, Kind::GueDirect6, Kind::Vxlan6] {
        for (sentence, sample) in table {
            let (headers, _) = parsed(&sample.frame());
            assert_eq!(usize::from(headers.ip_len), sample.datagram().len(), "{sentence}");
            println!("{kind:?}: {sentence}");
            let (_, opened) = delivered(sample, &backend_of(kind));
            assert_eq!(opened.inner, one_hop_later(sample), "{kind:?}: {sentence}");
        }
    }
}

/// The checksum of a source-routed segment covers its last destination, not the one in the header.
#[test]
fn the_udp_checksum_over_ipv6_is_right_for_a_source_route() {
    let mut frame = Sample::tcp("198.51.100.7:40000", "203.0.113.99:443", ACK)
        .with(|one| one.options = vec![131, 7, 4, 203, 0, 113, 99, 0])
        .frame();
    frame[30..34].copy_from_slice(&[203, 0, 113, 10]);
    let checksum = pnet_packet::ipv4::checksum(&pnet_packet::ipv4::Ipv4Packet::new(&frame[14..]).unwrap());
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    let (headers, hash) = parsed(&frame);
    let backend = backend_of(Kind::GueDirect6);
    let mut packet = Spoiler::new(&frame, 128);
    apply(&mut packet, &headers, hash, &Record::new(&backend), &RecordTail::new(&backend)).unwrap();
    assert_eq!(open(Kind::GueDirect6, packet.frame()).inner.len(), frame.len() - 14);
}

#[test]
fn a_computed_udp_checksum_of_zero_is_sent_as_all_ones() {
    let frame = tcp4().frame();
    let (headers, hash) = parsed(&frame);
    let backend = backend_of(Kind::GueDirect6);
    let mut record = Record::new(&backend);
    let send = |record: &Record| {
        let mut packet = Spoiler::new(&frame, 128);
        apply(&mut packet, &headers, hash, record, &RecordTail::new(&backend)).unwrap();
        packet.frame().to_vec()
    };
    let sent = send(&record);
    let checksum = u16::from_be_bytes([sent[60], sent[61]]);
    // A port that is larger by the checksum takes the sum to all ones, whose complement is zero.
    record.udp_port = checksum::fold(u64::from(record.udp_port) + u64::from(checksum));
    let sent = send(&record);
    assert_eq!(sent[60..62], [0xff, 0xff]);
    open(Kind::GueDirect6, &sent);
}

/// The far end must not be told that a damaged segment is sound.
#[test]
fn a_wrong_checksum_of_the_client_makes_ours_wrong_too() {
    for sample in [tcp4(), tcp6()] {
        let mut frame = sample.frame();
        let (headers, hash) = parsed(&frame);
        let last = frame.len() - 1;
        frame[last] ^= 0x40;
        let backend = backend_of(Kind::Gue6);
        let mut packet = Spoiler::new(&frame, 128);
        apply(&mut packet, &headers, hash, &Record::new(&backend), &RecordTail::new(&backend)).unwrap();
        assert!(!opened::udp6_checksum_is_right(packet.frame(), 14), "{}", sample.to);
    }
}

#[test]
fn entropy_is_constant_for_a_flow_and_spread_over_flows() {
    for backend in backends() {
        let (mut ports, mut labels) = (HashSet::new(), HashSet::new());
        let kind = Record::new(&backend).kind;
        for client in 1024..3024 {
            let first = Sample::tcp(&format!("198.51.100.7:{client}"), "203.0.113.10:443", ACK);
            let later = first.clone().with(|one| {
                (one.transport, one.tos, one.ttl) = (Transport::Tcp(0x11), 3, 9);
                (one.payload, one.options, one.fragment) = (vec![1; 99], vec![1; 8], 0);
            });
            let seen = |sample: &Sample| {
                let (_, opened) = delivered(sample, &backend);
                (opened.ports.map(|(source, _)| source), opened.outer.and_then(|outer| outer.label))
            };
            assert_eq!(seen(&first), seen(&later), "{kind:?}: packets of one flow");
            ports.extend(seen(&first).0);
            labels.extend(seen(&first).1);
        }
        assert!(ports.iter().all(|port| *port >= 49_152), "{kind:?}");
        // 2,000 flows into 16,384 ports and 2^20 labels: 1,883 and 1,998 different ones on average.
        assert!(ports.is_empty() || ports.len() > 1_800, "{kind:?}: {} ports", ports.len());
        assert!(labels.is_empty() || labels.len() > 1_980, "{kind:?}: {} labels", labels.len());
        assert_eq!(labels.is_empty(), matches!(kind, Kind::L2Dsr) || backend.address.is_ipv4(), "{kind:?}");
    }
}

#[test]
fn a_flow_label_is_never_zero() {
    let frame = tcp6().frame();
    let (headers, _) = parsed(&frame);
    for kind in [Kind::Ipip6, Kind::Gue6] {
        let backend = backend_of(kind);
        let mut packet = Spoiler::new(&frame, 128);
        let hash = FlowHash { tag: 5, spread: 0xffff_ffff_0000_0000 };
        apply(&mut packet, &headers, hash, &Record::new(&backend), &RecordTail::new(&backend)).unwrap();
        assert_eq!(open(kind, packet.frame()).outer.unwrap().label, Some(1), "{kind:?}");
    }
}

#[test]
fn without_headroom_a_packet_is_refused_untouched() {
    let tagged = |count| tcp4().with(|one| one.tags = vec![(0x8100, 7); count]);
    for backend in backends() {
        for sample in [tcp4(), tcp6(), tagged(1), tagged(2)] {
            let record = Record::new(&backend);
            let needed = record.kind.header_len() - ETHERNET_LEN;
            let frame = sample.frame();
            let (headers, hash) = parsed(&frame);
            for headroom in 0..=needed {
                let mut packet = Spoiler::new(&frame, headroom);
                let done = apply(&mut packet, &headers, hash, &record, &RecordTail::new(&backend));
                if headroom < needed {
                    assert_eq!(done, Err(DropReason::NoHeadroom), "{:?} in {headroom} bytes", record.kind);
                    assert_eq!(packet.frame(), frame, "{:?}: a refusal changes nothing", record.kind);
                } else {
                    assert_eq!(done, Ok(()), "{:?} in {headroom} bytes", record.kind);
                }
            }
        }
    }
}

#[test]
fn l2dsr_changes_the_addresses_and_the_ttl_and_nothing_else() {
    let sample = tcp4().with(|one| (one.tags = vec![(0x88a8, 1), (0x8100, 2)], one.padding = 3).1);
    let sent = edited(&sample, &backend_of(Kind::L2Dsr));
    let mut expected = sample.clone().with(|one| one.ttl -= 1).frame();
    assert_eq!(expected[6..12], ROUTER_MAC);
    expected[..6].copy_from_slice(&BACKEND_MAC);
    expected[6..12].copy_from_slice(&PORT_MAC);
    assert_eq!(sent, expected);
}
