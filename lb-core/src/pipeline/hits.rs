//! Second pass: packets whose flow is known.
//!
//! An ordinary hit is decided and edited in one go, while its record is at hand: table line, record, packet,
//! counters, and no trace in any list but its verdict. Whatever is not ordinary is set aside in a [`Set`] by
//! a branch that ordinary traffic does not take.

use super::set::Set;
use super::{Burst, Stage};
use crate::clock::Tick;
use crate::conn::{Line, Lines};
use crate::counters::RecordCounters;
use crate::encap;
use crate::headers::plain;
use crate::hw::Isa;
use crate::indexed::PLACES;
use crate::packet::Packet;
use crate::record::{Record, RecordTail};
use crate::verdict::Verdict;
use std::hint::cold_path;
use std::ops::DerefMut;

/// How many packets ahead a table line is pulled from the second into the first cache level.
pub(super) const LINE_LOOK_AHEAD: usize = 6;

/// What an ordinary hit needs besides its packet and its line.
struct Hits<'a> {
    stage: &'a mut Stage,
    records: &'a [Record; PLACES],
    tails: &'a [RecordTail; PLACES],
    counters: &'a [RecordCounters; PLACES],
    now: Tick,
}

impl Hits<'_> {
    /// Takes a packet if it has an entry in its home line. Rare cases are noted in memory, because the loop
    /// needs the registers.
    #[inline(always)]
    fn at_home<I: Isa>(
        &mut self,
        isa: I,
        lines: &mut Lines<'_>,
        at: usize,
        packet: &mut impl Packet,
        is_v6: bool,
    ) {
        // Not every position ahead is a packet of this loop: then this asks for some other line.
        lines.prefetch_near(self.stage.hashes[at + LINE_LOOK_AHEAD].low());
        let hash = &self.stage.hashes[at];
        let line = lines.home(hash.low());
        let found = line.find(isa, hash.lo(), hash.hi());
        if found == 0 {
            cold_path();
            self.stage.absent.add(at);
            return;
        }
        self.take(at, packet, line, found, is_v6);
    }

    /// A packet with an entry, the lowest of the bits of `found`, in `line`.
    #[inline(always)]
    fn take(&mut self, at: usize, packet: &mut impl Packet, line: &mut Line, found: u32, is_v6: bool) {
        let entry = found.trailing_zeros() as usize;
        let index = line.record(entry);
        let record = &self.records[usize::from(index)];
        let size = self.stage.sizes[at];
        if line.is_unsteady(found) || size.exceeds(record.inner_max) {
            cold_path();
            self.stage.unusual.add(at);
            return;
        }
        line.touch(entry, self.now);
        let headers = plain::headers_of_hit(size, is_v6);
        let tail = || &self.tails[usize::from(index)];
        if encap::apply_untagged(packet, &headers, &self.stage.hashes[at], record, tail).is_none() {
            cold_path();
            self.stage.unusual.add(at);
            return;
        }
        self.stage.verdicts[at] = Verdict::Forward(index);
        let counters = &self.counters[usize::from(index)];
        counters.packets.add(1);
        counters.ip_bytes.add(u64::from(size.ip_len()));
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// Forwards the plain packets whose flow has an entry.
    #[inline(always)]
    pub(super) fn hits<I: Isa>(&mut self, isa: I) {
        let (v4, v6) = (self.stage.plain_v4, self.stage.plain_v6);
        let mut hits = Hits {
            stage: &mut *self.stage,
            records: self.tables.records.places(),
            tails: self.tables.tails.places(),
            counters: self.counters.records.places(),
            now: self.now,
        };
        let mut lines = self.connections.lines_mut();
        // Each in its own loop, so that in each the family is a constant.
        v4.each(self.packets, |at, packet| hits.at_home(isa, &mut lines, at, packet, false));
        v6.each(self.packets, |at, packet| hits.at_home(isa, &mut lines, at, packet, true));
        let absent = hits.stage.absent;
        if absent.is_empty() {
            return;
        }
        let mut elsewhere = Set::default();
        for at in absent {
            let hash = &hits.stage.hashes[at];
            let has_overflow = lines.home(hash.low()).has_overflow();
            elsewhere.add_if(at, has_overflow);
            lines.prefetch_alternate(hash.tag);
        }
        hits.stage.misses = absent - elsewhere;
        elsewhere.each(self.packets, |at, packet| {
            let hash = &hits.stage.hashes[at];
            let line = lines.alternate(hash.tag);
            let found = line.find(isa, hash.lo(), hash.hi());
            if found == 0 {
                hits.stage.misses.add(at);
            } else {
                hits.take(at, packet, line, found, v6.has(at));
            }
        });
    }
}
