//! The client's datagram inside the new headers: its TTL, its TOS, its checksum contribution.

use crate::checksum;
use crate::headers::Headers;
use crate::wire::{IPV4_LEN, IPV6_LEN, PROTOCOL_TCP, PROTOCOL_UDP, UDP_LEN};

/// Takes one off the TTL or hop limit, mends the IPv4 header checksum, and returns the TOS or traffic
/// class byte. The caller has seen that the TTL is above 1.
#[inline(always)]
pub(super) fn decrement_ttl(datagram: &mut [u8], is_v6: bool) -> Option<u8> {
    // Both versions have what is needed in the first 20 bytes.
    let head = datagram.first_chunk_mut::<IPV4_LEN>()?;
    if is_v6 {
        head[7] = head[7].wrapping_sub(1);
        return Some(head[0] << 4 | head[1] >> 4);
    }
    head[8] = head[8].wrapping_sub(1);
    // The TTL is the upper byte of its word, so the checksum grows by 0x0100, which is 1 in this byte order,
    // with the carry brought around. What would become 0xffff is 0, as RFC 1624 equation 3 has it.
    let place: &mut [u8; 2] = head[10..].first_chunk_mut()?;
    let checksum = u16::from_le_bytes(*place);
    *place = checksum.wrapping_add(2).wrapping_sub(u16::from(checksum < 0xfffe)).to_le_bytes();
    Some(head[1])
}

/// The TOS or traffic class byte of a datagram.
pub(super) fn tos_of(datagram: &[u8], is_v6: bool) -> Option<u8> {
    let head = datagram.first_chunk::<2>()?;
    Some(if is_v6 { head[0] << 4 | head[1] >> 4 } else { head[1] })
}

/// The TTL or hop limit of a datagram.
pub(super) fn ttl_of(datagram: &[u8], is_v6: bool) -> Option<u8> {
    datagram.get(if is_v6 { 7 } else { 8 }).copied()
}

/// The datagram after its TTL was lowered, with what the parser knows of it.
pub(super) struct Inner<'a> {
    datagram: &'a [u8],
    headers: Headers,
}

impl<'a> Inner<'a> {
    pub(super) fn new(datagram: &'a [u8], headers: Headers) -> Self {
        Self { datagram, headers }
    }

    /// Sum of the whole datagram as big-endian words, without reading its payload.
    ///
    /// A transport checksum makes segment plus pseudo header sum to zero, so the segment sums to the
    /// negated pseudo header; a valid IPv4 header sums to zero as well. If the client's checksum is wrong,
    /// ours will be too, and the tunnel's end drops what the backend would have dropped. Datagrams
    /// without such a checksum (SCTP has another, most protocols none), with options or extension headers, are summed
    /// in full.
    #[inline(always)]
    pub(super) fn sum(&self) -> u64 {
        self.shortcut().unwrap_or_else(|| checksum::sum(self.datagram))
    }

    #[inline(always)]
    fn shortcut(&self) -> Option<u64> {
        let Headers { ip_len, l4_offset, l3_offset, is_v6, .. } = self.headers;
        // The loops over plain packets, which are TCP or UDP, do not say which; this costs them nothing.
        if !matches!(self.headers.protocol, 0 | PROTOCOL_TCP | PROTOCOL_UDP) {
            return None;
        }
        // Right behind a header without options or extensions, which the others are sent away for below.
        let protocol = *self.datagram.get(if is_v6 { 6 } else { 9 })?;
        let header_len = l4_offset - u16::from(l3_offset);
        let segment_len = ip_len - header_len;
        if protocol == PROTOCOL_UDP {
            let udp = self.datagram.get(usize::from(header_len)..)?.first_chunk::<UDP_LEN>()?;
            // Checksum 0 is none, over IPv6 too (RFC 6935). Behind the UDP length there may be options that
            // the checksum does not cover (RFC 9868).
            if udp[6..] == [0, 0] || udp[4..6] != segment_len.to_be_bytes() {
                return None;
            }
        }
        if is_v6 {
            if usize::from(header_len) != IPV6_LEN {
                return None;
            }
            // Addresses and length cancel against the pseudo header; the first two words and the word of
            // next header and hop limit remain, less the pseudo header's protocol.
            let head = u64::from_be_bytes(*self.datagram.first_chunk()?);
            // Words of 32 bits fold to the same sum.
            return Some((head >> 32) + (head & 0xffff) + u64::from(!u16::from(protocol)));
        }
        // With options the final destination, which the transport checksum covers, may be one of them
        // (source routes, RFC 791).
        if usize::from(header_len) != IPV4_LEN {
            return None;
        }
        let addresses = u64::from_be_bytes(*self.datagram.get(12..)?.first_chunk()?);
        let pseudo =
            (addresses >> 32) + (addresses & 0xffff_ffff) + u64::from(protocol) + u64::from(segment_len);
        Some(u64::from(!checksum::fold(pseudo)))
    }
}
