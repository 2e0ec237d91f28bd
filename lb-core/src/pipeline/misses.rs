//! Second pass: plain packets of new flows.
//!
//! What a flood consists of, so it is made of loops too: first all VIPs and the prefetches of the Maglev slots,
//! then slots, entries and edits.

use super::forward::Forwarder;
use super::set::Set;
use super::{Burst, Stage};
use crate::clock::Tick;
use crate::conn::{Class, ConnTable, Inserted, Line, Placed};
use crate::counters::{RecordCounters, WorkerCounters};
use crate::headers::plain::{TargetV4, TargetV6};
use crate::hw::{Isa, Kernel};
use crate::indexed::PLACES;
use crate::maglev::MaglevTable;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::service::ServiceIndex;
use crate::tables::Tables;
use crate::verdict::{RecordIndex, Verdict};
use std::hint::cold_path;
use std::ops::DerefMut;

/// What insertions did, to be counted once per burst.
#[derive(Debug, Default)]
pub(super) struct Tally {
    insertions: u64,
    evictions: u64,
    expirations: u64,
    refusals: u64,
}

impl Tally {
    /// Notes the outcome for a flow of `record`. Flows without an entry cannot be told from packets and are
    /// not counted as connections.
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
        self.insertions += 1;
        if let Some(old) = old {
            counters[usize::from(old)].active.subtract(1);
        }
        let counters = &counters[usize::from(record)];
        counters.connections.add(1);
        counters.active.add(1);
    }

    /// Adds what was noted to the worker's counters.
    #[inline(always)]
    pub(super) fn count(self, counters: &WorkerCounters) {
        counters.insertions.add(self.insertions);
        counters.evictions.add(self.evictions);
        counters.expirations.add(self.expirations);
        counters.refusals.add(self.refusals);
    }
}

/// Which flows have had a packet in this burst, roughly: what it has not seen was not there.
#[derive(Debug, Default)]
struct Seen([u64; Seen::WORDS]);

impl Seen {
    /// 1024 bits for 64 flows: about 3 in 100 are suspected without reason, and looked up once more.
    const WORDS: usize = 16;

    /// Notes a flow; false if it is new for sure.
    #[inline(always)]
    fn note(&mut self, tag: u64) -> bool {
        let word = &mut self.0[(tag >> 26) as usize % Self::WORDS];
        let bit = 1 << (tag >> 20 & 63);
        let was_seen = *word & bit != 0;
        *word |= bit;
        was_seen
    }
}

/// What became of the new flows of a burst.
#[derive(Debug, Default)]
struct Outcome {
    seen: Seen,
    /// Their flow has got an entry meanwhile.
    again: Set,
    /// Their pool has no backend.
    without: Set,
    /// They are too long for their backend's way out, or their buffer has no room.
    unfit: Set,
    /// Forwarded, and their entry is still to be made.
    late: Set,
}

/// Makes the entries of the flows that were put off.
#[cold]
fn settle<S: DerefMut<Target = [Line]>>(
    late: &mut Set,
    connections: &mut ConnTable<S>,
    stage: &Stage,
    tables: &Tables,
    now: Tick,
    counters: &WorkerCounters,
    tally: &mut Tally,
) {
    for at in std::mem::take(late) {
        let Verdict::Forward(record) = stage.verdicts[at] else { continue };
        let placed = Placed { record, class: Class::Embryonic, now };
        let inserted = connections.insert_late(stage.hashes[at].tag, placed, &tables.timeouts);
        tally.note(inserted, record, counters.records.places());
    }
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
    fn find_services<T: Copy + PartialEq>(
        &mut self,
        candidates: Set,
        target_of: impl Fn(&P) -> Option<T>,
        find: impl Fn(T) -> Option<ServiceIndex>,
    ) {
        let (tables, stage) = (self.tables, &mut *self.stage);
        // Noted is the exception, because the loop needs the registers.
        let mut apart = Set::default();
        // Most new flows of a burst are for one VIP: a flood nearly always, a busy service often.
        let mut last: Option<(T, ServiceIndex, &MaglevTable)> = None;
        for (at, packet) in candidates.of(self.packets) {
            let Some(target) = target_of(packet) else {
                cold_path();
                // A martian: dropped there, if it is for a VIP.
                stage.special.add(at);
                apart.add(at);
                continue;
            };
            let (service, maglev) = match last {
                Some((known, service, maglev)) if known == target => (service, maglev),
                _ => {
                    let Some(service) = find(target) else {
                        cold_path();
                        stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
                        // It may be the answer of a backend behind translation.
                        stage.special.add_if(at, tables.nat().is_some());
                        apart.add(at);
                        continue;
                    };
                    let Some(maglev) = tables.maglev_of(service).filter(|_| !tables.is_special(service))
                    else {
                        cold_path();
                        stage.special.add(at);
                        apart.add(at);
                        continue;
                    };
                    last = Some((target, service, maglev));
                    (service, maglev)
                }
            };
            maglev.prefetch(stage.hashes[at].maglev());
            stage.services[at] = service;
        }
        stage.served = stage.served | (candidates - apart);
    }

    /// Gives entries and edits to the packets of one family that `find_services` has found to be for a VIP. Returns
    /// those that are to be served one by one: their flow has got an entry meanwhile, by a packet before them in the
    /// same burst.
    #[inline(always)]
    pub(super) fn serve<I: Isa>(&mut self, isa: I, served: Set, is_v6: bool, tally: &mut Tally) -> Set {
        let mut outcome = Outcome::default();
        // Those with a full home line by themselves: mixed, the branch on it would be wrong for every second of them.
        let crammed = self.stage.crammed;
        self.enter(isa, served - crammed, is_v6, (tally, &mut outcome));
        self.enter(isa, served & crammed, is_v6, (tally, &mut outcome));
        let Outcome { again, without, unfit, mut late, .. } = outcome;
        settle(&mut late, self.connections, self.stage, self.tables, self.now, self.counters, tally);
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
    fn enter<I: Isa>(
        &mut self,
        isa: I,
        served: Set,
        is_v6: bool,
        (tally, outcome): (&mut Tally, &mut Outcome),
    ) {
        let (tables, now, counters) = (self.tables, self.now, self.counters);
        let connections: &mut ConnTable<S> = self.connections;
        let mut forwarder = Forwarder::new(self.stage, tables, counters);
        for (at, packet) in served.of(self.packets) {
            let (hash, service) = (forwarder.stage.hashes[at], forwarder.stage.services[at]);
            let Some(index) = tables.select(service, hash) else {
                cold_path();
                outcome.without.add(at);
                continue;
            };
            if tables.is_tracked(service) {
                // A packet before this one in the burst may have made the entry, and nobody else.
                if outcome.seen.note(hash.tag) {
                    cold_path();
                    settle(&mut outcome.late, connections, forwarder.stage, tables, now, counters, tally);
                    if connections.find(isa, hash.tag).is_some() {
                        outcome.again.add(at);
                        continue;
                    }
                }
                let placed = Placed { record: index, class: Class::Embryonic, now };
                match connections.insert_soon(isa, hash.tag, placed, &tables.timeouts) {
                    Some(inserted) => tally.note(inserted, index, forwarder.counters),
                    None => outcome.late.add(at),
                }
            }
            let size = forwarder.stage.sizes[at].without_flags();
            let fits = !size.exceeds(forwarder.records[usize::from(index)].inner_max);
            if !fits || !forwarder.forward(at, packet, index, size, is_v6) {
                cold_path();
                forwarder.stage.verdicts[at] = Verdict::Forward(index);
                outcome.unfit.add(at);
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
