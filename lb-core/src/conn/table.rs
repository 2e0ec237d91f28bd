//! Look-up, insertion, eviction and aging over the lines.
//!
//! A flow lives in its home line or in one alternate. The alternate follows from the home and the stored
//! tag alone, and the relation is symmetric, so entries can be moved and removed without their key. Full
//! is a counted outcome: nothing is allocated after the start, and an established flow is never evicted.

use super::line::{Class, Entry, FULL, Line};
use super::lines::{Filling, Inserted, Lines, Placed, alternate, hi, lo};
use crate::clock::{Tick, Timeouts};
use crate::hash::FlowHash;
use crate::hw::{self, Isa, LINE_ENTRIES, Portable};
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

/// Relocation stops above this load: beyond it, a flood would make every insertion walk six more lines.
const RELOCATION_LOAD_MAX_PERCENT: usize = 85;

/// The table over lines in memory of any kind.
#[derive(Debug)]
pub struct ConnTable<S = Box<[Line]>> {
    lines: S,
    mask: u32,
    taken: usize,
    /// Entries in use from which on the table is crowded.
    crowd: usize,
    cursor: u32,
}

impl ConnTable<Box<[Line]>> {
    /// A table on the heap with room for at least `entries` entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self::new(vec![Line::EMPTY; Self::lines_for(entries)].into_boxed_slice())
    }
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
        let crowd = (count * LINE_ENTRIES * RELOCATION_LOAD_MAX_PERCENT).div_ceil(100);
        Self { lines, mask: (count - 1) as u32, taken: 0, crowd, cursor: 0 }
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
        Lines::new(&mut self.lines)
    }

    /// The lines, for the loops over new flows.
    #[inline(always)]
    pub(crate) fn filling(&mut self) -> Filling<'_> {
        Filling { lines: Lines::new(&mut self.lines), taken: &mut self.taken, crowd: self.crowd }
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
        self.lines_mut().leave(slot.line, slot.entry());
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
        let hash = FlowHash { tag, spread: 0 };
        self.insert_on(Portable, &hash, Placed { record, class, now }, timeouts)
    }

    /// [`Self::insert`] on some instruction set.
    #[inline(always)]
    pub(crate) fn insert_on<I: Isa>(
        &mut self,
        isa: I,
        hash: &FlowHash,
        placed: Placed,
        timeouts: &Timeouts,
    ) -> Inserted {
        let (home, new) = (hash.low(), Entry::of(hash, placed));
        match self.filling().insert_soon(isa, home, new, timeouts) {
            Some(inserted) => inserted,
            None => self.insert_late(home, new, timeouts),
        }
    }

    /// True at a load from which on a new flow pushes out an embryonic one at home, if it can.
    #[inline(always)]
    fn is_crowded(&self) -> bool {
        self.taken >= self.crowd
    }

    /// What [`Line::taken`] is of a line whose new flows go to their alternate line; no line's, if the table is crowded.
    pub(crate) fn full_line(&self) -> u32 {
        if self.is_crowded() { u32::MAX } else { FULL }
    }

    /// The rest of an insertion that [`Filling::insert_soon`] has put off.
    #[inline(never)]
    pub(crate) fn insert_late(&mut self, home: u32, new: Entry, timeouts: &Timeouts) -> Inserted {
        let home = home & self.mask;
        // Others may have come or gone since.
        let free = match self.line(home).free_entry() {
            None if self.is_crowded() => None,
            None => self.relocate_one(home),
            free => free,
        };
        let Some(entry) = free else { return self.evict(home, new, timeouts) };
        self.line_mut(home).put(entry, new, false);
        self.taken += 1;
        Inserted::Fresh
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
    fn evict(&mut self, home: u32, new: Entry, timeouts: &Timeouts) -> Inserted {
        let line = self.line(home);
        let victim = (0..LINE_ENTRIES)
            .rev()
            .map(|entry| (entry, line.class(entry), line.age_ticks(entry, new.tick)))
            .filter(|(_, class, age)| class.is_evictable() || *age > class.timeout_ticks(timeouts))
            .max_by_key(|(_, class, age)| (*class == Class::Embryonic, *age));
        let is_embryonic = victim.is_some_and(|(_, class, _)| class == Class::Embryonic);
        if !is_embryonic && let Some(inserted) = self.filling().insert_alternate(home, new) {
            return inserted;
        }
        let Some((entry, ..)) = victim else { return Inserted::Refused };
        self.lines_mut().replace(home, entry, new, timeouts)
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
                    self.lines_mut().leave(index, entry);
                    self.line_mut(index).clear(entry);
                    self.taken -= 1;
                    removed(record);
                }
            }
        }
    }
}
