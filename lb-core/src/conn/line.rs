//! One cache line of the connection table: six entries.
//!
//! The layout is final (docs/connection-table.md): the SIMD match in [`crate::hw`] and the shared-memory
//! arena of later versions depend on it.

use super::lines::Placed;
use crate::clock::{Tick, Timeouts};
use crate::hash::FlowHash;
use crate::hw::{Isa, LINE_ENTRIES, LINE_HI_OFFSET, LINE_LO_OFFSET};
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
    const fn from_bits(is_unsteady: bool, has_variant: bool) -> Self {
        match (is_unsteady, has_variant) {
            (true, false) => Self::Embryonic,
            (false, false) => Self::Established,
            (true, true) => Self::Closing,
            (false, true) => Self::Datagram,
        }
    }

    /// True if the next packet of the flow may move it to another class whatever its flags are.
    const fn is_unsteady(self) -> bool {
        matches!(self, Self::Embryonic | Self::Closing)
    }

    /// The second bit that tells the classes apart.
    const fn has_variant(self) -> bool {
        matches!(self, Self::Closing | Self::Datagram)
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

/// Six entries in 64 bytes. All zero is an empty line. What a hit must know of its entry beyond the record
/// is one bit at the same place in a byte each, so that the mask of the SIMD match tests it as it is.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Line {
    /// Last packet.
    tick: [u16; LINE_ENTRIES],
    /// Backend records.
    record: [u16; LINE_ENTRIES],
    /// Hash bits 16..48.
    lo: [u32; LINE_ENTRIES],
    /// Hash bits 48..64.
    hi: [u16; LINE_ENTRIES],
    /// Bit i: entry i is in use.
    taken: u8,
    /// Bit i: the class of entry i is embryonic or closing.
    unsteady: u8,
    /// Bits 0..6: entry i is a guest, its home is the alternate line. Bits 6..12: the second bit of its
    /// [`Class`]. Bits 12..16: how many flows whose home is this line live in their alternate line; 15 sticks.
    rest: u16,
}

const _: () = {
    assert!(size_of::<Line>() == 64);
    assert!(std::mem::offset_of!(Line, tick) == 0);
    assert!(std::mem::offset_of!(Line, lo) == LINE_LO_OFFSET);
    assert!(std::mem::offset_of!(Line, hi) == LINE_HI_OFFSET);
};

/// Where the records and the ticks start, in 16-bit words.
const RECORD_WORD: usize = std::mem::offset_of!(Line, record) / 2;
const TICK_WORD: usize = std::mem::offset_of!(Line, tick) / 2;
const _: () = assert!(RECORD_WORD + 7 < 32, "a masked entry number stays inside the line");

/// First bits of the fields of `rest`.
const VARIANT_SHIFT: usize = 6;
const OVERFLOW_SHIFT: usize = 12;
/// The overflow count that is no longer known.
const OVERFLOW_MAX: u16 = 15;

/// All entries of a line, as bits.
pub(super) const FULL: u32 = (1 << LINE_ENTRIES) - 1;

impl Line {
    /// A line without entries.
    pub const EMPTY: Self = Self {
        tick: [0; LINE_ENTRIES],
        record: [0; LINE_ENTRIES],
        lo: [0; LINE_ENTRIES],
        hi: [0; LINE_ENTRIES],
        taken: 0,
        unsteady: 0,
        rest: 0,
    };

    /// The entries whose fingerprint is (`lo`, `hi`), as bits: none, or nearly always one.
    #[inline(always)]
    pub(crate) fn find<I: Isa>(&self, isa: I, lo: u32, hi: u16) -> u32 {
        isa.match_line(zerocopy::transmute_ref!(self), lo, hi) & u32::from(self.taken)
    }

    /// Bits of the taken entries.
    #[inline(always)]
    pub(crate) fn taken(&self) -> u32 {
        u32::from(self.taken)
    }

    /// True if an entry is in use.
    pub(super) fn is_taken(&self, entry: usize) -> bool {
        self.taken >> entry & 1 != 0
    }

    /// True if any of the `found` entries is of a class that a plain packet may change.
    #[inline(always)]
    pub(crate) fn is_unsteady(&self, found: u32) -> bool {
        self.unsteady & found as u8 != 0
    }

    /// Bits of the embryonic entries.
    #[inline(always)]
    pub(super) fn embryonic(&self) -> u32 {
        u32::from(self.taken & self.unsteady) & !u32::from(self.rest >> VARIANT_SHIFT)
    }

    /// Of some entries (not none) the one that has been idle longest.
    #[inline(always)]
    pub(super) fn oldest<I: Isa>(&self, isa: I, candidates: u32, now: Tick) -> usize {
        isa.oldest(zerocopy::transmute_ref!(self), now.0, candidates).min(LINE_ENTRIES - 1)
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
    pub(crate) fn record(&self, entry: usize) -> u16 {
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
        let variant = self.rest >> VARIANT_SHIFT >> entry & 1 != 0;
        Class::from_bits(self.unsteady >> entry & 1 != 0, variant)
    }

    #[inline(always)]
    pub(super) fn set_class(&mut self, entry: usize, class: Class) {
        self.unsteady = self.unsteady & !(1 << entry) | u8::from(class.is_unsteady()) << entry;
        let variant = VARIANT_SHIFT + entry;
        self.rest = self.rest & !(1 << variant) | u16::from(class.has_variant()) << variant;
    }

    /// Notes a packet. The line is written only if the tick has changed, once per second and flow.
    #[inline(always)]
    pub(crate) fn touch(&mut self, entry: usize, now: Tick) {
        let words: &mut [u16; 32] = zerocopy::transmute_mut!(self);
        let tick = &mut words[TICK_WORD + (entry & 7)];
        if *tick != now.0 {
            std::hint::cold_path();
            *tick = now.0;
        }
    }

    #[inline(always)]
    pub(super) fn age_ticks(&self, entry: usize, now: Tick) -> u16 {
        now.since(Tick(self.tick[entry]))
    }

    #[inline(always)]
    pub(super) fn is_guest(&self, entry: usize) -> bool {
        self.rest >> entry & 1 != 0
    }

    /// Flows whose home is this line and that live elsewhere; [`OVERFLOW_MAX`] is any number.
    #[inline(always)]
    pub(super) fn overflow(&self) -> u16 {
        self.rest >> OVERFLOW_SHIFT
    }

    #[inline(always)]
    pub(crate) fn has_overflow(&self) -> bool {
        self.overflow() != 0
    }

    pub(super) fn overflow_grows(&mut self) {
        if self.overflow() != OVERFLOW_MAX {
            self.rest += 1 << OVERFLOW_SHIFT;
        }
    }

    pub(super) fn overflow_shrinks(&mut self) {
        // A saturated count is no longer known and stays: that costs a second look-up, never a miss.
        if !matches!(self.overflow(), 0 | OVERFLOW_MAX) {
            self.rest -= 1 << OVERFLOW_SHIFT;
        }
    }

    /// Writes a whole entry where none is. The bits of a free entry are zero, so they are only ever set here.
    #[inline(always)]
    pub(super) fn put(&mut self, entry: usize, new: Entry, is_guest: bool) {
        self.lo[entry] = new.lo;
        self.hi[entry] = new.hi;
        self.record[entry] = new.record;
        self.tick[entry] = new.tick.0;
        self.taken |= 1 << entry;
        if new.class.is_unsteady() {
            self.unsteady |= 1 << entry;
        }
        if is_guest {
            self.rest |= 1 << entry;
        }
        if new.class.has_variant() {
            self.rest |= 1 << VARIANT_SHIFT << entry;
        }
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

    /// Frees an entry: all its bits are zero then. The overflow count of its home is the caller's to mend.
    #[inline(always)]
    pub(super) fn clear(&mut self, entry: usize) {
        self.taken &= !(1 << entry);
        self.unsteady &= !(1 << entry);
        self.rest &= !((1 | 1 << VARIANT_SHIFT) << entry);
    }
}

/// One entry outside of its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(super) lo: u32,
    pub(super) hi: u16,
    pub(super) record: u16,
    pub(super) tick: Tick,
    pub(super) class: Class,
}

impl Entry {
    /// Of a flow, read from where its hash is and not through other registers.
    #[inline(always)]
    pub(crate) fn of(hash: &FlowHash, placed: Placed) -> Self {
        let Placed { record, class, now } = placed;
        Self { lo: hash.lo(), hi: hash.hi(), record, tick: now, class }
    }
}
