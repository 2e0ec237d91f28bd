//! Plain packets: untagged, TCP or UDP right behind an IP header without options, no fragment, addressed to
//! us, lengths and IPv4 checksum right, TTL above 1.
//!
//! What a plain packet is made of lies at constant offsets, so the passes read it from the frame instead of
//! carrying a summary about; [`headers`] makes one where it is wanted. Every objection is a branch that is
//! never taken in ordinary traffic; what does vary from packet to packet (TCP or UDP, the flags) is looked
//! up or added, never branched on.

use super::{Headers, PortFilter, bytes};
use crate::address;
use crate::checksum;
use crate::hw::Isa;
use crate::packet::{GLIMPSE_LEN, Packet};
use crate::wire::{
    ETHERNET_LEN, IPV4_LEN, IPV6_LEN, PROTOCOL_TCP, PROTOCOL_UDP, TCP_FIN, TCP_LEN, TCP_RST, TCP_SYN, UDP_LEN,
};

/// Length of frame that a plain packet has at least, bytes: up to the end of a TCP header, which also covers
/// what of a UDP packet is read. Shorter UDP frames never cross an Ethernet, whose minimum is 60.
pub(crate) const V4_LEN: usize = ETHERNET_LEN + IPV4_LEN + TCP_LEN;
/// The same of IPv6.
pub(crate) const V6_LEN: usize = ETHERNET_LEN + IPV6_LEN + TCP_LEN;

/// Offset of the transport header in a plain IPv4 frame.
const L4_V4: usize = ETHERNET_LEN + IPV4_LEN;
/// Offset of the transport header in a plain IPv6 frame.
const L4_V6: usize = ETHERNET_LEN + IPV6_LEN;
/// Offset of the flags in a TCP header.
const TCP_FLAGS: usize = 13;

/// Length of a plain packet's IP datagram, and whether its TCP flags ask for more than a look-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size(u32);

/// SYN, FIN and RST, when they are set, stand above the 16 bits of the length: in the highest byte, where they
/// come to lie in a word that ends with them.
const FLAGS_SHIFT: u32 = 24;

impl Size {
    /// True if the packet may be no ordinary one of its flow or does not fit: one comparison for both.
    #[inline(always)]
    pub(crate) fn exceeds(self, ip_len_max: u16) -> bool {
        self.0 > u32::from(ip_len_max)
    }

    /// The length alone.
    #[inline(always)]
    pub(crate) fn without_flags(self) -> Self {
        Self(self.0 & u32::from(u16::MAX))
    }

    /// Length of the IP datagram, bytes.
    #[inline(always)]
    pub(crate) fn ip_len(self) -> u16 {
        self.0 as u16
    }
}

/// What a protocol demands. Low half: the length that the IP header gives must be greater than this, bytes; it
/// counts `header_len` bytes of the header as well. Highest byte: the TCP flags that matter.
const fn protocol_rules(header_len: usize) -> [u32; 256] {
    // No datagram is longer than that: not TCP or UDP, so not plain.
    let mut rules = [u16::MAX as u32; 256];
    let flags = (TCP_SYN | TCP_FIN | TCP_RST) as u32;
    rules[PROTOCOL_TCP as usize] = (header_len + TCP_LEN - 1) as u32 | flags << FLAGS_SHIFT;
    rules[PROTOCOL_UDP as usize] = (header_len + UDP_LEN - 1) as u32;
    rules
}

/// The total length of IPv4 counts the header, the payload length of IPv6 does not.
static RULES_V4: [u32; 256] = protocol_rules(IPV4_LEN);
static RULES_V6: [u32; 256] = protocol_rules(0);

impl Size {
    /// From the length of the datagram and the four bytes that end with the TCP flags.
    #[inline(always)]
    fn new(ip_len: u32, flags: &[u8; 4], rule: u32) -> Self {
        Self(u32::from_le_bytes(*flags) & rule & 0xff << FLAGS_SHIFT | ip_len)
    }
}

/// The bits of a frame's first 32 bytes that are the same in all plain packets of a port, by family: what they
/// are, and which of them count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patterns {
    v4: [[u8; 32]; 2],
    v6: [[u8; 32]; 2],
}

impl Patterns {
    /// Of a port that wants `mac` under `mask`, both as the first six bytes of a frame in little-endian order.
    pub(super) const fn new(mac: u64, mask: u64) -> Self {
        let (mac, mask) = (mac.to_le_bytes(), mask.to_le_bytes());
        let (mut v4, mut v6) = ([[0; 32]; 2], [[0; 32]; 2]);
        let mut at = 0;
        while at < 6 {
            (v4[0][at], v6[0][at]) = (mac[at], mac[at]);
            (v4[1][at], v6[1][at]) = (mask[at], mask[at]);
            at += 1;
        }
        (v4[0][12], v4[0][13], v4[0][14]) = (0x08, 0x00, 0x45);
        (v4[1][12], v4[1][13], v4[1][14]) = (0xff, 0xff, 0xff);
        // More fragments, and the fragment offset.
        (v4[1][20], v4[1][21]) = (0x3f, 0xff);
        (v6[0][12], v6[0][13], v6[0][14]) = (0x86, 0xdd, 0x60);
        (v6[1][12], v6[1][13], v6[1][14]) = (0xff, 0xff, 0xf0);
        Self { v4, v6 }
    }
}

/// The patterns in registers.
#[derive(Clone, Copy)]
pub(crate) struct Shapes<I: Isa> {
    isa: I,
    v4: (I::Wide, I::Wide),
    v6: (I::Wide, I::Wide),
}

impl<I: Isa> Shapes<I> {
    /// The shapes of plain packets that `filter` accepts.
    #[inline(always)]
    pub(crate) fn new(isa: I, filter: &PortFilter) -> Self {
        let load = |[value, mask]: &[[u8; 32]; 2]| (isa.load_wide(value), isa.load_wide(mask));
        Self { isa, v4: load(&filter.patterns.v4), v6: load(&filter.patterns.v6) }
    }

    /// True if a frame that begins like this, and is long enough, is a plain IPv4 packet by its first bytes.
    #[inline(always)]
    pub(crate) fn begins_v4(&self, start: &[u8; GLIMPSE_LEN]) -> bool {
        !self.isa.differs(start, self.v4.0, self.v4.1)
    }

    /// A plain IPv4 packet: its size, its protocol, and the 16 bytes from the source address on. If it `was_seen`,
    /// [`Self::begins_v4`] has been asked already, about what the frame begins with if it is long enough.
    #[inline(always)]
    pub(crate) fn v4<'a>(&self, frame: &'a [u8], was_seen: bool) -> Option<(Size, u8, &'a [u8; 16])> {
        let head = frame.first_chunk::<V4_LEN>()?;
        if !was_seen && !self.begins_v4(bytes(head, 0)) {
            return None;
        }
        let protocol = head[23];
        let rule = RULES_V4[usize::from(protocol)];
        let ip_len = u16::from_be_bytes(*bytes(head, 16));
        if ip_len <= rule as u16
            || usize::from(ip_len) > frame.len() - ETHERNET_LEN
            || head[22] <= 1
            || !checksum::ipv4_header_is_valid(bytes(head, ETHERNET_LEN))
        {
            return None;
        }
        Some((Size::new(ip_len.into(), bytes(head, L4_V4 + TCP_FLAGS - 3), rule), protocol, bytes(head, 26)))
    }

    /// A plain IPv6 packet: its size, its protocol, and the 40 bytes from the source address on: addresses, ports,
    /// and four more.
    #[inline(always)]
    pub(crate) fn v6<'a>(&self, frame: &'a [u8]) -> Option<(Size, u8, &'a [u8; 40])> {
        let head = frame.first_chunk::<V6_LEN>()?;
        if self.isa.differs(bytes(head, 0), self.v6.0, self.v6.1) {
            return None;
        }
        let protocol = head[20];
        let rule = RULES_V6[usize::from(protocol)];
        let payload_len = u16::from_be_bytes(*bytes(head, 18));
        let ip_len = u32::from(payload_len) + IPV6_LEN as u32;
        // A larger datagram would not fit the 16 bits of a length, nor any port's MTU.
        let room = (frame.len() - ETHERNET_LEN).min(usize::from(u16::MAX));
        if payload_len <= rule as u16 || ip_len as usize > room || head[21] <= 1 {
            return None;
        }
        Some((Size::new(ip_len, bytes(head, L4_V6 + TCP_FLAGS - 3), rule), protocol, bytes(head, 22)))
    }
}

/// The summary of a packet that has been found plain. Empty for a frame that cannot be one.
#[inline(always)]
pub(crate) fn headers(frame: &[u8], is_v6: bool) -> Headers {
    let l4 = if is_v6 { L4_V6 } else { L4_V4 };
    let Some(head) = frame.get(..l4 + TCP_LEN) else { return Headers::default() };
    let (length, protocol, ttl) = if is_v6 { (18, 20, 21) } else { (16, 23, 22) };
    let ip_len = u16::from_be_bytes([head[length], head[length + 1]]);
    Headers {
        ip_len: if is_v6 { ip_len.wrapping_add(IPV6_LEN as u16) } else { ip_len },
        l4_offset: l4 as u16,
        l3_offset: ETHERNET_LEN as u8,
        protocol: head[protocol],
        tcp_flags: if head[protocol] == PROTOCOL_TCP { head[l4 + TCP_FLAGS] } else { 0 },
        ttl: head[ttl],
        is_v6,
    }
}

/// The summary of a plain packet, as far as the edit of an ordinary hit wants it: what is constant in its
/// family is known to the compiler.
#[inline(always)]
pub(crate) fn headers_of_hit(size: Size, is_v6: bool) -> Headers {
    Headers {
        ip_len: size.ip_len(),
        l4_offset: if is_v6 { L4_V6 } else { L4_V4 } as u16,
        l3_offset: ETHERNET_LEN as u8,
        is_v6,
        ..Headers::default()
    }
}

/// Where a plain IPv4 packet goes: address, port and protocol in one word, in network order as they are in memory.
/// The default is no packet's: no protocol has number 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetV4(u64);

impl TargetV4 {
    /// The target of a plain packet; `None` if no host can have sent it.
    #[inline(always)]
    pub(crate) fn of(packet: &impl Packet) -> Option<Self> {
        let head = packet.head::<V4_LEN>()?;
        // Address, source port, destination port; the protocol takes the place of the source port.
        let word = u64::from_le_bytes(*bytes(head, 30));
        let source = u32::from_ne_bytes(*bytes(head, 26));
        if address::is_martian_v4(source, u32::from_ne_bytes(*bytes(head, 30))) {
            return None;
        }
        Some(Self(word & 0xffff_0000_ffff_ffff | u64::from(head[23]) << 32))
    }

    /// Address and port in host order, and protocol.
    #[inline(always)]
    pub(crate) fn parts(self) -> (u32, u16, u8) {
        ((self.0 as u32).swap_bytes(), ((self.0 >> 48) as u16).swap_bytes(), (self.0 >> 32) as u8)
    }
}

/// The same of IPv6: the address, and port and protocol in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetV6(u128, u32);

impl TargetV6 {
    /// The target of a plain packet; `None` if no host can have sent it.
    #[inline(always)]
    pub(crate) fn of(packet: &impl Packet) -> Option<Self> {
        let head = packet.head::<V6_LEN>()?;
        let half = |at: usize| u64::from_ne_bytes(*bytes(head, at));
        if address::is_martian_v6([half(22), half(30)], [half(38), half(46)]) {
            return None;
        }
        let port = u16::from_ne_bytes(*bytes(head, L4_V6 + 2));
        let address = u128::from_ne_bytes(*bytes(head, 38));
        Some(Self(address, u32::from(port) | u32::from(head[20]) << 16))
    }

    /// Address and port in host order, and protocol.
    #[inline(always)]
    pub(crate) fn parts(self) -> (u128, u16, u8) {
        (u128::from_be(self.0), u16::from_be(self.1 as u16), (self.1 >> 16) as u8)
    }
}
