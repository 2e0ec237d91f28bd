//! `Mbuf`: one packet buffer, owned. The only file that names fields of `rte_mbuf`.
//!
//! What must hold: `pkt_len` and `data_len` change together, and always
//! `data_off + data_len <= buf_len`. All accessors read the structure directly; no call into C happens per
//! packet. A buffer is never shared here (nothing clones or attaches one), so `&mut` is exclusive in C too.

use std::fmt;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys as ffi;

/// An owned packet buffer. Dropping it returns it to its pool; for many, [`Burst`](crate::Burst) is quicker.
#[repr(transparent)]
pub struct Mbuf(NonNull<ffi::rte_mbuf>);

// SAFETY: a buffer belongs to whoever holds it, not to a thread; pools accept it back from any thread.
unsafe impl Send for Mbuf {}
// SAFETY: all methods on `&Mbuf` only read.
unsafe impl Sync for Mbuf {}

/// What the driver found out about a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RxFlags(u64);

impl RxFlags {
    /// The NIC checked the IPv4 header checksum and it is wrong.
    #[inline]
    #[must_use]
    pub fn ip_checksum_bad(self) -> bool {
        self.0 & ffi::GW_MBUF_RX_IP_CKSUM_MASK == ffi::GW_MBUF_RX_IP_CKSUM_BAD
    }

    /// The NIC checked the IPv4 header checksum and it is right.
    #[inline]
    #[must_use]
    pub fn ip_checksum_good(self) -> bool {
        self.0 & ffi::GW_MBUF_RX_IP_CKSUM_MASK == ffi::GW_MBUF_RX_IP_CKSUM_GOOD
    }
}

impl Mbuf {
    /// # Safety
    /// `mbuf` must be a valid buffer with a reference count of one that nobody else holds.
    #[inline]
    pub(crate) unsafe fn from_raw(mbuf: NonNull<ffi::rte_mbuf>) -> Self {
        Self(mbuf)
    }

    #[inline]
    fn raw(&self) -> &ffi::rte_mbuf {
        // SAFETY: the buffer is valid and ours while `self` lives; pools never vanish before that.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn raw_mut(&mut self) -> &mut ffi::rte_mbuf {
        // SAFETY: as in `raw`, and `&mut self` is the only way to it.
        unsafe { self.0.as_mut() }
    }

    /// The packet's bytes, of the first segment if there are several.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        // SAFETY: data_off + data_len <= buf_len, so the range lies in the buffer, which was zeroed when
        // the pool was made and is ours.
        unsafe { slice::from_raw_parts(self.data_address(), self.len()) }
    }

    /// The packet's bytes for writing, of the first segment if there are several.
    #[inline]
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`, and the buffer is not shared (module doc).
        unsafe { slice::from_raw_parts_mut(self.data_address().cast_mut(), self.len()) }
    }

    /// Bytes in the first segment.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a packet's length, not a collection's")]
    pub fn len(&self) -> usize {
        usize::from(self.raw().data_len)
    }

    /// Bytes in all segments.
    #[inline]
    #[must_use]
    pub fn packet_len(&self) -> usize {
        self.raw().pkt_len as usize
    }

    /// Whether the packet lies in one piece; ports here never scatter, so this is a check, not a case.
    #[inline]
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.raw().nb_segs == 1
    }

    /// Bytes free before the packet.
    #[inline]
    #[must_use]
    pub fn headroom(&self) -> usize {
        usize::from(self.raw().data_off)
    }

    /// Bytes free after the packet, in the first segment.
    #[inline]
    #[must_use]
    pub fn tailroom(&self) -> usize {
        let raw = self.raw();
        usize::from(raw.buf_len).saturating_sub(usize::from(raw.data_off) + usize::from(raw.data_len))
    }

    /// Makes the packet `count` bytes longer at its front; their content is whatever lay there.
    /// False, and no change, when the headroom is smaller or the length would exceed 65535.
    #[inline]
    #[must_use]
    pub fn grow_front(&mut self, count: usize) -> bool {
        let raw = self.raw_mut();
        let Ok(bytes) = u16::try_from(count) else { return false };
        let (Some(offset), Some(len)) = (raw.data_off.checked_sub(bytes), raw.data_len.checked_add(bytes))
        else {
            return false;
        };
        raw.data_off = offset;
        raw.data_len = len;
        raw.pkt_len += u32::from(bytes);
        true
    }

    /// Takes `count` bytes off the packet's front. False, and no change, when it is shorter.
    #[inline]
    #[must_use]
    pub fn shrink_front(&mut self, count: usize) -> bool {
        let raw = self.raw_mut();
        let Ok(bytes) = u16::try_from(count) else { return false };
        let Some(len) = raw.data_len.checked_sub(bytes) else { return false };
        raw.data_off += bytes;
        raw.data_len = len;
        raw.pkt_len -= u32::from(bytes);
        true
    }

    /// Shortens the packet to its first `len` bytes. False, and no change, when it is shorter or in pieces.
    #[inline]
    #[must_use]
    pub fn truncate(&mut self, len: usize) -> bool {
        if !self.is_contiguous() || len > self.len() {
            return false;
        }
        let raw = self.raw_mut();
        // len <= data_len, which is a u16.
        raw.data_len = len as u16;
        raw.pkt_len = len as u32;
        true
    }

    /// Makes the packet `count` bytes longer at its end and hands out the new bytes, whatever they contain.
    /// None, and no change, when the tailroom is smaller or the packet is in pieces.
    #[inline]
    #[must_use]
    pub fn append(&mut self, count: usize) -> Option<&mut [u8]> {
        if !self.is_contiguous() || count > self.tailroom() {
            return None;
        }
        let before = self.len();
        let raw = self.raw_mut();
        // count <= tailroom < buf_len, which is a u16, and data_len + count <= buf_len.
        raw.data_len += count as u16;
        raw.pkt_len += count as u32;
        self.data_mut().get_mut(before..)
    }

    /// Moves the packet's start by `grow` bytes to the front (negative: to the back) and makes it `len` bytes
    /// long; bytes that come into it hold whatever lay there. Costs one check of each end and three stores.
    /// None, and no change, when that is not inside the buffer or the packet is in pieces.
    #[inline(always)]
    #[must_use]
    pub fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        let raw = self.raw_mut();
        // What a start before the buffer wraps to lies beyond any room.
        let offset = (usize::from(raw.data_off) as isize).wrapping_sub(grow) as usize;
        let room = usize::from(raw.buf_len).checked_sub(len)?;
        if offset > room || raw.nb_segs != 1 {
            return None;
        }
        // Both are at most buf_len, which is a u16.
        raw.data_off = offset as u16;
        raw.data_len = len as u16;
        raw.pkt_len = len as u32;
        let start = raw.buf_addr.cast::<u8>().wrapping_add(offset);
        // SAFETY: offset + len <= buf_len, so the range lies in the buffer, which was zeroed when the pool was
        // made, is ours and is not shared (module doc).
        Some(unsafe { slice::from_raw_parts_mut(start, len) })
    }

    /// What the driver found out on reception.
    #[inline]
    #[must_use]
    pub fn rx_flags(&self) -> RxFlags {
        RxFlags(self.raw().ol_flags)
    }

    /// The NIC's RSS hash of the packet, when it delivered one.
    #[inline]
    #[must_use]
    pub fn rss_hash(&self) -> Option<u32> {
        let raw = self.raw();
        // SAFETY: every member of the outer union is plain integers, of which any bits are valid.
        let hash = unsafe { raw.__bindgen_anon_2.hash };
        // SAFETY: as above; the flag tells whether `rss` is the member that was written.
        let rss = unsafe { hash.rss };
        (raw.ol_flags & ffi::GW_MBUF_RX_RSS_HASH != 0).then_some(rss)
    }

    /// Where the buffer's header lies, for prefetching only.
    #[inline]
    #[must_use]
    pub fn header_address(&self) -> *const u8 {
        self.0.as_ptr().cast_const().cast()
    }

    /// Where the packet's first byte lies, for prefetching only. Reads the header.
    #[inline]
    #[must_use]
    pub fn data_address(&self) -> *const u8 {
        let raw = self.raw();
        raw.buf_addr.cast_const().cast::<u8>().wrapping_add(usize::from(raw.data_off))
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mbuf({} bytes)", self.packet_len())
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is valid and ours, and nothing uses it after this.
        unsafe { ffi::gw_pktmbuf_free(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests;
