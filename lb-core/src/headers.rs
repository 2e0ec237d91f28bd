//! The header summary of a packet: parsed once, obeyed by everything after it.
//!
//! Two parsers that must agree: [`plain`] recognises the packets that make up nearly all traffic, without a
//! branch that depends on who sent them; [`parse`] knows every legal shape and names what is wrong with the
//! others. Lengths are compared with the frame before anything behind them is read.

pub(crate) mod plain;
mod portless;

use crate::checksum;
use crate::flow::FlowKey;
use crate::reason::{DropReason, PuntReason};
use crate::wire::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN, IPV4_LEN, IPV6_LEN,
    NEXT_AUTHENTICATION, NEXT_DESTINATION, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING, PROTOCOL_ICMP,
    PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, SCTP_LEN, TCP_LEN, UDP_LEN, VLAN_TAG_LEN,
    be16,
};
pub use portless::{Fragment, Portless};

/// 802.1Q and 802.1ad tags accepted in one frame.
const VLAN_TAGS_MAX: usize = 2;
/// IPv6 extension headers walked before a packet is given up as unsupported (RFC 8504 section 5.3).
pub(crate) const EXTENSIONS_MAX: usize = 8;

/// What is known of a packet with a flow after parsing. Offsets are in bytes from the start of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Length of the IP datagram, bytes. Ethernet padding is beyond it.
    pub ip_len: u16,
    /// Where the transport header starts.
    pub l4_offset: u16,
    /// Where the IP header starts.
    pub l3_offset: u8,
    /// IP protocol of the transport header.
    pub protocol: u8,
    /// TCP flags, 0 of all others.
    pub tcp_flags: u8,
    /// TTL or hop limit as received.
    pub ttl: u8,
    /// True for IPv6.
    pub is_v6: bool,
}

/// Which destination MACs are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFilter {
    mac: u64,
    mask: u64,
    /// What follows from that for plain packets, so that no burst has to work it out.
    patterns: plain::Patterns,
}

impl PortFilter {
    /// Accepts every unicast frame (replay, where there is no port).
    pub const ANY: Self = Self::masked(0, 1);

    /// Accepts unicast frames to `mac`.
    pub const fn new(mac: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = mac;
        Self::masked(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]), 0xffff_ffff_ffff)
    }

    const fn masked(mac: u64, mask: u64) -> Self {
        Self { mac, mask, patterns: plain::Patterns::new(mac, mask) }
    }

    /// Zero if `first`, the first eight bytes of a frame, is addressed to us.
    #[inline(always)]
    fn mismatch(self, first: &[u8; 8]) -> u64 {
        (u64::from_le_bytes(*first) ^ self.mac) & self.mask
    }
}

/// Why a frame has no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFlow {
    /// Broken.
    Drop(DropReason),
    /// Not for an IP load balancer.
    Punt(PuntReason),
    /// A fragment; only the VIP table knows whether its datagram is for us.
    Fragment(Fragment),
    /// An ICMP or ICMPv6 message; likewise.
    Icmp(Portless),
}

impl From<DropReason> for NoFlow {
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

#[inline(always)]
fn bytes<const N: usize>(head: &[u8], at: usize) -> &[u8; N] {
    head[at..].first_chunk::<N>().expect("constant offsets within a constant length")
}

/// Parses any frame: VLAN tags, IPv4 options, IPv6 extension headers; names what cannot be a flow.
pub fn parse(frame: &[u8], filter: PortFilter) -> Result<(Headers, FlowKey), NoFlow> {
    let first = frame.first_chunk::<ETHERNET_LEN>().ok_or(DropReason::Malformed)?;
    if first[0] & 1 != 0 {
        return Err(NoFlow::Punt(PuntReason::NotUnicast));
    }
    if filter.mismatch(bytes(first, 0)) != 0 {
        return Err(DropReason::WrongMac.into());
    }
    let mut ethertype = u16::from_be_bytes(*bytes(first, 12));
    let mut l3_offset = ETHERNET_LEN;
    for _ in 0..VLAN_TAGS_MAX {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
            break;
        }
        ethertype = be16(frame, l3_offset + 2).ok_or(DropReason::Malformed)?;
        l3_offset += VLAN_TAG_LEN;
    }
    let ip = &frame[l3_offset..];
    let ip_headers = match ethertype {
        ETHERTYPE_IPV4 => parse_v4(ip, l3_offset)?,
        ETHERTYPE_IPV6 => parse_v6(ip, l3_offset)?,
        _ => return Err(NoFlow::Punt(PuntReason::NotIp)),
    };
    finish(ip, ip_headers, l3_offset)
}

/// Parses the first fragment of a datagram as what the datagram is: its transport header is there in full, or the
/// fragment is [`DropReason::FragmentInvalid`].
pub fn parse_first(frame: &[u8], fragment: &Fragment) -> Result<(Headers, FlowKey), NoFlow> {
    let Headers { ip_len, l4_offset, l3_offset, protocol, ttl, is_v6, .. } = fragment.datagram.headers;
    let ip = frame.get(usize::from(l3_offset)..).ok_or(DropReason::Malformed)?;
    let data = usize::from(l4_offset - u16::from(l3_offset));
    let datagram = ip.get(..usize::from(ip_len)).ok_or(DropReason::Malformed)?;
    let walked = if is_v6 { walk_from(datagram, protocol, data) } else { Ok((protocol, data)) };
    // RFC 7112: the whole header chain; RFC 1858 section 3.2 and RFC 9293: the whole TCP header, its options included.
    let hidden = |_| NoFlow::Drop(DropReason::FragmentInvalid);
    let (protocol, l4) = walked.map_err(hidden)?;
    if protocol == PROTOCOL_TCP {
        let header_len = datagram.get(l4 + 12).map_or(usize::MAX, |byte| usize::from(byte >> 4) * 4);
        datagram
            .get(l4..)
            .filter(|segment| segment.len() >= header_len)
            .ok_or(DropReason::FragmentInvalid)?;
    }
    let parsed = IpHeaders { ip_len, l4, protocol, ttl, is_v6 };
    finish(ip, parsed, usize::from(l3_offset)).map_err(|other| match other {
        NoFlow::Drop(_) => NoFlow::Drop(DropReason::FragmentInvalid),
        other => other,
    })
}

/// What both IP versions leave to be read: `l4` is the offset of the transport header in the datagram.
struct IpHeaders {
    ip_len: u16,
    l4: usize,
    protocol: u8,
    ttl: u8,
    is_v6: bool,
}

fn parse_v4(ip: &[u8], l3_offset: usize) -> Result<IpHeaders, NoFlow> {
    let head = ip.first_chunk::<IPV4_LEN>().ok_or(DropReason::Malformed)?;
    let header_len = usize::from(head[0] & 0x0f) * 4;
    let ip_len = u16::from_be_bytes(*bytes(head, 2));
    let is_sound = head[0] >> 4 == 4
        && header_len >= IPV4_LEN
        && usize::from(ip_len) >= header_len
        && usize::from(ip_len) <= ip.len();
    if !is_sound {
        return Err(DropReason::Malformed.into());
    }
    // RFC 1812 section 5.2.2: a router must verify the header checksum.
    if checksum::fold(checksum::sum(&ip[..header_len])) != 0xffff {
        return Err(DropReason::Checksum.into());
    }
    let parsed = IpHeaders { ip_len, l4: header_len, protocol: head[9], ttl: head[8], is_v6: false };
    let part = u16::from_be_bytes(*bytes(head, 6)) & 0x3fff;
    if part != 0 {
        let id = u16::from_be_bytes(*bytes(head, 4));
        let datagram = Portless::new(ip, &parsed, l3_offset)?;
        return Err(NoFlow::Fragment(Fragment::new(datagram, id.into(), part << 3, part & 0x2000 != 0)));
    }
    Ok(parsed)
}

fn parse_v6(ip: &[u8], l3_offset: usize) -> Result<IpHeaders, NoFlow> {
    let head = ip.first_chunk::<IPV6_LEN>().ok_or(DropReason::Malformed)?;
    let payload_len = u16::from_be_bytes(*bytes(head, 4));
    let ip_len = payload_len.checked_add(IPV6_LEN as u16).ok_or(DropReason::Malformed)?;
    if head[0] >> 4 != 6 || usize::from(ip_len) > ip.len() {
        return Err(DropReason::Malformed.into());
    }
    let datagram = &ip[..usize::from(ip_len)];
    let of = |protocol, l4| IpHeaders { ip_len, l4, protocol, ttl: head[7], is_v6: true };
    let (protocol, l4) = walk_from(datagram, head[6], IPV6_LEN).map_err(|stop| match stop {
        Stop::For(reason) => NoFlow::Drop(reason),
        Stop::AtFragment { next, at, id, part } => match Portless::new(ip, &of(next, at), l3_offset) {
            Ok(datagram) => NoFlow::Fragment(Fragment::new(datagram, id, part & 0xfff8, part & 1 != 0)),
            Err(reason) => NoFlow::Drop(reason),
        },
    })?;
    Ok(of(protocol, l4))
}

/// Why a walk over extension headers does not reach the transport header.
enum Stop {
    /// Broken, or too long.
    For(DropReason),
    /// A fragment header of one part of several: what follows it and where, the id, and the word of offset and flag.
    AtFragment { next: u8, at: usize, id: u32, part: u16 },
}

impl From<DropReason> for Stop {
    fn from(reason: DropReason) -> Self {
        Self::For(reason)
    }
}

/// Walks IPv6 extension headers to the transport header: (protocol, offset in the datagram).
fn walk_from(datagram: &[u8], first: u8, start: usize) -> Result<(u8, usize), Stop> {
    let (mut next, mut at) = (first, start);
    for _ in 0..=EXTENSIONS_MAX {
        let header = match next {
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION | NEXT_FRAGMENT | NEXT_AUTHENTICATION => {
                datagram.get(at..).and_then(<[u8]>::first_chunk::<8>).ok_or(DropReason::Malformed)?
            }
            _ => return Ok((next, at)),
        };
        let len = match next {
            NEXT_FRAGMENT => {
                // RFC 6946: offset 0 and no more fragments is a whole datagram, an atomic fragment.
                let part = u16::from_be_bytes([header[2], header[3]]);
                if part & 0xfff9 != 0 {
                    let id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                    return Err(Stop::AtFragment { next: header[0], at: at + 8, id, part });
                }
                8
            }
            // RFC 5095: routing header type 0 with segments left is discarded.
            NEXT_ROUTING if header[2] == 0 && header[3] != 0 => return Err(DropReason::Unsupported.into()),
            NEXT_AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        next = header[0];
        at += len;
    }
    Err(DropReason::Unsupported.into())
}

/// Reads the transport header and puts the summary together.
fn finish(ip: &[u8], parsed: IpHeaders, l3_offset: usize) -> Result<(Headers, FlowKey), NoFlow> {
    if parsed.protocol == if parsed.is_v6 { PROTOCOL_ICMPV6 } else { PROTOCOL_ICMP } {
        return Err(NoFlow::Icmp(Portless::new(ip, &parsed, l3_offset)?));
    }
    let IpHeaders { ip_len, l4, protocol, ttl, is_v6 } = parsed;
    let l4_len = match protocol {
        PROTOCOL_TCP => TCP_LEN,
        PROTOCOL_UDP => UDP_LEN,
        PROTOCOL_SCTP => SCTP_LEN,
        // 0 is a header of IPv6 that was walked over, and nothing that IPv4 has.
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 | NEXT_HOP_BY_HOP => return Err(NoFlow::Punt(PuntReason::NoVip)),
        // By its addresses alone, if a VIP serves any protocol.
        _ => 0,
    };
    let transport = ip[..usize::from(ip_len)].get(l4..l4 + l4_len).ok_or(DropReason::Malformed)?;
    let (source, destination) = FlowKey::addresses(ip, is_v6).ok_or(DropReason::Malformed)?;
    let port = |at| if l4_len == 0 { 0 } else { u16::from_be_bytes(*bytes(transport, at)) };
    let key = FlowKey { source, destination, source_port: port(0), destination_port: port(2), protocol };
    let headers = Headers {
        ip_len,
        // At most 22 + 65,535 bytes: an offset that does not fit is beyond any frame that a port takes.
        l4_offset: u16::try_from(l3_offset + l4).map_err(|_| DropReason::Malformed)?,
        l3_offset: l3_offset as u8,
        protocol,
        tcp_flags: if protocol == PROTOCOL_TCP { transport[13] } else { 0 },
        ttl,
        is_v6,
    };
    Ok((headers, key))
}

#[cfg(test)]
mod tests;
