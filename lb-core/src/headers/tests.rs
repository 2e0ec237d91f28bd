//! The parsers against pnet_packet, against each other, and against everything that is not a flow.

use super::*;
use crate::hw::{self, Isa, Kernel, Level};
use crate::sample::{ACK, Extension, FIN, OUR_MAC, SYN, Sample, Transport, any_sample};
use crate::wire::{TCP_FIN, TCP_RST, TCP_SYN};
use pnet_packet::ethernet::EthernetPacket;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::{ExtensionPacket, FragmentPacket, Ipv6Packet};
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::vlan::VlanPacket;
use proptest::prelude::*;
use std::net::IpAddr;

/// The plain parsers on some instruction set, with the summary that the passes make of what they accept.
struct Quick<'a>(&'a [u8], PortFilter, bool);

impl Kernel for Quick<'_> {
    type Output = Option<Headers>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Option<Headers> {
        let Self(frame, filter, is_v6) = self;
        let shapes = plain::Shapes::new(isa, &filter);
        let (size, protocol) = if is_v6 {
            shapes.v6(frame).map(|(size, protocol, flow)| {
                assert_eq!(flow[..], frame[22..62]);
                (size, protocol)
            })?
        } else {
            shapes.v4(frame, false).map(|(size, protocol, block)| {
                assert_eq!(block[..], frame[26..42]);
                (size, protocol)
            })?
        };
        let headers = plain::headers(frame, is_v6);
        assert_eq!((size.ip_len(), protocol), (headers.ip_len, headers.protocol));
        let has_flags = headers.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) != 0;
        assert_eq!(size.exceeds(u16::MAX), has_flags, "flags stand above every length");
        assert!(!size.exceeds(headers.ip_len) || has_flags);
        assert!(size.exceeds(headers.ip_len - 1));
        let of_hit = plain::headers_of_hit(size, is_v6);
        let Headers { ip_len, l4_offset, l3_offset, .. } = headers;
        assert_eq!(of_hit, Headers { ip_len, l4_offset, l3_offset, is_v6, ..Headers::default() });
        Some(headers)
    }
}

fn quick_of(frame: &[u8], filter: PortFilter, is_v6: bool) -> Option<Headers> {
    let fast = hw::run(Level::detect(), Quick(frame, filter, is_v6));
    assert_eq!(fast, hw::run(Level::Portable, Quick(frame, filter, is_v6)), "all levels agree");
    fast
}

fn quick_v4(frame: &[u8], filter: PortFilter) -> Option<Headers> {
    quick_of(frame, filter, false)
}

fn quick_v6(frame: &[u8], filter: PortFilter) -> Option<Headers> {
    quick_of(frame, filter, true)
}

const OURS: PortFilter = PortFilter::new(OUR_MAC);
const V4: (&str, &str) = ("198.51.100.7:40000", "203.0.113.10:443");
const V6: (&str, &str) = ("[2001:db8::7]:40000", "[2001:db8:cafe::10]:443");

/// What pnet_packet reads from a frame that has a flow.
fn oracle(frame: &[u8]) -> (Headers, FlowKey) {
    let ethernet = EthernetPacket::new(frame).unwrap();
    let (mut ethertype, mut l3) = (ethernet.get_ethertype().0, 14);
    while ethertype == 0x8100 || ethertype == 0x88a8 {
        ethertype = VlanPacket::new(&frame[l3..]).unwrap().get_ethertype().0;
        l3 += 4;
    }
    let (addresses, ip_len, l4, protocol, ttl): ((IpAddr, IpAddr), _, _, _, _) = if ethertype == 0x0800 {
        let ip = Ipv4Packet::new(&frame[l3..]).unwrap();
        let l4 = l3 + 4 * usize::from(ip.get_header_length());
        let addresses = (ip.get_source().into(), ip.get_destination().into());
        (addresses, ip.get_total_length(), l4, ip.get_next_level_protocol().0, ip.get_ttl())
    } else {
        let ip = Ipv6Packet::new(&frame[l3..]).unwrap();
        let (mut next, mut l4) = (ip.get_next_header().0, l3 + 40);
        while let 0 | 43 | 44 | 51 | 60 = next {
            let extension = ExtensionPacket::new(&frame[l4..]).unwrap();
            l4 += match next {
                44 => FragmentPacket::minimum_packet_size(),
                51 => 4 * (usize::from(extension.get_hdr_ext_len()) + 2),
                _ => 8 * (usize::from(extension.get_hdr_ext_len()) + 1),
            };
            next = extension.get_next_header().0;
        }
        let addresses = (ip.get_source().into(), ip.get_destination().into());
        (addresses, ip.get_payload_length() + 40, l4, next, ip.get_hop_limit())
    };
    let (source_port, destination_port, tcp_flags) = if protocol == 6 {
        let tcp = TcpPacket::new(&frame[l4..]).unwrap();
        (tcp.get_source(), tcp.get_destination(), tcp.get_flags())
    } else if protocol == 17 || protocol == 132 {
        // The ports of SCTP lie where those of UDP do.
        let udp = UdpPacket::new(&frame[l4..]).unwrap();
        (udp.get_source(), udp.get_destination(), 0)
    } else {
        (0, 0, 0)
    };
    let (l4_offset, l3_offset, is_v6) = (l4 as u16, l3 as u8, ethertype == 0x86dd);
    let (source, destination) = addresses;
    (
        Headers { ip_len, l4_offset, l3_offset, protocol, tcp_flags, ttl, is_v6 },
        FlowKey { source, destination, source_port, destination_port, protocol },
    )
}

fn tcp4() -> Sample {
    Sample::tcp(V4.0, V4.1, ACK)
}

fn tcp6() -> Sample {
    Sample::tcp(V6.0, V6.1, ACK)
}

#[test]
fn every_legal_shape_is_read_as_pnet_reads_it() {
    let table: &[(&str, Sample)] = &[
        ("plain TCP over IPv4", tcp4()),
        ("plain TCP over IPv6", tcp6()),
        ("UDP over IPv4", Sample::udp(V4.0, V4.1)),
        ("UDP over IPv6", Sample::udp(V6.0, V6.1)),
        ("UDP without checksum", tcp4().with(|one| one.transport = Transport::UdpUnchecked)),
        ("UDP options behind the UDP length", tcp4().with(|one| one.transport = Transport::UdpSurplus(9))),
        ("an empty UDP datagram", Sample::udp(V4.0, V4.1).with(|one| one.payload.clear())),
        ("source port 0", Sample::udp("198.51.100.7:0", V4.1)),
        ("destination port 0", Sample::tcp(V4.0, "203.0.113.10:0", SYN)),
        ("all TCP flags", Sample::tcp(V4.0, V4.1, 0xff)),
        ("TTL 0", tcp4().with(|one| one.ttl = 0)),
        ("DF and the reserved bit", tcp4().with(|one| one.fragment = 0xc000)),
        ("ten words of IPv4 options", tcp4().with(|one| one.options = vec![1; 40])),
        ("a customer tag", tcp4().with(|one| one.tags = vec![(0x8100, 0x2064)])),
        ("QinQ", tcp6().with(|one| one.tags = vec![(0x88a8, 100), (0x8100, 200)])),
        ("Ethernet padding", tcp4().with(|one| (one.payload.clear(), one.padding = 6).1)),
        ("hop-by-hop options", tcp6().with(|one| one.extensions = vec![Extension::HopByHop(0)])),
        ("destination options", tcp6().with(|one| one.extensions = vec![Extension::Destination(3)])),
        ("a segment routing header", tcp6().with(|one| one.extensions = vec![Extension::Routing(4, 1)])),
        ("routing type 0, arrived", tcp6().with(|one| one.extensions = vec![Extension::Routing(0, 0)])),
        ("an authentication header", tcp6().with(|one| one.extensions = vec![Extension::Authentication])),
        ("an atomic fragment", tcp6().with(|one| one.extensions = vec![Extension::Fragment(0, false)])),
        ("eight extension headers", tcp6().with(|one| one.extensions = vec![Extension::Destination(0); 8])),
    ];
    for (sentence, sample) in table {
        let frame = sample.frame();
        assert_eq!(parse(&frame, OURS), Ok(oracle(&frame)), "{sentence}");
        assert_eq!(parse(&frame, PortFilter::ANY), Ok(oracle(&frame)), "{sentence}, any port");
        let (headers, key) = oracle(&frame);
        assert_eq!(
            (key.source_port, key.destination_port),
            (sample.from.port(), sample.to.port()),
            "{sentence}"
        );
        assert_eq!(usize::from(headers.ip_len), sample.datagram().len(), "{sentence}");
    }
}

#[test]
fn protocols_without_ports_are_known_by_their_addresses() {
    let other = |sample: Sample, protocol| sample.with(|one| one.transport = Transport::Other(protocol));
    let sctp = other(tcp4(), 132).with(|one| one.payload = [&[0x10, 0, 0, 80][..], &[7; 12]].concat());
    for (sentence, sample, ports) in [
        ("SCTP", sctp, (4096, 80)),
        ("ESP", other(tcp6(), 50), (0, 0)),
        ("GRE without a byte behind the header", other(tcp4(), 47).with(|one| one.payload.clear()), (0, 0)),
        ("no next header", other(tcp6(), 59), (0, 0)),
        ("AH over IPv4", other(tcp4(), 51), (0, 0)),
    ] {
        let frame = sample.frame();
        let (headers, key) = parse(&frame, OURS).unwrap();
        assert_eq!((headers, key), oracle(&frame), "{sentence}");
        assert_eq!((key.source_port, key.destination_port), ports, "{sentence}");
        check_any(&frame, OURS);
    }
    let short = other(tcp6(), 132).with(|one| one.payload = vec![0; 11]);
    assert_eq!(parse(&short.frame(), OURS), Err(NoFlow::Drop(DropReason::Malformed)), "a cut SCTP header");
}

/// A frame with bytes replaced at an offset.
fn patched(sample: &Sample, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = sample.frame();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The same with the IPv4 header checksum made right again.
fn patched_v4(sample: &Sample, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = patched(sample, at, bytes);
    let checksum = pnet_packet::ipv4::checksum(&Ipv4Packet::new(&frame[14..]).unwrap());
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn what_is_broken_is_dropped_for_a_named_reason() {
    use DropReason::{Checksum, Malformed, Unsupported, WrongMac};
    let udp = Sample::udp(V4.0, V4.1);
    let empty = udp.clone().with(|one| one.payload.clear());
    let chain =
        |extension: Extension, count: usize| tcp6().with(|one| one.extensions = vec![extension; count]);
    let v4_len = tcp4().datagram().len() as u16;
    let table: &[(&str, Vec<u8>, DropReason)] = &[
        ("nothing at all", vec![], Malformed),
        ("13 bytes", vec![2; 13], Malformed),
        ("only an Ethernet header", tcp4().frame()[..14].to_vec(), Malformed),
        (
            "only a VLAN tag",
            tcp4().with(|one| one.tags = vec![(0x8100, 1)]).frame()[..17].to_vec(),
            Malformed,
        ),
        ("another port's MAC", tcp4().with(|one| one.destination_mac[5] = 9).frame(), WrongMac),
        ("IPv4 ethertype, version 6", patched_v4(&tcp4(), 14, &[0x65]), Malformed),
        ("IPv6 ethertype, version 4", patched(&tcp6(), 14, &[0x40]), Malformed),
        ("an IPv4 header of 16 bytes", patched_v4(&tcp4(), 14, &[0x44]), Malformed),
        ("options beyond the datagram", patched_v4(&empty, 14, &[0x4f]), Malformed),
        ("one byte more than there is", patched_v4(&tcp4(), 16, &(v4_len + 1).to_be_bytes()), Malformed),
        ("a total length of 19", patched_v4(&tcp4(), 16, &[0, 19]), Malformed),
        ("no room for TCP", patched_v4(&tcp4(), 16, &[0, 39]), Malformed),
        ("no room for UDP", patched_v4(&udp, 16, &[0, 27]), Malformed),
        ("an IPv4 checksum off by one", patched(&tcp4(), 22, &[63]), Checksum),
        ("an IPv6 payload beyond the frame", patched(&tcp6(), 18, &[0x05, 0xdc]), Malformed),
        (
            "an IPv6 datagram above 64 KiB",
            [patched(&tcp6(), 18, &[0xff, 0xff]), vec![0; 66_000]].concat(),
            Malformed,
        ),
        ("a jumbogram", patched(&chain(Extension::HopByHop(0), 1), 18, &[0, 0]), Malformed),
        (
            "an extension beyond the datagram",
            patched(&chain(Extension::Destination(0), 1), 55, &[200]),
            Malformed,
        ),
        (
            "a chain that ends in mid-air",
            patched(&chain(Extension::Destination(0), 1), 18, &[0, 4]),
            Malformed,
        ),
        ("nine extension headers", chain(Extension::Destination(0), 9).frame(), Unsupported),
        ("routing type 0 with a segment left", chain(Extension::Routing(0, 1), 1).frame(), Unsupported),
    ];
    for (sentence, frame, reason) in table {
        assert_eq!(parse(frame, OURS), Err(NoFlow::Drop(*reason)), "{sentence}");
        check_any(frame, OURS);
    }
}

#[test]
fn what_is_not_for_an_ip_balancer_goes_to_the_kernel() {
    let other =
        |sample: Sample, protocol| sample.with(|one| one.transport = Transport::Other(protocol)).frame();
    let three_tags = tcp4().with(|one| one.tags = vec![(0x88a8, 1), (0x8100, 2), (0x8100, 3)]);
    let table: &[(&str, Vec<u8>, PuntReason)] = &[
        ("broadcast", tcp4().with(|one| one.destination_mac = [0xff; 6]).frame(), PuntReason::NotUnicast),
        (
            "multicast",
            tcp6().with(|one| one.destination_mac = [0x33, 0x33, 0, 0, 0, 1]).frame(),
            PuntReason::NotUnicast,
        ),
        ("ARP", patched(&tcp4(), 12, &[0x08, 0x06]), PuntReason::NotIp),
        ("an 802.3 length", patched(&tcp4(), 12, &[0x00, 0x40]), PuntReason::NotIp),
        ("three VLAN tags", three_tags.frame(), PuntReason::NotIp),
        ("the number of hop-by-hop options in IPv4", other(tcp4(), 0), PuntReason::NoVip),
    ];
    for (sentence, frame, reason) in table {
        assert_eq!(parse(frame, OURS), Err(NoFlow::Punt(*reason)), "{sentence}");
        check_any(frame, OURS);
    }
}

#[test]
fn messages_name_the_address_they_are_for() {
    let extended = tcp6().with(|one| one.extensions = vec![Extension::HopByHop(0)]);
    for (sample, protocol) in [(tcp4(), 1), (tcp6(), 58), (extended, 58)] {
        let sample = sample.with(|one| one.transport = Transport::Other(protocol));
        let Err(NoFlow::Icmp(message)) = parse(&sample.frame(), OURS) else { panic!("{sample:?}") };
        assert_eq!((message.source, message.destination), (sample.from.ip(), sample.to.ip()));
        let body = sample.frame().len() - usize::from(message.headers.l4_offset);
        assert_eq!(body, sample.payload.len(), "{sample:?}");
        check_any(&sample.frame(), OURS);
    }
    // ICMP of the other version is a protocol like any other.
    for (sample, protocol) in [(tcp4(), 58), (tcp6(), 1)] {
        let frame = sample.with(|one| one.transport = Transport::Other(protocol)).frame();
        assert_eq!(parse(&frame, OURS), Err(NoFlow::Punt(PuntReason::NoVip)));
    }
}

#[test]
fn fragments_name_the_address_they_are_for() {
    let v4 = |fragment| tcp4().with(|one| one.fragment = fragment).frame();
    let v6 =
        |offset, more| tcp6().with(|one| one.extensions = vec![Extension::Fragment(offset, more)]).frame();
    let table = [
        ("first of IPv4", v4(0x2000), V4.1),
        ("middle of IPv4", v4(0x2010), V4.1),
        ("last of IPv4", v4(0x0010), V4.1),
        ("DF and more fragments at once", v4(0x6000), V4.1),
        ("first of IPv6", v6(0, true), V6.1),
        ("middle of IPv6", v6(5, true), V6.1),
        ("last of IPv6", v6(0x1fff, false), V6.1),
    ];
    for (sentence, frame, to) in table {
        let to: std::net::SocketAddr = to.parse().unwrap();
        let Err(NoFlow::Fragment(fragment)) = parse(&frame, OURS) else { panic!("{sentence}") };
        assert_eq!(fragment.datagram.destination, to.ip(), "{sentence}");
        assert_eq!(
            fragment.is_first(),
            sentence.starts_with("first") || sentence.starts_with("DF"),
            "{sentence}"
        );
        assert_eq!(fragment.has_more, !sentence.starts_with("last"), "{sentence}");
        assert_eq!(fragment.id, if to.is_ipv6() { 0xdead_beef } else { 0x1234 }, "{sentence}");
        let segment = frame.len() - usize::from(fragment.datagram.headers.l4_offset);
        assert_eq!(usize::from(fragment.len()), segment, "{sentence}");
        check_any(&frame, OURS);
    }
}

#[test]
fn a_frame_cut_anywhere_is_malformed() {
    let extended =
        tcp6().with(|one| one.extensions = vec![Extension::HopByHop(1), Extension::Authentication]);
    let tagged = tcp4().with(|one| one.tags = vec![(0x88a8, 1), (0x8100, 2)]);
    let optioned = Sample::udp(V4.0, V4.1).with(|one| one.options = vec![1; 12]);
    for sample in [tcp4(), tcp6(), extended, tagged, optioned] {
        let frame = sample.frame();
        for len in 0..frame.len() {
            let cut = &frame[..len];
            assert_eq!(parse(cut, OURS), Err(NoFlow::Drop(DropReason::Malformed)), "{sample:?} cut to {len}");
            assert!(
                quick_v4(cut, OURS).is_none() && quick_v6(cut, OURS).is_none(),
                "{sample:?} cut to {len}"
            );
        }
    }
}

/// What the plain parsers say, if they say anything: headers, addresses and ports as [`parse`] gives them.
fn quick(frame: &[u8], filter: PortFilter) -> Option<(Headers, FlowKey)> {
    let (v4, v6) = (quick_v4(frame, filter), quick_v6(frame, filter));
    assert!(v4.is_none() || v6.is_none(), "a frame is of one family");
    let headers = v4.or(v6)?;
    let (source, destination) = FlowKey::addresses(&frame[14..], headers.is_v6).unwrap();
    let ports = &frame[usize::from(headers.l4_offset)..];
    let (source_port, destination_port) = (be16(ports, 0).unwrap(), be16(ports, 2).unwrap());
    Some((
        headers,
        FlowKey { source, destination, source_port, destination_port, protocol: headers.protocol },
    ))
}

/// Everything that must hold of any frame at all.
fn check_any(frame: &[u8], filter: PortFilter) {
    let parsed = parse(frame, filter);
    if let Some(found) = quick(frame, filter) {
        assert_eq!(parsed, Ok(found), "the plain parser accepts what the full one does not read so");
    }
    let Ok((headers, key)) = parsed else { return };
    let l4_len = match key.protocol {
        PROTOCOL_TCP => TCP_LEN,
        PROTOCOL_UDP => UDP_LEN,
        PROTOCOL_SCTP => SCTP_LEN,
        _ => 0,
    };
    let end = usize::from(headers.l3_offset) + usize::from(headers.ip_len);
    assert!(
        usize::from(headers.l4_offset) + l4_len <= end && end <= frame.len(),
        "{headers:?} of {}",
        frame.len()
    );
    assert_eq!(
        parse(&frame[..end], filter),
        Ok((headers, key)),
        "what follows the datagram is of no consequence"
    );
    assert_eq!((headers, key), oracle(frame));

    let has_fixed_headers =
        usize::from(headers.l4_offset) == 14 + if headers.is_v6 { IPV6_LEN } else { IPV4_LEN };
    let plain_len = if headers.is_v6 { plain::V6_LEN } else { plain::V4_LEN };
    let is_plain_protocol = headers.protocol == PROTOCOL_TCP || headers.protocol == PROTOCOL_UDP;
    if has_fixed_headers && is_plain_protocol && frame.len() >= plain_len && headers.ttl > 1 {
        assert!(quick(frame, filter).is_some(), "a plain packet misses the plain path: {headers:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_flow_is_read_as_pnet_reads_it(sample in any_sample()) {
        let frame = sample.frame();
        prop_assert_eq!(parse(&frame, OURS), Ok(oracle(&frame)));
        check_any(&frame, OURS);
        check_any(&frame, PortFilter::ANY);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut frame in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..6) {
        // Most random frames end at the ethertype; let them get further.
        if frame.len() > 24 {
            frame[0] &= 0xfe;
            let start: &[u8] = match kind {
                0 => &[0x08, 0x00, 0x45],
                1 => &[0x86, 0xdd, 0x60],
                2 => &[0x81, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60],
                3 => &[0x08, 0x00],
                4 => &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, 0],
                _ => &[],
            };
            frame[12..12 + start.len()].copy_from_slice(start);
        }
        check_any(&frame, PortFilter::ANY);
        check_any(&frame, OURS);
    }

    #[test]
    fn damaged_frames_never_panic(
        sample in any_sample(),
        damage in prop::collection::vec((0usize..90, any::<u8>()), 1..4),
        mends in any::<bool>(),
        cut in 0usize..300,
    ) {
        let mut frame = sample.frame();
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        if mends && frame.len() >= 34 && frame[12..14] == [0x08, 0x00] {
            let checksum = pnet_packet::ipv4::checksum(&Ipv4Packet::new(&frame[14..]).unwrap());
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        frame.truncate(frame.len().min(cut.max(14)));
        check_any(&frame, PortFilter::ANY);
    }
}

#[test]
fn the_port_filter_wants_every_byte_of_its_mac() {
    for at in 0..6 {
        // Bit 1 of a byte, so that no frame becomes a multicast.
        let wrong = tcp4().with(|one| one.destination_mac[at] ^= 2).frame();
        assert_eq!(parse(&wrong, OURS), Err(NoFlow::Drop(DropReason::WrongMac)), "byte {at}");
        assert!(quick_v4(&wrong, OURS).is_none(), "byte {at}");
        assert!(quick_v4(&wrong, PortFilter::ANY).is_some(), "byte {at}");
    }
    let group = Sample::tcp(V4.0, V4.1, FIN).with(|one| one.destination_mac[0] |= 1).frame();
    assert!(quick_v4(&group, PortFilter::ANY).is_none());
}
