//! A packet buffer in memory with the shape of an mbuf: header lines, headroom, room for a frame.
//!
//! What benchmarks and simulations use in place of DPDK's buffers: bounded, allocated once, reused, reached
//! through a pointer ([`Box`]), and as far apart as the elements of a mempool.

use super::{GLIMPSE_LEN, HEADROOM_LEN, Packet};

/// Longest frame, bytes: a power of two less one, so that a masked length is a legal one.
pub const BUFFER_FRAME_MAX: usize = 2_047;

/// Headers as long as an mbuf's, bytes, but for the three that are in use.
const RESERVED_LEN: usize = 189;
/// Any start that one byte holds, and any frame behind it.
const BYTES_LEN: usize = u8::MAX as usize + 1 + BUFFER_FRAME_MAX + 1 - HEADROOM_LEN;

/// One reusable packet buffer.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Buffer {
    len: u16,
    /// Bytes of headroom. One byte, and with the masked length every slice lies inside: no access is checked,
    /// as none of an mbuf's is.
    start: u8,
    reserved: [u8; RESERVED_LEN],
    bytes: [u8; BYTES_LEN + HEADROOM_LEN],
}

// An odd number of lines spreads the buffers over all sets of a cache.
const _: () = assert!((size_of::<Buffer>() / 64) % 2 == 1);

impl Default for Buffer {
    fn default() -> Self {
        Self {
            len: 0,
            start: HEADROOM_LEN as u8,
            reserved: [0; RESERVED_LEN],
            bytes: [0; BYTES_LEN + HEADROOM_LEN],
        }
    }
}

impl Buffer {
    /// An empty frame of `len` bytes with a new frame's headroom; its contents are what was there before.
    ///
    /// # Panics
    /// If `len` exceeds [`BUFFER_FRAME_MAX`].
    #[inline(always)]
    pub fn reset(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= BUFFER_FRAME_MAX, "a frame of {len} bytes");
        self.start = HEADROOM_LEN as u8;
        self.len = len as u16;
        self.frame_mut()
    }

    #[inline(always)]
    fn range(&self) -> std::ops::Range<usize> {
        let start = usize::from(self.start);
        start..start + (usize::from(self.len) & BUFFER_FRAME_MAX)
    }
}

impl Packet for Buffer {
    #[inline(always)]
    fn frame(&self) -> &[u8] {
        &self.bytes[self.range()]
    }

    #[inline(always)]
    fn head<const LEN: usize>(&self) -> Option<&[u8; LEN]> {
        // Behind any start there is room for any frame, so this is the one test that is left.
        if usize::from(self.len) < LEN {
            return None;
        }
        self.bytes[usize::from(self.start)..].first_chunk()
    }

    #[inline(always)]
    fn glimpse(&self) -> &[u8; GLIMPSE_LEN] {
        // Behind any start there is room for any frame: nothing is left to test.
        self.bytes[usize::from(self.start)..].first_chunk().expect("room behind any start")
    }

    #[inline(always)]
    fn frame_mut(&mut self) -> &mut [u8] {
        let range = self.range();
        &mut self.bytes[range]
    }

    #[inline(always)]
    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        let start = u8::try_from(isize::from(self.start) - grow).ok()?;
        if len > BUFFER_FRAME_MAX {
            return None;
        }
        self.start = start;
        self.len = len as u16;
        Some(self.frame_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_moves_within_its_buffer_and_never_out_of_it() {
        let mut buffer = Buffer::default();
        buffer.reset(4).copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(buffer.reframe(2, 6).unwrap()[2..], [1, 2, 3, 4]);
        assert_eq!(buffer.reframe(-3, 3).unwrap(), [2, 3, 4]);
        assert!(buffer.reframe(HEADROOM_LEN as isize + 2, 4).is_none(), "no such headroom");
        assert!(buffer.reframe(-200, 4).is_none(), "no such start");
        assert!(buffer.reframe(0, BUFFER_FRAME_MAX + 1).is_none(), "no such tail");
        assert_eq!(buffer.frame(), [2, 3, 4], "a refusal changes nothing");
        assert_eq!((buffer.head::<3>(), buffer.head::<4>()), (Some(&[2, 3, 4]), None));
        assert_eq!(buffer.glimpse()[..3], [2, 3, 4]);
        assert_eq!(buffer.reframe(-126, BUFFER_FRAME_MAX).unwrap().len(), BUFFER_FRAME_MAX, "the last start");
        assert_eq!(buffer.glimpse(), &buffer.frame()[..GLIMPSE_LEN]);
    }
}
