//! What one worker counts. One writer (the worker), any number of readers, no locks.
//!
//! A counter is an atomic only so that readers see whole values: the writer loads, adds and stores with
//! relaxed ordering, which costs what a plain addition costs. Readers may see counters of one burst at
//! slightly different moments; sums are exact once the worker has stopped or is idle.

use crate::indexed::{Indexed, PLACES};
use crate::reason::{AnswerReason, DropReason};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

/// A counter or gauge with one writer.
#[derive(Debug, Default, FromZeros)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. Only the owning worker may call this.
    #[inline(always)]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Subtracts `amount` of a gauge. Only the owning worker may call this.
    #[inline(always)]
    pub fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount), Relaxed);
    }

    /// Replaces the value of a gauge. Only the owning worker may call this.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value, from any thread.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts of one (service, backend) pair; two of these share a cache line.
#[derive(Debug, Default, FromZeros)]
#[repr(C, align(32))]
pub struct RecordCounters {
    /// Packets forwarded.
    pub packets: Counter,
    /// Sum of the lengths of the clients' IP datagrams, bytes. Frame lengths on either side follow from it.
    pub ip_bytes: Counter,
    /// New flows.
    pub connections: Counter,
    /// Gauge: entries in the connection table.
    pub active: Counter,
}

/// Drops by reason.
#[derive(Debug, FromZeros)]
pub struct DropCounters {
    /// Packets, by `DropReason as usize`.
    pub packets: [Counter; DropReason::COUNT],
    /// Bytes of the frames as received.
    pub bytes: [Counter; DropReason::COUNT],
}

impl Default for DropCounters {
    fn default() -> Self {
        Self {
            packets: std::array::from_fn(|_| Counter::default()),
            bytes: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl DropCounters {
    /// Counts one dropped frame of `bytes` bytes.
    #[inline]
    pub fn count(&self, reason: DropReason, bytes: usize) {
        self.packets[reason as usize].add(1);
        self.bytes[reason as usize].add(bytes as u64);
    }

    /// Packets dropped for any reason.
    pub fn total(&self) -> u64 {
        self.packets.iter().map(Counter::get).sum()
    }
}

/// What one worker counts of address translation.
#[derive(Debug, Default)]
pub struct NatCounters {
    /// Gauge: sessions.
    pub sessions: Counter,
    /// Gauge: sessions that fit.
    pub capacity: Counter,
    /// Sessions made.
    pub opened: Counter,
    /// Sessions removed by age, or because their backend is gone.
    pub expired: Counter,
    /// Gauge: local ports in use, each counted once per backend and protocol.
    pub local_ports: Counter,
    /// Answers of backends sent to clients.
    pub returned: Counter,
}

/// Everything that one worker counts about packets. Invariant, whenever the worker is between bursts:
/// `received + fragments_made = sent + answered + punted + drops.total() + held + fragmented`.
#[derive(Debug)]
#[repr(align(64))]
pub struct WorkerCounters {
    /// Packets taken in.
    pub received: Counter,
    /// Packets handed to a transmit ring toward a backend.
    pub sent: Counter,
    /// Replies of our own handed to a transmit ring.
    pub answered: Counter,
    /// Packets handed to the kernel.
    pub punted: Counter,
    /// Packets dropped.
    pub drops: DropCounters,
    /// Gauge: fragments that wait for the first of their datagram.
    pub held: Counter,
    /// Replies of our own as decided, by `AnswerReason as usize`; a full ring may still refuse one.
    pub answers: [Counter; AnswerReason::COUNT],
    /// ICMP errors forwarded to the backend of the flow that they are about.
    pub icmp_errors: Counter,
    /// Fragments forwarded.
    pub fragments: Counter,
    /// Packets that were sent in pieces because they were too long.
    pub fragmented: Counter,
    /// The pieces.
    pub fragments_made: Counter,
    /// Look-ups in the connection table.
    pub lookups: Counter,
    /// Look-ups that found a usable entry.
    pub hits: Counter,
    /// Entries made.
    pub insertions: Counter,
    /// Entries taken from a live flow to make room.
    pub evictions: Counter,
    /// Flows that found no room and go on by hash alone.
    pub refusals: Counter,
    /// Entries removed by age.
    pub expirations: Counter,
    /// Gauge: entries in use.
    pub entries: Counter,
    /// Gauge: entries that fit.
    pub capacity: Counter,
    /// Packets that went where their server ID says.
    pub id_routed: Counter,
    /// Packets with a connection ID that no configuration can read.
    pub id_unroutable: Counter,
    /// Packets with a server ID that no live backend has.
    pub id_unknown: Counter,
    /// Address translation.
    pub nat: NatCounters,
    /// Per record.
    pub records: Indexed<RecordCounters>,
    /// Per service number: drops after the service was known.
    pub service_drops: Indexed<DropCounters>,
}

impl WorkerCounters {
    /// Counters for all records and services that tables can ever have: they keep their places over changes.
    pub fn for_any_tables() -> Self {
        Self::new(PLACES, PLACES)
    }

    /// Counters for tables of so many records and services.
    pub fn new(records: usize, services: usize) -> Self {
        Self {
            received: Counter::default(),
            sent: Counter::default(),
            answered: Counter::default(),
            punted: Counter::default(),
            drops: DropCounters::default(),
            held: Counter::default(),
            answers: std::array::from_fn(|_| Counter::default()),
            icmp_errors: Counter::default(),
            fragments: Counter::default(),
            fragmented: Counter::default(),
            fragments_made: Counter::default(),
            lookups: Counter::default(),
            hits: Counter::default(),
            insertions: Counter::default(),
            evictions: Counter::default(),
            refusals: Counter::default(),
            expirations: Counter::default(),
            entries: Counter::default(),
            capacity: Counter::default(),
            id_routed: Counter::default(),
            id_unroutable: Counter::default(),
            id_unknown: Counter::default(),
            nat: NatCounters::default(),
            records: Indexed::zeroed(records),
            service_drops: Indexed::zeroed(services),
        }
    }

    /// Packets that have left in some way or are held; equals `received` between bursts.
    pub fn accounted(&self) -> u64 {
        let left = self.sent.get() + self.answered.get() + self.punted.get() + self.drops.total();
        // Pieces leave in the place of the packet that they were made of.
        (left + self.held.get() + self.fragmented.get()).wrapping_sub(self.fragments_made.get())
    }
}
