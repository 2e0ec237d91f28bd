//! `Burst`: up to 64 owned packets in an array, the unit in which everything moves.
//!
//! What must hold: exactly the first `len` places hold buffers, and each is owned once. The rest is
//! uninitialised: no handle is ever made from a null pointer.

use std::fmt;
use std::mem::{self, ManuallyDrop, MaybeUninit};

use dpdk_sys as ffi;

use crate::mbuf::Mbuf;

/// Packets in a full burst.
pub const BURST_MAX: usize = 64;

/// A bounded list of packets; dropping it frees them all in one call.
pub struct Burst {
    len: usize,
    mbufs: [MaybeUninit<Mbuf>; BURST_MAX],
}

impl Burst {
    /// An empty burst.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { len: 0, mbufs: [const { MaybeUninit::uninit() }; BURST_MAX] }
    }

    /// How many packets there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no more fit.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == BURST_MAX
    }

    /// How many more fit.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        BURST_MAX - self.len
    }

    /// The packets.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[Mbuf] {
        // SAFETY: the first `len` places are initialised and MaybeUninit<Mbuf> is laid out as Mbuf.
        unsafe { std::slice::from_raw_parts(self.mbufs.as_ptr().cast(), self.len) }
    }

    /// The packets, for changing them in place.
    #[inline]
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // SAFETY: as in `as_slice`, exclusive by `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.mbufs.as_mut_ptr().cast(), self.len) }
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// Gives it back when the burst is full.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        match self.mbufs.get_mut(self.len) {
            Some(place) => {
                place.write(mbuf);
                self.len += 1;
                Ok(())
            }
            None => Err(mbuf),
        }
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Mbuf> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the place was initialised, and `len` no longer covers it, so it is owned by the caller only.
        Some(unsafe { self.mbufs[self.len].assume_init_read() })
    }

    /// Takes all packets, in order; those the iterator does not reach are freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let end = mem::take(&mut self.len);
        Drain { burst: self, next: 0, end }
    }

    /// Moves all packets into a new burst.
    #[inline]
    #[must_use]
    pub fn take_all(&mut self) -> Self {
        mem::take(self)
    }

    /// Moves packets from the front of `other` to the end of this, as many as fit; returns how many.
    #[inline]
    pub fn append(&mut self, other: &mut Self) -> usize {
        let count = self.room().min(other.len);
        for (place, mbuf) in self.mbufs[self.len..].iter_mut().zip(&other.mbufs[..count]) {
            // SAFETY: the source place is initialised, and `forget_front` gives up its ownership below.
            place.write(unsafe { mbuf.assume_init_read() });
        }
        self.len += count;
        // SAFETY: the first `count` packets of `other` are owned by `self` now.
        unsafe { other.forget_front(count) };
        count
    }

    /// Frees all packets in one call.
    #[inline]
    pub fn free_all(&mut self) {
        let count = mem::take(&mut self.len);
        self.free_range(0, count);
    }

    /// Frees the places `from..to`, which `len` must no longer cover.
    #[inline]
    fn free_range(&mut self, from: usize, to: usize) {
        debug_assert!(self.len <= from && from <= to && to <= BURST_MAX);
        if from < to {
            let first = self.mbufs[from..to].as_mut_ptr().cast();
            // SAFETY: the places hold valid buffers, given up by the caller; Mbuf is laid out as a pointer.
            unsafe { ffi::rte_pktmbuf_free_bulk(first, (to - from) as u32) };
        }
    }

    /// Where the packets lie as C sees them: an array of `rte_mbuf *`.
    #[inline]
    pub(crate) fn as_c_array(&mut self) -> *mut *mut ffi::rte_mbuf {
        self.mbufs.as_mut_ptr().cast()
    }

    /// The first free place as C sees it; `room()` pointers may be written there.
    #[inline]
    pub(crate) fn spare(&mut self) -> *mut *mut ffi::rte_mbuf {
        self.mbufs[self.len..].as_mut_ptr().cast()
    }

    /// # Safety
    /// The first `count` places after `len` must hold buffers that nobody else owns, and `count <= room()`.
    #[inline]
    pub(crate) unsafe fn grow(&mut self, count: usize) {
        debug_assert!(count <= self.room());
        self.len += count;
    }

    /// Drops the first `count` packets from the list without freeing them; the rest moves to the front.
    ///
    /// # Safety
    /// Somebody else must own those packets, and `count <= len`.
    #[inline]
    pub(crate) unsafe fn forget_front(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        let rest = self.len - count;
        if count > 0 && rest > 0 {
            // The places are MaybeUninit: moving them about drops nothing.
            self.mbufs[..self.len].rotate_left(count);
        }
        self.len = rest;
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.free_all();
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Burst({} packets)", self.len)
    }
}

/// The packets of a burst, by value; made by [`Burst::drain`].
pub struct Drain<'a> {
    burst: &'a mut Burst,
    next: usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next == self.end {
            return None;
        }
        // SAFETY: places next..end hold packets that the burst's `len` no longer covers.
        let mbuf = unsafe { self.burst.mbufs[self.next].assume_init_read() };
        self.next += 1;
        Some(mbuf)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.burst.free_range(self.next, self.end);
    }
}

/// The layout that `as_c_array` relies on.
const _: () = {
    assert!(size_of::<ManuallyDrop<Mbuf>>() == size_of::<*mut ffi::rte_mbuf>());
    assert!(align_of::<Mbuf>() == align_of::<*mut ffi::rte_mbuf>());
};
