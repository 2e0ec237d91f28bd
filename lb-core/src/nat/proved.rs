//! A translated packet as an independent reader sees it, for tests: pnet_packet, and every checksum computed anew.

use super::tuple::Tuple;
use crate::flow::FlowKey;
use pnet_packet::Packet as _;
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use std::net::IpAddr;

/// What pnet reads of a frame without VLAN tags in front of `l3`, with every checksum proved by a whole computation.
#[derive(Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) tuple: Tuple,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    /// Transport header and payload.
    pub(crate) segment: Vec<u8>,
}

/// Reads a frame whose IP header is at `l3`.
pub(crate) fn read(frame: &[u8], l3: usize) -> Read {
    let ip = &frame[l3..];
    let is_v6 = ip[0] >> 4 == 6;
    assert_eq!(frame[l3 - 2..l3], if is_v6 { [0x86, 0xdd] } else { [8, 0] }, "ethertype");
    let (source, destination, protocol, tos, ttl, segment) = if is_v6 {
        let ip = Ipv6Packet::new(ip).unwrap();
        let (mut next, mut at) = (ip.get_next_header().0, 0);
        let payload = &ip.payload()[..usize::from(ip.get_payload_length())];
        while matches!(next, 0 | 43 | 44 | 60) {
            let len = if next == 44 { 8 } else { (usize::from(payload[at + 1]) + 1) * 8 };
            next = payload[at];
            at += len;
        }
        let segment = payload[at..].to_vec();
        (
            ip.get_source().into(),
            ip.get_destination().into(),
            next,
            ip.get_traffic_class(),
            ip.get_hop_limit(),
            segment,
        )
    } else {
        let ip = Ipv4Packet::new(ip).unwrap();
        assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip), "IPv4 header checksum");
        let header = usize::from(ip.get_header_length()) * 4;
        let segment = ip.packet()[header..usize::from(ip.get_total_length())].to_vec();
        let tos = ip.get_dscp() << 2 | ip.get_ecn();
        (
            ip.get_source().into(),
            ip.get_destination().into(),
            ip.get_next_level_protocol().0,
            tos,
            ip.get_ttl(),
            segment,
        )
    };
    prove(&segment, protocol, source, destination);
    let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
    let key = FlowKey { source, destination, source_port: port(0), destination_port: port(2), protocol };
    Read { tuple: Tuple::of(&key), tos, ttl, segment }
}

/// The transport checksum against pnet's.
fn prove(segment: &[u8], protocol: u8, source: IpAddr, destination: IpAddr) {
    let field = if protocol == 6 { 16 } else { 6 };
    let found = u16::from_be_bytes([segment[field], segment[field + 1]]);
    if protocol == 17 && found == 0 {
        assert!(source.is_ipv4(), "RFC 8200 section 8.1: no UDP without a checksum");
        return;
    }
    let covered = match protocol {
        17 => &segment[..usize::from(u16::from_be_bytes([segment[4], segment[5]]))],
        _ => segment,
    };
    let next = IpNextHeaderProtocol(protocol);
    let whole = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            pnet_packet::util::ipv4_checksum(covered, field / 2, &[], &from, &to, next)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            pnet_packet::util::ipv6_checksum(covered, field / 2, &[], &from, &to, next)
        }
        _ => panic!("addresses of two families"),
    };
    let whole = if protocol == 17 && whole == 0 { 0xffff } else { whole };
    assert_eq!(found, whole, "transport checksum");
}
