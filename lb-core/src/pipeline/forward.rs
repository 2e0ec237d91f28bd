//! Third pass, woven into the second: the edit of a plain packet whose backend is known, and its counts.

use super::Stage;
use crate::counters::{RecordCounters, WorkerCounters};
use crate::encap;
use crate::headers::plain::{self, Size};
use crate::indexed::PLACES;
use crate::packet::Packet;
use crate::record::{Record, RecordTail};
use crate::tables::Tables;
use crate::verdict::{RecordIndex, Verdict};

/// What the loops over plain packets keep at hand.
pub(super) struct Forwarder<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) records: &'a [Record; PLACES],
    tails: &'a [RecordTail; PLACES],
    pub(super) counters: &'a [RecordCounters; PLACES],
}

impl<'a> Forwarder<'a> {
    #[inline(always)]
    pub(super) fn new(stage: &'a mut Stage, tables: &'a Tables, counters: &'a WorkerCounters) -> Self {
        Self {
            stage,
            records: tables.records.places(),
            tails: tables.tails.places(),
            counters: counters.records.places(),
        }
    }

    /// Edits a packet that fits the record's way out. False, with nothing changed, if its buffer has no room.
    #[inline(always)]
    pub(super) fn forward(
        &mut self,
        at: usize,
        packet: &mut impl Packet,
        index: RecordIndex,
        size: Size,
        is_v6: bool,
    ) -> bool {
        // First of all, while the index is in a register; who gets a false gives another verdict.
        self.stage.verdicts[at] = Verdict::Forward(index);
        let headers = plain::headers_of_hit(size, is_v6);
        let record = &self.records[usize::from(index)];
        let tail = || &self.tails[usize::from(index)];
        if encap::apply_untagged(packet, &headers, &self.stage.hashes[at], record, tail).is_none() {
            return false;
        }
        let counters = &self.counters[usize::from(index)];
        counters.packets.add(1);
        counters.ip_bytes.add(u64::from(size.ip_len()));
        true
    }
}
