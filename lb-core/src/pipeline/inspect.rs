//! Questions about single flows and entries, asked between bursts.

use super::Pipeline;
use crate::clock::Tick;
use crate::conn::{Class, EntryView, Line};
use crate::flow::FlowKey;
use crate::hw::Portable;
use crate::tables::Tables;
use crate::verdict::RecordIndex;
use std::ops::DerefMut;

impl<S: DerefMut<Target = [Line]>> Pipeline<S> {
    /// The entry of a flow.
    pub fn find_flow(&self, tables: &Tables, flow: &FlowKey, now: Tick) -> Option<EntryView> {
        let slot = self.connections.find(Portable, tables.hash(self.level, flow).tag)?;
        Some(self.connections.view(slot, now))
    }

    /// Removes the entry of a flow, so that its next packet is that of a new flow. Returns what it was.
    pub fn delete_flow(&mut self, tables: &Tables, flow: &FlowKey, now: Tick) -> Option<EntryView> {
        let slot = self.connections.find(Portable, tables.hash(self.level, flow).tag)?;
        let view = self.connections.view(slot, now);
        self.connections.remove(slot);
        self.counters.expirations.add(1);
        self.counters.records.at(view.record).active.subtract(1);
        self.counters.entries.set(self.connections.len() as u64);
        Some(view)
    }

    /// Gives a flow the entry that it has elsewhere, to ask what would become of its next packet.
    pub fn enter_flow(
        &mut self,
        tables: &Tables,
        flow: &FlowKey,
        (record, class): (RecordIndex, Class),
        now: Tick,
    ) {
        let tag = tables.hash(self.level, flow).tag;
        if self.connections.find(Portable, tag).is_none() {
            self.connections.insert(tag, record, class, now, &tables.timeouts);
            self.counters.records.at(record).active.add(1);
        }
    }
}
