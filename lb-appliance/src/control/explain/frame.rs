//! A packet of a flow, as a client would send it.

use super::Flow;
use lb_core::icmp;
use lb_core::wire::{
    ETHERNET_LEN, IPV4_LEN, IPV6_LEN, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP,
    PROTOCOL_UDP, SCTP_LEN,
};
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::{MutableTcpPacket, TcpFlags};
use pnet_packet::udp::MutableUdpPacket;
use std::net::IpAddr;

const TTL: u8 = 64;
const TCP_LEN: usize = 20;
const UDP_LEN: usize = 8;
/// An echo request without data; and something behind the IP header of protocols that we know nothing of.
const OTHER_LEN: usize = 8;

/// A frame without payload. Addresses of different families make one that is no flow's.
pub(super) fn of(flow: Flow) -> Vec<u8> {
    let transport_len = match flow.protocol {
        PROTOCOL_UDP => UDP_LEN,
        PROTOCOL_SCTP => SCTP_LEN,
        PROTOCOL_TCP => TCP_LEN,
        _ => OTHER_LEN,
    };
    let ip_len = if flow.destination.is_ipv6() { IPV6_LEN } else { IPV4_LEN };
    let mut frame = vec![0; ETHERNET_LEN + ip_len + transport_len];
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
        ethernet.set_ethertype(if flow.destination.is_ipv6() { EtherTypes::Ipv6 } else { EtherTypes::Ipv4 });
    }
    let (ip, transport) = frame[ETHERNET_LEN..].split_at_mut(ip_len);
    write_ip(flow, ip, transport_len);
    write_transport(flow, transport);
    frame
}

fn write_ip(flow: Flow, ip: &mut [u8], payload_len: usize) {
    match (flow.source.ip(), flow.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total_len = (ip.len() + payload_len) as u16;
            let Some(mut header) = MutableIpv4Packet::new(ip) else { return };
            header.set_version(4);
            header.set_header_length(5);
            header.set_total_length(total_len);
            header.set_ttl(TTL);
            header.set_next_level_protocol(IpNextHeaderProtocol(flow.protocol));
            header.set_source(source);
            header.set_destination(destination);
            let checksum = ipv4::checksum(&header.to_immutable());
            header.set_checksum(checksum);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let Some(mut header) = MutableIpv6Packet::new(ip) else { return };
            header.set_version(6);
            header.set_payload_length(payload_len as u16);
            header.set_hop_limit(TTL);
            header.set_next_header(IpNextHeaderProtocol(flow.protocol));
            header.set_source(source);
            header.set_destination(destination);
        }
        _ => {}
    }
}

fn write_transport(flow: Flow, transport: &mut [u8]) {
    let (source, destination, len) = (flow.source.port(), flow.destination.port(), transport.len());
    match flow.protocol {
        PROTOCOL_SCTP => {
            transport[..2].copy_from_slice(&source.to_be_bytes());
            transport[2..4].copy_from_slice(&destination.to_be_bytes());
        }
        PROTOCOL_UDP => {
            let Some(mut udp) = MutableUdpPacket::new(transport) else { return };
            udp.set_source(source);
            udp.set_destination(destination);
            udp.set_length(len as u16);
        }
        PROTOCOL_TCP => {
            let Some(mut tcp) = MutableTcpPacket::new(transport) else { return };
            tcp.set_source(source);
            tcp.set_destination(destination);
            tcp.set_data_offset((TCP_LEN / 4) as u8);
            tcp.set_flags(if flow.opens { TcpFlags::SYN } else { TcpFlags::ACK });
        }
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => write_echo(flow, transport),
        _ => {}
    }
}

fn write_echo(flow: Flow, message: &mut [u8]) {
    message[0] = icmp::echo_request(flow.protocol == PROTOCOL_ICMPV6);
    let checksum = match (flow.source.ip(), flow.destination.ip()) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => Icmpv6Packet::new(message)
            .map(|message| pnet_packet::icmpv6::checksum(&message, &source, &destination)),
        _ => IcmpPacket::new(message).map(|message| pnet_packet::icmp::checksum(&message)),
    };
    message[2..4].copy_from_slice(&checksum.unwrap_or_default().to_be_bytes());
}
