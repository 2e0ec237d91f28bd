//! The datagram that an ICMP error quotes: whose it was, and where its headers lie.
//!
//! What must hold: eight bytes behind the quoted IP header are enough (RFC 792; four are, in fact); IPv4 options and IPv6
//! extension headers in front of them are no obstacle; nothing is believed that has not been compared with what is
//! there. Lengths and checksums that the quote states are not held against it: quotes are cut short by design, and
//! boxes on the way change what they touch (RFC 5508 section 4).

use crate::flow::FlowKey;
use crate::headers::EXTENSIONS_MAX;
use crate::wire::{
    IPV4_LEN, IPV6_LEN, NEXT_AUTHENTICATION, NEXT_DESTINATION, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING,
    PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, be16,
};

/// What a quote tells. Offsets are in bytes from the start of the quoted IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The tuple of the quoted datagram as it was sent. Ports are 0 for protocols without.
    pub key: FlowKey,
    /// Where its transport header starts; at least four bytes of it are quoted if the protocol has ports.
    pub l4_offset: u16,
    /// True if it is IPv6.
    pub is_v6: bool,
}

impl Quote {
    /// Reads a quote, which starts with an IP header. `None` if it is too short to tell whose it was, is about a
    /// fragment other than the first, or no quote at all.
    pub fn parse(quoted: &[u8]) -> Option<Self> {
        match quoted.first()? >> 4 {
            4 => Self::parse_v4(quoted),
            6 => Self::parse_v6(quoted),
            _ => None,
        }
    }

    fn parse_v4(quoted: &[u8]) -> Option<Self> {
        let head = quoted.first_chunk::<IPV4_LEN>()?;
        let l4 = usize::from(head[0] & 0x0f) * 4;
        let is_first = (u16::from(head[6]) << 8 | u16::from(head[7])) & 0x1fff == 0;
        if l4 < IPV4_LEN || !is_first {
            return None;
        }
        Self::with_ports(quoted, head[9], l4, false)
    }

    fn parse_v6(quoted: &[u8]) -> Option<Self> {
        let head = quoted.first_chunk::<IPV6_LEN>()?;
        let (mut next, mut at) = (head[6], IPV6_LEN);
        for _ in 0..=EXTENSIONS_MAX {
            let len = match next {
                NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION => {
                    (usize::from(*quoted.get(at + 1)?) + 1) * 8
                }
                NEXT_AUTHENTICATION => (usize::from(*quoted.get(at + 1)?) + 2) * 4,
                NEXT_FRAGMENT if be16(quoted, at + 2)? & 0xfff8 != 0 => return None,
                NEXT_FRAGMENT => 8,
                _ => return Self::with_ports(quoted, next, at, true),
            };
            next = *quoted.get(at)?;
            at += len;
        }
        None
    }

    fn with_ports(quoted: &[u8], protocol: u8, l4: usize, is_v6: bool) -> Option<Self> {
        let (source, destination) = FlowKey::addresses(quoted, is_v6)?;
        let (source_port, destination_port) = match protocol {
            PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP => (be16(quoted, l4)?, be16(quoted, l4 + 2)?),
            _ => (0, 0),
        };
        let key = FlowKey { source, destination, source_port, destination_port, protocol };
        Some(Self { key, l4_offset: u16::try_from(l4).ok()?, is_v6 })
    }

    /// The flow that the quoted datagram is an answer in: its tuple with the ends exchanged.
    pub const fn answered_flow(&self) -> FlowKey {
        let FlowKey { source, destination, source_port, destination_port, protocol } = self.key;
        FlowKey {
            source: destination,
            destination: source,
            source_port: destination_port,
            destination_port: source_port,
            protocol,
        }
    }
}

/// The quote in an ICMP error, `message` being the message from its type on: up to its end, or to where RFC 4884
/// extensions begin if the message says so.
pub fn quoted(message: &[u8], is_v6: bool) -> Option<&[u8]> {
    let rest = message.get(super::HEADER_LEN..)?;
    // RFC 4884 section 4: in 32-bit words at byte 5 over IPv4, in 64-bit words at byte 4 over IPv6, and 0 without
    // extensions. Packet Too Big has no such field but its MTU, which is not asked for here; of parameter problems
    // over IPv6 the pointer.
    let len = match (is_v6, message[0]) {
        (false, 3 | 11 | 12) => usize::from(message[5]) * 4,
        (true, 1 | 3) => usize::from(message[4]) * 8,
        _ => 0,
    };
    if len == 0 { Some(rest) } else { Some(rest.get(..len).unwrap_or(rest)) }
}

/// The inner datagram of a quote that is one of our own encapsulated packets: its offset in the quote. The outer
/// header must be followed by IP, GRE, GUE, VXLAN or Geneve.
///
/// The port of the outer UDP header is not asked: the encapsulations can be told apart by their first bytes, and what is
/// found must prove itself as a datagram for a VIP.
pub fn inner_offset(quoted: &[u8]) -> Option<usize> {
    const ETHERNET_LEN: usize = 14;
    let outer = Quote::parse(quoted)?;
    let (at, bytes) = (usize::from(outer.l4_offset), quoted.get(usize::from(outer.l4_offset)..)?);
    let behind_ethernet = |offset: usize| match be16(bytes, offset + 12)? {
        0x0800 | 0x86dd => Some(offset + ETHERNET_LEN),
        _ => None,
    };
    let offset = match outer.key.protocol {
        4 | 41 => 0,
        47 => {
            // RFC 2890: checksum, key and sequence number are four bytes each.
            let flags = *bytes.first()?;
            let len = 4 + 4 * (flags & 0xb0).count_ones() as usize;
            match be16(bytes, 2)? {
                0x0800 | 0x86dd => len,
                0x6558 => behind_ethernet(len)?,
                _ => return None,
            }
        }
        PROTOCOL_UDP => {
            const UDP: usize = 8;
            let head = bytes.get(UDP..)?.first_chunk::<4>()?;
            match *head {
                // GUE variant 1: IP at once, whose version starts with the bits 01.
                [first, ..] if first >> 6 == 1 => UDP,
                // GUE variant 0, a data packet of IP.
                [first, 4 | 41, ..] if first >> 5 == 0 => UDP + 4 + usize::from(first & 0x1f) * 4,
                // VXLAN with its flags.
                [0x08, 0, 0, 0] => behind_ethernet(UDP + 8)?,
                // Geneve version 0 with IP or with Ethernet.
                [first, _, 0x08, 0x00] | [first, _, 0x86, 0xdd] if first >> 6 == 0 => {
                    UDP + 8 + usize::from(first & 0x3f) * 4
                }
                [first, _, 0x65, 0x58] if first >> 6 == 0 => {
                    behind_ethernet(UDP + 8 + usize::from(first & 0x3f) * 4)?
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    (at + offset < quoted.len()).then_some(at + offset)
}

#[cfg(test)]
mod tests;
