//! Look-up, insertion, eviction and aging over the lines.
//!
//! A flow lives in its home line or in one alternate. The alternate follows from the home and the stored
//! tag alone, and the relation is symmetric, so entries can be moved and removed without their key. Full
//! is a counted outcome: nothing is allocated after the start, and an established flow is never evicted.

use super::line::{Class, Entry, FULL, Line};
use crate::clock::{Tick, Timeouts};
use crate::hw::{self, Isa, LINE_ENTRIES, Masked, Portable};
use std::hint::cold_path;
use std::ops::DerefMut;

/// Where an entry is. Valid until the table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    line: u32,
    entry: u8,
}

impl Slot {
    /// Its place in its line.
    pub(super) fn entry(self) -> usize {
        usize::from(self.entry)
    }
}

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

impl Entry {
    #[inline(always)]
    fn new(tag: u64, placed: Placed) -> Self {
        let Placed { record, class, now } = placed;
        Self { lo: lo(tag), hi: hi(tag), record, tick: now, class }
    }
}

/// Relocation stops above this load: beyond it, a flood would make every insertion walk six more lines.
const RELOCATION_LOAD_MAX_PERCENT: usize = 85;

/// The table over lines in memory of any kind.
#[derive(Debug)]
pub struct ConnTable<S = Box<[Line]>> {
    lines: S,
    mask: u32,
    taken: usize,
    cursor: u32,
}

impl ConnTable<Box<[Line]>> {
    /// A table on the heap with room for at least `entries` entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self::new(vec![Line::EMPTY; Self::lines_for(entries)].into_boxed_slice())
    }
}

/// The lines of a table at hand, for the loops over a burst.
pub(crate) struct Lines<'a>(Masked<'a, Line>);

impl Lines<'_> {
    /// The home line of a flow by the low half of its tag, to be looked through by [`Line::find`].
    #[inline(always)]
    pub(crate) fn home(&mut self, low: u32) -> &mut Line {
        self.0.at(low)
    }

    /// The alternate line of a flow.
    #[inline(always)]
    pub(crate) fn alternate(&mut self, tag: u64) -> &mut Line {
        let other = self.other(tag);
        self.0.at(other)
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

    #[inline(always)]
    fn other(&self, tag: u64) -> u32 {
        alternate(tag as u32 & self.0.mask(), lo(tag), self.0.mask())
    }
}

/// The half of a tag's fingerprint that also picks the alternate line.
#[inline(always)]
fn lo(tag: u64) -> u32 {
    (tag >> 16) as u32
}

/// The other half.
#[inline(always)]
fn hi(tag: u64) -> u16 {
    (tag >> 48) as u16
}

/// The other line of a flow with tag `lo` seen from `line`; never `line` itself.
#[inline(always)]
fn alternate(line: u32, lo: u32, mask: u32) -> u32 {
    // Odd, so that at least bit 0 changes; the multiplication spreads tags over all lines.
    line ^ (lo.wrapping_mul(0x9e37_79b1) >> 7 | 1) & mask
}

impl<S: DerefMut<Target = [Line]>> ConnTable<S> {
    /// Lines that hold at least `entries` entries: a power of two, at least 2.
    pub fn lines_for(entries: usize) -> usize {
        entries.div_ceil(LINE_ENTRIES).next_power_of_two().clamp(2, 1 << 31)
    }

    /// A table over `lines`, all of them empty; their number must be a power of two of at least 2.
    ///
    /// # Panics
    /// If it is not: the number comes from [`Self::lines_for`], so that is a mistake of the program.
    pub fn new(lines: S) -> Self {
        let count = lines.len();
        assert!(count.is_power_of_two() && (2..=1 << 31).contains(&count), "{count} lines");
        Self { lines, mask: (count - 1) as u32, taken: 0, cursor: 0 }
    }

    /// Entries in use.
    pub fn len(&self) -> usize {
        self.taken
    }

    /// True if no entry is in use.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Entries that fit.
    pub fn capacity(&self) -> usize {
        self.lines.len() * LINE_ENTRIES
    }

    /// Number of lines.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// The lines themselves, for tests that count what must add up.
    #[cfg(test)]
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    #[inline(always)]
    fn home(&self, tag: u64) -> u32 {
        tag as u32 & self.mask
    }

    #[inline(always)]
    fn alternate(&self, line: u32, lo: u32) -> u32 {
        alternate(line, lo, self.mask)
    }

    /// The lines, for the loops over a burst.
    #[inline(always)]
    pub(crate) fn lines_mut(&mut self) -> Lines<'_> {
        Lines(Masked::new(&mut self.lines))
    }

    /// The line at an index that home() or alternate() gave. Lines are a power of two and every index is
    /// masked, which the compiler cannot know; the check costs less than it saves in doubt.
    #[inline(always)]
    fn line(&self, index: u32) -> &Line {
        &self.lines[index as usize]
    }

    #[inline(always)]
    fn line_mut(&mut self, index: u32) -> &mut Line {
        &mut self.lines[index as usize]
    }

    /// Hints that the home line of `tag` is needed later in this burst.
    #[inline(always)]
    pub fn prefetch_far(&self, tag: u64) {
        hw::prefetch_far(self.lines.as_ptr().wrapping_add(self.home(tag) as usize));
    }

    /// The entry of `tag` in its home line.
    #[inline(always)]
    pub fn find_home<I: Isa>(&self, isa: I, tag: u64) -> Option<Slot> {
        self.find_in(isa, self.home(tag), tag)
    }

    /// True if flows of this home line live elsewhere, so that [`Self::find_alternate`] is worth it.
    #[inline(always)]
    pub fn home_overflows(&self, tag: u64) -> bool {
        self.line(self.home(tag)).has_overflow()
    }

    /// The entry of `tag` in its alternate line.
    #[inline(always)]
    pub fn find_alternate<I: Isa>(&self, isa: I, tag: u64) -> Option<Slot> {
        self.find_in(isa, self.alternate(self.home(tag), lo(tag)), tag)
    }

    /// The entry of `tag`, wherever it is.
    #[inline(always)]
    pub fn find<I: Isa>(&self, isa: I, tag: u64) -> Option<Slot> {
        match self.find_home(isa, tag) {
            None if self.home_overflows(tag) => self.find_alternate(isa, tag),
            found => found,
        }
    }

    #[inline(always)]
    fn find_in<I: Isa>(&self, isa: I, index: u32, tag: u64) -> Option<Slot> {
        let matches = self.line(index).find(isa, lo(tag), hi(tag));
        (matches != 0).then(|| Slot { line: index, entry: matches.trailing_zeros() as u8 })
    }

    /// The line that an entry is in.
    pub(super) fn line_of(&self, slot: Slot) -> &Line {
        self.line(slot.line)
    }

    /// The line with a number.
    pub(super) fn line_at(&self, index: usize) -> Option<&Line> {
        self.lines.get(index)
    }

    /// Frees an entry.
    pub fn remove(&mut self, slot: Slot) {
        self.leave(slot.line, slot.entry());
        self.line_mut(slot.line).clear(slot.entry());
        self.taken -= 1;
    }

    /// The record of an entry.
    #[inline(always)]
    pub fn record(&self, slot: Slot) -> u16 {
        self.line(slot.line).record(usize::from(slot.entry))
    }

    /// The class of an entry.
    #[inline(always)]
    pub fn class(&self, slot: Slot) -> Class {
        self.line(slot.line).class(usize::from(slot.entry))
    }

    /// Notes a packet on an entry.
    #[inline(always)]
    pub fn touch(&mut self, slot: Slot, now: Tick) {
        self.line_mut(slot.line).touch(usize::from(slot.entry), now);
    }

    /// Moves an entry to another class.
    #[inline]
    pub fn set_class(&mut self, slot: Slot, class: Class) {
        self.line_mut(slot.line).set_class(usize::from(slot.entry), class);
    }

    /// Gives an entry to another record, as a new flow.
    pub fn reassign(&mut self, slot: Slot, record: u16, class: Class, now: Tick) {
        let entry = usize::from(slot.entry);
        let line = self.line_mut(slot.line);
        line.set_record(entry, record);
        line.set_class(entry, class);
        line.touch(entry, now);
    }

    /// Inserts a flow that [`Self::find`] does not know: free entry at home, free entry in the alternate,
    /// one relocation while there is room, else the oldest entry at home that may be evicted, else refused.
    /// Above a load of 85 % an embryonic entry at home goes before the alternate is looked at.
    pub fn insert(
        &mut self,
        tag: u64,
        record: u16,
        class: Class,
        now: Tick,
        timeouts: &Timeouts,
    ) -> Inserted {
        self.insert_on(Portable, tag, Placed { record, class, now }, timeouts)
    }

    /// [`Self::insert`] on some instruction set.
    #[inline(always)]
    pub(crate) fn insert_on<I: Isa>(
        &mut self,
        isa: I,
        tag: u64,
        placed: Placed,
        timeouts: &Timeouts,
    ) -> Inserted {
        match self.insert_soon(isa, tag, placed, timeouts) {
            Some(inserted) => inserted,
            None => self.insert_late(tag, placed, timeouts),
        }
    }

    /// As [`Self::insert_on`], but for the few flows for which another would have to move: then `None`, and the lines
    /// that it may move to are asked for. [`Self::insert_late`] is to follow when they have come.
    #[inline(always)]
    pub(crate) fn insert_soon<I: Isa>(
        &mut self,
        isa: I,
        tag: u64,
        placed: Placed,
        timeouts: &Timeouts,
    ) -> Option<Inserted> {
        let home = self.home(tag);
        if let Some(entry) = self.line(home).free_entry() {
            self.line_mut(home).put(entry, Entry::new(tag, placed), false);
            self.taken += 1;
            return Some(Inserted::Fresh);
        }
        if !self.is_crowded() {
            let inserted = self.insert_alternate(home, tag, placed);
            if inserted.is_none() {
                cold_path();
                self.prefetch_ways_out(home);
            }
            return inserted;
        }
        let embryonic = self.line(home).embryonic();
        if embryonic != 0 {
            // What a flood does: one line per packet, and no loop.
            let entry = self.line(home).oldest(isa, embryonic, placed.now);
            return Some(self.replace(home, entry, (tag, placed), timeouts));
        }
        cold_path();
        Some(self.evict(home, tag, placed, timeouts))
    }

    /// True at a load from which on a new flow pushes out an embryonic one at home, if it can.
    #[inline(always)]
    pub(crate) fn is_crowded(&self) -> bool {
        self.taken * 100 >= self.capacity() * RELOCATION_LOAD_MAX_PERCENT
    }

    /// What [`Line::taken`] is of a line whose new flows go to their alternate line; no line's, if the table is crowded.
    pub(crate) fn full_line(&self) -> u32 {
        if self.is_crowded() { u32::MAX } else { FULL }
    }

    /// The rest of an insertion that [`Self::insert_soon`] has put off: both lines were full.
    #[inline(never)]
    pub(crate) fn insert_late(&mut self, tag: u64, placed: Placed, timeouts: &Timeouts) -> Inserted {
        let home = self.home(tag);
        // Others may have come or gone since.
        let free = match self.line(home).free_entry() {
            None if self.is_crowded() => None,
            None => self.relocate_one(home),
            free => free,
        };
        let Some(entry) = free else { return self.evict(home, tag, placed, timeouts) };
        self.line_mut(home).put(entry, Entry::new(tag, placed), false);
        self.taken += 1;
        Inserted::Fresh
    }

    /// Asks for the other lines of all entries of a full line.
    #[inline(always)]
    fn prefetch_ways_out(&self, index: u32) {
        for entry in 0..LINE_ENTRIES {
            let other = self.alternate(index, self.line(index).lo(entry));
            hw::prefetch_far(self.lines.as_ptr().wrapping_add(other as usize));
        }
    }

    /// Puts `new` in place of an entry.
    #[inline(always)]
    fn replace(
        &mut self,
        index: u32,
        entry: usize,
        (tag, placed): (u64, Placed),
        timeouts: &Timeouts,
    ) -> Inserted {
        let line = self.line(index);
        let (old, class, age) = (line.record(entry), line.class(entry), line.age_ticks(entry, placed.now));
        if line.is_guest(entry) {
            self.leave(index, entry);
        }
        self.line_mut(index).put(entry, Entry::new(tag, placed), false);
        if age > class.timeout_ticks(timeouts) { Inserted::Expired(old) } else { Inserted::Evicted(old) }
    }

    /// Puts a flow into a free entry of its other line, if there is one.
    #[inline(always)]
    fn insert_alternate(&mut self, home: u32, tag: u64, placed: Placed) -> Option<Inserted> {
        let alternate = self.alternate(home, lo(tag));
        let entry = self.line(alternate).free_entry()?;
        self.line_mut(alternate).put(entry, Entry::new(tag, placed), true);
        self.line_mut(home).overflow_grows();
        self.taken += 1;
        Some(Inserted::Fresh)
    }

    /// Moves one entry of a full line to its other line and returns the place that this frees.
    fn relocate_one(&mut self, index: u32) -> Option<usize> {
        for entry in 0..LINE_ENTRIES {
            let moving = self.line(index).entry(entry);
            let other = self.alternate(index, moving.lo);
            let Some(free) = self.line(other).free_entry() else { continue };
            let was_guest = self.line(index).is_guest(entry);
            self.line_mut(other).put(free, moving, !was_guest);
            self.line_mut(index).clear(entry);
            // A native becomes a guest elsewhere, a guest comes home: one home line knows either way.
            if was_guest {
                self.line_mut(other).overflow_shrinks();
            } else {
                self.line_mut(index).overflow_grows();
            }
            return Some(entry);
        }
        None
    }

    /// Puts `new` in place of the longest idle entry that it may push out. A flow of two packets and more
    /// is pushed out only if the other line is full as well; an embryonic one at once, so that a flood
    /// touches one line per packet.
    #[inline(never)]
    fn evict(&mut self, home: u32, tag: u64, placed: Placed, timeouts: &Timeouts) -> Inserted {
        let line = self.line(home);
        let victim = (0..LINE_ENTRIES)
            .rev()
            .map(|entry| (entry, line.class(entry), line.age_ticks(entry, placed.now)))
            .filter(|(_, class, age)| class.is_evictable() || *age > class.timeout_ticks(timeouts))
            .max_by_key(|(_, class, age)| (*class == Class::Embryonic, *age));
        let is_embryonic = victim.is_some_and(|(_, class, _)| class == Class::Embryonic);
        if !is_embryonic && let Some(inserted) = self.insert_alternate(home, tag, placed) {
            return inserted;
        }
        let Some((entry, ..)) = victim else { return Inserted::Refused };
        self.replace(home, entry, (tag, placed), timeouts)
    }

    /// Tells the home of a guest that it is gone.
    fn leave(&mut self, index: u32, entry: usize) {
        if self.line(index).is_guest(entry) {
            let home = self.alternate(index, self.line(index).lo(entry));
            self.line_mut(home).overflow_shrinks();
        }
    }

    /// Looks at the next `lines` lines in address order and removes what has timed out or whose record
    /// `is_gone`; calls `removed` with the record of each.
    pub fn sweep(
        &mut self,
        lines: usize,
        now: Tick,
        timeouts: &Timeouts,
        is_gone: impl Fn(u16) -> bool,
        mut removed: impl FnMut(u16),
    ) {
        for _ in 0..lines.min(self.lines.len()) {
            let index = self.cursor;
            self.cursor = (index + 1) & self.mask;
            let mut taken = self.line(index).taken();
            while taken != 0 {
                let entry = taken.trailing_zeros() as usize;
                taken &= taken - 1;
                let line = self.line(index);
                let record = line.record(entry);
                let timeout_ticks = line.class(entry).timeout_ticks(timeouts);
                if line.age_ticks(entry, now) > timeout_ticks || is_gone(record) {
                    self.leave(index, entry);
                    self.line_mut(index).clear(entry);
                    self.taken -= 1;
                    removed(record);
                }
            }
        }
    }
}
