//! The other end of the tunnel, in the words of pnet_packet.
//!
//! Opening a frame checks what every encapsulated packet owes the RFCs, whatever is inside.

use crate::composition::{Composition, Form};
use crate::record::{Kind, Record};
use crate::spec::{BackendSpec, GueVariant, Mode};
use pnet_packet::Packet;
use pnet_packet::ethernet::EthernetPacket;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::udp::UdpPacket;
use pnet_packet::vlan::VlanPacket;
use std::net::IpAddr;

/// What an outer IP header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct OuterIp {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) label: Option<u32>,
}

/// A frame taken apart.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) destination_mac: [u8; 6],
    pub(super) source_mac: [u8; 6],
    pub(super) tags: Vec<(u16, u16)>,
    /// Ethertype behind the tags.
    pub(super) ethertype: u16,
    pub(super) outer: Option<OuterIp>,
    /// Outer UDP ports: source, destination.
    pub(super) ports: Option<(u16, u16)>,
    /// What stands between the outer headers and the client's datagram.
    pub(super) shim: Vec<u8>,
    /// The client's datagram, and whatever follows it.
    pub(super) inner: Vec<u8>,
}

/// What a receiver expects.
struct Expected {
    /// The outer IP header is IPv6; `None`: there is none.
    outer_is_v6: Option<bool>,
    has_udp: bool,
    has_checksum: bool,
    shim_len: usize,
}

impl Expected {
    fn of_kind(kind: Kind) -> Self {
        let outer_is_v6 = match kind {
            Kind::L2Dsr => None,
            Kind::Ipip4 | Kind::Gue4 | Kind::GueDirect4 | Kind::Vxlan4 => Some(false),
            Kind::Ipip6 | Kind::Gue6 | Kind::GueDirect6 | Kind::Vxlan6 => Some(true),
            Kind::Composed => panic!("of a backend only"),
        };
        Self {
            outer_is_v6,
            has_udp: !matches!(kind, Kind::L2Dsr | Kind::Ipip4 | Kind::Ipip6),
            has_checksum: outer_is_v6 == Some(true),
            shim_len: match kind {
                Kind::Gue4 | Kind::Gue6 => 4,
                Kind::Vxlan4 | Kind::Vxlan6 => 22,
                _ => 0,
            },
        }
    }

    fn of_composition(Composition { form, policy, .. }: &Composition, outer_is_v6: bool) -> Self {
        let (has_udp, shim_len) = match form {
            Form::Ipip | Form::L2Dsr => (false, 0),
            Form::Gue { variant: GueVariant::Header, .. } => (true, 4),
            Form::Gue { variant: GueVariant::Direct, .. } => (true, 0),
            Form::Gre { key } => (false, if key.is_some() { 8 } else { 4 }),
            Form::Vxlan { .. } => (true, 22),
            Form::Geneve { inner_mac, .. } => (true, if inner_mac.is_some() { 22 } else { 8 }),
        };
        Self {
            outer_is_v6: (*form != Form::L2Dsr).then_some(outer_is_v6),
            has_udp,
            has_checksum: policy.checksum.unwrap_or(outer_is_v6),
            shim_len,
        }
    }
}

/// Takes a frame apart as the backend of a record of this kind does.
pub(super) fn open(kind: Kind, frame: &[u8]) -> Opened {
    open_as(&Expected::of_kind(kind), frame)
}

/// Takes a frame apart as this backend does.
pub(super) fn open_from(backend: &BackendSpec, frame: &[u8]) -> Opened {
    match &backend.mode {
        Mode::Composed(composition) => {
            open_as(&Expected::of_composition(composition, backend.address.is_ipv6()), frame)
        }
        _ => open(Record::new(backend).kind, frame),
    }
}

fn open_as(expected: &Expected, frame: &[u8]) -> Opened {
    let ethernet = EthernetPacket::new(frame).unwrap();
    let (mut ethertype, mut at, mut tags) = (ethernet.get_ethertype().0, 14, Vec::new());
    while ethertype == 0x8100 || ethertype == 0x88a8 {
        tags.push((ethertype, u16::from_be_bytes([frame[at], frame[at + 1]])));
        ethertype = VlanPacket::new(&frame[at..]).unwrap().get_ethertype().0;
        at += 4;
    }
    let (outer, header_len) = match expected.outer_is_v6 {
        None => (None, 0),
        Some(false) => {
            assert_eq!(ethertype, 0x0800);
            (Some(outer_v4(&frame[at..])), 20)
        }
        Some(true) => {
            assert_eq!(ethertype, 0x86dd);
            (Some(outer_v6(&frame[at..])), 40)
        }
    };
    let ip = at;
    at += header_len;
    let ports = expected.has_udp.then(|| {
        let udp = UdpPacket::new(&frame[at..]).unwrap();
        assert_eq!(usize::from(udp.get_length()), frame.len() - at, "UDP length");
        if !expected.has_checksum {
            assert_eq!(udp.get_checksum(), 0, "no UDP checksum");
        } else if header_len == 20 {
            assert!(udp4_checksum_is_right(frame, ip), "UDP checksum over IPv4: {:#06x}", udp.get_checksum());
        } else {
            assert!(udp6_checksum_is_right(frame, ip), "UDP checksum over IPv6: {:#06x}", udp.get_checksum());
        }
        (udp.get_source(), udp.get_destination())
    });
    at += if expected.has_udp { 8 } else { 0 };
    Opened {
        destination_mac: ethernet.get_destination().into(),
        source_mac: ethernet.get_source().into(),
        tags,
        ethertype,
        outer,
        ports,
        shim: frame[at..at + expected.shim_len].to_vec(),
        inner: frame[at + expected.shim_len..].to_vec(),
    }
}

fn outer_v4(bytes: &[u8]) -> OuterIp {
    let ip = Ipv4Packet::new(bytes).unwrap();
    assert_eq!((ip.get_version(), ip.get_header_length()), (4, 5));
    assert_eq!(usize::from(ip.get_total_length()), bytes.len(), "outer total length");
    // RFC 6864: an id of 0 is right only with DF.
    assert_eq!((ip.get_flags(), ip.get_fragment_offset(), ip.get_identification()), (0b010, 0, 0));
    assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip), "outer header checksum");
    OuterIp {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        tos: ip.get_dscp() << 2 | ip.get_ecn(),
        ttl: ip.get_ttl(),
        protocol: ip.get_next_level_protocol().0,
        label: None,
    }
}

fn outer_v6(bytes: &[u8]) -> OuterIp {
    let ip = Ipv6Packet::new(bytes).unwrap();
    assert_eq!(ip.get_version(), 6);
    assert_eq!(usize::from(ip.get_payload_length()) + 40, bytes.len(), "outer payload length");
    assert_ne!(ip.get_flow_label(), 0, "RFC 6437: zero is no label");
    OuterIp {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        tos: ip.get_traffic_class(),
        ttl: ip.get_hop_limit(),
        protocol: ip.get_next_header().0,
        label: Some(ip.get_flow_label()),
    }
}

/// True if the UDP header behind the IPv6 header at `ip` has the checksum that pnet_packet computes.
pub(super) fn udp6_checksum_is_right(frame: &[u8], ip: usize) -> bool {
    let outer = Ipv6Packet::new(&frame[ip..]).unwrap();
    let udp = UdpPacket::new(outer.payload()).unwrap();
    let computed = pnet_packet::udp::ipv6_checksum(&udp, &outer.get_source(), &outer.get_destination());
    udp.get_checksum() == if computed == 0 { 0xffff } else { computed }
}

/// The same behind the IPv4 header at `ip`.
fn udp4_checksum_is_right(frame: &[u8], ip: usize) -> bool {
    let outer = Ipv4Packet::new(&frame[ip..]).unwrap();
    let udp = UdpPacket::new(outer.payload()).unwrap();
    let computed = pnet_packet::udp::ipv4_checksum(&udp, &outer.get_source(), &outer.get_destination());
    udp.get_checksum() == if computed == 0 { 0xffff } else { computed }
}
