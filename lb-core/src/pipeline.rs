//! The packet path of one worker: a burst goes in, every packet gets a verdict, the edits are made.
//!
//! Passes over the burst, so that memory latency overlaps: parse, hash and prefetch the line of the
//! connection table; look up, and edit at once what has an ordinary entry; then everything else, gathered.
//! The order of decisions is written once, here: shape, fragment, connection hit, VIP (only on a miss),
//! Maglev, insert, TTL, MTU. A hit implies the VIP; a record that died since is noticed on the hit path.

mod forward;
mod fragments;
mod hits;
mod icmp;
mod inspect;
mod misses;
mod nat;
mod parse;
mod rest;
mod select;
mod set;
mod split;

use crate::clock::Tick;
use crate::conn::{ConnTable, Line};
use crate::counters::WorkerCounters;
use crate::fragments::FragmentTable;
use crate::hash::FlowHash;
use crate::headers::plain::Size;
use crate::headers::{Headers, PortFilter};
use crate::hw::{self, Level};
use crate::icmp::limit::Limiter;
use crate::nat::Nat;
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::service::ServiceIndex;
use crate::tables::Tables;
use crate::verdict::Verdict;
use hits::{Elsewhere, Hits, HitsOfBoth, LINE_LOOK_AHEAD};
use misses::{Seen, Services};
use rest::Rest;
use set::Set;
use std::ops::DerefMut;
use std::sync::Arc;

/// Most packets of one burst.
pub const BURST_MAX: usize = 64;

/// What kinds of packets the last burst brought, which is the best guess for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mix {
    /// Plain IPv4 alone.
    V4,
    /// Plain IPv6 alone.
    V6,
    /// Both, or something else as well.
    Both,
}

/// What the passes hand to each other, per packet. Valid at the positions that the sets name.
#[derive(Debug)]
#[repr(C)]
struct Stage {
    /// Of all packets that have a flow. Some more, so that looking ahead needs no test. First, so that they
    /// and the others are reached from one register.
    hashes: [FlowHash; BURST_MAX + LINE_LOOK_AHEAD],
    /// Of plain packets.
    sizes: [Size; BURST_MAX],
    /// Of odd packets.
    headers: [Headers; BURST_MAX],
    /// Of packets without an entry.
    services: [ServiceIndex; BURST_MAX],
    verdicts: [Verdict; BURST_MAX],
    plain_v4: Set,
    plain_v6: Set,
    /// Packets that have a flow and are not plain.
    odd: Set,
    /// Plain packets without an entry in their home line, which may live in their alternate line as others of that line do.
    elsewhere: Set,
    /// Plain packets with an entry, and something out of the ordinary: flags, class, size, a dead record, or a
    /// buffer without room for the outer headers.
    unusual: Set,
    /// Plain packets without an entry; at first those of `elsewhere`, too.
    misses: Set,
    /// Packets that are for a VIP, of those that were looked at; and of these, those that are served one by one.
    served: Set,
    special: Set,
    /// Lines of which so much is taken are full, and new flows go elsewhere.
    full_line: u32,
    /// Of the plain packets without an entry in their home line: it is full.
    crammed: Set,
    /// Which flows of the burst have got entries.
    seen: Seen,
    /// Address translation. Here and not in the pipeline, so that the loops are handed nothing more than before.
    nat: Nat,
}

/// The packet path of one worker with its connection table.
#[derive(Debug)]
pub struct Pipeline<S = Box<[Line]>> {
    connections: ConnTable<S>,
    stage: Box<Stage>,
    counters: Arc<WorkerCounters>,
    mix: Mix,
    level: Level,
    aside: Box<Aside>,
}

/// What only fragments and ICMP need.
#[derive(Debug, Default)]
struct Aside {
    fragments: FragmentTable,
    limiter: Limiter,
}

impl<S: DerefMut<Target = [Line]>> Pipeline<S> {
    /// A pipeline over an empty table. `counters` must be this pipeline's alone to write.
    pub fn new(connections: ConnTable<S>, counters: Arc<WorkerCounters>, level: Level) -> Self {
        let stage = Stage {
            hashes: [FlowHash::default(); BURST_MAX + LINE_LOOK_AHEAD],
            sizes: [Size::default(); BURST_MAX],
            headers: [Headers::default(); BURST_MAX],
            services: [0; BURST_MAX],
            verdicts: [Verdict::Drop(DropReason::Unsupported); BURST_MAX],
            plain_v4: Set::default(),
            plain_v6: Set::default(),
            odd: Set::default(),
            elsewhere: Set::default(),
            unusual: Set::default(),
            misses: Set::default(),
            served: Set::default(),
            special: Set::default(),
            full_line: 0,
            crammed: Set::default(),
            seen: Seen::default(),
            nat: Nat::new(0, [0; 2], 0, 1),
        };
        counters.capacity.set(connections.capacity() as u64);
        Self { connections, stage: Box::new(stage), counters, mix: Mix::V4, level, aside: Box::default() }
    }

    /// Decides on up to [`BURST_MAX`] packets and edits those that are forwarded; packets beyond that are
    /// left alone. The verdicts are in the order of the packets. A packet whose verdict is
    /// [`Verdict::Forward`] is ready for the port of its record, one with [`Verdict::Answer`] for the port that it came
    /// from. One with [`Verdict::Hold`] is the caller's to keep until it is due ([`Self::takes_back`]).
    ///
    /// Counts what was received, dropped and held; what was sent, answered and punted is the caller's to count,
    /// because only the caller knows whether a ring took it.
    pub fn process<P: Packet>(
        &mut self,
        tables: &Tables,
        filter: &PortFilter,
        now: Tick,
        packets: &mut [P],
    ) -> &[Verdict] {
        self.counters.received.add(packets.len().min(BURST_MAX) as u64);
        self.run(tables, filter, now, packets, false)
    }

    #[inline(always)]
    fn run<P: Packet>(
        &mut self,
        tables: &Tables,
        filter: &PortFilter,
        now: Tick,
        packets: &mut [P],
        is_recalled: bool,
    ) -> &[Verdict] {
        let count = packets.len().min(BURST_MAX);
        let mut burst = Burst {
            connections: &mut self.connections,
            stage: &mut self.stage,
            counters: &self.counters,
            mix: &mut self.mix,
            tables,
            filter,
            now,
            packets: &mut packets[..count],
            aside: &mut self.aside,
            is_recalled,
        };
        burst.run(self.level);
        &self.stage.verdicts[..count]
    }

    /// Removes timed-out entries, and those of dead records, from the next `lines` lines of the table.
    pub fn sweep(&mut self, tables: &Tables, now: Tick, lines: usize) {
        let (counters, records) = (&self.counters, &tables.records);
        let is_gone = |record: u16| records.get(usize::from(record)).is_none_or(|found| found.is_dead);
        self.connections.sweep(lines, now, &tables.timeouts, is_gone, |record| {
            counters.expirations.add(1);
            counters.records.at(record).active.subtract(1);
        });
        counters.entries.set(self.connections.len() as u64);
        self.sweep_nat(tables, now, lines);
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
    mix: &'a mut Mix,
    tables: &'a Tables,
    filter: &'a PortFilter,
    now: Tick,
    packets: &'a mut [P],
    aside: &'a mut Aside,
    /// The packets have been received, and held, before.
    is_recalled: bool,
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// The passes, each a function of its own: the loops need all registers.
    fn run(&mut self, level: Level) {
        self.stage.odd = Set::default();
        self.stage.elsewhere = Set::default();
        self.stage.unusual = Set::default();
        self.stage.misses = Set::default();
        self.stage.crammed = Set::default();
        self.stage.full_line = self.connections.full_line();
        self.parse(level);
        let (v4, v6) = (self.stage.plain_v4, self.stage.plain_v6);
        match (v4.is_empty(), v6.is_empty()) {
            (true, true) => {}
            (false, true) => hw::run(level, Hits::<_, _, false>(self, v4)),
            (true, false) => hw::run(level, Hits::<_, _, true>(self, v6)),
            (false, false) => hw::run(level, HitsOfBoth(self, v4, v6)),
        }
        let misses = self.run_rest(level);
        let flows = match v4 | v6 {
            // Nearly always, and then nothing is counted.
            plain if plain == Set::first(self.packets.len()) => self.packets.len(),
            plain => (plain | self.stage.odd).len(),
        };
        self.counters.lookups.add(flows as u64);
        self.counters.hits.add((flows - misses) as u64);
        self.counters.entries.set(self.connections.len() as u64);
    }

    /// What the loops over the home lines have left. Gives the number of packets without a usable entry.
    #[inline(always)]
    fn run_rest(&mut self, level: Level) -> usize {
        if (self.stage.misses | self.stage.unusual | self.stage.odd).is_empty() {
            return 0;
        }
        let elsewhere = self.stage.elsewhere;
        let misses = self.stage.misses - elsewhere;
        self.stage.misses = misses;
        // Alternate lines have been asked for and are not here yet. In a burst of new flows something else can be done
        // meanwhile, though it is for nothing for those that turn out to have an entry.
        let are_new = !misses.is_empty() && misses.len() > elsewhere.len();
        if !are_new && !elsewhere.is_empty() {
            hw::run(level, Elsewhere(self));
        }
        let candidates = if are_new { misses | elsewhere } else { self.stage.misses };
        if !candidates.is_empty() {
            hw::run(level, Services(self, candidates));
        }
        if are_new && !elsewhere.is_empty() {
            hw::run(level, Elsewhere(self));
        }
        let stage = &*self.stage;
        match (stage.misses | stage.unusual | stage.odd).is_empty() {
            true => 0,
            false => hw::run(level, Rest(self)),
        }
    }

    /// Drops a packet whose service is not known.
    #[cold]
    fn drop(&mut self, at: usize, reason: DropReason) {
        self.stage.verdicts[at] = Verdict::Drop(reason);
        let len = self.packets.get(at).map_or(0, |packet| packet.frame().len());
        self.counters.drops.count(reason, len);
    }

    /// The service that a record belongs to.
    fn service_of(&self, record: u16) -> Option<usize> {
        self.tables.service_of(record).map(usize::from)
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
