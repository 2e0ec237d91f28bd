//! Backend records: all that editing a packet toward a backend needs, in one cache line.
//!
//! One record per (service, backend). The outer Ethernet and IP headers are a template computed when the
//! tables are built; the packet path stores it and patches lengths, checksum and entropy. A removed or
//! failed backend keeps its record, marked dead, so that connection entries which still point to it are
//! noticed on the hit path.

mod recipe;

use crate::checksum;
use crate::composition::Form;
use crate::spec::{BackendSpec, BackendState, GueVariant, Mode, Oversize};
use crate::wire::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, GUE_LEN, IPV4_LEN, IPV6_LEN, PROTOCOL_IPIP, PROTOCOL_IPV6,
    PROTOCOL_UDP, UDP_LEN, VXLAN_LEN,
};
pub(crate) use recipe::{Recipe, VlanEdit};
use std::net::IpAddr;
use zerocopy::FromZeros;

/// Longest template: Ethernet and IPv6.
pub const TEMPLATE_LEN: usize = ETHERNET_LEN + IPV6_LEN;
/// TTL and hop limit of outer headers (the recommendation of RFC 1700, as every peer does).
pub const OUTER_TTL: u8 = 64;

/// The edit that a record asks for. The digit is the IP version of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub enum Kind {
    /// IP in IPv4 (RFC 2003, RFC 4213).
    Ipip4,
    /// IP in IPv6 (RFC 2473).
    Ipip6,
    /// GUE variant 0 over IPv4.
    Gue4,
    /// GUE variant 0 over IPv6.
    Gue6,
    /// GUE variant 1 (the IP packet right behind UDP) over IPv4.
    GueDirect4,
    /// GUE variant 1 over IPv6.
    GueDirect6,
    /// VXLAN over IPv4 (RFC 7348).
    Vxlan4,
    /// VXLAN over IPv6.
    Vxlan6,
    /// New MAC addresses only; the backend holds the VIP.
    L2Dsr,
    /// Put together from parts, as [`RecordTail`] says.
    Composed,
    /// Address translation, which needs more than a record says.
    Nat,
}

impl Kind {
    fn of(mode: &Mode, backend: IpAddr) -> Self {
        match (mode, backend.is_ipv6()) {
            (Mode::Ipip { .. }, false) => Self::Ipip4,
            (Mode::Ipip { .. }, true) => Self::Ipip6,
            (Mode::Gue { variant: GueVariant::Header, .. }, false) => Self::Gue4,
            (Mode::Gue { variant: GueVariant::Header, .. }, true) => Self::Gue6,
            (Mode::Gue { variant: GueVariant::Direct, .. }, false) => Self::GueDirect4,
            (Mode::Gue { variant: GueVariant::Direct, .. }, true) => Self::GueDirect6,
            (Mode::Vxlan { .. }, false) => Self::Vxlan4,
            (Mode::Vxlan { .. }, true) => Self::Vxlan6,
            (Mode::L2Dsr, _) => Self::L2Dsr,
            (Mode::Composed(_), _) => Self::Composed,
            (Mode::Nat { .. } | Mode::FullNat { .. }, _) => Self::Nat,
        }
    }

    /// True if the outer headers end with UDP or what is on it.
    const fn is_udp(self) -> bool {
        !matches!(self, Self::Ipip4 | Self::Ipip6 | Self::L2Dsr | Self::Nat | Self::Composed)
    }

    /// Bytes in front of the client's IP datagram on the way out, Ethernet included, without VLAN tags. Of
    /// [`Self::Composed`] the Ethernet header alone: only its composition knows the rest.
    pub const fn header_len(self) -> usize {
        const UDP4: usize = ETHERNET_LEN + IPV4_LEN + UDP_LEN;
        const UDP6: usize = ETHERNET_LEN + IPV6_LEN + UDP_LEN;
        match self {
            Self::Ipip4 => ETHERNET_LEN + IPV4_LEN,
            Self::Ipip6 => ETHERNET_LEN + IPV6_LEN,
            Self::Gue4 => UDP4 + GUE_LEN,
            Self::Gue6 => UDP6 + GUE_LEN,
            Self::GueDirect4 => UDP4,
            Self::GueDirect6 => UDP6,
            Self::Vxlan4 => UDP4 + VXLAN_LEN + ETHERNET_LEN,
            Self::Vxlan6 => UDP6 + VXLAN_LEN + ETHERNET_LEN,
            Self::L2Dsr | Self::Nat | Self::Composed => ETHERNET_LEN,
        }
    }
}

/// Everything about one backend of one service, 64 bytes. All zero is a record that takes no packet.
#[derive(Clone, Debug, FromZeros)]
#[repr(C, align(64))]
pub struct Record {
    /// Outer Ethernet and IP header with zeroes where the packet decides.
    pub(crate) template: [u8; TEMPLATE_LEN],
    pub(crate) kind: Kind,
    /// No packet may follow this record any more.
    pub(crate) is_dead: bool,
    /// What sums need of the outer header, big-endian words. Over IPv4: the whole header as it is around an empty
    /// IPv4 datagram with TOS 0. Over IPv6: the addresses.
    pub(crate) partial_sum: u16,
    /// Destination port of the outer UDP header.
    pub(crate) udp_port: u16,
    /// Longest client datagram that fits the MTU of the way out, bytes; 0 of a dead record, so that the hit
    /// path needs one comparison for both.
    pub(crate) inner_max: u16,
    /// Index of the port that the packet leaves by.
    pub(crate) port: u8,
    /// True if `kind` is [`Kind::Ipip4`]: asked before `kind` is, because a branch costs less than a jump
    /// table, and on `kind` itself the compiler would make one again.
    pub(crate) is_ipip4: bool,
}

const _: () = assert!(size_of::<Record>() == 64);

/// What is wanted beyond the record where a packet is served by itself, and by VXLAN and composed encapsulations.
#[derive(Clone, Debug, Default, FromZeros)]
pub struct RecordTail {
    /// Headers between the outer IP header and the client's datagram, UDP included, with zeroes where the packet
    /// decides. Of VXLAN's inner Ethernet header the ethertype is not among them.
    pub(crate) shim: [u8; SHIM_LEN_MAX],
    /// Sum of VXLAN header and inner MAC addresses as big-endian words.
    pub(crate) sum: u16,
    /// The edit of a composed encapsulation.
    pub(crate) recipe: Recipe,
    /// Longest client datagram that fits the way out, bytes, where that of the record is 0 to keep packets out of the
    /// loops.
    pub(crate) inner_max: u16,
    /// Packets with an entry for the record may belong to another backend all the same.
    pub(crate) overrules_entries: bool,
    /// What becomes of longer ones than `inner_max`.
    pub(crate) oversize: Oversize,
}

/// Longest [`RecordTail::shim`], bytes: UDP, VXLAN or Geneve, inner Ethernet.
pub(crate) const SHIM_LEN_MAX: usize = UDP_LEN + VXLAN_LEN + ETHERNET_LEN;

impl Record {
    /// A record that nobody has.
    pub(crate) const DEAD: Self = Self {
        template: [0; TEMPLATE_LEN],
        kind: Kind::L2Dsr,
        is_dead: true,
        partial_sum: 0,
        udp_port: 0,
        inner_max: 0,
        port: 0,
        is_ipip4: false,
    };

    /// The record of a backend.
    pub(crate) fn new(backend: &BackendSpec) -> Self {
        let kind = Kind::of(&backend.mode, backend.address);
        let mut template = [0; TEMPLATE_LEN];
        template[..6].copy_from_slice(&backend.egress.next_hop_mac);
        template[6..12].copy_from_slice(&backend.egress.source_mac);
        let ends = backend.mode.source().map(|source| (source, backend.address));
        let outer = write_outer_ip(&mut template, ends, backend.mode.outer_ttl());
        let overhead = match backend.mode {
            Mode::Composed(composition) => composition.overhead(backend.address.is_ipv6()) as u16,
            _ => (kind.header_len() - ETHERNET_LEN) as u16,
        };
        let protocol = if kind.is_udp() { OUTER_UDP } else { inner_protocol(false) };
        match outer - ETHERNET_LEN {
            IPV4_LEN => template[23] = protocol,
            IPV6_LEN => template[20] = protocol,
            _ => {}
        }
        let is_dead = backend.state == BackendState::Down;
        Self {
            template,
            kind,
            is_dead,
            partial_sum: checksum::fold(match outer - ETHERNET_LEN {
                IPV6_LEN => checksum::sum(&template[ETHERNET_LEN + 8..outer]),
                _ => checksum::sum(&template[ETHERNET_LEN..outer]) + u64::from(overhead),
            }),
            udp_port: backend.mode.udp_port().unwrap_or(0),
            // Of translated services nothing is for the hit path, whatever entries there are of earlier days.
            inner_max: if is_dead || kind == Kind::Nat {
                0
            } else {
                backend.egress.mtu.saturating_sub(overhead)
            },
            port: backend.egress.port,
            is_ipip4: kind == Kind::Ipip4,
        }
    }

    /// Index of the port that packets of this record leave by.
    #[inline(always)]
    pub fn port(&self) -> u8 {
        self.port
    }

    /// True if packets may not follow it any more.
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// The edit that this record asks for.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// Writes ethertype and outer IP header as far as the packet does not decide; returns where it ends.
fn write_outer_ip(template: &mut [u8; TEMPLATE_LEN], ends: Option<(IpAddr, IpAddr)>, ttl: u8) -> usize {
    let Some(ends) = ends else { return ETHERNET_LEN };
    let ip = &mut template[ETHERNET_LEN..];
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ip[0] = 0x45;
            // RFC 6864: an id of 0 is right only for atomic datagrams, so DF is always set. RFC 2003
            // section 3.1 demands it where the inner one is set and allows it elsewhere.
            ip[6] = 0x40;
            ip[8] = ttl;
            ip[12..16].copy_from_slice(&source.octets());
            ip[16..20].copy_from_slice(&destination.octets());
            template[12..14].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
            ETHERNET_LEN + IPV4_LEN
        }
        (source, destination) => {
            ip[7] = ttl;
            ip[8..24].copy_from_slice(&octets(source));
            ip[24..40].copy_from_slice(&octets(destination));
            template[12..14].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
            ETHERNET_LEN + IPV6_LEN
        }
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

impl RecordTail {
    /// The tail of a backend; all zero unless it needs one.
    pub(crate) fn new(backend: &BackendSpec) -> Self {
        let form = match backend.mode {
            Mode::Vxlan { port, vni, inner_mac, .. } => Form::Vxlan { port, vni, inner_mac },
            Mode::Composed(composition) => composition.form,
            _ => return Self::default(),
        };
        let shim = recipe::shim(form, backend.egress.source_mac);
        let sum = checksum::fold(checksum::sum(&shim[UDP_LEN..]));
        let recipe = match backend.mode {
            Mode::Composed(composition) => Recipe::new(&composition, backend.address.is_ipv6()),
            _ => Recipe::default(),
        };
        Self { shim, sum, recipe, ..Self::default() }
    }

    /// Bytes that a composed encapsulation adds; 0 of the others.
    pub(crate) fn composed_len(&self) -> usize {
        usize::from(self.recipe.outer_len) + usize::from(self.recipe.shim_len)
    }

    /// What the TTL or hop limit of a client's datagram goes down by on its way.
    pub(crate) fn ttl_step(&self) -> u8 {
        u8::from(!self.recipe.keeps_ttl)
    }
}

/// The protocol or next header of an outer UDP header, and of direct encapsulation by inner family.
#[inline(always)]
pub(crate) const fn inner_protocol(is_v6: bool) -> u8 {
    // 41 or 4, without a branch on mixed traffic.
    PROTOCOL_IPIP + (is_v6 as u8) * INNER_V6_MORE
}

/// What [`inner_protocol`] of IPv6 is above that of IPv4.
pub(crate) const INNER_V6_MORE: u8 = PROTOCOL_IPV6 - PROTOCOL_IPIP;

/// Outer protocol of the UDP encapsulations.
pub(crate) const OUTER_UDP: u8 = PROTOCOL_UDP;
