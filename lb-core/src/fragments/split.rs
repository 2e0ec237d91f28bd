//! An IPv4 datagram in pieces, as a router makes them (RFC 791 section 3.2, RFC 1812 section 4.2.2.7).
//!
//! What must hold: the pieces put together are the datagram, byte for byte, but for the hop that follows; each fits; what was
//! a fragment stays one, with its offset and its "more fragments"; nothing with DF comes apart. Pure: the pieces are written
//! into buffers of the caller.

use crate::checksum;
use crate::wire::{DONT_FRAGMENT, FRAGMENT_OFFSET, IPV4_LEN, MORE_FRAGMENTS, be16};

/// Most pieces of one datagram: as many as a burst has packets.
pub const PARTS_MAX: usize = crate::pipeline::BURST_MAX;

/// Longest IPv4 header, bytes.
const HEADER_LEN_MAX: usize = 60;
/// Copied into all fragments, in the type of an option (RFC 791 section 3.1).
const COPIED: u8 = 0x80;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;

/// What one piece has of the data, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    start: usize,
    len: usize,
}

/// A datagram that is to come apart.
#[derive(Clone, Copy, Debug)]
pub struct Split<'d> {
    header: &'d [u8],
    data: &'d [u8],
    /// The header of all pieces but the first: without the options that stay with that one.
    later: [u8; HEADER_LEN_MAX],
    later_len: usize,
    max: usize,
}

impl<'d> Split<'d> {
    /// A plan for `datagram`, which is whole and has nothing behind it, in pieces of at most `max` bytes. `None` if it may
    /// not or cannot come apart: IPv6, DF, no room for eight bytes of data, more than [`PARTS_MAX`] pieces, broken options,
    /// a length that a fragment cannot have.
    pub fn new(datagram: &'d [u8], max: u16) -> Option<Self> {
        let [first, ..] = *datagram.first_chunk::<IPV4_LEN>()?;
        let header_len = usize::from(first & 15) * 4;
        let is_whole = first >> 4 == 4 && usize::from(be16(datagram, 2)?) == datagram.len();
        if !is_whole || header_len < IPV4_LEN {
            return None;
        }
        let (header, data) = datagram.split_at_checked(header_len)?;
        let word = be16(header, 6)?;
        let end = usize::from(word & FRAGMENT_OFFSET) * 8 + data.len();
        let is_uneven = word & MORE_FRAGMENTS != 0 && !data.len().is_multiple_of(8);
        if word & DONT_FRAGMENT != 0 || is_uneven || end > usize::from(u16::MAX) {
            return None;
        }
        let (later, later_len) = without_own_options(header)?;
        let split = Self { header, data, later, later_len, max: usize::from(max) };
        let has_room = split.max >= header_len + 8;
        (has_room && split.parts().take(PARTS_MAX + 1).count() <= PARTS_MAX).then_some(split)
    }

    /// The pieces, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<'_, 'd> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let left = self.data.len().checked_sub(start).filter(|left| *left > 0)?;
            let room = self.max.checked_sub(self.header_of(start).len())?;
            let part = Part { start, len: if left <= room { left } else { room & !7 } };
            start += part.len;
            Some(part)
        })
    }

    /// Length of a piece with its header, bytes.
    pub fn len_of(&self, part: Part) -> usize {
        self.header_of(part.start).len() + part.len
    }

    fn header_of(&self, start: usize) -> &[u8] {
        if start == 0 { self.header } else { &self.later[..self.later_len] }
    }

    /// Writes a piece into a buffer of [`Self::len_of`] bytes. `None` for one of another length.
    pub fn write(&self, part: Part, into: &mut [u8]) -> Option<()> {
        let len = u16::try_from(self.len_of(part)).ok()?;
        if into.len() != usize::from(len) {
            return None;
        }
        let from = self.header_of(part.start);
        let (header, data) = into.split_at_mut_checked(from.len())?;
        header.copy_from_slice(from);
        data.copy_from_slice(self.data.get(part.start..part.start + part.len)?);
        let old = be16(from, 6)?;
        let more = if part.start + part.len < self.data.len() { MORE_FRAGMENTS } else { 0 };
        // Below 2^13 as the sum of both is: the end of the data fits 16 bits.
        let offset = (old & FRAGMENT_OFFSET) + (part.start / 8) as u16;
        header[2..4].copy_from_slice(&len.to_be_bytes());
        header[6..8].copy_from_slice(&(old & !FRAGMENT_OFFSET | more | offset).to_be_bytes());
        header[10..12].fill(0);
        let sum = checksum::finish(checksum::sum(header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        Some(())
    }
}

/// A header with those of its options that are in every fragment, and its length. `None` if they have impossible lengths.
fn without_own_options(header: &[u8]) -> Option<([u8; HEADER_LEN_MAX], usize)> {
    let mut later = [END_OF_OPTIONS; HEADER_LEN_MAX];
    let (fixed, mut options) = header.split_at_checked(IPV4_LEN)?;
    later[..IPV4_LEN].copy_from_slice(fixed);
    let mut len = IPV4_LEN;
    while let Some(kind) = options.first().copied().filter(|kind| *kind != END_OF_OPTIONS) {
        let option_len = match kind {
            NO_OPERATION => 1,
            _ => usize::from(*options.get(1)?).max(2),
        };
        let (option, rest) = options.split_at_checked(option_len)?;
        if kind & COPIED != 0 {
            later.get_mut(len..len + option_len)?.copy_from_slice(option);
            len += option_len;
        }
        options = rest;
    }
    // What is left of the last word ends the list.
    len = len.next_multiple_of(4);
    later[0] = 0x40 | (len / 4) as u8;
    Some((later, len))
}

#[cfg(test)]
mod tests;
