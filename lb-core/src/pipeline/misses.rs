//! Second pass: plain packets of new flows.
//!
//! What a flood consists of, so it is made of loops too: first all VIPs and the prefetches of the Maglev slots; then
//! slots and entries; then the edits. One loop for entries and edits needs more registers than there are.

use super::Burst;
use super::forward::Forwarder;
use super::set::Set;
use crate::conn::{Class, Entry, Inserted, Line, Placed};
use crate::counters::{RecordCounters, WorkerCounters};
use crate::hash::FlowHash;
use crate::headers::plain::{TargetV4, TargetV6};
use crate::hw::{Isa, Kernel};
use crate::indexed::PLACES;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::service::ServiceIndex;
use crate::tables::Way;
use crate::verdict::{RecordIndex, Verdict};
use std::hint::cold_path;
use std::ops::DerefMut;

/// What insertions did, to be counted once per burst.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Entries in use before.
    before: usize,
    evictions: u64,
    expirations: u64,
    refusals: u64,
}

impl Tally {
    /// Nothing yet, in a table of so many entries.
    #[inline(always)]
    pub(super) fn new(entries: usize) -> Self {
        Self { before: entries, ..Self::default() }
    }

    /// Notes the outcome for a flow of `record`. Flows without an entry cannot be told from packets and are
    /// not counted as connections. That there was an insertion is not noted: see [`Self::count`].
    #[inline(always)]
    pub(super) fn note(
        &mut self,
        inserted: Inserted,
        record: RecordIndex,
        counters: &[RecordCounters; PLACES],
    ) {
        let old = match inserted {
            Inserted::Fresh => None,
            Inserted::Evicted(old) => {
                self.evictions += 1;
                Some(old)
            }
            Inserted::Expired(old) => {
                self.expirations += 1;
                Some(old)
            }
            Inserted::Refused => {
                self.refusals += 1;
                return;
            }
        };
        if let Some(old) = old {
            counters[usize::from(old)].active.subtract(1);
        }
        let counters = &counters[usize::from(record)];
        counters.connections.add(1);
        counters.active.add(1);
    }

    /// Adds what was noted to the worker's counters; `entries` are in use now. Every insertion has put out an entry, or
    /// there is one more.
    #[inline(always)]
    pub(super) fn count(self, counters: &WorkerCounters, entries: usize) {
        let grown = entries.saturating_sub(self.before) as u64;
        counters.insertions.add(grown + self.evictions + self.expirations);
        counters.evictions.add(self.evictions);
        counters.expirations.add(self.expirations);
        counters.refusals.add(self.refusals);
    }
}

/// Which flows have had a packet in this burst, roughly: what it has not seen was not there.
#[derive(Debug)]
pub(super) struct Seen {
    /// The burst that a flow with these bits was last seen in. A byte each, because that takes half of the instructions
    /// that bits do; so many that of 64 flows one in 60 is suspected without reason.
    marks: [u8; Self::MARKS],
    /// The number of this burst, never 0. So nothing need be wiped out before every burst.
    burst: u8,
}

impl Default for Seen {
    fn default() -> Self {
        Self { marks: [0; Self::MARKS], burst: 0 }
    }
}

impl Seen {
    const MARKS: usize = 2_048;

    /// Forgets all.
    pub(super) fn renew(&mut self) {
        self.burst = self.burst.checked_add(1).unwrap_or_else(|| {
            self.marks.fill(0);
            1
        });
    }

    /// Notes a flow; false if it is new for sure.
    #[inline(always)]
    fn note(&mut self, hash: &FlowHash) -> bool {
        let mark = &mut self.marks[hash.lo() as usize % Self::MARKS];
        std::mem::replace(mark, self.burst) == self.burst
    }
}

/// What became of the new flows of a burst.
#[derive(Debug, Default)]
struct Outcome {
    /// Their flow may have got an entry meanwhile.
    again: Set,
    /// Their pool has no backend.
    without: Set,
    /// They are too long for their backend's way out, or their buffer has no room.
    unfit: Set,
    /// Forwarded, and their entry is still to be made.
    late: Set,
}

/// Finds the services of plain packets and notes them: who is for a VIP is `served`, those of special services apart.
pub(super) struct Services<'b, 'a, S, P>(pub(super) &'b mut Burst<'a, S, P>, pub(super) Set);

impl<S: DerefMut<Target = [Line]>, P: Packet> Kernel for Services<'_, '_, S, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self(burst, candidates) = self;
        let (tables, v6) = (burst.tables, burst.stage.plain_v6);
        burst.stage.served = Set::default();
        burst.stage.special = Set::default();
        burst.find_services(candidates - v6, TargetV4::of, |target| {
            let (address, port, protocol) = target.parts();
            tables.service_v4(address, port, protocol)
        });
        burst.find_services(candidates & v6, TargetV6::of, |target| {
            let (address, port, protocol) = target.parts();
            tables.service_v6(address, port, protocol)
        });
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// Sorts packets of one family by whether they are for a VIP, martians apart; notes their services.
    #[inline(always)]
    fn find_services<T: Copy + PartialEq + Default>(
        &mut self,
        candidates: Set,
        target_of: impl Fn(&P) -> Option<T>,
        find: impl Fn(T) -> Option<ServiceIndex>,
    ) {
        let (tables, stage) = (self.tables, &mut *self.stage);
        // Noted is the exception, because the loop needs the registers.
        let mut apart = Set::default();
        // Most new flows of a burst are for one VIP: a flood nearly always, a busy service often.
        let (mut known, mut service, mut way) = (T::default(), 0, Way::default());
        for (at, packet) in candidates.of(self.packets) {
            let Some(target) = target_of(packet) else {
                cold_path();
                // A martian: dropped there, if it is for a VIP.
                stage.special.add(at);
                apart.add(at);
                continue;
            };
            if target != known {
                let Some(found) = find(target) else {
                    cold_path();
                    stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
                    // It may be the answer of a backend behind translation.
                    stage.special.add_if(at, tables.nat().is_some());
                    apart.add(at);
                    continue;
                };
                let Some(found_way) = tables.way_of(found).filter(|_| !tables.is_special(found)) else {
                    cold_path();
                    stage.special.add(at);
                    apart.add(at);
                    continue;
                };
                (known, service, way) = (target, found, found_way);
            }
            way.prefetch(&stage.hashes[at]);
            stage.services[at] = service;
        }
        stage.served = stage.served | (candidates - apart);
    }

    /// Gives entries and edits to the packets of one family that `find_services` has found to be for a VIP. Returns
    /// those that are to be served one by one: their flow may have got an entry meanwhile, by a packet before them in
    /// the same burst.
    #[inline(always)]
    pub(super) fn serve<I: Isa>(&mut self, isa: I, served: Set, is_v6: bool, tally: &mut Tally) -> Set {
        let mut outcome = Outcome::default();
        // Those with a full home line by themselves: mixed, the branch on it would be wrong for every second of them.
        let crammed = self.stage.crammed;
        self.enter(isa, served - crammed, (tally, &mut outcome));
        self.enter(isa, served & crammed, (tally, &mut outcome));
        self.edit(served - outcome.again - outcome.without, is_v6, &mut outcome.unfit);
        let Outcome { again, without, unfit, late } = outcome;
        self.settle(late, tally);
        for at in without {
            let service = usize::from(self.stage.services[at]);
            self.drop_served(at, DropReason::NoBackend, Some(service));
        }
        for at in unfit {
            self.drop_unfit(at);
        }
        again
    }

    /// Gives new flows their backends and entries.
    #[inline(always)]
    fn enter<I: Isa>(&mut self, isa: I, served: Set, (tally, outcome): (&mut Tally, &mut Outcome)) {
        let (tables, now) = (self.tables, self.now);
        let mut filling = self.connections.filling();
        let (stage, counters) = (&mut *self.stage, self.counters.records.places());
        let Some(mut known) = { served }.next().map(|first| stage.services[first]) else { return };
        let mut way = tables.way_of(known).unwrap_or_default();
        for at in served {
            let (hash, service) = (&stage.hashes[at], stage.services[at]);
            if service != known {
                (known, way) = (service, tables.way_of(service).unwrap_or_default());
            }
            let Some(index) = way.select(hash) else {
                cold_path();
                outcome.without.add(at);
                continue;
            };
            if way.is_tracked {
                // A packet before this one in the burst may have made the entry, and nobody else.
                if stage.seen.note(hash) {
                    cold_path();
                    outcome.again.add(at);
                    continue;
                }
                let new = Entry::of(hash, Placed { record: index, class: Class::Embryonic, now });
                match filling.insert_soon(isa, hash.low(), new, &tables.timeouts) {
                    Some(inserted) => tally.note(inserted, index, counters),
                    None => outcome.late.add(at),
                }
            }
            stage.verdicts[at] = Verdict::Forward(index);
        }
    }

    /// Makes the entries of the flows that were put off.
    #[cold]
    fn settle(&mut self, late: Set, tally: &mut Tally) {
        for at in late {
            let Verdict::Forward(record) = self.stage.verdicts[at] else { continue };
            let (hash, placed) =
                (&self.stage.hashes[at], Placed { record, class: Class::Embryonic, now: self.now });
            let timeouts = &self.tables.timeouts;
            let inserted = self.connections.insert_late(hash.low(), Entry::of(hash, placed), timeouts);
            tally.note(inserted, record, self.counters.records.places());
        }
    }

    /// Edits the first packets of flows whose backend is known.
    #[inline(always)]
    fn edit(&mut self, entered: Set, is_v6: bool, unfit: &mut Set) {
        let mut forwarder = Forwarder::new(self.stage, self.tables, self.counters);
        for (at, packet) in entered.of(self.packets) {
            let Verdict::Forward(index) = forwarder.stage.verdicts[at] else { continue };
            let size = forwarder.stage.sizes[at].without_flags();
            let fits = !size.exceeds(forwarder.records[usize::from(index)].inner_max);
            if !fits || !forwarder.forward(at, packet, index, size, is_v6) {
                cold_path();
                unfit.add(at);
            }
        }
    }

    /// Answers or drops a packet that its backend's way out or its buffer has no room for.
    #[cold]
    fn drop_unfit(&mut self, at: usize) {
        let Verdict::Forward(index) = self.stage.verdicts[at] else { return };
        let fits = !self.stage.sizes[at].without_flags().exceeds(self.tables.records.at(index).inner_max);
        let reason = if fits { DropReason::NoHeadroom } else { DropReason::MtuExceeded };
        let headers = self.headers(at);
        self.refuse(at, index, &headers, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_suspected_in_its_burst_only() {
        let mut seen = Seen::default();
        let [one, other] = [1u64 << 16, 2 << 16].map(|tag| FlowHash { tag, spread: 0 });
        // More bursts than the mark of one can count.
        for _ in 0..1_000 {
            seen.renew();
            assert_eq!([&one, &other, &one, &other].map(|hash| seen.note(hash)), [false, false, true, true]);
            seen.renew();
            assert!(!seen.note(&one));
        }
        // Nor after as many without it.
        for _ in 0..255 {
            seen.renew();
        }
        assert!(!seen.note(&other));
    }
}
