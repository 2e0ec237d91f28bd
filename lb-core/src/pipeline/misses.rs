//! Second pass: plain packets of new flows.
//!
//! What a flood consists of, so it is made of loops too: first all VIPs and the prefetches of the Maglev slots,
//! then slots, entries and edits.

use super::Burst;
use super::forward::Forwarder;
use super::set::Set;
use crate::conn::{Class, ConnTable, Inserted, Line, Placed};
use crate::counters::{RecordCounters, WorkerCounters};
use crate::headers::plain::{TargetV4, TargetV6};
use crate::hw::Isa;
use crate::indexed::PLACES;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::service::ServiceIndex;
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

/// The service of `target`, asked for only if it is not the target of the last one.
#[inline(always)]
fn remembered<T: Copy + PartialEq>(
    last: &mut (T, ServiceIndex),
    target: T,
    find: impl FnOnce() -> Option<ServiceIndex>,
) -> Option<ServiceIndex> {
    if last.0 != target {
        *last = (target, find()?);
    }
    Some(last.1)
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

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// Serves plain packets of one family that have no entry. Returns those that are to be served one by one: their
    /// flow has got an entry meanwhile, by a packet before them in the same burst, their service is special, or no host
    /// can have sent them.
    #[inline(always)]
    pub(super) fn serve<I: Isa>(&mut self, isa: I, misses: Set, is_v6: bool, tally: &mut Tally) -> Set {
        let (served, special) = self.find_services(misses, is_v6);
        let (tables, now) = (self.tables, self.now);
        let connections: &mut ConnTable<S> = self.connections;
        let mut forwarder = Forwarder::new(self.stage, tables, self.counters);
        let mut seen = Seen::default();
        let (mut again, mut without, mut unfit) = (Set::default(), Set::default(), Set::default());
        for (at, packet) in served.of(self.packets) {
            let (hash, service) = (forwarder.stage.hashes[at], forwarder.stage.services[at]);
            let Some(index) = tables.select(service, hash) else {
                cold_path();
                without.add(at);
                continue;
            };
            if tables.is_tracked(service) {
                // A packet before this one in the burst may have made the entry, and nobody else.
                if seen.note(hash.tag) && connections.find(isa, hash.tag).is_some() {
                    cold_path();
                    again.add(at);
                    continue;
                }
                let placed = Placed { record: index, class: Class::Embryonic, now };
                let inserted = connections.insert_on(isa, hash.tag, placed, &tables.timeouts);
                tally.note(inserted, index, forwarder.counters);
            }
            let size = forwarder.stage.sizes[at].without_flags();
            let fits = !size.exceeds(forwarder.records[usize::from(index)].inner_max);
            if !fits || !forwarder.forward(at, packet, index, size, is_v6) {
                cold_path();
                forwarder.stage.verdicts[at] = Verdict::Forward(index);
                unfit.add(at);
            }
        }
        for at in without {
            let service = usize::from(self.stage.services[at]);
            self.drop_served(at, DropReason::NoBackend, Some(service));
        }
        for at in unfit {
            self.drop_unfit(at);
        }
        again | special
    }

    /// The packets that are for a VIP, those of special services and martians apart; notes their services.
    #[inline(always)]
    fn find_services(&mut self, misses: Set, is_v6: bool) -> (Set, Set) {
        let (tables, stage) = (self.tables, &mut *self.stage);
        let (mut served, mut special) = (Set::default(), Set::default());
        // Most new flows of a burst are for one VIP: a flood nearly always, a busy service often.
        let (mut last_v4, mut last_v6) = ((TargetV4::NONE, 0), (TargetV6::NONE, 0));
        for (at, packet) in misses.of(self.packets) {
            let found = if is_v6 {
                TargetV6::of(packet.frame()).map(|target| {
                    remembered(&mut last_v6, target, || {
                        let (address, port, protocol) = target.parts();
                        tables.service_v6(address, port, protocol)
                    })
                })
            } else {
                TargetV4::of(packet.frame()).map(|target| {
                    remembered(&mut last_v4, target, || {
                        let (address, port, protocol) = target.parts();
                        tables.service_v4(address, port, protocol)
                    })
                })
            };
            let Some(found) = found else {
                cold_path();
                // A martian: dropped there, if it is for a VIP.
                special.add(at);
                continue;
            };
            let Some(service) = found else {
                cold_path();
                stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
                // It may be the answer of a backend behind translation.
                special.add_if(at, tables.nat().is_some());
                continue;
            };
            if tables.is_special(service) {
                cold_path();
                special.add(at);
                continue;
            }
            tables.prefetch_slot(service, stage.hashes[at]);
            stage.services[at] = service;
            served.add(at);
        }
        (served, special)
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
