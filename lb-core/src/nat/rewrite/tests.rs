//! Every packet that leaves is right by an independent reading of all of it; there and back is where it began.

use super::*;
use crate::headers::{PortFilter, parse};
use crate::nat::proved::read;
use crate::packet::Frame;
use crate::sample::{ACK, SYN, Sample, Transport, any_sample};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::Ipv4Packet;
use proptest::prelude::*;

const MACS: [u8; 12] = [2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2];

fn changed(sample: &Sample, change: &Change<'_>) -> Result<Vec<u8>, DropReason> {
    let frame = sample.frame();
    let (headers, _) = parse(&frame, PortFilter::ANY).unwrap();
    let mut packet = Frame::new(&frame);
    apply(&mut packet, &headers, change).map(|()| packet.frame().to_vec())
}

fn tuple_of(sample: &Sample) -> Tuple {
    Tuple::of(&parse(&sample.frame(), PortFilter::ANY).unwrap().1)
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    let parts = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<(u16, u16)>(), any::<bool>());
    parts.prop_map(|(mut source, mut destination, ports, is_v6)| {
        if !is_v6 {
            source[4..].fill(0);
            destination[4..].fill(0);
        }
        let (source_port, destination_port) = ports;
        Tuple { source, destination, source_port, destination_port, protocol: 0, is_v6 }
    })
}

/// Samples that may be translated: authenticated headers and open source routes are refused.
fn translatable(sample: &Sample) -> bool {
    use crate::sample::Extension::{Authentication, Routing};
    let hides_the_end = sample.extensions.iter().any(|one| matches!(one, Authentication | Routing(_, 1..)));
    let has_no_checksum = sample.is_v6() && sample.transport == Transport::UdpUnchecked;
    !hides_the_end && !has_no_checksum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// All four pairs of families, TCP and UDP: the result is right as a whole, nothing but what is meant has changed,
    /// and the way back leads to the addresses, ports and checksum of the beginning.
    #[test]
    fn there_and_back(sample in any_sample(), to in any_tuple()) {
        prop_assume!(translatable(&sample));
        let l3 = 14 + 4 * sample.tags.len();
        let before = read(&sample.frame(), l3);
        let to = Tuple { protocol: sample.protocol(), ..to };
        let there = changed(&sample, &Change::plain(&to, MACS, u16::MAX)).unwrap();
        prop_assert_eq!(&there[..12], &MACS[..]);
        prop_assert_eq!(&there[12..l3 - 2], &sample.frame()[12..l3 - 2], "VLAN tags stay");
        let read_there = read(&there, l3);
        prop_assert_eq!(read_there.tuple, to);
        prop_assert_eq!((read_there.tos, read_there.ttl), (before.tos, before.ttl - 1));
        let field = if sample.protocol() == 6 { 16..18 } else { 6..8 };
        for at in (4..before.segment.len()).filter(|at| !field.contains(at)) {
            prop_assert_eq!(before.segment[at], read_there.segment[at]);
        }

        prop_assume!(read_there.ttl > 1);
        let (headers, _) = parse(&there, PortFilter::ANY).unwrap();
        let mut packet = Frame::new(&there);
        apply(&mut packet, &headers, &Change::plain(&tuple_of(&sample), MACS, u16::MAX)).unwrap();
        let back = read(packet.frame(), l3);
        prop_assert_eq!(back.tuple, before.tuple);
        // A zero checksum that had to be computed on the way to IPv6 stays.
        let is_filled = sample.transport == Transport::UdpUnchecked && to.is_v6;
        if !is_filled {
            prop_assert_eq!(back.segment, before.segment);
        }
    }

    /// The client's address goes into the TCP header or in front of the payload, and every sum follows.
    #[test]
    fn insertions_are_counted(
        mut sample in any_sample(), to in any_tuple(), is_proxy in any::<bool>(), flags in any::<u8>(),
    ) {
        sample.transport = Transport::Tcp(flags);
        prop_assume!(translatable(&sample));
        let l3 = 14 + 4 * sample.tags.len();
        let client = tuple_of(&sample);
        let to = Tuple { protocol: 6, ..to };
        let insert = if is_proxy { Insertion::proxy(&client) } else { Insertion::toa(&client) };
        let frame = changed(&sample, &Change { insert, ..Change::plain(&to, MACS, u16::MAX) }).unwrap();
        let (before, after) = (read(&sample.frame(), l3), read(&frame, l3));
        let len = insert.len();
        prop_assert_eq!(after.segment.len(), before.segment.len() + len);
        prop_assert_eq!(&after.segment[20..20 + len], &insert.bytes[..len]);
        prop_assert_eq!(&after.segment[20 + len..], &before.segment[20..], "what was there is behind it");
        let words = if is_proxy { 5 } else { 5 + len as u8 / 4 };
        prop_assert_eq!(after.segment[12] >> 4, words, "data offset");
    }

    /// Acknowledgement and SACK blocks are shifted wherever the option begins, odd places included.
    #[test]
    fn acknowledgements_are_mapped(
        lead in 0usize..4, blocks in prop::collection::vec(any::<(u32, u32)>(), 0..=4), shift in any::<u32>(),
    ) {
        let mut sample = Sample::tcp("10.0.0.1:80", "198.51.100.7:4000", ACK);
        sample.fragment = 0x4000;
        let mut options = vec![OPTION_NOP; lead];
        if !blocks.is_empty() {
            options.extend([OPTION_SACK, 2 + 8 * blocks.len() as u8]);
            options.extend(blocks.iter().flat_map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()]).flatten());
        }
        options.resize(options.len().next_multiple_of(4), OPTION_END);
        prop_assume!(options.len() <= 40);
        let mut frame = with_options(&sample, &options);
        let before = read(&frame, 14);
        let (headers, _) = parse(&frame, PortFilter::ANY).unwrap();
        map_acknowledgement(&mut frame, &headers, |number| number.wrapping_sub(shift)).unwrap();
        let after = read(&frame, 14);
        let number = |segment: &[u8], at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
        prop_assert_eq!(number(&after.segment, 8), number(&before.segment, 8).wrapping_sub(shift));
        let is_degenerate = blocks.iter().any(|(a, b)| a == b);
        for (index, (left, right)) in blocks.iter().enumerate() {
            let at = 20 + lead + 2 + 8 * index;
            if is_degenerate {
                prop_assert_eq!(&after.segment[at..at + 8], &[OPTION_NOP; 8][..]);
            } else {
                prop_assert_eq!(number(&after.segment, at), left.wrapping_sub(shift));
                prop_assert_eq!(number(&after.segment, at + 4), right.wrapping_sub(shift));
            }
        }
    }
}

/// A frame of `sample` with TCP options and no payload, its checksums made anew by pnet.
fn with_options(sample: &Sample, options: &[u8]) -> Vec<u8> {
    let mut frame = sample.clone().with(|sample| sample.payload = options.to_vec()).frame();
    frame[14 + 20 + 12] = ((5 + options.len() / 4) as u8) << 4;
    frame[14 + 20 + 8..14 + 20 + 12].copy_from_slice(&0x5000_0000u32.to_be_bytes());
    frame[14 + 20 + 16..14 + 20 + 18].fill(0);
    let (source, destination) = match (sample.from.ip(), sample.to.ip()) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => (from, to),
        _ => panic!("IPv4"),
    };
    let sum = pnet_packet::util::ipv4_checksum(
        &frame[34..],
        8,
        &[],
        &source,
        &destination,
        IpNextHeaderProtocol(6),
    );
    frame[14 + 20 + 16..14 + 20 + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn other(sample: &Sample) -> Tuple {
    let mut to = tuple_of(sample).reversed();
    to.source_port ^= 0x5555;
    to
}

#[test]
fn a_zero_udp_checksum_stays_zero_and_a_computed_zero_is_sent_as_ones() {
    let sample = Sample::udp("198.51.100.7:4000", "203.0.113.53:53")
        .with(|sample| sample.transport = Transport::UdpUnchecked);
    let frame = changed(&sample, &Change::plain(&other(&sample), MACS, u16::MAX)).unwrap();
    assert_eq!(frame[14 + 20 + 6..14 + 20 + 8], [0, 0], "RFC 768, and the fault of VPP's NAT");

    // A port that makes the sum come out as zero.
    let sample = Sample::udp("198.51.100.7:4000", "203.0.113.53:53");
    let mut to = other(&sample);
    to.source_port = 0;
    let before = changed(&sample, &Change::plain(&to, MACS, u16::MAX)).unwrap();
    to.source_port = u16::from_be_bytes([before[14 + 20 + 6], before[14 + 20 + 7]]);
    let frame = changed(&sample, &Change::plain(&to, MACS, u16::MAX)).unwrap();
    assert_eq!(frame[14 + 20 + 6..14 + 20 + 8], [0xff, 0xff], "RFC 768");
    read(&frame, 14);
}

#[test]
fn udp_to_another_port_keeps_a_right_checksum() {
    // A13: "NAT4/NAT6 UDP with a target port other than the VIP's: wrong checksum" (vpp lb).
    for (from, to) in
        [("198.51.100.7:4000", "203.0.113.53:53"), ("[2001:db8::7]:4000", "[2001:db8:cafe::53]:53")]
    {
        let sample = Sample::udp(from, to);
        let mut to = tuple_of(&sample);
        to.destination_port = 5353;
        let frame = changed(&sample, &Change::plain(&to, MACS, u16::MAX)).unwrap();
        assert_eq!(read(&frame, 14).tuple.destination_port, 5353);
    }
}

#[test]
fn nat64_headers_follow_rfc7915() {
    let v4 = tuple_of(&Sample::tcp("198.51.100.11:3000", "10.0.0.1:80", SYN));
    let sized = |len: usize| {
        Sample::tcp("[2001:db8::7]:4000", "[2001:db8:cafe::10]:80", ACK).with(|sample| {
            sample.payload = vec![7; len];
            sample.tos = 0xb9;
        })
    };
    let change = Change { identification: 0x4242, ..Change::plain(&v4, MACS, 1500) };
    let small = changed(&sized(10), &change).unwrap();
    let ip = Ipv4Packet::new(&small[14..]).unwrap();
    assert_eq!((ip.get_flags(), ip.get_identification(), ip.get_total_length()), (0, 0x4242, 50));
    assert_eq!((ip.get_dscp(), ip.get_ecn(), ip.get_ttl()), (0xb9 >> 2, 1, 63));
    assert_eq!(small.len(), 64);
    let edge = changed(&sized(1260 - 40), &change).unwrap();
    assert_eq!(Ipv4Packet::new(&edge[14..]).unwrap().get_flags(), 0, "1,260 bytes may be cut");
    let large = changed(&sized(1261 - 40), &change).unwrap();
    assert_eq!(Ipv4Packet::new(&large[14..]).unwrap().get_flags(), 2, "DF above 1,260 bytes");
    // The other way a packet grows by 20 bytes, and the limit is that of the result.
    let v6 = tuple_of(&sized(1)).reversed();
    let full = Sample::tcp("10.0.0.1:80", "198.51.100.11:3000", ACK).with(|one| one.payload = vec![1; 1440]);
    assert_eq!(changed(&full, &Change::plain(&v6, MACS, 1500)).unwrap().len(), 1514);
    assert_eq!(changed(&full, &Change::plain(&v6, MACS, 1499)), Err(DropReason::MtuExceeded));
}

#[test]
fn short_frames_are_filled_with_zeroes() {
    let sample = Sample::tcp("[2001:db8::7]:4000", "[2001:db8:cafe::10]:80", ACK).with(|one| {
        one.payload.clear();
        one.padding = 9;
    });
    let v4 = tuple_of(&Sample::tcp("198.51.100.11:3000", "10.0.0.1:80", ACK));
    let frame = changed(&sample, &Change::plain(&v4, MACS, 1500)).unwrap();
    assert_eq!((frame.len(), &frame[54..]), (60, &[0; 6][..]));
}

#[test]
fn source_routes_and_authenticated_headers_are_refused() {
    use crate::sample::Extension;
    let refused = |sample: &Sample| changed(sample, &Change::plain(&other(sample), MACS, 1500));
    let v4 = Sample::tcp("198.51.100.7:4000", "203.0.113.10:80", ACK);
    for kind in [131, 137] {
        let routed = v4.clone().with(|one| one.options = vec![1, kind, 7, 4, 10, 0, 0, 9]);
        assert_eq!(refused(&routed), Err(DropReason::Unsupported));
    }
    let v6 = Sample::tcp("[2001:db8::7]:4000", "[2001:db8:cafe::10]:80", ACK);
    for extension in [Extension::Authentication, Extension::Routing(2, 1)] {
        let extended = v6.clone().with(|one| one.extensions = vec![Extension::HopByHop(0), extension]);
        assert_eq!(refused(&extended), Err(DropReason::Unsupported), "{extension:?}");
    }
    assert!(refused(&v6.with(|one| one.extensions = vec![Extension::Routing(2, 0)])).is_ok());
}

#[test]
fn mss_only_falls_and_options_without_room_are_left_out() {
    let sample = Sample::tcp("10.0.0.1:80", "198.51.100.7:4000", SYN | ACK);
    let frame = with_options(&sample, &[OPTION_MSS, 4, 0x05, 0xb4]);
    let (headers, _) = parse(&frame, PortFilter::ANY).unwrap();
    let to = other(&sample);
    let mut packet = Frame::new(&frame);
    let change = Change { mss_less: 28, ..Change::plain(&to, MACS, 1500) };
    apply(&mut packet, &headers, &change).unwrap();
    assert_eq!(read(packet.frame(), 14).segment[20..24], [OPTION_MSS, 4, 0x05, 0x98], "1460 - 28");

    let insert = Insertion::toa(&to);
    let full = with_options(&sample, &[OPTION_NOP; 36]);
    let (headers, _) = parse(&full, PortFilter::ANY).unwrap();
    let change = Change { insert, ..Change::plain(&to, MACS, 1500) };
    assert!(!has_room(&full, &headers, &change), "60 bytes of TCP header are full");
    assert!(has_room(&frame, &headers_of(&frame), &change));
    assert!(!has_room(&frame, &headers_of(&frame), &Change { mtu: 44 + 7, ..change }));
    assert!(has_room(&frame, &headers_of(&frame), &Change { mtu: 44 + 8, ..change }));
}

fn headers_of(frame: &[u8]) -> Headers {
    parse(frame, PortFilter::ANY).unwrap().0
}
