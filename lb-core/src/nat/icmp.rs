//! ICMP errors about translated flows: outside and inside as their receiver knows the flow.
//!
//! An error quotes the packet that it is about as it was on that side (RFC 5508 section 4). Both the error and its quote are
//! written anew, the quote with every checksum in it carried along, and between the versions of IP by RFC 7915
//! sections 4.2, 4.3, 5.2 and 5.3. What has no counterpart is dropped.

use super::translate64::{write_v4, write_v6};
use super::tuple::Tuple;
use crate::checksum;
use crate::headers::{Headers, Portless};
use crate::icmp::quote::{Quote, quoted};
use crate::wire::{IPV4_LEN, IPV6_LEN, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, be16};
use std::net::IpAddr;

const ICMP_LEN: usize = 8;
/// Longest datagram that is written: no path of IPv6 is narrower (RFC 4443 section 2.4), and nobody needs more.
pub(crate) const ERROR_LEN_MAX: usize = 1_280;
/// The same over IPv4 (RFC 1812 section 4.3.2.3).
const ERROR_LEN_MAX_V4: usize = 576;
/// What an IPv4 header is shorter than that of IPv6, bytes.
const HEADERS_DIFFER: u32 = 20;

/// An error as it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Error<'f> {
    /// Where its IP header starts.
    pub(crate) l3: usize,
    /// Who sent it.
    pub(crate) source: IpAddr,
    /// From the type on.
    message: &'f [u8],
    /// What it quotes.
    quote: &'f [u8],
    pub(crate) quoted: Quote,
    tos: u8,
    pub(crate) ttl: u8,
    is_v6: bool,
}

impl<'f> Error<'f> {
    /// Reads the ICMP message of a frame, as the parser has found it; `None` if it is no error about a TCP or UDP flow,
    /// or its checksum is wrong: it is written anew, and must not become right by that.
    pub(crate) fn parse(frame: &'f [u8], found: &Portless) -> Option<Self> {
        let Headers { ip_len, l4_offset, l3_offset, ttl, is_v6, .. } = found.headers;
        let (l3, header) = (usize::from(l3_offset), usize::from(l4_offset) - usize::from(l3_offset));
        let ip = frame.get(l3..)?;
        let message = ip.get(header..usize::from(ip_len))?;
        let is_error = matches!((is_v6, *message.first()?), (false, 3 | 11 | 12) | (true, 1..=4));
        // Extension headers would not survive the new header.
        let has_extensions = is_v6 && header != IPV6_LEN;
        if !is_error || has_extensions || !is_sound(ip, message, is_v6) {
            return None;
        }
        let tos = if is_v6 { ip[0] << 4 | ip[1] >> 4 } else { ip[1] };
        let quote = quoted(message, is_v6)?;
        let quoted = Quote::parse(quote).filter(|quote| quote.is_v6 == is_v6)?;
        if !matches!(quoted.key.protocol, PROTOCOL_TCP | PROTOCOL_UDP) {
            return None;
        }
        Some(Self { l3, source: found.source, message, quote, quoted, tos, ttl, is_v6 })
    }

    /// The sequence number in the quote, if it is TCP and reaches that far.
    pub(crate) fn sequence(&self) -> Option<u32> {
        if self.quoted.key.protocol != PROTOCOL_TCP {
            return None;
        }
        let at = usize::from(self.quoted.l4_offset) + 4;
        Some(u32::from_be_bytes(*self.quote.get(at..)?.first_chunk()?))
    }

    /// Writes the datagram for the other side: from `source` to `destination`, about `about`, with `sequence` in
    /// the quote. Returns its length; `None` if there is no such error on that side.
    pub(crate) fn write(
        &self,
        (source, destination): ([u8; 16], [u8; 16]),
        about: &Tuple,
        sequence: Option<u32>,
        into: &mut [u8; ERROR_LEN_MAX],
    ) -> Option<usize> {
        let header_len = if about.is_v6 { IPV6_LEN } else { IPV4_LEN };
        let len_max = if about.is_v6 { ERROR_LEN_MAX } else { ERROR_LEN_MAX_V4 };
        let (header, message) = into.get_mut(..len_max)?.split_at_mut(header_len);
        let head = self.head(about.is_v6)?;
        message[..ICMP_LEN].copy_from_slice(&head);
        let quote_len = self.write_quote(about, sequence, &mut message[ICMP_LEN..])?;
        let message = &mut message[..ICMP_LEN + quote_len];
        let outer = Tuple { source, destination, ..*about };
        let len = message.len() as u16;
        let ttl = self.ttl.checked_sub(1)?;
        let mut sum = checksum::sum(message);
        if about.is_v6 {
            sum += checksum::sum(&source) + checksum::sum(&destination) + u64::from(len);
            sum += u64::from(PROTOCOL_ICMPV6);
            write_v6(header, &outer, len, self.tos, ttl, PROTOCOL_ICMPV6);
        } else {
            write_v4(header, &outer, len, (self.tos, ttl, PROTOCOL_ICMP), 0);
        }
        message[2..4].copy_from_slice(&checksum::finish(sum).to_be_bytes());
        Some(header_len + message.len())
    }

    /// Type, code, a checksum of zero, and what follows: MTU or pointer.
    fn head(&self, to_v6: bool) -> Option<[u8; ICMP_LEN]> {
        let mut head: [u8; ICMP_LEN] = *self.message.first_chunk()?;
        head[2..4].fill(0);
        match (self.is_v6, to_v6) {
            (false, true) => to_icmpv6(&head),
            (true, false) => to_icmp(&head),
            _ => {
                // Extensions are left out (RFC 4884), so the quote has no stated length.
                match (to_v6, head[0]) {
                    (false, _) => head[5] = 0,
                    (true, 1 | 3) => head[4] = 0,
                    _ => {}
                }
                Some(head)
            }
        }
    }

    /// The quoted packet as the other side knows it; returns its length.
    fn write_quote(&self, about: &Tuple, sequence: Option<u32>, into: &mut [u8]) -> Option<usize> {
        let l4 = usize::from(self.quoted.l4_offset);
        let (old, transport) = self.quote.split_at_checked(l4)?;
        let header_len = match (self.is_v6, about.is_v6) {
            (true, false) => IPV4_LEN,
            (false, true) => IPV6_LEN,
            _ => l4,
        };
        let room = into.len().checked_sub(header_len)?;
        let transport = &transport[..transport.len().min(room)];
        let (header, rest) = into.split_at_mut(header_len);
        self.write_quoted_header(old, about, header)?;
        let rest = rest.get_mut(..transport.len())?;
        rest.copy_from_slice(transport);
        let addresses = if self.is_v6 { old.get(8..40)? } else { old.get(12..20)? };
        edit_transport(rest, about, sequence, checksum::sum(addresses))?;
        Some(header_len + transport.len())
    }

    fn write_quoted_header(&self, old: &[u8], about: &Tuple, header: &mut [u8]) -> Option<()> {
        let l4 = self.quoted.l4_offset;
        let protocol = about.protocol;
        match (self.is_v6, about.is_v6) {
            (false, false) => {
                header.copy_from_slice(old);
                let removed = checksum::sum(old.get(12..20)?);
                header[12..16].copy_from_slice(&about.source[..4]);
                header[16..20].copy_from_slice(&about.destination[..4]);
                let sum = checksum::update_sum(be16(header, 10)?, removed, checksum::sum(&header[12..20]));
                header[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (true, true) => {
                header.copy_from_slice(old);
                header[8..24].copy_from_slice(&about.source);
                header[24..40].copy_from_slice(&about.destination);
            }
            (false, true) => {
                let payload = be16(old, 2)?.checked_sub(l4)?;
                write_v6(header, about, payload, old[1], old[8], protocol);
            }
            (true, false) => {
                let payload = (be16(old, 4)? + IPV6_LEN as u16).checked_sub(l4)?;
                write_v4(header, about, payload, (old[0] << 4 | old[1] >> 4, old[7], protocol), 0);
            }
        }
        Some(())
    }
}

/// Ports, sequence number and checksum of a quoted segment, as far as it reaches.
fn edit_transport(
    segment: &mut [u8],
    about: &Tuple,
    sequence: Option<u32>,
    old_addresses: u64,
) -> Option<()> {
    let mut removed = old_addresses + checksum::sum(segment.get(..4)?);
    let mut added = checksum::sum(&about.source) + checksum::sum(&about.destination);
    segment[..2].copy_from_slice(&about.source_port.to_be_bytes());
    segment[2..4].copy_from_slice(&about.destination_port.to_be_bytes());
    added += checksum::sum(&segment[..4]);
    if let (Some(sequence), Some(field)) = (sequence, segment.get_mut(4..8)) {
        removed += checksum::sum(field);
        field.copy_from_slice(&sequence.to_be_bytes());
        added += checksum::sum(field);
    }
    let at = if about.protocol == PROTOCOL_TCP { 16 } else { 6 };
    if let Some(field) = segment.get_mut(at..at + 2) {
        let old = u16::from_be_bytes([field[0], field[1]]);
        let new = match (checksum::update_sum(old, removed, added), about.protocol) {
            // RFC 768: no checksum stays none, and one that comes to zero was sent as all ones.
            _ if old == 0 && about.protocol == PROTOCOL_UDP => 0,
            (0, PROTOCOL_UDP) => 0xffff,
            (new, _) => new,
        };
        field.copy_from_slice(&new.to_be_bytes());
    }
    Some(())
}

/// True if the message sums to what its checksum says.
fn is_sound(ip: &[u8], message: &[u8], is_v6: bool) -> bool {
    let mut sum = checksum::sum(message);
    if is_v6 {
        sum += checksum::sum(&ip[8..40]) + message.len() as u64 + u64::from(PROTOCOL_ICMPV6);
    }
    checksum::fold(sum) == 0xffff
}

/// RFC 7915 section 4.2.
fn to_icmpv6(head: &[u8; ICMP_LEN]) -> Option<[u8; ICMP_LEN]> {
    let mut new = [0; ICMP_LEN];
    let (kind, code) = match (head[0], head[1]) {
        (3, 0 | 1 | 5 | 6 | 7 | 8 | 11 | 12) => (1, 0),
        (3, 2) => {
            // The next header field of the quoted IPv6 header.
            new[7] = 6;
            (4, 1)
        }
        (3, 3) => (1, 4),
        (3, 4) => {
            let mtu = u32::from(u16::from_be_bytes([head[6], head[7]]));
            // A router that names none is older than RFC 1191; the least that IPv6 knows is right for it, and for
            // whatever is below.
            let mtu = (mtu + HEADERS_DIFFER).max(1_280);
            new[4..].copy_from_slice(&mtu.to_be_bytes());
            (2, 0)
        }
        (3, 9 | 10 | 13 | 15) => (1, 1),
        (11, code) => (3, code),
        (12, 0 | 2) => {
            let pointer = match head[4] {
                0 => 0,
                1 => 1,
                2 | 3 => 4,
                8 => 7,
                9 => 6,
                12..=15 => 8,
                16..=19 => 24,
                _ => return None,
            };
            new[7] = pointer;
            (4, 0)
        }
        _ => return None,
    };
    new[..2].copy_from_slice(&[kind, code]);
    Some(new)
}

/// RFC 7915 section 5.2.
fn to_icmp(head: &[u8; ICMP_LEN]) -> Option<[u8; ICMP_LEN]> {
    let mut new = [0; ICMP_LEN];
    let number = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let (kind, code) = match (head[0], head[1]) {
        (1, 0 | 2 | 3) => (3, 1),
        (1, 1) => (3, 10),
        (1, 4) => (3, 3),
        (2, _) => {
            let mtu = u16::try_from(number.saturating_sub(HEADERS_DIFFER)).unwrap_or(u16::MAX);
            new[6..].copy_from_slice(&mtu.to_be_bytes());
            (3, 4)
        }
        (3, code) => (11, code),
        (4, 1) => (3, 2),
        (4, 0) => {
            new[4] = match number {
                0 => 0,
                1 => 1,
                4 | 5 => 2,
                6 => 9,
                7 => 8,
                8..=23 => 12,
                24..=39 => 16,
                _ => return None,
            };
            (12, 0)
        }
        _ => return None,
    };
    new[..2].copy_from_slice(&[kind, code]);
    Some(new)
}
