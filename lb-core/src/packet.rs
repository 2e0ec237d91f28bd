//! What the core needs of a packet buffer, and a plain one for memory.
//!
//! A packet is one contiguous Ethernet frame without FCS, with some free room in front of it. The DPDK
//! implementation lives in the appliance; [`Frame`] serves replay, tests and benchmarks.

pub mod buffer;

use crate::hw;
use crate::wire::FRAME_LEN_MIN;
pub use buffer::Buffer;

/// Bytes that [`Packet::glimpse`] gives.
pub const GLIMPSE_LEN: usize = 32;

/// One Ethernet frame that can be edited in place.
pub trait Packet {
    /// The frame, from the destination MAC on, without FCS.
    fn frame(&self) -> &[u8];

    /// The first bytes of the frame; `None` if it has fewer. For loops that look at nothing else: what a buffer knows of
    /// its own bounds need not be tested.
    #[inline(always)]
    fn head<const LEN: usize>(&self) -> Option<&[u8; LEN]> {
        self.frame().first_chunk()
    }

    /// The first bytes of the frame, for a first guess: where the frame is shorter, anything may stand. For loops that
    /// look at nothing else; who acts on the guess looks at the length.
    #[inline(always)]
    fn glimpse(&self) -> &[u8; GLIMPSE_LEN] {
        self.head().unwrap_or(&[0; GLIMPSE_LEN])
    }

    /// The frame, to be edited.
    fn frame_mut(&mut self) -> &mut [u8];

    /// Moves the start of the frame by `grow` bytes to the front (negative: drops bytes from the front) and
    /// sets its length to `len` bytes. Bytes that come into the frame have arbitrary contents.
    /// `None`, with nothing changed, if the buffer has no room for that.
    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]>;

    /// True if the whole frame is in one piece. Others are dropped as unsupported.
    fn is_contiguous(&self) -> bool {
        true
    }

    /// Hints that the first bytes of the frame are needed soon.
    #[inline(always)]
    fn prefetch(&self) {
        hw::prefetch_near(self.frame().as_ptr());
    }
}

/// Fills a frame that is shorter than Ethernet allows with zeroes, so that nothing of the buffer's earlier contents leaves
/// (IEEE 802.3; the leak is known as Etherleak); at the cost of headroom where there is no room behind it. A buffer without
/// either leaves the padding to the NIC, which knows no earlier contents.
pub(crate) fn pad<P: Packet>(packet: &mut P) {
    let len = packet.frame().len();
    let missing = FRAME_LEN_MIN.saturating_sub(len);
    if missing == 0 {
        return;
    }
    if let Some(frame) = packet.reframe(0, FRAME_LEN_MIN) {
        frame[len..].fill(0);
    } else if let Some(frame) = packet.reframe(missing as isize, FRAME_LEN_MIN) {
        frame.copy_within(missing.., 0);
        frame[len..].fill(0);
    }
}

/// Room in front of the frame in [`Frame::new`], bytes: as much as DPDK's default headroom.
pub const HEADROOM_LEN: usize = 128;

/// Room behind the frame in [`Frame::new`], bytes: enough to pad any frame to the least length of an Ethernet.
const TAILROOM_LEN: usize = 64;

/// A frame in ordinary memory.
#[derive(Clone, Debug)]
pub struct Frame {
    buffer: Vec<u8>,
    start: usize,
    len: usize,
}

impl Frame {
    /// A copy of `bytes` with [`HEADROOM_LEN`] bytes of room in front, and some behind.
    pub fn new(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; HEADROOM_LEN + bytes.len() + TAILROOM_LEN];
        buffer[HEADROOM_LEN..HEADROOM_LEN + bytes.len()].copy_from_slice(bytes);
        Self { buffer, start: HEADROOM_LEN, len: bytes.len() }
    }

    /// Puts another frame into the same memory, with the headroom of a new one.
    ///
    /// # Panics
    /// If `bytes` is longer than the frame that the buffer was made for.
    #[inline]
    pub fn rewrite(&mut self, bytes: &[u8]) {
        self.start = HEADROOM_LEN;
        self.len = bytes.len();
        self.buffer[HEADROOM_LEN..HEADROOM_LEN + bytes.len()].copy_from_slice(bytes);
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn frame(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    #[inline(always)]
    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }

    #[inline(always)]
    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        let start = self.start.checked_add_signed(grow.checked_neg()?)?;
        let end = start.checked_add(len)?;
        if end > self.buffer.len() {
            return None;
        }
        self.start = start;
        self.len = len;
        Some(&mut self.buffer[start..end])
    }
}

impl<P: Packet> Packet for Box<P> {
    #[inline(always)]
    fn frame(&self) -> &[u8] {
        (**self).frame()
    }

    #[inline(always)]
    fn head<const LEN: usize>(&self) -> Option<&[u8; LEN]> {
        (**self).head()
    }

    #[inline(always)]
    fn glimpse(&self) -> &[u8; GLIMPSE_LEN] {
        (**self).glimpse()
    }

    #[inline(always)]
    fn frame_mut(&mut self) -> &mut [u8] {
        (**self).frame_mut()
    }

    #[inline(always)]
    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        (**self).reframe(grow, len)
    }

    #[inline(always)]
    fn is_contiguous(&self) -> bool {
        (**self).is_contiguous()
    }

    #[inline(always)]
    fn prefetch(&self) {
        (**self).prefetch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reframe_moves_the_start_and_refuses_what_does_not_fit() {
        let mut packet = Frame::new(&[1, 2, 3, 4]);
        packet.reframe(2, 6).unwrap()[..2].copy_from_slice(&[8, 9]);
        assert_eq!(packet.frame(), [8, 9, 1, 2, 3, 4]);
        assert!(packet.reframe(-3, 2).is_some());
        assert_eq!(packet.frame(), [2, 3]);
        assert!(packet.reframe(HEADROOM_LEN as isize + 2, 4).is_none(), "no such headroom");
        assert!(packet.reframe(0, 4 + TAILROOM_LEN).is_none(), "no such tail");
        assert_eq!(packet.frame(), [2, 3], "a refusal changes nothing");
    }
}
