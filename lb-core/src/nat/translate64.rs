//! IP headers from one version to the other (RFC 7915), for whole datagrams.
//!
//! Traffic class and TOS are copied, TTL and hop limit go down by one. Options and extension headers are left out, as
//! sections 4.1 and 5.1 say; fragments do not come here.

use super::tuple::Tuple;
use crate::checksum;
use crate::headers::Headers;
use crate::packet::Packet;
use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_LEN, IPV6_LEN};

/// The longest IPv4 packet that is sent without DF (section 5.1): routers may cut it, because its sender never learns
/// of a link below 1,280 bytes.
const UNPROTECTED_LEN_MAX: u16 = 1_260;
/// Ethernet header with two VLAN tags.
const HEAD_LEN_MAX: usize = 22;

/// Replaces the IP header of a packet by one of the other version, with the addresses of `to`; `headers` follows.
pub(super) fn apply<P: Packet>(
    packet: &mut P,
    headers: &mut Headers,
    to: &Tuple,
    identification: u16,
) -> Option<()> {
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let mut head = [0; HEAD_LEN_MAX];
    let head = head.get_mut(..l3)?;
    head.copy_from_slice(packet.frame().get(..l3)?);
    let ethertype = if to.is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    head.get_mut(l3 - 2..)?.copy_from_slice(&ethertype.to_be_bytes());

    let payload_len = headers.ip_len - (l4 - l3) as u16;
    let old = packet.frame().get(l3..l4)?;
    let (tos, ttl) = if headers.is_v6 { (old[0] << 4 | old[1] >> 4, old[7]) } else { (old[1], old[8]) };
    let ttl = ttl.checked_sub(1)?;
    let new_header = if to.is_v6 { IPV6_LEN } else { IPV4_LEN };
    let grow = (l3 + new_header) as isize - l4 as isize;
    let len = (packet.frame().len() as isize + grow) as usize;
    let frame = packet.reframe(grow, len)?;
    frame.get_mut(..l3)?.copy_from_slice(head);
    let header = frame.get_mut(l3..l3 + new_header)?;
    if to.is_v6 {
        write_v6(header, to, payload_len, tos, ttl, headers.protocol);
    } else {
        write_v4(header, to, payload_len, (tos, ttl, headers.protocol), identification);
    }
    headers.is_v6 = to.is_v6;
    headers.l4_offset = (l3 + new_header) as u16;
    headers.ip_len = payload_len + new_header as u16;
    Some(())
}

/// Section 5.1.
pub(super) fn write_v4(
    header: &mut [u8],
    to: &Tuple,
    payload_len: u16,
    (tos, ttl, protocol): (u8, u8, u8),
    identification: u16,
) {
    let len = payload_len + IPV4_LEN as u16;
    header[..2].copy_from_slice(&[0x45, tos]);
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[6..8].copy_from_slice(if len > UNPROTECTED_LEN_MAX { &[0x40, 0] } else { &[0, 0] });
    header[8..12].copy_from_slice(&[ttl, protocol, 0, 0]);
    header[12..16].copy_from_slice(&to.source[..4]);
    header[16..20].copy_from_slice(&to.destination[..4]);
    let sum = checksum::finish(checksum::sum(&header[..IPV4_LEN]));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Section 4.1; the flow label is zero.
pub(super) fn write_v6(header: &mut [u8], to: &Tuple, payload_len: u16, tos: u8, ttl: u8, protocol: u8) {
    header[..4].copy_from_slice(&(6 << 28 | u32::from(tos) << 20).to_be_bytes());
    header[4..6].copy_from_slice(&payload_len.to_be_bytes());
    header[6..8].copy_from_slice(&[protocol, ttl]);
    header[8..24].copy_from_slice(&to.source);
    header[24..40].copy_from_slice(&to.destination);
}
