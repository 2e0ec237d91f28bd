//! Encapsulations put together from parts: a form, and a policy for what stands around the client's datagram.
//!
//! The modes of [`crate::spec::Mode`] that have an edit of their own are the common ones with the common policy. A
//! [`Composition`] says all of them and many more, and is edited off the loops by one general function, which is
//! also the slow twin that the fast edits are compared with.

use crate::spec::GueVariant;
use crate::wire::{
    ETHERNET_LEN, GENEVE_LEN, GRE_KEY_LEN, GRE_LEN, GUE_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN,
};
use std::net::IpAddr;

/// UDP port of Geneve (RFC 8926 section 3.3).
pub const GENEVE_PORT: u16 = 6081;

/// An encapsulation with all that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Composition {
    /// What stands between the outer IP header and the client's datagram.
    pub form: Form,
    /// Outer source address, of the family of the backend; without meaning for [`Form::L2Dsr`].
    pub source: IpAddr,
    /// What the outer headers say.
    pub policy: Policy,
}

/// The headers of an encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// IP in IP (RFC 2003, RFC 2473, RFC 4213).
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// UDP destination port.
        port: u16,
        /// With or without a GUE header.
        variant: GueVariant,
    },
    /// GRE (RFC 2784; over IPv6 RFC 7676).
    Gre {
        /// The key field of RFC 2890, if there is to be one.
        key: Option<u32>,
    },
    /// VXLAN (RFC 7348).
    Vxlan {
        /// UDP destination port.
        port: u16,
        /// Network identifier, 24 bits.
        vni: u32,
        /// Destination MAC of the inner frame.
        inner_mac: [u8; 6],
    },
    /// Geneve without options (RFC 8926).
    Geneve {
        /// UDP destination port.
        port: u16,
        /// Network identifier, 24 bits.
        vni: u32,
        /// Destination MAC of the inner frame; `None`: the IP datagram follows the Geneve header at once.
        inner_mac: Option<[u8; 6]>,
    },
    /// MAC rewrite only.
    L2Dsr,
}

/// What may be chosen of the headers around a client's datagram. ECN marks are copied outward always (RFC 6040
/// normal mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// DSCP of the outer header: `None` copies the inner one (RFC 2983 uniform model), a value is set (pipe model).
    pub dscp: Option<u8>,
    /// TTL or hop limit of the outer header: `None` copies the inner one as it leaves.
    pub ttl: Option<u8>,
    /// UDP checksum: `None` is zero over IPv4 and computed over IPv6 (RFC 6935, RFC 6936 have zero as an exception).
    pub checksum: Option<bool>,
    /// VLAN tags of the frame.
    pub vlan: Vlan,
    /// The TTL or hop limit of the client's datagram goes down by one, as in any router.
    pub decrement_ttl: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            dscp: None,
            ttl: Some(crate::record::OUTER_TTL),
            checksum: None,
            vlan: Vlan::Keep,
            decrement_ttl: true,
        }
    }
}

/// What becomes of the VLAN tags of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vlan {
    /// They stay, as many as there are.
    Keep,
    /// They go.
    Strip,
    /// One 802.1Q tag with this identifier (1 to 4094) replaces them; it keeps the priority of the outermost, 0 if
    /// there was none.
    Set(u16),
}

impl Composition {
    /// Bytes from the end of the Ethernet header to the client's datagram: the overhead of the tunnel.
    pub const fn overhead(&self, outer_is_v6: bool) -> usize {
        self.outer_len(outer_is_v6) + self.form.shim_len()
    }

    /// Outer source address, if there is an outer header.
    pub(crate) fn outer_source(&self) -> Option<IpAddr> {
        (self.form != Form::L2Dsr).then_some(self.source)
    }

    /// Length of the outer IP header, bytes.
    pub(crate) const fn outer_len(&self, outer_is_v6: bool) -> usize {
        match (self.form, outer_is_v6) {
            (Form::L2Dsr, _) => 0,
            (_, false) => IPV4_LEN,
            (_, true) => IPV6_LEN,
        }
    }
}

impl Form {
    /// Bytes between the outer IP header and the client's datagram.
    pub(crate) const fn shim_len(self) -> usize {
        match self {
            Self::Ipip | Self::L2Dsr => 0,
            Self::Gue { variant: GueVariant::Header, .. } => UDP_LEN + GUE_LEN,
            Self::Gue { variant: GueVariant::Direct, .. } => UDP_LEN,
            Self::Gre { key: None } => GRE_LEN,
            Self::Gre { key: Some(_) } => GRE_LEN + GRE_KEY_LEN,
            Self::Vxlan { .. } => UDP_LEN + VXLAN_LEN + ETHERNET_LEN,
            Self::Geneve { inner_mac: Some(_), .. } => UDP_LEN + GENEVE_LEN + ETHERNET_LEN,
            Self::Geneve { inner_mac: None, .. } => UDP_LEN + GENEVE_LEN,
        }
    }

    /// UDP destination port, if there is a UDP header.
    pub const fn udp_port(self) -> Option<u16> {
        match self {
            Self::Gue { port, .. } | Self::Vxlan { port, .. } | Self::Geneve { port, .. } => Some(port),
            Self::Ipip | Self::Gre { .. } | Self::L2Dsr => None,
        }
    }
}
