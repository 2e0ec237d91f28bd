//! Messages of our own, made in the buffer of the packet that they answer.
//!
//! What must hold: a refusal (no room in the buffer) leaves the packet as it was; no message is longer than the RFCs
//! allow an error to be; every byte that leaves is one that came in or one that is written here. The frame goes back to
//! the station that it came from, with the VLAN tags that it had.

use crate::checksum;
use crate::icmp::{self, HEADER_LEN, echo_request, protocol};
use crate::packet::Packet;
use crate::wire::{
    DONT_FRAGMENT, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_LEN, IPV6_LEN, NEXT_AUTHENTICATION, NEXT_FRAGMENT,
};

/// Longest error over IPv4, bytes of IP datagram (RFC 1812 section 4.3.2.3).
const ERROR_MAX_V4: usize = 576;
/// Longest error over IPv6 (RFC 4443 section 2.4 (c)).
const ERROR_MAX_V6: usize = 1280;
/// TTL and hop limit of what we send.
const TTL: u8 = 64;
/// Precedence "internetwork control" (RFC 1812 section 4.3.2.5).
const TOS_ERROR: u8 = 0xc0;
/// Ethernet header with two tags.
const LINK_LEN_MAX: usize = 22;
/// Length of an IPv6 fragment header, bytes.
const FRAGMENT_LEN: usize = 8;

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Fragmentation Needed or Packet Too Big; the longest datagram that fits, bytes.
    TooBig {
        /// As it stands in the message.
        mtu: u16,
    },
    /// The TTL or hop limit has run out.
    TimeExceeded,
}

/// The datagram of a frame that is answered: where it lies and how long it is, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the start of the frame to the IP header.
    pub l3_offset: usize,
    /// From there to the end of the datagram, or of what there is of it.
    pub len: usize,
    /// True for IPv6.
    pub is_v6: bool,
}

/// Turns a frame into an error about the datagram in it, from the datagram's destination to its source. `None`, with
/// nothing changed, if the buffer has no room for it.
pub fn error<P: Packet>(packet: &mut P, about: Place, error: Error) -> Option<()> {
    let Place { l3_offset, len, is_v6 } = about;
    let (room, quote_len) = sizes(len, is_v6);
    let frame = packet.reframe(room as isize, l3_offset + room + quote_len)?;
    frame.copy_within(room..room + l3_offset, 0);
    finish_error(frame, l3_offset, is_v6, error)
}

/// Turns a frame that holds a datagram somewhere behind other headers into an error about it: what stands in front of
/// the datagram goes, but for the link header of `link_len` bytes. There must be room for the error's headers.
pub fn relayed_error<P: Packet>(packet: &mut P, link_len: usize, about: Place, error: Error) -> Option<()> {
    let Place { l3_offset: start, len, is_v6 } = about;
    let (room, quote_len) = sizes(len, is_v6);
    let mut link = [0; LINK_LEN_MAX];
    let link = link.get_mut(..link_len)?;
    link.copy_from_slice(packet.frame().get(..link_len)?);
    let cut = start.checked_sub(room + link_len)?;
    let ethertype = if is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    link.last_chunk_mut::<2>()?.copy_from_slice(&ethertype.to_be_bytes());
    let frame = packet.reframe(-(cut as isize), link_len + room + quote_len)?;
    frame[..link_len].copy_from_slice(link);
    finish_error(frame, link_len, is_v6, error)
}

/// Bytes of the headers of an error, and of its quote of a datagram of `len` bytes.
fn sizes(len: usize, is_v6: bool) -> (usize, usize) {
    let (header_len, max) = if is_v6 { (IPV6_LEN, ERROR_MAX_V6) } else { (IPV4_LEN, ERROR_MAX_V4) };
    let room = header_len + HEADER_LEN;
    (room, len.min(max - room))
}

/// Writes the headers in front of a quote that is in its place.
fn finish_error(frame: &mut [u8], l3_offset: usize, is_v6: bool, error: Error) -> Option<()> {
    send_back(frame)?;
    let ip = frame.get_mut(l3_offset..)?;
    let header_len = if is_v6 { IPV6_LEN } else { IPV4_LEN };
    let (head, message) = ip.split_at_mut_checked(header_len)?;
    let len = message.len();
    let (icmp, quote) = message.split_first_chunk_mut::<HEADER_LEN>()?;
    let (kind, code, mtu) = match (error, is_v6) {
        (Error::TooBig { mtu }, false) => (3, 4, mtu),
        (Error::TooBig { mtu }, true) => (2, 0, mtu),
        (Error::TimeExceeded, false) => (11, 0, 0),
        (Error::TimeExceeded, true) => (3, 0, 0),
    };
    let mtu = mtu.to_be_bytes();
    *icmp = [kind, code, 0, 0, 0, 0, mtu[0], mtu[1]];
    let pseudo = if is_v6 {
        let quote = quote.first_chunk::<IPV6_LEN>()?;
        write_v6(head, &quote[24..40], &quote[8..24], len, protocol(true))?;
        checksum::sum(&head[8..40]) + len as u64 + u64::from(protocol(true))
    } else {
        let quote = quote.first_chunk::<IPV4_LEN>()?;
        let total = IPV4_LEN + len;
        // With DF an id of 0 is right (RFC 6864).
        write_v4(head, &quote[16..20], &quote[12..16], total, (TOS_ERROR, 0, DONT_FRAGMENT))?;
        0
    };
    let sum = checksum::finish(pseudo + checksum::sum(message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// Turns an echo request, or a fragment of one, into the reply. `l4_offset` is where the message, or this part of it,
/// starts; only a first part has the type. IPv4 options and IPv6 extension headers are left out, but for the fragment
/// header. `None` for a frame that is no such thing.
pub fn echo_reply<P: Packet>(packet: &mut P, at: Place, l4_offset: usize, is_first: bool) -> Option<()> {
    let Place { l3_offset, len, is_v6 } = at;
    let frame = packet.frame_mut();
    let end = l3_offset.checked_add(len)?;
    let body = end.checked_sub(l4_offset)?;
    frame.get(l4_offset..end)?;
    if l4_offset < l3_offset + if is_v6 { IPV6_LEN } else { IPV4_LEN } {
        return None;
    }
    let header_len =
        if is_v6 { reply_header_v6(frame, at, l4_offset)? } else { reply_header_v4(frame, at, l4_offset)? };
    send_back(frame)?;
    let start = l3_offset + header_len;
    frame.copy_within(l4_offset..end, start);
    if is_first {
        // RFC 4443 section 2.3: the pseudo header sums the same with its addresses exchanged.
        // Type and code 0.
        let [request, reply] =
            [echo_request(is_v6), icmp::echo_reply(is_v6)].map(|kind| u16::from(kind) << 8);
        let message = frame.get_mut(start..)?.first_chunk_mut::<4>()?;
        let sum = checksum::update(u16::from_be_bytes([message[2], message[3]]), request, reply);
        message[..2].copy_from_slice(&reply.to_be_bytes());
        message[2..].copy_from_slice(&sum.to_be_bytes());
    }
    packet.reframe(0, start + body).map(|_| ())
}

fn reply_header_v4(frame: &mut [u8], at: Place, l4_offset: usize) -> Option<usize> {
    let body = (at.l3_offset + at.len).checked_sub(l4_offset)?;
    let head = frame.get_mut(at.l3_offset..)?.get_mut(..IPV4_LEN)?;
    let old: [u8; IPV4_LEN] = head.try_into().ok()?;
    let part = u16::from_be_bytes([old[6], old[7]]) & 0x3fff;
    // The fragments of a reply are put together again by the id of the request.
    let (id, flags) =
        if part == 0 { (0, DONT_FRAGMENT) } else { (u16::from_be_bytes([old[4], old[5]]), part) };
    write_v4(head, &old[16..20], &old[12..16], IPV4_LEN + body, (old[1], id, flags))?;
    Some(IPV4_LEN)
}

fn reply_header_v6(frame: &mut [u8], at: Place, l4_offset: usize) -> Option<usize> {
    let body = (at.l3_offset + at.len).checked_sub(l4_offset)?;
    let ip = frame.get_mut(at.l3_offset..)?;
    let header_end = l4_offset.checked_sub(at.l3_offset)?;
    let old: [u8; IPV6_LEN] = ip.get(..IPV6_LEN)?.try_into().ok()?;
    let part: Option<[u8; FRAGMENT_LEN]> = fragment_header(ip.get(..header_end)?);
    let (next, more) = if part.is_some() { (NEXT_FRAGMENT, FRAGMENT_LEN) } else { (protocol(true), 0) };
    write_v6(ip.get_mut(..IPV6_LEN)?, &old[24..40], &old[8..24], more + body, next)?;
    if let Some(mut part) = part {
        part[..2].copy_from_slice(&[protocol(true), 0]);
        ip.get_mut(IPV6_LEN..IPV6_LEN + FRAGMENT_LEN)?.copy_from_slice(&part);
    }
    Some(IPV6_LEN + more)
}

/// The fragment header of a datagram that is one part of several. `headers` ends where its part begins.
fn fragment_header(headers: &[u8]) -> Option<[u8; FRAGMENT_LEN]> {
    let (mut next, mut at) = (*headers.get(6)?, IPV6_LEN);
    while at < headers.len() {
        let header = headers.get(at..)?.first_chunk::<FRAGMENT_LEN>()?;
        if next == NEXT_FRAGMENT {
            let is_part = u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0;
            return is_part.then_some(*header);
        }
        at += match next {
            NEXT_AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        next = header[0];
    }
    None
}

/// Exchanges the stations of a frame.
fn send_back(frame: &mut [u8]) -> Option<()> {
    let (to, rest) = frame.split_first_chunk_mut::<6>()?;
    to.swap_with_slice(rest.first_chunk_mut::<6>()?);
    Some(())
}

/// `(tos, id, flags)` are the TOS, the id and the word of flags and offset.
fn write_v4(
    head: &mut [u8],
    source: &[u8],
    destination: &[u8],
    total_len: usize,
    (tos, id, flags): (u8, u16, u16),
) -> Option<()> {
    let head = head.first_chunk_mut::<IPV4_LEN>()?;
    head[..2].copy_from_slice(&[0x45, tos]);
    head[2..4].copy_from_slice(&u16::try_from(total_len).ok()?.to_be_bytes());
    head[4..6].copy_from_slice(&id.to_be_bytes());
    head[6..8].copy_from_slice(&flags.to_be_bytes());
    head[8..12].copy_from_slice(&[TTL, protocol(false), 0, 0]);
    head[12..16].copy_from_slice(source);
    head[16..].copy_from_slice(destination);
    let sum = checksum::finish(checksum::sum(head));
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

fn write_v6(head: &mut [u8], source: &[u8], destination: &[u8], len: usize, next: u8) -> Option<()> {
    let head = head.first_chunk_mut::<IPV6_LEN>()?;
    head[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    head[4..6].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
    head[6..8].copy_from_slice(&[next, TTL]);
    head[8..24].copy_from_slice(source);
    head[24..].copy_from_slice(destination);
    Some(())
}

#[cfg(test)]
mod tests;
