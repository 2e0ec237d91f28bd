//! Packets in words: built by pnet_packet on the way in, taken apart by it on the way out.

use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::tcp::{self, MutableTcpPacket};
use pnet_packet::udp::{self, MutableUdpPacket, UdpPacket};
use pnet_packet::vxlan::VxlanPacket;
use pnet_packet::{MutablePacket, Packet};
use std::net::{IpAddr, SocketAddr};

pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0xc1, 1];
pub(crate) const BALANCER_MAC: [u8; 6] = [2, 0, 0, 0, 0xb1, 1];
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

/// A TCP segment or UDP datagram of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) is_udp: bool,
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) ttl: u8,
    pub(crate) payload_len: usize,
}

impl Client {
    /// A SYN; addresses as text.
    pub(crate) fn new(from: &str, to: &str) -> Self {
        let address = |text: &str| text.parse().expect("address:port");
        let (from, to) = (address(from), address(to));
        Self { from, to, is_udp: false, flags: SYN, sequence: 1, ttl: 64, payload_len: 37 }
    }

    /// The IP datagram.
    pub(crate) fn datagram(&self) -> Vec<u8> {
        let l4 = if self.is_udp { self.udp() } else { self.tcp() };
        let protocol = if self.is_udp { IpNextHeaderProtocols::Udp } else { IpNextHeaderProtocols::Tcp };
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut packet = MutableIpv4Packet::owned(vec![0; 20 + l4.len()]).expect("room");
                packet.set_version(4);
                packet.set_header_length(5);
                packet.set_dscp(10);
                packet.set_total_length(20 + l4.len() as u16);
                packet.set_identification(0x1234);
                packet.set_ttl(self.ttl);
                packet.set_next_level_protocol(protocol);
                packet.set_source(source);
                packet.set_destination(destination);
                packet.set_payload(&l4);
                packet.set_checksum(ipv4::checksum(&packet.to_immutable()));
                packet.packet().to_vec()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut packet = MutableIpv6Packet::owned(vec![0; 40 + l4.len()]).expect("room");
                packet.set_version(6);
                packet.set_traffic_class(0x28);
                packet.set_flow_label(0x12345);
                packet.set_payload_length(l4.len() as u16);
                packet.set_next_header(protocol);
                packet.set_hop_limit(self.ttl);
                packet.set_source(source);
                packet.set_destination(destination);
                packet.set_payload(&l4);
                packet.packet().to_vec()
            }
            _ => panic!("both addresses of a packet are of one family"),
        }
    }

    /// The frame as the balancer receives it.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let kind = if self.to.is_ipv4() { EtherTypes::Ipv4 } else { EtherTypes::Ipv6 };
        ethernet(BALANCER_MAC, kind, &self.datagram())
    }

    fn payload(&self) -> Vec<u8> {
        (0..self.payload_len).map(|n| n as u8).collect()
    }

    fn tcp(&self) -> Vec<u8> {
        let mut packet = MutableTcpPacket::owned(vec![0; 20 + self.payload_len]).expect("room");
        packet.set_source(self.from.port());
        packet.set_destination(self.to.port());
        packet.set_sequence(self.sequence);
        packet.set_acknowledgement(u32::from(self.flags & ACK != 0));
        packet.set_data_offset(5);
        packet.set_flags(self.flags);
        packet.set_window(64_240);
        packet.set_payload(&self.payload());
        let checksum = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => tcp::ipv4_checksum(&packet.to_immutable(), &a, &b),
            (IpAddr::V6(a), IpAddr::V6(b)) => tcp::ipv6_checksum(&packet.to_immutable(), &a, &b),
            _ => panic!("both addresses of a packet are of one family"),
        };
        packet.set_checksum(checksum);
        packet.packet().to_vec()
    }

    fn udp(&self) -> Vec<u8> {
        let mut packet = MutableUdpPacket::owned(vec![0; 8 + self.payload_len]).expect("room");
        packet.set_source(self.from.port());
        packet.set_destination(self.to.port());
        packet.set_length(8 + self.payload_len as u16);
        packet.set_payload(&self.payload());
        packet.set_checksum(udp_checksum(&packet.to_immutable(), self.from.ip(), self.to.ip()));
        packet.packet().to_vec()
    }
}

fn udp_checksum(packet: &UdpPacket<'_>, source: IpAddr, destination: IpAddr) -> u16 {
    match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => udp::ipv4_checksum(packet, &a, &b),
        (IpAddr::V6(a), IpAddr::V6(b)) => udp::ipv6_checksum(packet, &a, &b),
        _ => panic!("both addresses of a packet are of one family"),
    }
}

/// An Ethernet frame from the client's router.
pub(crate) fn ethernet(to: [u8; 6], kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = MutableEthernetPacket::owned(vec![0; 14 + payload.len()]).expect("room");
    frame.set_destination(to.into());
    frame.set_source(CLIENT_MAC.into());
    frame.set_ethertype(kind);
    frame.payload_mut().copy_from_slice(payload);
    frame.packet().to_vec()
}

/// What a router does to a datagram: one hop less, and a checksum computed anew from all of it.
pub(crate) fn routed(datagram: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    if bytes[0] >> 4 == 4 {
        let mut packet = MutableIpv4Packet::new(&mut bytes).expect("IPv4");
        packet.set_ttl(packet.get_ttl() - 1);
        packet.set_checksum(ipv4::checksum(&packet.to_immutable()));
    } else {
        let mut packet = MutableIpv6Packet::new(&mut bytes).expect("IPv6");
        packet.set_hop_limit(packet.get_hop_limit() - 1);
    }
    bytes
}

/// The headers in front of a client's datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    None,
    Ipip,
    Gue { port: u16, header: Vec<u8> },
    Vxlan { port: u16, vni: u32, inner_mac: [u8; 6] },
}

/// A frame as the backend receives it.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) to_mac: [u8; 6],
    pub(crate) outer: Option<(IpAddr, IpAddr)>,
    pub(crate) tunnel: Tunnel,
    pub(crate) datagram: Vec<u8>,
}

/// Takes a frame apart, holding every length and checksum on the way.
pub(crate) fn delivered(frame: &[u8], gue_ports: &[u16], has_tunnel: bool) -> Delivered {
    let ethernet = EthernetPacket::new(frame).expect("an Ethernet frame");
    let to_mac = ethernet.get_destination().octets();
    let (source, destination, protocol, payload) = ip(ethernet.payload(), ethernet.get_ethertype());
    if !has_tunnel {
        let datagram = ethernet.payload().to_vec();
        return Delivered { to_mac, outer: None, tunnel: Tunnel::None, datagram };
    }
    let outer = Some((source, destination));
    if protocol == IpNextHeaderProtocols::Ipv4 || protocol == IpNextHeaderProtocols::Ipv6 {
        let version = if protocol == IpNextHeaderProtocols::Ipv4 { 4 } else { 6 };
        assert_eq!(payload[0] >> 4, version, "the protocol number is that of the inner packet");
        return Delivered { to_mac, outer, tunnel: Tunnel::Ipip, datagram: payload };
    }
    assert_eq!(protocol, IpNextHeaderProtocols::Udp);
    let udp = UdpPacket::new(&payload).expect("UDP");
    assert_eq!(usize::from(udp.get_length()), payload.len());
    match udp.get_checksum() {
        0 => assert!(source.is_ipv4(), "RFC 8200 section 8.1: no zero checksum over IPv6"),
        checksum => assert_eq!(checksum, udp_checksum(&udp, source, destination)),
    }
    assert!(udp.get_source() >= 49_152, "entropy from the ephemeral range");
    let port = udp.get_destination();
    let inside = udp.payload();
    let (tunnel, datagram) = if gue_ports.contains(&port) {
        let header_len = if inside[0] >> 6 == 0 { 4 + 4 * usize::from(inside[0] & 0x1f) } else { 0 };
        (Tunnel::Gue { port, header: inside[..header_len].to_vec() }, inside[header_len..].to_vec())
    } else {
        let vxlan = VxlanPacket::new(inside).expect("VXLAN");
        assert_eq!((vxlan.get_flags(), vxlan.get_reserved1(), vxlan.get_reserved2()), (8, 0, 0));
        let inner = EthernetPacket::new(vxlan.payload()).expect("an inner frame");
        let kind = if inner.payload()[0] >> 4 == 4 { EtherTypes::Ipv4 } else { EtherTypes::Ipv6 };
        assert_eq!(inner.get_ethertype(), kind);
        let inner_mac = inner.get_destination().octets();
        (Tunnel::Vxlan { port, vni: vxlan.get_vni(), inner_mac }, inner.payload().to_vec())
    };
    Delivered { to_mac, outer, tunnel, datagram }
}

/// Source, destination, protocol and payload of a datagram that fills `bytes` to the last one.
fn ip(bytes: &[u8], kind: EtherType) -> (IpAddr, IpAddr, IpNextHeaderProtocol, Vec<u8>) {
    if kind == EtherTypes::Ipv4 {
        let packet = Ipv4Packet::new(bytes).expect("IPv4");
        assert_eq!(packet.get_version(), 4);
        assert_eq!(usize::from(packet.get_total_length()), bytes.len());
        assert_eq!(packet.get_checksum(), ipv4::checksum(&packet));
        let payload = packet.payload().to_vec();
        (
            packet.get_source().into(),
            packet.get_destination().into(),
            packet.get_next_level_protocol(),
            payload,
        )
    } else {
        assert_eq!(kind, EtherTypes::Ipv6);
        let packet = Ipv6Packet::new(bytes).expect("IPv6");
        assert_eq!(packet.get_version(), 6);
        assert_eq!(usize::from(packet.get_payload_length()) + 40, bytes.len());
        let payload = packet.payload().to_vec();
        (packet.get_source().into(), packet.get_destination().into(), packet.get_next_header(), payload)
    }
}
