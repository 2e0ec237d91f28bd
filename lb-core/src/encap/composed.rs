//! The general edit: any form of encapsulation with any policy, off the loops.
//!
//! Nothing is summed up beforehand, so that it stays plain what goes where; with the usual policy it writes the same
//! bytes as the edits of the loops, which a property holds.

use super::inner::{Inner, decrement_ttl, tos_of, ttl_of};
use super::source_port;
use crate::checksum;
use crate::hash::FlowHash;
use crate::headers::Headers;
use crate::packet::{self, Packet};
use crate::record::{OUTER_UDP, Recipe, Record, RecordTail, VlanEdit, inner_protocol};
use crate::wire::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, IPV4_LEN, UDP_LEN, VLAN_TAG_LEN,
};

/// Most bytes of tags in a frame: the parser takes no more than two.
const TAGS_LEN_MAX: usize = 2 * VLAN_TAG_LEN;
/// Length of both MAC addresses of a frame, bytes.
const MACS_LEN: usize = 12;
/// Priority and drop eligibility in a tag (IEEE 802.1Q section 9.6); the rest is the identifier.
const PRIORITY_MASK: u16 = 0xf000;

/// Edits a packet as the recipe in `tail` says. `None`, with nothing changed, if the buffer cannot take it.
#[cold]
#[inline(never)]
pub(super) fn apply<P: Packet>(
    packet: &mut P,
    headers: &Headers,
    hash: &FlowHash,
    record: &Record,
    tail: &RecordTail,
) -> Option<()> {
    let recipe = &tail.recipe;
    let tags = Tags::of(packet.frame(), headers, recipe)?;
    let outer_at = ETHERNET_LEN + tags.len;
    let shim_at = outer_at + usize::from(recipe.outer_len);
    let head_len = shim_at + usize::from(recipe.shim_len);
    // Padding behind the datagram is cut off.
    let grow = head_len as isize - isize::from(headers.l3_offset);
    let frame = packet.reframe(grow, head_len + usize::from(headers.ip_len))?;
    let (head, inner) = frame.split_at_mut_checked(head_len)?;
    let (link, rest) = head.split_at_mut_checked(outer_at)?;
    let (outer, shim) = rest.split_at_mut_checked(usize::from(recipe.outer_len))?;

    let tos =
        if recipe.keeps_ttl { tos_of(inner, headers.is_v6)? } else { decrement_ttl(inner, headers.is_v6)? };
    let ethertype = if headers.is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    link[..MACS_LEN].copy_from_slice(&record.template[..MACS_LEN]);
    link[MACS_LEN..MACS_LEN + tags.len].copy_from_slice(&tags.bytes[..tags.len]);
    if outer.is_empty() {
        link[outer_at - 2..].copy_from_slice(&ethertype.to_be_bytes());
        packet::pad(packet);
        return Some(());
    }
    link[outer_at - 2..].copy_from_slice(&record.template[ETHERNET_LEN - 2..ETHERNET_LEN]);
    outer.copy_from_slice(record.template.get(ETHERNET_LEN..ETHERNET_LEN + outer.len())?);
    let payload_len = headers.ip_len + u16::from(recipe.shim_len);
    let around = Around {
        tos: tos & recipe.tos_kept | recipe.tos_set,
        ttl: if recipe.copies_ttl { Some(ttl_of(inner, headers.is_v6)?) } else { None },
        protocol: recipe.protocols[usize::from(headers.is_v6)],
        payload_len,
    };
    if outer.len() == IPV4_LEN {
        around.write_v4(outer)
    } else {
        around.write_v6(outer, hash)
    }
    shim.copy_from_slice(tail.shim.get(..shim.len())?);
    if recipe.protocol_at != 0 {
        *shim.get_mut(usize::from(recipe.protocol_at))? = inner_protocol(headers.is_v6);
    }
    if recipe.has_ethertype {
        let at = usize::from(recipe.ethertype_at);
        shim.get_mut(at..at + 2)?.copy_from_slice(&ethertype.to_be_bytes());
    }
    if recipe.is_udp {
        let udp = shim.first_chunk_mut::<UDP_LEN>()?;
        udp[..2].copy_from_slice(&source_port(hash).to_be_bytes());
        udp[4..6].copy_from_slice(&payload_len.to_be_bytes());
        if recipe.has_checksum {
            let sum =
                pseudo_header(outer, payload_len) + checksum::sum(shim) + Inner::new(inner, *headers).sum();
            let checksum = match checksum::finish(sum) {
                // RFC 768: a computed zero is sent as all ones.
                0 => 0xffff,
                checksum => checksum,
            };
            shim[6..8].copy_from_slice(&checksum.to_be_bytes());
        }
    }
    Some(())
}

/// What the packet decides of the outer IP header.
struct Around {
    tos: u8,
    /// `None`: as in the template.
    ttl: Option<u8>,
    protocol: u8,
    payload_len: u16,
}

impl Around {
    /// Completes an IPv4 header from the template.
    fn write_v4(&self, ip: &mut [u8]) {
        ip[1] = self.tos;
        ip[2..4].copy_from_slice(&(self.payload_len + IPV4_LEN as u16).to_be_bytes());
        ip[8] = self.ttl.unwrap_or(ip[8]);
        ip[9] = self.protocol;
        ip[10..12].fill(0);
        let checksum = checksum::finish(checksum::sum(ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Completes an IPv6 header from the template. The flow label is that of all encapsulations.
    fn write_v6(&self, ip: &mut [u8], hash: &FlowHash) {
        let word = 6 << 28 | u32::from(self.tos) << 20 | super::flow_label(hash);
        ip[..4].copy_from_slice(&word.to_be_bytes());
        ip[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        ip[6] = self.protocol;
        ip[7] = self.ttl.unwrap_or(ip[7]);
    }
}

/// Sum of the pseudo header of UDP (RFC 768, RFC 8200 section 8.1) under an outer header of either family.
fn pseudo_header(outer: &[u8], len: u16) -> u64 {
    // The addresses are the end of the header in both families.
    let addresses = if outer.len() == IPV4_LEN { &outer[12..] } else { &outer[8..] };
    checksum::sum(addresses) + u64::from(OUTER_UDP) + u64::from(len)
}

/// The tags of a frame as they are to be.
struct Tags {
    bytes: [u8; TAGS_LEN_MAX],
    len: usize,
}

impl Tags {
    fn of(frame: &[u8], headers: &Headers, recipe: &Recipe) -> Option<Self> {
        let found = frame.get(MACS_LEN..usize::from(headers.l3_offset).checked_sub(2)?)?;
        let mut bytes = [0; TAGS_LEN_MAX];
        let len = match recipe.vlan {
            VlanEdit::Keep => {
                bytes.get_mut(..found.len())?.copy_from_slice(found);
                found.len()
            }
            VlanEdit::Strip => 0,
            VlanEdit::Set => {
                let priority =
                    found.get(2..4).map_or(0, |tag| u16::from_be_bytes([tag[0], tag[1]]) & PRIORITY_MASK);
                bytes[..2].copy_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
                bytes[2..4].copy_from_slice(&(priority | recipe.vlan_id).to_be_bytes());
                VLAN_TAG_LEN
            }
        };
        Some(Self { bytes, len })
    }
}
