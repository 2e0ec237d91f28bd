//! What a composed encapsulation leaves to be done per packet, worked out when the tables are built.

use super::{SHIM_LEN_MAX, inner_protocol};
use crate::composition::{Composition, Form, Vlan};
use crate::spec::GueVariant;
use crate::wire::{
    ETHERNET_LEN, ETHERTYPE_BRIDGED, GENEVE_LEN, GRE_LEN, PROTOCOL_GRE, PROTOCOL_UDP, UDP_LEN, VXLAN_LEN,
};
use zerocopy::FromZeros;

/// GRE flag of the first byte: a key field is present (RFC 2890 section 2).
const GRE_KEY_PRESENT: u8 = 0x20;
/// VXLAN flag of the first byte: the network identifier is valid (RFC 7348 section 5).
const VXLAN_VNI_VALID: u8 = 0x08;

/// The edit of a composed encapsulation in numbers. Offsets are in bytes from the start of the shim.
#[derive(Clone, Debug, Default, FromZeros)]
pub(crate) struct Recipe {
    /// Length of the outer IP header: 0, 20 or 40.
    pub(crate) outer_len: u8,
    /// Length of what is between the outer IP header and the client's datagram.
    pub(crate) shim_len: u8,
    /// Outer protocol around a client's datagram of IPv4 and of IPv6.
    pub(crate) protocols: [u8; 2],
    /// Where the protocol number of the client's datagram goes, one byte; 0 for nowhere.
    pub(crate) protocol_at: u8,
    /// Where the ethertype of the client's datagram goes, if `has_ethertype`.
    pub(crate) ethertype_at: u8,
    pub(crate) has_ethertype: bool,
    /// Bits of the client's TOS that stay in the outer one.
    pub(crate) tos_kept: u8,
    /// Bits that are set in the outer TOS.
    pub(crate) tos_set: u8,
    /// The outer TTL is the client's as it leaves, not the template's.
    pub(crate) copies_ttl: bool,
    /// The client's TTL does not go down.
    pub(crate) keeps_ttl: bool,
    /// The shim begins with UDP.
    pub(crate) is_udp: bool,
    /// The UDP checksum is computed.
    pub(crate) has_checksum: bool,
    pub(crate) vlan: VlanEdit,
    /// Identifier of the tag that [`VlanEdit::Set`] writes.
    pub(crate) vlan_id: u16,
}

/// What becomes of VLAN tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub(crate) enum VlanEdit {
    #[default]
    Keep,
    Strip,
    Set,
}

impl Recipe {
    pub(super) fn new(composition: &Composition, outer_is_v6: bool) -> Self {
        let Composition { form, policy, .. } = *composition;
        let is_udp = form.udp_port().is_some();
        let protocols = match form {
            Form::Ipip => [inner_protocol(false), inner_protocol(true)],
            Form::Gre { .. } => [PROTOCOL_GRE; 2],
            _ => [PROTOCOL_UDP; 2],
        };
        let has_gue_header = matches!(form, Form::Gue { variant: GueVariant::Header, .. });
        let ethertype_at = match form {
            // The protocol type is the last half of the first word (RFC 2784 section 2.1).
            Form::Gre { .. } => Some(GRE_LEN - 2),
            Form::Vxlan { .. } => Some(UDP_LEN + VXLAN_LEN + ETHERNET_LEN - 2),
            Form::Geneve { inner_mac: Some(_), .. } => Some(UDP_LEN + GENEVE_LEN + ETHERNET_LEN - 2),
            // RFC 8926 section 3.4: the protocol type is at bytes 2 and 3.
            Form::Geneve { inner_mac: None, .. } => Some(UDP_LEN + 2),
            Form::Ipip | Form::Gue { .. } | Form::L2Dsr => None,
        };
        let (tos_kept, tos_set) = policy.dscp.map_or((0xff, 0), |dscp| (0x03, dscp << 2));
        let (vlan, vlan_id) = match policy.vlan {
            Vlan::Keep => (VlanEdit::Keep, 0),
            Vlan::Strip => (VlanEdit::Strip, 0),
            Vlan::Set(identifier) => (VlanEdit::Set, identifier),
        };
        Self {
            outer_len: composition.outer_len(outer_is_v6) as u8,
            shim_len: form.shim_len() as u8,
            protocols,
            protocol_at: if has_gue_header { UDP_LEN as u8 + 1 } else { 0 },
            ethertype_at: ethertype_at.unwrap_or(0) as u8,
            has_ethertype: ethertype_at.is_some(),
            tos_kept,
            tos_set,
            copies_ttl: policy.ttl.is_none(),
            keeps_ttl: !policy.decrement_ttl,
            is_udp,
            has_checksum: is_udp && policy.checksum.unwrap_or(outer_is_v6),
            vlan,
            vlan_id,
        }
    }
}

/// What stands between the outer IP header and the client's datagram, zero where the packet decides; `source_mac` is
/// where inner Ethernet frames come from.
pub(super) fn shim(form: Form, source_mac: [u8; 6]) -> [u8; SHIM_LEN_MAX] {
    let mut shim = [0; SHIM_LEN_MAX];
    if let Some(port) = form.udp_port() {
        shim[2..4].copy_from_slice(&port.to_be_bytes());
    }
    let mac_addresses = UDP_LEN + VXLAN_LEN;
    match form {
        Form::Ipip | Form::L2Dsr | Form::Gue { .. } | Form::Gre { key: None } => {}
        Form::Gre { key: Some(key) } => {
            shim[0] = GRE_KEY_PRESENT;
            shim[4..8].copy_from_slice(&key.to_be_bytes());
        }
        Form::Vxlan { vni, inner_mac, .. } => {
            shim[8] = VXLAN_VNI_VALID;
            shim[12..16].copy_from_slice(&(vni << 8).to_be_bytes());
            shim[mac_addresses..mac_addresses + 6].copy_from_slice(&inner_mac);
            shim[mac_addresses + 6..mac_addresses + 12].copy_from_slice(&source_mac);
        }
        Form::Geneve { vni, inner_mac, .. } => {
            // Version 0, no options, neither a control packet nor critical options (RFC 8926 section 3.4).
            shim[12..16].copy_from_slice(&(vni << 8).to_be_bytes());
            if let Some(inner_mac) = inner_mac {
                shim[10..12].copy_from_slice(&ETHERTYPE_BRIDGED.to_be_bytes());
                shim[mac_addresses..mac_addresses + 6].copy_from_slice(&inner_mac);
                shim[mac_addresses + 6..mac_addresses + 12].copy_from_slice(&source_mac);
            }
        }
    }
    shim
}
