//! Header edits: what `apply` does to a packet that `decide` has sent to a backend.
//!
//! Obeys the record and decides nothing. The old Ethernet header is replaced, VLAN tags are kept, padding
//! behind the IP datagram is cut off (not by L2 DSR, whose frame stays as long as it was), the inner TTL
//! goes down by one as in any router (RFC 2003 section 3.1, RFC 2473 section 3.1), DSCP and ECN are copied
//! outward (RFC 2983 uniform model, RFC 6040 normal mode). Outer IPv4 headers carry DF and id 0 (RFC 6864).
//! Another policy than that, and the less frequent encapsulations, are [`composed`].

mod composed;
mod inner;

use crate::checksum;
use crate::hash::FlowHash;
use crate::headers::Headers;
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::record::{INNER_V6_MORE, Kind, OUTER_UDP, Record, RecordTail, SHIM_LEN_MAX, inner_protocol};
use crate::wire::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, GUE_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VLAN_TAG_LEN,
    VXLAN_LEN,
};
use inner::{Inner, decrement_ttl};
use std::hint::cold_path;

/// End of the outer IPv4 and IPv6 header, bytes.
const OUTER4: usize = ETHERNET_LEN + IPV4_LEN;
const OUTER6: usize = ETHERNET_LEN + IPV6_LEN;

/// Edits `packet` as `record` says. `tail` is the record's tail.
///
/// # Errors
/// [`DropReason::NoHeadroom`] if the buffer cannot take the new headers; the packet is then unchanged.
#[inline(always)]
pub fn apply<P: Packet>(
    packet: &mut P,
    headers: &Headers,
    hash: FlowHash,
    record: &Record,
    tail: &RecordTail,
) -> Result<(), DropReason> {
    if headers.l3_offset as usize != ETHERNET_LEN && record.kind != Kind::L2Dsr {
        return apply_tagged(packet, headers, &hash, record, tail);
    }
    apply_untagged(packet, headers, &hash, record, || tail).ok_or(DropReason::NoHeadroom)
}

/// The edit of a frame whose tags, if any, may be lost. `None`, with nothing changed, if the buffer cannot take
/// the new headers.
#[inline(always)]
pub(crate) fn apply_untagged<'t, P: Packet>(
    packet: &mut P,
    headers: &Headers,
    hash: &FlowHash,
    record: &Record,
    tail: impl Fn() -> &'t RecordTail,
) -> Option<()> {
    const GUE4: usize = OUTER4 + UDP_LEN + GUE_LEN;
    const GUE6: usize = OUTER6 + UDP_LEN + GUE_LEN;
    const DIRECT4: usize = OUTER4 + UDP_LEN;
    const DIRECT6: usize = OUTER6 + UDP_LEN;
    const VXLAN4: usize = OUTER4 + UDP_LEN + VXLAN_LEN + ETHERNET_LEN;
    const VXLAN6: usize = OUTER6 + UDP_LEN + VXLAN_LEN + ETHERNET_LEN;
    // The most frequent kind by itself, see there.
    if record.is_ipip4 {
        let (head, inner) = open::<OUTER4, P>(packet, headers)?;
        let tos = decrement_ttl(inner, headers.is_v6)?;
        outer_v4(head, record, headers.ip_len, tos, INNER_V6_MORE * u8::from(headers.is_v6));
        return Some(());
    }
    cold_path();
    match record.kind {
        // Only a place without a record has this kind and not the flag above; nothing fits its way out.
        Kind::Ipip4 | Kind::Nat => return None,
        Kind::Ipip6 => {
            let (head, inner) = open::<OUTER6, P>(packet, headers)?;
            let tos = decrement_ttl(inner, headers.is_v6)?;
            outer_v6(head, record, headers.ip_len, tos, inner_protocol(headers.is_v6), hash);
        }
        Kind::Gue4 => {
            let (head, inner) = open::<GUE4, P>(packet, headers)?;
            gue_header(head, headers.is_v6);
            udp_v4(head, inner, headers, record, hash)?;
        }
        Kind::Gue6 => {
            let (head, inner) = open::<GUE6, P>(packet, headers)?;
            let sum = gue_header(head, headers.is_v6);
            udp_v6(head, inner, headers, record, hash, sum)?;
        }
        Kind::GueDirect4 => {
            let (head, inner) = open::<DIRECT4, P>(packet, headers)?;
            udp_v4(head, inner, headers, record, hash)?;
        }
        Kind::GueDirect6 => {
            let (head, inner) = open::<DIRECT6, P>(packet, headers)?;
            udp_v6(head, inner, headers, record, hash, 0)?;
        }
        Kind::Vxlan4 => {
            let (head, inner) = open::<VXLAN4, P>(packet, headers)?;
            vxlan_header(head, tail(), headers.is_v6);
            udp_v4(head, inner, headers, record, hash)?;
        }
        Kind::Vxlan6 => {
            let (head, inner) = open::<VXLAN6, P>(packet, headers)?;
            let sum = vxlan_header(head, tail(), headers.is_v6);
            udp_v6(head, inner, headers, record, hash, sum)?;
        }
        Kind::L2Dsr => {
            let frame = packet.frame_mut();
            decrement_ttl(frame.get_mut(usize::from(headers.l3_offset)..)?, headers.is_v6)?;
            frame.first_chunk_mut::<12>()?.copy_from_slice(record.template.first_chunk::<12>()?);
        }
        // Copies, so that the common edits need not have these in memory.
        Kind::Composed => composed::apply(packet, &{ *headers }, &{ *hash }, record, tail())?,
    }
    Some(())
}

/// Makes room for `LEN` bytes in front of the IP datagram in place of the old Ethernet header, and cuts
/// off what follows the datagram: (new headers, datagram).
#[inline(always)]
fn open<'a, const LEN: usize, P: Packet>(
    packet: &'a mut P,
    headers: &Headers,
) -> Option<(&'a mut [u8; LEN], &'a mut [u8])> {
    let grow = LEN as isize - isize::from(headers.l3_offset);
    packet.reframe(grow, LEN + usize::from(headers.ip_len))?.split_first_chunk_mut::<LEN>()
}

/// Ethernet and IPv4 from the template, then what the packet decides. `more` is what the protocol number is
/// above the template's.
#[inline(always)]
fn outer_v4<const LEN: usize>(head: &mut [u8; LEN], record: &Record, ip_len: u16, tos: u8, more: u8) {
    head[..OUTER4].copy_from_slice(&record.template[..OUTER4]);
    // The record's sum knows the length of the outer headers and the protocol.
    let sum = u32::from(record.partial_sum) + u32::from(ip_len) + u32::from(tos) + u32::from(more);
    head[15] = tos;
    head[16..18].copy_from_slice(&(ip_len + (LEN - ETHERNET_LEN) as u16).to_be_bytes());
    if more != 0 {
        head[23] += more;
    }
    head[24..26].copy_from_slice(&(!checksum::fold32(sum)).to_be_bytes());
}

/// Ethernet and IPv6 from the template, then what the packet decides. The flow label is constant for a
/// flow and spread over all 20 bits (RFC 6438).
#[inline(always)]
fn outer_v6<const LEN: usize>(
    head: &mut [u8; LEN],
    record: &Record,
    ip_len: u16,
    tos: u8,
    next: u8,
    hash: &FlowHash,
) {
    head[..OUTER6].copy_from_slice(&record.template[..OUTER6]);
    head[14..18].copy_from_slice(&(6 << 28 | u32::from(tos) << 20 | flow_label(hash)).to_be_bytes());
    let payload_len = ip_len + (LEN - OUTER6) as u16;
    head[18..20].copy_from_slice(&payload_len.to_be_bytes());
    head[20] = next;
}

/// Flow label of 20 bits. RFC 6437 section 2: zero means "no label", so it is not used.
#[inline(always)]
fn flow_label(hash: &FlowHash) -> u32 {
    (hash.entropy() & 0xf_ffff).max(1)
}

/// UDP source port: constant for a flow, spread over the ephemeral range 49152-65535 (RFC 7348 section 5).
#[inline(always)]
fn source_port(hash: &FlowHash) -> u16 {
    0xc000 | (hash.entropy() as u16 & 0x3fff)
}

/// Outer IPv4 and UDP. The UDP checksum is 0, as RFC 7348 section 5 and the GUE draft allow over IPv4.
#[inline(always)]
fn udp_v4<const LEN: usize>(
    head: &mut [u8; LEN],
    inner: &mut [u8],
    headers: &Headers,
    record: &Record,
    hash: &FlowHash,
) -> Option<()> {
    let tos = decrement_ttl(inner, headers.is_v6)?;
    outer_v4(head, record, headers.ip_len, tos, 0);
    let len = headers.ip_len + (LEN - OUTER4) as u16;
    write_udp(&mut head[OUTER4..], source_port(hash), record.udp_port, len, 0);
    Some(())
}

/// Outer IPv6 and UDP with a checksum: RFC 8200 section 8.1 wants one, and receivers need no special
/// setting for it (RFC 6935). It costs no pass over the payload: see [`Inner::sum`]. `between` is the sum
/// of the headers between UDP and the inner datagram.
#[inline(always)]
fn udp_v6<const LEN: usize>(
    head: &mut [u8; LEN],
    inner: &mut [u8],
    headers: &Headers,
    record: &Record,
    hash: &FlowHash,
    between: u64,
) -> Option<()> {
    let tos = decrement_ttl(inner, headers.is_v6)?;
    outer_v6(head, record, headers.ip_len, tos, OUTER_UDP, hash);
    let len = headers.ip_len + (LEN - OUTER6) as u16;
    let port = source_port(hash);
    // The length stands in the pseudo header and in the UDP header.
    let ports = u64::from(port) + u64::from(record.udp_port);
    let fixed = u64::from(record.partial_sum) + u64::from(OUTER_UDP) + 2 * u64::from(len) + ports;
    let checksum = match checksum::finish(fixed + between + Inner::new(inner, *headers).sum()) {
        // RFC 768: a computed zero is sent as all ones.
        0 => 0xffff,
        checksum => checksum,
    };
    write_udp(&mut head[OUTER6..], port, record.udp_port, len, checksum);
    Some(())
}

#[inline(always)]
fn write_udp(udp: &mut [u8], source: u16, destination: u16, len: u16, checksum: u16) {
    let word =
        u64::from(source) << 48 | u64::from(destination) << 32 | u64::from(len) << 16 | u64::from(checksum);
    udp[..UDP_LEN].copy_from_slice(&word.to_be_bytes());
}

/// GUE variant 0 without options: version, C and Hlen 0, protocol, no flags. Returns its sum.
#[inline(always)]
fn gue_header<const LEN: usize>(head: &mut [u8; LEN], is_v6: bool) -> u64 {
    let protocol = inner_protocol(is_v6);
    head[LEN - GUE_LEN..].copy_from_slice(&[0, protocol, 0, 0]);
    u64::from(protocol)
}

/// VXLAN and the inner Ethernet header. Returns their sum.
#[inline(always)]
fn vxlan_header<const LEN: usize>(head: &mut [u8; LEN], tail: &RecordTail, is_v6: bool) -> u64 {
    let ethertype = if is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    let start = LEN - VXLAN_LEN - ETHERNET_LEN;
    head[start..LEN - 2].copy_from_slice(&tail.shim[UDP_LEN..SHIM_LEN_MAX - 2]);
    head[LEN - 2..].copy_from_slice(&ethertype.to_be_bytes());
    u64::from(tail.sum) + u64::from(ethertype)
}

/// The edit of a frame with VLAN tags: encapsulate without them, then put them back.
#[cold]
fn apply_tagged<P: Packet>(
    packet: &mut P,
    headers: &Headers,
    hash: &FlowHash,
    record: &Record,
    tail: &RecordTail,
) -> Result<(), DropReason> {
    if record.kind == Kind::Composed {
        return composed::apply(packet, headers, hash, record, tail).ok_or(DropReason::NoHeadroom);
    }
    const TAGS_MAX_LEN: usize = 2 * VLAN_TAG_LEN;
    let tags_len = usize::from(headers.l3_offset) - ETHERNET_LEN;
    let mut tags = [0; TAGS_MAX_LEN];
    let tags = tags.get_mut(..tags_len).ok_or(DropReason::Unsupported)?;
    tags.copy_from_slice(packet.frame().get(12..12 + tags_len).ok_or(DropReason::Malformed)?);

    // Ask for all the room before anything is written, so that a refusal leaves the packet as it was. The
    // tail must not move meanwhile: what leaves a frame and comes back has arbitrary contents.
    let (len, room) = (packet.frame().len(), record.kind.header_len() - ETHERNET_LEN);
    packet.reframe(room as isize, len + room).ok_or(DropReason::NoHeadroom)?;
    packet.reframe(-(room as isize), len).ok_or(DropReason::NoHeadroom)?;

    apply_untagged(packet, headers, hash, record, || tail).ok_or(DropReason::NoHeadroom)?;
    let len = packet.frame().len() + tags_len;
    let frame = packet.reframe(tags_len as isize, len).ok_or(DropReason::NoHeadroom)?;
    frame.copy_within(tags_len..tags_len + 12, 0);
    frame[12..12 + tags_len].copy_from_slice(tags);
    Ok(())
}

#[cfg(test)]
mod tests;
