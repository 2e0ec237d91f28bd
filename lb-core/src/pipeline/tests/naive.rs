//! The header edits once more, slowly: a new packet is built by pnet_packet from the old one's datagram.

use super::*;
use crate::composition::{Composition, Form, Policy, Vlan};
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

/// Any mode as a composition; plain ones have the usual policy.
fn composition(backend: &BackendSpec) -> Composition {
    let (form, source) = match backend.mode {
        Mode::Composed(composition) => return composition,
        Mode::Ipip { source } => (Form::Ipip, source),
        Mode::Gue { source, port, variant } => (Form::Gue { port, variant }, source),
        Mode::Vxlan { source, port, vni, inner_mac } => (Form::Vxlan { port, vni, inner_mac }, source),
        Mode::L2Dsr => (Form::L2Dsr, backend.address),
        Mode::Nat { .. } | Mode::FullNat { .. } => panic!("translation is no encapsulation"),
    };
    Composition { form, source, policy: Policy::default() }
}

/// Bytes that a mode puts in front of a datagram, from the outer IP header on.
pub(super) fn overhead(backend: &BackendSpec) -> usize {
    let ip = if backend.address.is_ipv6() { 40 } else { 20 };
    match composition(backend).form {
        Form::Ipip => ip,
        Form::Gue { variant: GueVariant::Header, .. } => ip + 8 + 4,
        Form::Gue { variant: GueVariant::Direct, .. } => ip + 8,
        Form::Gre { key: None } => ip + 4,
        Form::Gre { key: Some(_) } => ip + 8,
        Form::Vxlan { .. } | Form::Geneve { inner_mac: Some(_), .. } => ip + 8 + 8 + 14,
        Form::Geneve { inner_mac: None, .. } => ip + 8 + 8,
        Form::L2Dsr => 0,
    }
}

/// True if no host sends packets with such ends.
pub(super) fn is_martian_to(source: IpAddr, destination: IpAddr) -> bool {
    let is_reserved = |address: std::net::Ipv4Addr| address.octets()[0] == 0 || address.octets()[0] >= 240;
    source == destination
        || source.is_unspecified()
        || source.is_loopback()
        || source.is_multicast()
        || matches!(source, IpAddr::V4(address) if is_reserved(address))
}

/// The TTL that a datagram must exceed to be sent on.
pub(super) fn ttl_spent(backend: &BackendSpec) -> u8 {
    u8::from(composition(backend).policy.decrement_ttl)
}

/// The tags of a frame as the policy wants them.
fn tags(found: &[u8], policy: Vlan) -> Vec<u8> {
    match policy {
        Vlan::Keep => found.to_vec(),
        Vlan::Strip => vec![],
        Vlan::Set(identifier) => {
            let priority = if found.is_empty() { 0 } else { found[2] & 0xf0 };
            vec![0x81, 0x00, priority | (identifier >> 8) as u8, identifier as u8]
        }
    }
}

/// What stands between outer IP header or UDP and the client's datagram; the UDP port, if there is UDP.
fn shim(form: Form, source_mac: [u8; 6], is_v6: bool) -> (Vec<u8>, Option<u16>) {
    let (inner_protocol, inner_type) = if is_v6 { (41, [0x86, 0xdd]) } else { (4, [0x08, 0x00]) };
    let network = |vni: u32| [vni.to_be_bytes()[1], vni.to_be_bytes()[2], vni.to_be_bytes()[3], 0];
    match form {
        Form::Ipip | Form::L2Dsr => (vec![], None),
        Form::Gue { port, variant: GueVariant::Direct } => (vec![], Some(port)),
        Form::Gue { port, variant: GueVariant::Header } => (vec![0, inner_protocol, 0, 0], Some(port)),
        Form::Gre { key: None } => ([[0, 0], inner_type].concat(), None),
        Form::Gre { key: Some(key) } => ([&[0x20, 0][..], &inner_type, &key.to_be_bytes()].concat(), None),
        Form::Vxlan { vni, port, inner_mac } => {
            ([&[8, 0, 0, 0][..], &network(vni), &inner_mac, &source_mac, &inner_type].concat(), Some(port))
        }
        Form::Geneve { vni, port, inner_mac: None } => {
            ([&[0, 0][..], &inner_type, &network(vni)].concat(), Some(port))
        }
        Form::Geneve { vni, port, inner_mac: Some(inner_mac) } => {
            let header = [&[0, 0, 0x65, 0x58][..], &network(vni), &inner_mac, &source_mac, &inner_type];
            (header.concat(), Some(port))
        }
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
    let Composition { form, source, policy } = composition(backend);
    let received = &frame[l3..l3 + usize::from(headers.ip_len)];
    let datagram = if policy.decrement_ttl { one_hop_later(received, is_v6) } else { received.to_vec() };
    let macs = [backend.egress.next_hop_mac, backend.egress.source_mac].concat();
    if matches!(backend.mode, Mode::L2Dsr) {
        let behind = &frame[l3 + datagram.len()..];
        return [&macs[..], &frame[12..l3], &datagram, behind].concat();
    }
    let link = [macs, tags(&frame[12..l3 - 2], policy.vlan)].concat();
    if form == Form::L2Dsr {
        let mut sent = [&link[..], &frame[l3 - 2..l3], &datagram].concat();
        sent.resize(sent.len().max(60), 0);
        return sent;
    }
    let (shim, port) = shim(form, backend.egress.source_mac, is_v6);
    let payload = [shim, datagram.clone()].concat();
    let ends = (source, backend.address);
    let tos = tos(&frame[l3..], is_v6);
    let around = Around {
        ends,
        tos: policy.dscp.map_or(tos, |dscp| dscp << 2 | tos & 3),
        ttl: policy.ttl.unwrap_or(datagram[if is_v6 { 7 } else { 8 }]),
        protocol: match form {
            Form::Ipip if is_v6 => 41,
            Form::Ipip => 4,
            Form::Gre { .. } => 47,
            _ => 17,
        },
    };
    let has_checksum = policy.checksum.unwrap_or(backend.address.is_ipv6());
    let packet = match port {
        None => outer_ip(&around, hash, &payload),
        Some(port) => outer_ip(&around, hash, &udp(ends, port, hash, has_checksum, &payload)),
    };
    let ethertype = if backend.address.is_ipv6() { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&link[..], &ethertype, &packet].concat()
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

/// What an outer IP header says.
struct Around {
    ends: (IpAddr, IpAddr),
    tos: u8,
    ttl: u8,
    protocol: u8,
}

fn udp(ends: (IpAddr, IpAddr), port: u16, hash: FlowHash, has_checksum: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&[0; 8], payload].concat();
    let len = bytes.len() as u16;
    let mut udp = MutableUdpPacket::new(&mut bytes).unwrap();
    udp.set_source(49_152 + (hash.spread % 16_384) as u16);
    udp.set_destination(port);
    udp.set_length(len);
    if has_checksum {
        let checksum = match ends {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                pnet_packet::udp::ipv6_checksum(&udp.to_immutable(), &source, &destination)
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                pnet_packet::udp::ipv4_checksum(&udp.to_immutable(), &source, &destination)
            }
            _ => panic!("ends of two families"),
        };
        udp.set_checksum(if checksum == 0 { 0xffff } else { checksum });
    }
    udp.packet().to_vec()
}

fn outer_ip(around: &Around, hash: FlowHash, payload: &[u8]) -> Vec<u8> {
    let Around { ends, tos, ttl, protocol } = *around;
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
            ip.set_ttl(ttl);
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
            ip.set_hop_limit(ttl);
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

/// Where the IP header of a frame starts, behind its tags.
pub(super) fn l3_of(frame: &[u8]) -> usize {
    let is_tag = |at: usize| [[0x81, 0x00], [0x88, 0xa8]].contains(&[frame[at], frame[at + 1]]);
    14 + (0..2).map(|tag| 12 + 4 * tag).take_while(|at| is_tag(*at)).count() * 4
}

/// The frame without its outer UDP checksum, if it has one.
pub(super) fn without_udp_checksum(mut frame: Vec<u8>, backend: &BackendSpec) -> Vec<u8> {
    let composition = composition(backend);
    if composition.form.udp_port().is_some() {
        let udp = l3_of(&frame) + if backend.address.is_ipv6() { 40 } else { 20 };
        frame[udp + 6..udp + 8].fill(0);
    }
    frame
}
