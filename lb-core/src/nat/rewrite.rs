//! The edit of a translated packet: addresses, ports, sequence numbers, options, and every checksum over them.
//!
//! Checksums are never computed anew but where there was none before: what goes out of a sum and what comes into it is
//! gathered, and applied once by RFC 1624 equation 3. A checksum that is wrong on the way in is as wrong on the way out,
//! so that its receiver notices.

use super::translate64;
use super::tuple::Tuple;
use crate::checksum;
use crate::headers::Headers;
use crate::packet::{self, Packet};
use crate::reason::DropReason;
use crate::wire::{
    IPV4_LEN, IPV6_LEN, NEXT_AUTHENTICATION, NEXT_DESTINATION, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING,
    PROTOCOL_TCP, PROTOCOL_UDP, TCP_LEN, UDP_LEN,
};

/// Offsets in a TCP header.
const TCP_SEQUENCE: usize = 4;
const TCP_ACKNOWLEDGMENT: usize = 8;
const TCP_DATA_OFFSET: usize = 12;
const TCP_CHECKSUM: usize = 16;
const TCP_URGENT: usize = 18;
const TCP_URG: u8 = 0x20;
const UDP_CHECKSUM: usize = 6;
/// Longest TCP header: the data offset has four bits.
const TCP_LEN_MAX: usize = 60;
/// Kinds of TCP options (RFC 9293, RFC 2018).
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
const OPTION_SACK: u8 = 5;

/// Bytes that go into a TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Insertion {
    bytes: [u8; super::proxy::PROXY_LEN_MAX],
    len: u8,
    /// In front of the payload; otherwise in front of the options.
    is_payload: bool,
}

impl Insertion {
    /// Nothing.
    pub const NONE: Self = Self { bytes: [0; super::proxy::PROXY_LEN_MAX], len: 0, is_payload: false };

    /// A TCP option that holds the source of `client`.
    pub fn toa(client: &Tuple) -> Self {
        let mut option = Self::NONE;
        option.len = super::toa::write(client, &mut option.bytes).unwrap_or(0) as u8;
        option
    }

    /// A PROXY protocol header of `client`.
    pub fn proxy(client: &Tuple) -> Self {
        let mut header = Self { is_payload: true, ..Self::NONE };
        header.len = super::proxy::write(client, &mut header.bytes).unwrap_or(0) as u8;
        header
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// True if it is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// How one packet is to be changed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What it is to be.
    pub to: &'a Tuple,
    /// Its Ethernet addresses: destination, source.
    pub macs: [u8; 12],
    /// Longest IP datagram that its way out takes, bytes.
    pub mtu: u16,
    /// What goes into it.
    pub insert: Insertion,
    /// Its sequence number, if that changes.
    pub sequence: Option<u32>,
    /// By how much its MSS option is lowered.
    pub mss_less: u8,
    /// Identification of an IPv4 header that had none.
    pub identification: u16,
}

impl<'a> Change<'a> {
    /// Addresses and ports alone.
    pub fn plain(to: &'a Tuple, macs: [u8; 12], mtu: u16) -> Self {
        Self { to, macs, mtu, insert: Insertion::NONE, sequence: None, mss_less: 0, identification: 0 }
    }
}

/// A TCP or UDP segment whose changes are counted.
struct Segment<'s> {
    bytes: &'s mut [u8],
    removed: u64,
    added: u64,
}

impl Segment<'_> {
    /// Replaces bytes. Words are those of the segment, wherever the bytes lie.
    fn set(&mut self, at: usize, new: &[u8]) -> Option<()> {
        let words = at & !1..((at + new.len() + 1) & !1).min(self.bytes.len());
        self.removed += checksum::sum(self.bytes.get(words.clone())?);
        self.bytes.get_mut(at..at + new.len())?.copy_from_slice(new);
        self.added += checksum::sum(self.bytes.get(words)?);
        Some(())
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    /// The options of a TCP header: kind, offset of the kind, length.
    fn option(&self, wanted: u8) -> Option<(usize, usize)> {
        let end = (usize::from(*self.bytes.get(TCP_DATA_OFFSET)? >> 4) * 4).min(self.bytes.len());
        let mut at = TCP_LEN;
        while at < end {
            match self.bytes[at] {
                OPTION_END => return None,
                OPTION_NOP => at += 1,
                kind => {
                    let len = usize::from(*self.bytes.get(at + 1)?);
                    if len < 2 || at + len > end {
                        return None;
                    }
                    if kind == wanted {
                        return Some((at, len));
                    }
                    at += len;
                }
            }
        }
        None
    }

    /// Writes the checksum at `at`.
    fn apply(&mut self, at: usize) -> Option<u16> {
        let field = self.bytes.get_mut(at..)?.first_chunk_mut::<2>()?;
        let new = checksum::update_sum(u16::from_be_bytes(*field), self.removed, self.added);
        *field = new.to_be_bytes();
        Some(new)
    }
}

/// The acknowledgement and the SACK blocks of a backend's segment, as `map` says.
///
/// A block that comes to nothing (it told of bytes that the client never sent) takes its whole option with it.
pub fn map_acknowledgement(frame: &mut [u8], headers: &Headers, map: impl Fn(u32) -> u32) -> Option<()> {
    let end = usize::from(headers.l3_offset) + usize::from(headers.ip_len);
    let bytes = frame.get_mut(usize::from(headers.l4_offset)..end)?;
    let mut segment = Segment { bytes, removed: 0, added: 0 };
    let acknowledged = segment.u32(TCP_ACKNOWLEDGMENT)?;
    segment.set(TCP_ACKNOWLEDGMENT, &map(acknowledged).to_be_bytes())?;
    if let Some((at, len)) = segment.option(OPTION_SACK) {
        let mut is_empty = false;
        for edges in (at + 2..(at + len).saturating_sub(7)).step_by(8) {
            let (left, right) = (map(segment.u32(edges)?), map(segment.u32(edges + 4)?));
            is_empty |= left == right;
            segment.set(edges, &left.to_be_bytes())?;
            segment.set(edges + 4, &right.to_be_bytes())?;
        }
        if is_empty {
            segment.set(at, &[OPTION_NOP; TCP_LEN_MAX][..len])?;
        }
    }
    segment.apply(TCP_CHECKSUM)?;
    Some(())
}

/// Edits a packet.
///
/// # Errors
/// Why it cannot be; it may have been changed in part and is to be dropped.
pub fn apply<P: Packet>(packet: &mut P, headers: &Headers, change: &Change<'_>) -> Result<(), DropReason> {
    passable(packet.frame(), headers)?;
    let mut headers = *headers;
    let len = new_len(&headers, change);
    if len > usize::from(change.mtu) {
        return Err(DropReason::MtuExceeded);
    }
    let end = usize::from(headers.l3_offset) + usize::from(headers.ip_len);
    packet.reframe(0, end).ok_or(DropReason::NoHeadroom)?;
    if !change.insert.is_empty() {
        insert(packet, &mut headers, &change.insert)?;
    }
    let computes = transport(packet.frame_mut(), &headers, change).ok_or(DropReason::Malformed)?;
    match (headers.is_v6, change.to.is_v6) {
        (false, false) => addresses_v4(packet.frame_mut(), &headers, change),
        (true, true) => addresses_v6(packet.frame_mut(), &headers, change),
        _ => translate64::apply(packet, &mut headers, change.to, change.identification),
    }
    .ok_or(DropReason::NoHeadroom)?;
    if computes {
        compute_udp(packet.frame_mut(), &headers, change.to).ok_or(DropReason::Malformed)?;
    }
    packet.frame_mut().get_mut(..12).ok_or(DropReason::Malformed)?.copy_from_slice(&change.macs);
    packet::pad(packet);
    Ok(())
}

/// False if an option that goes into a segment has no room: in the TCP header, or on the way out. A segment can go
/// without it; without a header of its stream it cannot.
pub fn has_room(frame: &[u8], headers: &Headers, change: &Change<'_>) -> bool {
    if change.insert.is_empty() || change.insert.is_payload {
        return true;
    }
    let data_offset = frame.get(usize::from(headers.l4_offset) + TCP_DATA_OFFSET).map_or(0, |byte| byte >> 4);
    usize::from(data_offset) * 4 + change.insert.len() <= TCP_LEN_MAX
        && new_len(headers, change) <= usize::from(change.mtu)
}

/// Length of the datagram after the change.
fn new_len(headers: &Headers, change: &Change<'_>) -> usize {
    let old_header = usize::from(headers.l4_offset) - usize::from(headers.l3_offset);
    let header = match (headers.is_v6, change.to.is_v6) {
        (true, false) => IPV4_LEN,
        (false, true) => IPV6_LEN,
        _ => old_header,
    };
    usize::from(headers.ip_len) - old_header + header + change.insert.len()
}

/// Refuses what an address translator must not touch: source routes, whose final destination is the one that the
/// transport checksum covers, and authenticated headers, which a change makes invalid.
fn passable(frame: &[u8], headers: &Headers) -> Result<(), DropReason> {
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let header = frame.get(l3..l4).ok_or(DropReason::Malformed)?;
    if headers.is_v6 {
        return passable_v6(header);
    }
    let mut at = IPV4_LEN;
    while let Some(kind) = header.get(at) {
        match kind {
            0 => break,
            1 => at += 1,
            // RFC 791: loose and strict source and record route.
            131 | 137 => return Err(DropReason::Unsupported),
            _ => at += usize::from(*header.get(at + 1).unwrap_or(&0)).max(2),
        }
    }
    Ok(())
}

fn passable_v6(header: &[u8]) -> Result<(), DropReason> {
    let (mut next, mut at) = (header[6], IPV6_LEN);
    while let Some(extension) = header.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        match next {
            NEXT_ROUTING if extension[3] != 0 => return Err(DropReason::Unsupported),
            NEXT_AUTHENTICATION => return Err(DropReason::Unsupported),
            NEXT_ROUTING | NEXT_HOP_BY_HOP | NEXT_DESTINATION => at += (usize::from(extension[1]) + 1) * 8,
            NEXT_FRAGMENT => at += 8,
            _ => break,
        }
        next = extension[0];
    }
    Ok(())
}

/// Puts bytes into a TCP segment and says so in every length and checksum.
fn insert<P: Packet>(packet: &mut P, headers: &mut Headers, insertion: &Insertion) -> Result<(), DropReason> {
    let (count, l4) = (insertion.len(), usize::from(headers.l4_offset));
    let header_len =
        usize::from(packet.frame().get(l4 + TCP_DATA_OFFSET).ok_or(DropReason::Malformed)? >> 4) * 4;
    let at = l4 + if insertion.is_payload { header_len } else { TCP_LEN };
    let len = packet.frame().len();
    let is_sound = header_len >= TCP_LEN && l4 + header_len <= len;
    if !is_sound || !insertion.is_payload && header_len + count > TCP_LEN_MAX {
        return Err(DropReason::Malformed);
    }
    let frame = packet.reframe(count as isize, len + count).ok_or(DropReason::NoHeadroom)?;
    frame.copy_within(count..count + at, 0);
    frame[at..at + count].copy_from_slice(&insertion.bytes[..count]);
    headers.ip_len += count as u16;
    lengthen(frame, headers, count).ok_or(DropReason::Malformed)?;

    let mut segment = Segment { bytes: &mut frame[l4..], removed: 0, added: 0 };
    // The bytes themselves, and the length in the pseudo header. What is behind them moves by whole words.
    segment.added += checksum::sum(&insertion.bytes[..count]) + count as u64;
    let done = if insertion.is_payload {
        shift_urgent(&mut segment, count as u16)
    } else {
        let byte = segment.bytes[TCP_DATA_OFFSET] + ((count as u8 / 4) << 4);
        segment.set(TCP_DATA_OFFSET, &[byte])
    };
    done.and_then(|()| segment.apply(TCP_CHECKSUM)).map(|_| ()).ok_or(DropReason::Malformed)
}

/// The urgent pointer counts from the sequence number of its segment (RFC 9293 section 3.8.5).
fn shift_urgent(segment: &mut Segment<'_>, count: u16) -> Option<()> {
    if segment.bytes.get(TCP_DATA_OFFSET + 1)? & TCP_URG == 0 {
        return Some(());
    }
    let pointer = u16::from_be_bytes(*segment.bytes.get(TCP_URGENT..)?.first_chunk()?);
    segment.set(TCP_URGENT, &pointer.saturating_add(count).to_be_bytes())
}

/// The length fields of the IP header.
fn lengthen(frame: &mut [u8], headers: &Headers, count: usize) -> Option<()> {
    let ip = frame.get_mut(usize::from(headers.l3_offset)..)?;
    let at = if headers.is_v6 { 4 } else { 2 };
    let field = ip.get_mut(at..)?.first_chunk_mut::<2>()?;
    let (old, new) = (u16::from_be_bytes(*field), u16::from_be_bytes(*field).checked_add(count as u16)?);
    *field = new.to_be_bytes();
    if !headers.is_v6 {
        update_header(ip, u64::from(old), u64::from(new))?;
    }
    Some(())
}

/// The header checksum of an IPv4 header after a change.
fn update_header(ip: &mut [u8], removed: u64, added: u64) -> Option<()> {
    let field = ip.get_mut(10..)?.first_chunk_mut::<2>()?;
    *field = checksum::update_sum(u16::from_be_bytes(*field), removed, added).to_be_bytes();
    Some(())
}

/// Ports, sequence number, MSS, and the checksum over them and the addresses. True if a checksum is to be computed
/// that was not there: UDP from IPv4 to IPv6 (RFC 7915 section 4.5).
fn transport(frame: &mut [u8], headers: &Headers, change: &Change<'_>) -> Option<bool> {
    let address_len = if headers.is_v6 { 16 } else { 4 };
    let first = usize::from(headers.l3_offset) + if headers.is_v6 { 8 } else { 12 };
    let old = checksum::sum(frame.get(first..first + 2 * address_len)?);
    let to = change.to;
    let new = checksum::sum(&to.source) + checksum::sum(&to.destination);
    let mut segment =
        Segment { bytes: frame.get_mut(usize::from(headers.l4_offset)..)?, removed: old, added: new };
    let ports = u32::from(to.source_port) << 16 | u32::from(to.destination_port);
    segment.set(0, &ports.to_be_bytes())?;
    match headers.protocol {
        PROTOCOL_TCP => {
            if let Some(sequence) = change.sequence {
                segment.set(TCP_SEQUENCE, &sequence.to_be_bytes())?;
            }
            if let (true, Some((at, 4))) = (change.mss_less > 0, segment.option(OPTION_MSS)) {
                let mss = u16::from_be_bytes(*segment.bytes.get(at + 2..)?.first_chunk()?);
                segment.set(at + 2, &mss.saturating_sub(u16::from(change.mss_less)).to_be_bytes())?;
            }
            segment.apply(TCP_CHECKSUM)?;
            Some(false)
        }
        PROTOCOL_UDP => {
            // RFC 768: zero is no checksum, and stays none over IPv4.
            if segment.bytes.get(UDP_CHECKSUM..UDP_LEN)? == [0, 0] {
                return Some(to.is_v6 && !headers.is_v6);
            }
            if segment.apply(UDP_CHECKSUM)? == 0 {
                segment.bytes.get_mut(UDP_CHECKSUM..UDP_LEN)?.copy_from_slice(&[0xff, 0xff]);
            }
            Some(false)
        }
        _ => None,
    }
}

/// A UDP checksum over all of the datagram.
fn compute_udp(frame: &mut [u8], headers: &Headers, to: &Tuple) -> Option<()> {
    let segment = frame.get_mut(usize::from(headers.l4_offset)..)?;
    let len = usize::from(u16::from_be_bytes(*segment.get(4..)?.first_chunk()?));
    let covered = checksum::sum(segment.get(..len)?);
    let pseudo = checksum::sum(&to.source) + checksum::sum(&to.destination);
    let sum = covered + pseudo + u64::from(PROTOCOL_UDP) + len as u64;
    let checksum = match checksum::finish(sum) {
        0 => 0xffff,
        checksum => checksum,
    };
    segment.get_mut(UDP_CHECKSUM..UDP_LEN)?.copy_from_slice(&checksum.to_be_bytes());
    Some(())
}

/// Addresses and TTL of an IPv4 header, and its checksum.
fn addresses_v4(frame: &mut [u8], headers: &Headers, change: &Change<'_>) -> Option<()> {
    let ip = frame.get_mut(usize::from(headers.l3_offset)..)?;
    let header = ip.first_chunk_mut::<IPV4_LEN>()?;
    let removed = checksum::sum(&header[8..10]) + checksum::sum(&header[12..]);
    header[8] = header[8].checked_sub(1)?;
    header[12..16].copy_from_slice(&change.to.source[..4]);
    header[16..].copy_from_slice(&change.to.destination[..4]);
    let added = checksum::sum(&header[8..10]) + checksum::sum(&header[12..]);
    update_header(ip, removed, added)
}

/// Addresses and hop limit of an IPv6 header.
fn addresses_v6(frame: &mut [u8], headers: &Headers, change: &Change<'_>) -> Option<()> {
    let header = frame.get_mut(usize::from(headers.l3_offset)..)?.first_chunk_mut::<IPV6_LEN>()?;
    header[7] = header[7].checked_sub(1)?;
    header[8..24].copy_from_slice(&change.to.source);
    header[24..].copy_from_slice(&change.to.destination);
    Some(())
}

#[cfg(test)]
mod tests;
