//! One cache line of the connection table: six entries.
//!
//! The layout is final (docs/connection-table.md): the SIMD match in [`crate::hw`] and the shared-memory
//! arena of later versions depend on it.

use crate::clock::{Tick, Timeouts};
use crate::hw::{LINE_ENTRIES, LINE_HI_OFFSET, LINE_LO_OFFSET};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How far a flow has been seen, which decides how long it may idle and who may evict it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// One packet so far: a SYN, or the first datagram. First to be evicted.
    Embryonic = 0,
    /// TCP beyond its SYN.
    Established = 1,
    /// TCP after FIN or RST.
    Closing = 2,
    /// UDP of two packets and more.
    Datagram = 3,
}

impl Class {
    const fn from_bits(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::Embryonic,
            1 => Self::Established,
            2 => Self::Closing,
            _ => Self::Datagram,
        }
    }

    /// Idle ticks after which an entry of this class is gone.
    #[inline]
    pub fn timeout_ticks(self, timeouts: &Timeouts) -> u16 {
        match self {
            // Either protocol: the longer of the two, a flood is held off by eviction and not by time.
            Self::Embryonic => timeouts.tcp_closing_ticks.max(timeouts.udp_ticks),
            Self::Established => timeouts.tcp_ticks,
            Self::Closing => timeouts.tcp_closing_ticks,
            Self::Datagram => timeouts.udp_ticks,
        }
    }

    /// True for classes that a newcomer may push out when its line is full.
    #[inline]
    pub(super) const fn is_evictable(self) -> bool {
        !matches!(self, Self::Established)
    }
}

/// Six entries in 64 bytes. A free entry has `hi` 0; a taken one has bit 0 of `hi` set.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Line {
    /// Hash bits 16..48.
    lo: [u32; LINE_ENTRIES],
    /// Hash bits 48..64, bit 0 forced to 1.
    hi: [u16; LINE_ENTRIES],
    /// Backend records.
    record: [u16; LINE_ENTRIES],
    /// Last packet.
    tick: [u16; LINE_ENTRIES],
    /// How many flows whose home is this line live in their alternate line; 255 sticks.
    overflow: u8,
    /// Bit i: entry i is a guest, its home is the alternate line.
    guests: u8,
    /// Bits 2i and 2i+1: the [`Class`] of entry i.
    classes: u16,
}

const _: () = {
    assert!(size_of::<Line>() == 64);
    assert!(std::mem::offset_of!(Line, lo) == LINE_LO_OFFSET);
    assert!(std::mem::offset_of!(Line, hi) == LINE_HI_OFFSET);
};

/// Where the records and the ticks start, in 16-bit words.
const RECORD_WORD: usize = std::mem::offset_of!(Line, record) / 2;
const TICK_WORD: usize = std::mem::offset_of!(Line, tick) / 2;
const _: () = assert!(TICK_WORD + 7 < 32, "a masked entry number stays inside the line");

/// All entries of a line, as bits.
pub(super) const FULL: u32 = (1 << LINE_ENTRIES) - 1;

impl Line {
    /// A line without entries.
    pub const EMPTY: Self = Self {
        lo: [0; LINE_ENTRIES],
        hi: [0; LINE_ENTRIES],
        record: [0; LINE_ENTRIES],
        tick: [0; LINE_ENTRIES],
        overflow: 0,
        guests: 0,
        classes: 0,
    };

    /// The line as the SIMD match wants it.
    #[inline(always)]
    pub(super) fn as_block(&self) -> &[u8; 64] {
        zerocopy::transmute_ref!(self)
    }

    /// Bits of the taken entries.
    #[inline]
    pub(super) fn taken(&self) -> u32 {
        let mut mask = 0;
        for (entry, hi) in self.hi.iter().enumerate() {
            mask |= u32::from(*hi != 0) << entry;
        }
        mask
    }

    /// The lowest free entry.
    #[inline]
    pub(super) fn free_entry(&self) -> Option<usize> {
        let free = !self.taken() & FULL;
        (free != 0).then(|| free.trailing_zeros() as usize)
    }

    /// The line as 16-bit words. An entry number from the SIMD match is below six, which the compiler does
    /// not know; masked to below eight it stays inside the line whatever it is, and needs no test.
    #[inline(always)]
    fn words(&self) -> &[u16; 32] {
        zerocopy::transmute_ref!(self)
    }

    #[inline(always)]
    pub(super) fn record(&self, entry: usize) -> u16 {
        self.words()[RECORD_WORD + (entry & 7)]
    }

    #[inline(always)]
    pub(super) fn set_record(&mut self, entry: usize, record: u16) {
        self.record[entry] = record;
    }

    #[inline(always)]
    pub(super) fn lo(&self, entry: usize) -> u32 {
        self.lo[entry]
    }

    #[inline(always)]
    pub(super) fn class(&self, entry: usize) -> Class {
        Class::from_bits(self.classes >> (2 * entry))
    }

    #[inline(always)]
    pub(super) fn set_class(&mut self, entry: usize, class: Class) {
        self.classes = self.classes & !(3 << (2 * entry)) | (class as u16) << (2 * entry);
    }

    /// Notes a packet. The line is written only if the tick has changed, once per second and flow.
    #[inline(always)]
    pub(super) fn touch(&mut self, entry: usize, now: Tick) {
        if self.words()[TICK_WORD + (entry & 7)] != now.0 {
            self.set_tick(entry, now);
        }
    }

    #[cold]
    fn set_tick(&mut self, entry: usize, now: Tick) {
        self.tick[entry] = now.0;
    }

    #[inline(always)]
    pub(super) fn age_ticks(&self, entry: usize, now: Tick) -> u16 {
        now.since(Tick(self.tick[entry]))
    }

    #[inline(always)]
    pub(super) fn is_guest(&self, entry: usize) -> bool {
        self.guests >> entry & 1 != 0
    }

    #[inline(always)]
    pub(super) fn has_overflow(&self) -> bool {
        self.overflow != 0
    }

    pub(super) fn overflow_grows(&mut self) {
        self.overflow = self.overflow.saturating_add(1);
    }

    pub(super) fn overflow_shrinks(&mut self) {
        // A saturated count is no longer known and stays: that costs a second look-up, never a miss.
        if self.overflow != u8::MAX {
            self.overflow = self.overflow.saturating_sub(1);
        }
    }

    /// Writes a whole entry.
    pub(super) fn put(&mut self, entry: usize, new: Entry, is_guest: bool) {
        self.lo[entry] = new.lo;
        self.hi[entry] = new.hi;
        self.record[entry] = new.record;
        self.tick[entry] = new.tick.0;
        self.set_class(entry, new.class);
        self.guests = self.guests & !(1 << entry) | u8::from(is_guest) << entry;
    }

    /// Reads a whole entry, to move it.
    pub(super) fn entry(&self, entry: usize) -> Entry {
        Entry {
            lo: self.lo[entry],
            hi: self.hi[entry],
            record: self.record[entry],
            tick: Tick(self.tick[entry]),
            class: self.class(entry),
        }
    }

    /// Frees an entry. The overflow count of its home is the caller's to mend.
    pub(super) fn clear(&mut self, entry: usize) {
        self.hi[entry] = 0;
        self.guests &= !(1 << entry);
    }
}

/// One entry outside of its line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) lo: u32,
    pub(super) hi: u16,
    pub(super) record: u16,
    pub(super) tick: Tick,
    pub(super) class: Class,
}
