//! The packet path of one worker: a burst goes in, every packet gets a verdict, the edits are made.
//!
//! Three passes over the burst, so that memory latency overlaps: parse, hash and prefetch the line of the
//! connection table; look up and decide, misses last; edit. The order of decisions is written once, here:
//! shape, fragment, connection hit, VIP (only on a miss), Maglev, insert, TTL, MTU. A hit implies the VIP;
//! a record that died since is noticed on the hit path.

mod decide;
mod parse;

use crate::clock::Tick;
use crate::conn::{ConnTable, Line};
use crate::counters::WorkerCounters;
use crate::encap;
use crate::hash::FlowHash;
use crate::headers::{Headers, PortFilter};
use crate::hw::{self, Isa, Kernel, Level};
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::tables::Tables;
use crate::verdict::Verdict;
use std::ops::DerefMut;
use std::sync::Arc;

/// Most packets of one burst.
pub const BURST_MAX: usize = 64;

/// Index mask of the stage arrays: an index that has been masked needs no bounds check.
const MASK: usize = BURST_MAX - 1;
const _: () = assert!(BURST_MAX == u64::BITS as usize, "a set of positions is one word");

/// A set of positions in a burst, walked in the order of arrival. One register: adding costs two
/// instructions and never a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set(u64);

impl Set {
    #[inline(always)]
    fn add(&mut self, position: usize) {
        self.add_if(position, true);
    }

    /// Adds if `is_member`, without a branch to mispredict.
    #[inline(always)]
    fn add_if(&mut self, position: usize, is_member: bool) {
        self.0 |= u64::from(is_member) << (position & MASK);
    }

    #[inline(always)]
    fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Takes the first position out; 0 if there is none.
    #[inline(always)]
    fn take_first(&mut self) -> usize {
        let first = self.0.trailing_zeros() as usize & MASK;
        self.0 &= self.0.wrapping_sub(1);
        first
    }
}

impl Iterator for Set {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.is_empty() { None } else { Some(self.take_first()) }
    }
}

/// What the passes hand to each other, per packet.
#[derive(Debug)]
struct Stage {
    headers: [Headers; BURST_MAX],
    hashes: [FlowHash; BURST_MAX],
    verdicts: [Verdict; BURST_MAX],
    /// Packets that have a flow.
    flows: Set,
    /// Packets without a usable entry in the table.
    misses: Set,
}

/// The packet path of one worker with its connection table.
#[derive(Debug)]
pub struct Pipeline<S = Box<[Line]>> {
    connections: ConnTable<S>,
    stage: Box<Stage>,
    counters: Arc<WorkerCounters>,
    level: Level,
}

impl<S: DerefMut<Target = [Line]>> Pipeline<S> {
    /// A pipeline over an empty table. `counters` must be this pipeline's alone to write.
    pub fn new(connections: ConnTable<S>, counters: Arc<WorkerCounters>, level: Level) -> Self {
        let stage = Stage {
            headers: [Headers::default(); BURST_MAX],
            hashes: [FlowHash::default(); BURST_MAX],
            verdicts: [Verdict::Drop(DropReason::Unsupported); BURST_MAX],
            flows: Set::default(),
            misses: Set::default(),
        };
        counters.capacity.set(connections.capacity() as u64);
        Self { connections, stage: Box::new(stage), counters, level }
    }

    /// Decides on up to [`BURST_MAX`] packets and edits those that are forwarded; packets beyond that are
    /// left alone. The verdicts are in the order of the packets. A packet whose verdict is
    /// [`Verdict::Forward`] is ready for the port of its record.
    ///
    /// Counts what was received and dropped; what was sent, answered and punted is the caller's to count,
    /// because only the caller knows whether a ring took it.
    pub fn process<P: Packet>(
        &mut self,
        tables: &Tables,
        filter: PortFilter,
        now: Tick,
        packets: &mut [P],
    ) -> &[Verdict] {
        let count = packets.len().min(BURST_MAX);
        let burst = Burst {
            connections: &mut self.connections,
            stage: &mut self.stage,
            counters: &self.counters,
            tables,
            filter,
            now,
            packets: &mut packets[..count],
        };
        hw::run(self.level, burst);
        &self.stage.verdicts[..count]
    }

    /// Removes timed-out entries, and those of dead records, from the next `lines` lines of the table.
    pub fn sweep(&mut self, tables: &Tables, now: Tick, lines: usize) {
        let (counters, records) = (&self.counters, &tables.records);
        let is_gone = |record: u16| records.get(usize::from(record)).is_none_or(|found| found.is_dead);
        self.connections.sweep(lines, now, &tables.timeouts, is_gone, |record| {
            counters.expirations.add(1);
            if let Some(record) = counters.records.get(usize::from(record)) {
                record.active.subtract(1);
            }
        });
        counters.entries.set(self.connections.len() as u64);
    }

    /// The connection table.
    pub fn connections(&self) -> &ConnTable<S> {
        &self.connections
    }

    /// The counters.
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.counters
    }

    /// The instruction set in use.
    pub fn level(&self) -> Level {
        self.level
    }
}

/// One burst on its way through the passes.
struct Burst<'a, S, P> {
    connections: &'a mut ConnTable<S>,
    stage: &'a mut Stage,
    counters: &'a WorkerCounters,
    tables: &'a Tables,
    filter: PortFilter,
    now: Tick,
    packets: &'a mut [P],
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Kernel for Burst<'_, S, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        self.stage.flows = Set::default();
        self.stage.misses = Set::default();
        self.parse(isa);
        self.decide(isa);
        self.apply();
        self.counters.received.add(self.packets.len() as u64);
        self.counters.entries.set(self.connections.len() as u64);
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// Third pass: edits what is forwarded and counts it.
    #[inline(always)]
    fn apply(&mut self) {
        for at in self.stage.flows {
            let Verdict::Forward(record_index) = self.stage.verdicts[at] else { continue };
            let record_index = usize::from(record_index);
            let (Some(record), Some(tail)) =
                (self.tables.records.get(record_index), self.tables.tails.get(record_index))
            else {
                continue;
            };
            let headers = self.stage.headers[at];
            let Some(packet) = self.packets.get_mut(at) else { continue };
            if let Err(reason) = encap::apply(packet, &headers, self.stage.hashes[at], record, tail) {
                self.drop_known(at, reason, record_index);
                continue;
            }
            if let Some(counters) = self.counters.records.get(record_index) {
                counters.packets.add(1);
                counters.ip_bytes.add(u64::from(headers.ip_len));
            }
        }
    }

    /// Drops a packet whose service is not known.
    #[cold]
    fn drop(&mut self, at: usize, reason: DropReason) {
        self.stage.verdicts[at] = Verdict::Drop(reason);
        let len = self.packets.get(at).map_or(0, |packet| packet.frame().len());
        self.counters.drops.count(reason, len);
    }

    /// Drops a packet that a record had been found for.
    #[cold]
    fn drop_known(&mut self, at: usize, reason: DropReason, record: usize) {
        let service = self.tables.owners().get(record).map(|owner| owner.service);
        self.drop_served(at, reason, service);
    }

    /// Drops a packet of a service.
    #[cold]
    fn drop_served(&mut self, at: usize, reason: DropReason, service: Option<usize>) {
        self.drop(at, reason);
        let len = self.packets.get(at).map_or(0, |packet| packet.frame().len());
        if let Some(drops) = service.and_then(|service| self.counters.service_drops.get(service)) {
            drops.count(reason, len);
        }
    }
}

#[cfg(test)]
mod tests;
