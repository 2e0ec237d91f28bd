//! The lines of a table at hand, for the loops over a burst: no index is checked, and what is put off or rare is left to
//! the table.

use super::line::{Class, Entry, Line};
use crate::clock::{Tick, Timeouts};
use crate::hw::{Isa, LINE_ENTRIES, Masked};
use std::hint::cold_path;

/// What an insertion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Into a free entry.
    Fresh,
    /// In place of the entry of this record, which lost its connection.
    Evicted(u16),
    /// In place of the entry of this record, which had timed out and was not swept yet.
    Expired(u16),
    /// Not at all: every entry of the line is established. The flow goes on by hash alone.
    Refused,
}

/// What an insertion writes besides the tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) record: u16,
    pub(crate) class: Class,
    pub(crate) now: Tick,
}

/// The lines of a table.
#[derive(Debug)]
pub(crate) struct Lines<'a>(Masked<'a, Line>);

impl<'a> Lines<'a> {
    pub(super) fn new(lines: &'a mut [Line]) -> Self {
        Self(Masked::new(lines))
    }

    /// The home line of a flow by the low half of its tag, to be looked through by [`Line::find`].
    #[inline(always)]
    pub(crate) fn home(&mut self, low: u32) -> &mut Line {
        self.0.at(low)
    }

    /// The alternate line of a flow.
    #[inline(always)]
    pub(crate) fn alternate(&mut self, tag: u64) -> &mut Line {
        self.other(tag as u32, lo(tag))
    }

    /// The other line of a flow with tag `lo` seen from the line at the low bits of `index`.
    #[inline(always)]
    fn other(&mut self, index: u32, lo: u32) -> &mut Line {
        let mask = self.0.mask();
        self.0.at(alternate(index & mask, lo, mask))
    }

    /// Hints that the home line of a flow is needed within a few packets.
    #[inline(always)]
    pub(crate) fn prefetch_near(&self, low: u32) {
        self.0.prefetch_near(low);
    }

    /// Hints that the home line of a flow is needed later in this burst.
    #[inline(always)]
    pub(crate) fn prefetch_far(&self, low: u32) {
        self.0.prefetch_far(low);
    }

    /// Hints that the alternate line of a flow is needed later in this burst, if `is_wanted` is all ones. No branch: if
    /// it is zero, the hint is for the home line, which is at hand.
    #[inline(always)]
    pub(crate) fn prefetch_alternate_if(&self, tag: u64, is_wanted: u64) {
        let (home, mask) = (tag as u32 & self.0.mask(), self.0.mask());
        self.0.prefetch_far(alternate(home, lo(tag), mask & is_wanted as u32));
    }

    /// Asks for the other lines of all entries of a full line.
    fn prefetch_ways_out(&mut self, index: u32) {
        let mask = self.0.mask();
        for entry in 0..LINE_ENTRIES {
            let lo = self.0.at(index).lo(entry);
            self.0.prefetch_far(alternate(index & mask, lo, mask));
        }
    }

    /// Tells the home of a guest that it is gone.
    #[inline(always)]
    pub(super) fn leave(&mut self, index: u32, entry: usize) {
        let line = self.0.at(index);
        if line.is_guest(entry) {
            let lo = line.lo(entry);
            self.other(index, lo).overflow_shrinks();
        }
    }

    /// Puts `new` in place of an entry.
    #[inline(always)]
    pub(super) fn replace(&mut self, index: u32, entry: usize, new: Entry, timeouts: &Timeouts) -> Inserted {
        let line = self.0.at(index);
        let (old, class, age) = (line.record(entry), line.class(entry), line.age_ticks(entry, new.tick));
        self.leave(index, entry);
        let line = self.0.at(index);
        line.clear(entry);
        line.put(entry, new, false);
        if age > class.timeout_ticks(timeouts) { Inserted::Expired(old) } else { Inserted::Evicted(old) }
    }
}

/// The lines of a table, to be filled.
#[derive(Debug)]
pub(crate) struct Filling<'a> {
    pub(super) lines: Lines<'a>,
    /// Entries in use.
    pub(super) taken: &'a mut usize,
    /// From so many on the table is crowded.
    pub(super) crowd: usize,
}

impl Filling<'_> {
    /// Inserts a flow that is not there, whose home line is at the low bits of `home`, unless it is one of the few for
    /// which another would have to move or one must be looked for that may be pushed out: then `None`, and the lines that
    /// it may move to are asked for. [`super::ConnTable::insert_late`] is to follow when they have come.
    #[inline(always)]
    pub(crate) fn insert_soon<I: Isa>(
        &mut self,
        isa: I,
        home: u32,
        new: Entry,
        timeouts: &Timeouts,
    ) -> Option<Inserted> {
        let line = self.lines.home(home);
        if let Some(entry) = line.free_entry() {
            line.put(entry, new, false);
            *self.taken += 1;
            return Some(Inserted::Fresh);
        }
        if *self.taken < self.crowd {
            let inserted = self.insert_alternate(home, new);
            if inserted.is_none() {
                cold_path();
                self.lines.prefetch_ways_out(home);
            }
            return inserted;
        }
        let line = self.lines.home(home);
        let embryonic = line.embryonic();
        if embryonic == 0 {
            cold_path();
            return None;
        }
        // What a flood does: one line per packet, and no loop.
        let entry = line.oldest(isa, embryonic, new.tick);
        Some(self.lines.replace(home, entry, new, timeouts))
    }

    /// Puts a flow into a free entry of its other line, if there is one.
    #[inline(always)]
    pub(super) fn insert_alternate(&mut self, home: u32, new: Entry) -> Option<Inserted> {
        let line = self.lines.other(home, new.lo);
        let entry = line.free_entry()?;
        line.put(entry, new, true);
        self.lines.home(home).overflow_grows();
        *self.taken += 1;
        Some(Inserted::Fresh)
    }
}

/// The half of a tag's fingerprint that also picks the alternate line.
#[inline(always)]
pub(super) fn lo(tag: u64) -> u32 {
    (tag >> 16) as u32
}

/// The other half.
#[inline(always)]
pub(super) fn hi(tag: u64) -> u16 {
    (tag >> 48) as u16
}

/// The other line of a flow with tag `lo` seen from `line`; never `line` itself.
#[inline(always)]
pub(super) fn alternate(line: u32, lo: u32, mask: u32) -> u32 {
    // Odd, so that at least bit 0 changes; the multiplication spreads tags over all lines.
    line ^ (lo.wrapping_mul(0x9e37_79b1) >> 7 | 1) & mask
}
