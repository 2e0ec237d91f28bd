//! Frames in words: what the tests of this crate send through it, and numbers to vary it with.
//!
//! Built with pnet_packet and by hand, never with code of this crate, so that a misunderstanding of a
//! header cannot hide on both sides of a comparison.

use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherType, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::MutableIpv4Packet;
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

/// MAC that frames come from.
pub(crate) const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// MAC of the port under test.
pub(crate) const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// One IPv6 extension header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extension {
    /// Hop-by-hop options of 8 bytes and so many times 8 more.
    HopByHop(u8),
    /// Destination options, likewise.
    Destination(u8),
    /// Routing header of 8 bytes: type, segments left.
    Routing(u8, u8),
    /// Authentication header of 24 bytes.
    Authentication,
    /// Fragment header: offset in units of 8 bytes, more fragments.
    Fragment(u16, bool),
}

impl Extension {
    fn protocol(self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Destination(_) => 60,
            Self::Routing(..) => 43,
            Self::Authentication => 51,
            Self::Fragment(..) => 44,
        }
    }

    fn wire(self, next: u8) -> Vec<u8> {
        match self {
            // The options are one PadN.
            Self::HopByHop(more) | Self::Destination(more) => {
                let mut bytes = vec![0; 8 * (usize::from(more) + 1)];
                bytes[..4].copy_from_slice(&[next, more, 1, (8 * more) + 4]);
                bytes
            }
            Self::Routing(kind, left) => vec![next, 0, kind, left, 0, 0, 0, 0],
            Self::Authentication => {
                let mut bytes = vec![0xa5; 24];
                bytes[..4].copy_from_slice(&[next, 4, 0, 0]);
                bytes
            }
            Self::Fragment(offset, more) => {
                let word = (offset << 3 | u16::from(more)).to_be_bytes();
                vec![next, 0, word[0], word[1], 0xde, 0xad, 0xbe, 0xef]
            }
        }
    }
}

/// The transport header of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP with these flags.
    Tcp(u8),
    /// UDP with a checksum.
    Udp,
    /// UDP with checksum 0.
    UdpUnchecked,
    /// UDP with a checksum, whose length leaves so many bytes of the datagram over (RFC 9868).
    UdpSurplus(u8),
    /// Another protocol; the payload follows at once.
    Other(u8),
}

/// A frame, in words.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) destination_mac: [u8; 6],
    /// VLAN tags from the outside in: tag protocol, tag.
    pub(crate) tags: Vec<(u16, u16)>,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) transport: Transport,
    /// TOS or traffic class.
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    /// IPv4 options, a multiple of four bytes.
    pub(crate) options: Vec<u8>,
    /// IPv4 flags and fragment offset, as on the wire.
    pub(crate) fragment: u16,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) payload: Vec<u8>,
    /// Bytes behind the datagram.
    pub(crate) padding: usize,
}

impl Sample {
    fn new(from: &str, to: &str, transport: Transport) -> Self {
        Self {
            destination_mac: OUR_MAC,
            tags: Vec::new(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            transport,
            tos: 0,
            ttl: 64,
            options: Vec::new(),
            fragment: 0x4000,
            extensions: Vec::new(),
            payload: b"GET / HTTP/1.1\r\n".to_vec(),
            padding: 0,
        }
    }

    /// A TCP segment.
    pub(crate) fn tcp(from: &str, to: &str, flags: u8) -> Self {
        Self::new(from, to, Transport::Tcp(flags))
    }

    /// A UDP datagram.
    pub(crate) fn udp(from: &str, to: &str) -> Self {
        Self::new(from, to, Transport::Udp)
    }

    /// The same with some things changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.to.is_ipv6()
    }

    pub(crate) fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp(_) => 6,
            Transport::Other(protocol) => protocol,
            Transport::Udp | Transport::UdpUnchecked | Transport::UdpSurplus(_) => 17,
        }
    }

    /// Transport header and payload.
    fn segment(&self) -> Vec<u8> {
        match self.transport {
            Transport::Other(_) => self.payload.clone(),
            Transport::Tcp(flags) => {
                let mut bytes = vec![0; 20];
                bytes.extend(&self.payload);
                let mut tcp = MutableTcpPacket::new(&mut bytes).unwrap();
                tcp.set_source(self.from.port());
                tcp.set_destination(self.to.port());
                tcp.set_sequence(0x0102_0304);
                tcp.set_data_offset(5);
                tcp.set_flags(flags);
                tcp.set_window(502);
                tcp.set_checksum(self.checksum(tcp.packet(), 8));
                bytes
            }
            Transport::Udp | Transport::UdpUnchecked | Transport::UdpSurplus(_) => {
                let mut bytes = vec![0; 8];
                bytes.extend(&self.payload);
                let len = bytes.len() as u16;
                let mut udp = MutableUdpPacket::new(&mut bytes).unwrap();
                udp.set_source(self.from.port());
                udp.set_destination(self.to.port());
                udp.set_length(len);
                if self.transport != Transport::UdpUnchecked {
                    let checksum = self.checksum(udp.packet(), 3);
                    udp.set_checksum(if checksum == 0 { 0xffff } else { checksum });
                }
                if let Transport::UdpSurplus(surplus) = self.transport {
                    bytes.resize(bytes.len() + usize::from(surplus), 0x77);
                }
                bytes
            }
        }
    }

    fn checksum(&self, segment: &[u8], skipword: usize) -> u16 {
        let protocol = IpNextHeaderProtocol(self.protocol());
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                pnet_packet::util::ipv4_checksum(segment, skipword, &[], &from, &to, protocol)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                pnet_packet::util::ipv6_checksum(segment, skipword, &[], &from, &to, protocol)
            }
            _ => panic!("addresses of two families"),
        }
    }

    /// The IP datagram.
    pub(crate) fn datagram(&self) -> Vec<u8> {
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let segment = self.segment();
                let header_len = 20 + self.options.len();
                let mut bytes = vec![0; header_len];
                bytes[20..].copy_from_slice(&self.options);
                bytes.extend(segment);
                bytes[6..8].copy_from_slice(&self.fragment.to_be_bytes());
                let len = bytes.len() as u16;
                let mut ip = MutableIpv4Packet::new(&mut bytes).unwrap();
                ip.set_version(4);
                ip.set_header_length((header_len / 4) as u8);
                ip.set_dscp(self.tos >> 2);
                ip.set_ecn(self.tos & 3);
                ip.set_total_length(len);
                ip.set_identification(0x1234);
                ip.set_ttl(self.ttl);
                ip.set_next_level_protocol(IpNextHeaderProtocol(self.protocol()));
                ip.set_source(from);
                ip.set_destination(to);
                ip.set_checksum(pnet_packet::ipv4::checksum(&ip.to_immutable()));
                bytes
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut bytes = vec![0; 40];
                let mut protocols: Vec<u8> = self.extensions.iter().map(|one| one.protocol()).collect();
                protocols.push(self.protocol());
                for (extension, next) in self.extensions.iter().zip(&protocols[1..]) {
                    bytes.extend(extension.wire(*next));
                }
                bytes.extend(self.segment());
                let len = bytes.len() as u16 - 40;
                let mut ip = MutableIpv6Packet::new(&mut bytes).unwrap();
                ip.set_version(6);
                ip.set_traffic_class(self.tos);
                ip.set_flow_label(0x5_4321);
                ip.set_payload_length(len);
                ip.set_next_header(IpNextHeaderProtocol(protocols[0]));
                ip.set_hop_limit(self.ttl);
                ip.set_source(from);
                ip.set_destination(to);
                bytes
            }
            _ => panic!("addresses of two families"),
        }
    }

    /// The Ethernet frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let ethertype = if self.is_v6() { 0x86dd } else { 0x0800 };
        let types: Vec<u16> = self.tags.iter().map(|(tpid, _)| *tpid).chain([ethertype]).collect();
        let mut bytes = vec![0; 14];
        let mut ethernet = MutableEthernetPacket::new(&mut bytes).unwrap();
        ethernet.set_destination(self.destination_mac.into());
        ethernet.set_source(ROUTER_MAC.into());
        ethernet.set_ethertype(EtherType(types[0]));
        for ((_, tag), next) in self.tags.iter().zip(&types[1..]) {
            bytes.extend(tag.to_be_bytes());
            bytes.extend(next.to_be_bytes());
        }
        bytes.extend(self.datagram());
        bytes.resize(bytes.len() + self.padding, 0x5a);
        bytes
    }
}

fn any_extensions() -> impl Strategy<Value = Vec<Extension>> {
    let one = prop_oneof![
        (0u8..3).prop_map(Extension::HopByHop),
        (0u8..3).prop_map(Extension::Destination),
        (1u8..5, 0u8..3).prop_map(|(kind, left)| Extension::Routing(kind, left)),
        Just(Extension::Authentication),
        Just(Extension::Fragment(0, false)),
    ];
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..5)]
}

fn any_transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        4 => any::<u8>().prop_map(Transport::Tcp),
        2 => Just(Transport::Udp),
        1 => Just(Transport::UdpUnchecked),
        1 => (1u8..20).prop_map(Transport::UdpSurplus),
    ]
}

fn any_ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let ends = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<(u16, u16)>(), any::<bool>());
    ends.prop_map(|(from, to, ports, is_v6)| {
        let address = |bytes: [u8; 16]| -> IpAddr {
            if is_v6 { bytes.into() } else { [bytes[0], bytes[1], bytes[2], bytes[3]].into() }
        };
        (SocketAddr::new(address(from), ports.0), SocketAddr::new(address(to), ports.1))
    })
}

/// Any frame that has a flow: all shapes that the parser knows.
pub(crate) fn any_sample() -> impl Strategy<Value = Sample> {
    let tag = (prop_oneof![Just(0x8100u16), Just(0x88a8)], any::<u16>());
    let tags = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(tag, 1..=2)];
    let options = prop_oneof![3 => Just(0usize), 1 => 1usize..=10];
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    let rest = (any::<u8>(), 2u8..=255, options, any_extensions(), payload, 0usize..20, any::<bool>());
    (tags, any_ends(), any_transport(), rest).prop_map(|(tags, (from, to), transport, rest)| {
        let (tos, ttl, options, extensions, payload, padding, may_fragment) = rest;
        Sample {
            destination_mac: OUR_MAC,
            tags,
            from,
            to,
            transport,
            tos,
            ttl,
            // No-operation options.
            options: vec![1; 4 * options],
            fragment: if may_fragment { 0 } else { 0x4000 },
            extensions,
            payload,
            padding,
        }
    })
}

/// SplitMix64: numbers that are the same in every run of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
