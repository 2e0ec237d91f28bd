//! The header edits once more, slowly: a new packet is built by pnet_packet from the old one's datagram.

use super::*;
use pnet_packet::Packet as _;
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::udp::MutableUdpPacket;

/// The datagram with one hop less to go.
fn one_hop_later(datagram: &[u8], is_v6: bool) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    if is_v6 {
        let mut ip = MutableIpv6Packet::new(&mut bytes).unwrap();
        ip.set_hop_limit(ip.get_hop_limit() - 1);
    } else {
        let mut ip = MutableIpv4Packet::new(&mut bytes).unwrap();
        ip.set_ttl(ip.get_ttl() - 1);
        // In place of a checksum of all ones, which a sender may write for 0, this has the 0.
        ip.set_checksum(pnet_packet::ipv4::checksum(&ip.to_immutable()));
    }
    bytes
}

fn tos(datagram: &[u8], is_v6: bool) -> u8 {
    if is_v6 { datagram[0] << 4 | datagram[1] >> 4 } else { datagram[1] }
}

/// Bytes that a mode puts in front of a datagram, from the outer IP header on.
pub(super) fn overhead(backend: &BackendSpec) -> usize {
    let ip = if backend.address.is_ipv6() { 40 } else { 20 };
    match backend.mode {
        Mode::Ipip { .. } => ip,
        Mode::Gue { variant: GueVariant::Header, .. } => ip + 8 + 4,
        Mode::Gue { variant: GueVariant::Direct, .. } => ip + 8,
        Mode::Vxlan { .. } => ip + 8 + 8 + 14,
        Mode::L2Dsr => 0,
    }
}

/// What leaves toward `backend` for `frame`, of which the parser said `headers`.
pub(super) fn encapsulated(
    frame: &[u8],
    headers: &Headers,
    hash: FlowHash,
    backend: &BackendSpec,
) -> Vec<u8> {
    let (l3, is_v6) = (usize::from(headers.l3_offset), headers.is_v6);
    let datagram = one_hop_later(&frame[l3..l3 + usize::from(headers.ip_len)], is_v6);
    let macs = [backend.egress.next_hop_mac, backend.egress.source_mac].concat();
    let (inner_protocol, inner_type) = if is_v6 { (41, [0x86, 0xdd]) } else { (4, [0x08, 0x00]) };
    let (source, shim, port) = match backend.mode {
        Mode::L2Dsr => {
            let behind = &frame[l3 + datagram.len()..];
            return [&macs[..], &frame[12..l3], &datagram, behind].concat();
        }
        Mode::Ipip { source } => (source, vec![], None),
        Mode::Gue { source, port, variant: GueVariant::Direct } => (source, vec![], Some(port)),
        Mode::Gue { source, port, variant: GueVariant::Header } => {
            (source, vec![0, inner_protocol, 0, 0], Some(port))
        }
        Mode::Vxlan { source, port, vni, inner_mac } => {
            let vni = vni.to_be_bytes();
            let header = [8, 0, 0, 0, vni[1], vni[2], vni[3], 0];
            (source, [&header[..], &inner_mac, &backend.egress.source_mac, &inner_type].concat(), Some(port))
        }
    };
    let payload = [shim, datagram].concat();
    let ends = (source, backend.address);
    let tos = tos(&frame[l3..], is_v6);
    let packet = match port {
        None => outer_ip(ends, inner_protocol, tos, hash, &payload),
        Some(port) => outer_ip(ends, 17, tos, hash, &udp(ends, port, hash, &payload)),
    };
    let ethertype = if backend.address.is_ipv6() { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&macs[..], &frame[12..l3 - 2], &ethertype, &packet].concat()
}

/// What the sender of a frame that cannot go on is told, if he may be.
pub(super) fn told(
    frame: &[u8],
    headers: &Headers,
    reason: DropReason,
    backend: &BackendSpec,
) -> Option<(AnswerReason, Vec<u8>)> {
    let (l3, is_v6) = (usize::from(headers.l3_offset), headers.is_v6);
    let datagram = &frame[l3..l3 + usize::from(headers.ip_len)];
    let mtu = MTU - overhead(backend) as u16;
    let (kind, code, stated, answer) = match (reason, is_v6) {
        (DropReason::TtlExceeded, false) => (11, 0, 0, AnswerReason::TimeExceeded),
        (DropReason::TtlExceeded, true) => (3, 0, 0, AnswerReason::TimeExceeded),
        (_, false) => (3, 4, mtu, AnswerReason::FragmentationNeeded),
        (_, true) => (2, 0, mtu, AnswerReason::PacketTooBig),
    };
    let longest = if is_v6 { 1280 - 48 } else { 576 - 28 };
    let quote = &datagram[..datagram.len().min(longest)];
    let mut message = [&[kind, code, 0, 0, 0, 0], &stated.to_be_bytes()[..], quote].concat();
    let ip = if is_v6 {
        let old = Ipv6Packet::new(datagram)?;
        let (from, to) = (old.get_destination(), old.get_source());
        let is_one = to.segments()[0] >> 8 != 0xff && !to.is_unspecified() && !to.is_loopback();
        if !is_one || from == to {
            return None;
        }
        let sum = pnet_packet::icmpv6::checksum(&Icmpv6Packet::new(&message)?, &from, &to);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let len = (message.len() as u16).to_be_bytes();
        [&[0x60, 0, 0, 0, len[0], len[1], 58, 64], &from.octets()[..], &to.octets(), &message].concat()
    } else {
        let old = Ipv4Packet::new(datagram)?;
        let (from, to) = (old.get_destination(), old.get_source());
        if matches!(to.octets()[0], 0 | 127 | 224..) || from == to {
            return None;
        }
        let sum = pnet_packet::icmp::checksum(&IcmpPacket::new(&message)?);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let len = (20 + message.len() as u16).to_be_bytes();
        let mut ip = [
            &[0x45, 0xc0, len[0], len[1], 0, 0, 0x40, 0, 64, 1, 0, 0],
            &from.octets()[..],
            &to.octets(),
            &message,
        ]
        .concat();
        let sum = pnet_packet::ipv4::checksum(&Ipv4Packet::new(&ip)?);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip
    };
    let is_station = frame[6] & 1 == 0;
    is_station.then(|| (answer, [&frame[6..12], &frame[..6], &frame[12..l3], &ip].concat()))
}

fn udp(ends: (IpAddr, IpAddr), port: u16, hash: FlowHash, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&[0; 8], payload].concat();
    let len = bytes.len() as u16;
    let mut udp = MutableUdpPacket::new(&mut bytes).unwrap();
    udp.set_source(49_152 + (hash.spread % 16_384) as u16);
    udp.set_destination(port);
    udp.set_length(len);
    if let (IpAddr::V6(source), IpAddr::V6(destination)) = ends {
        let checksum = pnet_packet::udp::ipv6_checksum(&udp.to_immutable(), &source, &destination);
        udp.set_checksum(if checksum == 0 { 0xffff } else { checksum });
    }
    udp.packet().to_vec()
}

fn outer_ip(ends: (IpAddr, IpAddr), protocol: u8, tos: u8, hash: FlowHash, payload: &[u8]) -> Vec<u8> {
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = [&[0; 20], payload].concat();
            let len = bytes.len() as u16;
            let mut ip = MutableIpv4Packet::new(&mut bytes).unwrap();
            ip.set_version(4);
            ip.set_header_length(5);
            ip.set_dscp(tos >> 2);
            ip.set_ecn(tos & 3);
            ip.set_total_length(len);
            ip.set_flags(0b010);
            ip.set_ttl(64);
            ip.set_next_level_protocol(IpNextHeaderProtocol(protocol));
            ip.set_source(source);
            ip.set_destination(destination);
            ip.set_checksum(pnet_packet::ipv4::checksum(&ip.to_immutable()));
            bytes
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = [&[0; 40], payload].concat();
            let mut ip = MutableIpv6Packet::new(&mut bytes).unwrap();
            ip.set_version(6);
            ip.set_traffic_class(tos);
            ip.set_flow_label(((hash.spread % (1 << 20)) as u32).max(1));
            ip.set_payload_length(payload.len() as u16);
            ip.set_next_header(IpNextHeaderProtocol(protocol));
            ip.set_hop_limit(64);
            ip.set_source(source);
            ip.set_destination(destination);
            bytes
        }
        _ => panic!("ends of two families"),
    }
}

/// True if the client's own TCP or UDP checksum does not cover what arrived.
pub(super) fn is_damaged(frame: &[u8], headers: &Headers, key: &crate::flow::FlowKey) -> bool {
    let start = usize::from(headers.l4_offset);
    let segment = &frame[start..usize::from(headers.l3_offset) + usize::from(headers.ip_len)];
    let at = if headers.protocol == 6 { 16 } else { 6 };
    let protocol = IpNextHeaderProtocol(headers.protocol);
    let computed = match (key.source, key.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            pnet_packet::util::ipv4_checksum(segment, at / 2, &[], &from, &to, protocol)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            pnet_packet::util::ipv6_checksum(segment, at / 2, &[], &from, &to, protocol)
        }
        _ => panic!("ends of two families"),
    };
    // 0 and all ones are the same number.
    computed % 0xffff != u16::from_be_bytes([segment[at], segment[at + 1]]) % 0xffff
}

/// The frame without its outer UDP checksum, if it has one: over IPv6.
pub(super) fn without_udp_checksum(mut frame: Vec<u8>, l3: usize, backend: &BackendSpec) -> Vec<u8> {
    if backend.address.is_ipv6() && matches!(backend.mode, Mode::Gue { .. } | Mode::Vxlan { .. }) {
        frame[l3 + 46..l3 + 48].fill(0);
    }
    frame
}
