//! A packet buffer in memory with the shape of an mbuf: a header line, headroom, room for a frame.
//!
//! What benchmarks and simulations use in place of DPDK's buffers: bounded, allocated once, reused, reached
//! through a pointer ([`Box`]), and as far apart as the elements of a mempool.

use super::{HEADROOM_LEN, Packet};

/// Room for headroom and frame, bytes.
pub const BUFFER_LEN: usize = HEADROOM_LEN + 2_048;

/// One reusable packet buffer.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Buffer {
    start: u16,
    len: u16,
    /// The rest of an mbuf's two header lines: the frame's memory starts where an mbuf's does, and an odd
    /// number of lines per buffer spreads the buffers over all sets of a cache.
    reserved: [u8; 188],
    bytes: [u8; BUFFER_LEN],
}

const _: () = assert!(size_of::<Buffer>() == 2_368);

impl Default for Buffer {
    fn default() -> Self {
        Self { start: HEADROOM_LEN as u16, len: 0, reserved: [0; 188], bytes: [0; BUFFER_LEN] }
    }
}

impl Buffer {
    /// An empty frame of `len` bytes with a new frame's headroom; its contents are what was there before.
    ///
    /// # Panics
    /// If `len` exceeds the room behind the headroom.
    #[inline(always)]
    pub fn reset(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= BUFFER_LEN - HEADROOM_LEN, "a frame of {len} bytes");
        self.start = HEADROOM_LEN as u16;
        self.len = len as u16;
        &mut self.bytes[HEADROOM_LEN..HEADROOM_LEN + len]
    }
}

impl Packet for Buffer {
    #[inline(always)]
    fn frame(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..][..usize::from(self.len)]
    }

    #[inline(always)]
    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[usize::from(self.start)..][..usize::from(self.len)]
    }

    #[inline(always)]
    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        let start = usize::from(self.start).checked_add_signed(grow.checked_neg()?)?;
        if start > BUFFER_LEN || len > BUFFER_LEN - start {
            return None;
        }
        // Both are at most BUFFER_LEN.
        self.start = start as u16;
        self.len = len as u16;
        Some(&mut self.bytes[start..start + len])
    }
}
