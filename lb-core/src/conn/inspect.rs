//! Looking at single entries, for operators: never on the path of a packet.

use super::line::{Class, Line};
use super::table::{ConnTable, Slot};
use crate::clock::Tick;
use crate::hw::LINE_ENTRIES;
use std::ops::DerefMut;

/// What an entry tells. It holds no addresses: a flow is known by its fingerprint alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Bits 16 to 63 of the flow hash.
    pub fingerprint: u64,
    /// Number of the record that the flow follows.
    pub record: u16,
    /// How far the flow has been seen.
    pub class: Class,
    /// Ticks since its last packet.
    pub idle_ticks: u16,
}

impl EntryView {
    fn of(line: &Line, entry: usize, now: Tick) -> Self {
        let found = line.entry(entry);
        Self {
            fingerprint: u64::from(found.hi) << 32 | u64::from(found.lo),
            record: found.record,
            class: found.class,
            idle_ticks: now.since(found.tick),
        }
    }
}

impl<S: DerefMut<Target = [Line]>> ConnTable<S> {
    /// What is known of an entry.
    pub fn view(&self, slot: Slot, now: Tick) -> EntryView {
        EntryView::of(self.line_of(slot), slot.entry(), now)
    }

    /// The entries of the line with number `index`, which [`Self::line_count`] bounds.
    pub fn entries(&self, index: usize, now: Tick) -> impl Iterator<Item = EntryView> + '_ {
        let line = self.line_at(index);
        let is_taken = move |entry: &usize| line.is_some_and(|line| line.is_taken(*entry));
        let view = move |entry| line.map(|line| EntryView::of(line, entry, now));
        (0..LINE_ENTRIES).filter(is_taken).filter_map(view)
    }
}
