//! Second pass: which backend, or why none.
//!
//! Hits in the home line first, then those in alternate lines, then the misses: the common case runs in a
//! tight loop and the rare ones are gathered so that their memory latency overlaps too.

use super::{Burst, Set};
use crate::conn::{Class, Inserted, Line, Slot};
use crate::flow::FlowKey;
use crate::headers::Headers;
use crate::hw::Isa;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::verdict::{RecordIndex, Verdict};
use crate::wire::{PROTOCOL_TCP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, be16};
use std::net::IpAddr;
use std::ops::DerefMut;

/// How many packets ahead a table line is pulled from the second into the first cache level.
const LINE_LOOK_AHEAD: usize = 6;

/// A packet that opens a TCP connection: it must not follow the entry of an earlier one.
#[inline(always)]
fn opens(headers: &Headers) -> bool {
    headers.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// The class of an entry after one more packet.
fn next_class(class: Class, headers: &Headers) -> Class {
    if headers.protocol != PROTOCOL_TCP {
        return Class::Datagram;
    }
    if headers.tcp_flags & (TCP_FIN | TCP_RST) != 0 {
        // Shortened, not deleted: a forged RST must not cost more than a timeout (RFC 5961).
        return Class::Closing;
    }
    match class {
        Class::Embryonic if headers.tcp_flags & TCP_SYN == 0 => Class::Established,
        class => class,
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    #[inline(always)]
    pub(super) fn decide<I: Isa>(&mut self, isa: I) {
        let flows = self.stage.flows;
        let (mut elsewhere, mut misses, mut unusual) = (Set::default(), Set::default(), Set::default());
        let mut ahead = flows;
        for _ in 0..LINE_LOOK_AHEAD {
            self.connections.prefetch_near(self.stage.hashes[ahead.take_first()].tag);
        }
        for at in flows {
            // Beyond the last this asks for the line of position 0: harmless, and cheaper than a test.
            self.connections.prefetch_near(self.stage.hashes[ahead.take_first()].tag);
            let tag = self.stage.hashes[at].tag;
            match self.connections.find_home(isa, tag) {
                Some(slot) => self.hit(at, slot, &mut unusual),
                None if self.connections.home_overflows(tag) => {
                    self.connections.prefetch_alternate(tag);
                    elsewhere.add(at);
                }
                None => misses.add(at),
            }
        }
        for at in elsewhere {
            match self.connections.find_alternate(isa, self.stage.hashes[at].tag) {
                Some(slot) => self.hit(at, slot, &mut unusual),
                None => misses.add(at),
            }
        }
        self.stage.misses = misses;
        for at in unusual {
            self.hit_unusual(isa, at);
        }
        self.counters.lookups.add(flows.len() as u64);
        self.counters.hits.add((flows.len() - self.stage.misses.len()) as u64);
        if !self.stage.misses.is_empty() {
            self.resolve(isa);
        }
    }

    /// A packet with an entry. Everything out of the ordinary is gathered into one branch and put off.
    #[inline(always)]
    fn hit(&mut self, at: usize, slot: Slot, unusual: &mut Set) {
        let headers = &self.stage.headers[at];
        let index = self.connections.record(slot);
        let Some(record) = self.tables.records.get(usize::from(index)) else {
            unusual.add(at);
            return;
        };
        // Established and Datagram are the odd classes and stay what they are without SYN, FIN and RST.
        let is_steady = self.connections.class(slot) as u8 & 1;
        let is_unusual = (is_steady ^ 1)
            | (headers.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
            | u8::from(record.is_dead)
            | u8::from(headers.ip_len > record.inner_max)
            | u8::from(headers.ttl <= 1);
        if is_unusual == 0 {
            self.connections.touch(slot, self.now);
            self.stage.verdicts[at] = Verdict::Forward(index);
        } else {
            unusual.add(at);
        }
    }

    #[inline(never)]
    fn hit_unusual<I: Isa>(&mut self, isa: I, at: usize) {
        let headers = self.stage.headers[at];
        // Found again: nothing was inserted or moved since.
        let Some(slot) = self.connections.find(isa, self.stage.hashes[at].tag) else {
            self.stage.misses.add(at);
            return;
        };
        let index = self.connections.record(slot);
        let is_dead = self.tables.records.get(usize::from(index)).is_none_or(|record| record.is_dead);
        if is_dead || opens(&headers) {
            self.stage.misses.add(at);
            return;
        }
        self.progress(slot, &headers);
        self.forward(at, index);
    }

    /// Notes a packet on its entry.
    fn progress(&mut self, slot: Slot, headers: &Headers) {
        let class = self.connections.class(slot);
        let next = next_class(class, headers);
        if next != class {
            self.connections.set_class(slot, next);
        }
        self.connections.touch(slot, self.now);
    }

    /// The last decisions: TTL, then size.
    fn forward(&mut self, at: usize, index: RecordIndex) {
        let headers = self.stage.headers[at];
        let Some(record) = self.tables.records.get(usize::from(index)) else {
            self.drop(at, DropReason::NoBackend);
            return;
        };
        if headers.ttl <= 1 {
            self.drop_known(at, DropReason::TtlExceeded, usize::from(index));
        } else if headers.ip_len > record.inner_max {
            self.drop_known(at, DropReason::MtuExceeded, usize::from(index));
        } else {
            self.stage.verdicts[at] = Verdict::Forward(index);
        }
    }

    /// Packets without a usable entry: VIP, Maglev, insert.
    #[inline(never)]
    fn resolve<I: Isa>(&mut self, isa: I) {
        for at in self.stage.misses {
            let hash = self.stage.hashes[at];
            let Some((destination, port, protocol)) = self.target(at) else {
                self.drop(at, DropReason::Malformed);
                continue;
            };
            let Some(service) = self.tables.service(destination, port, protocol) else {
                self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
                continue;
            };
            let Some(record) = self.tables.select(service, hash) else {
                self.drop_served(at, DropReason::NoBackend, Some(usize::from(service)));
                continue;
            };
            if self.tables.is_tracked(service) {
                self.track(isa, at, record);
            }
            self.forward(at, record);
        }
    }

    /// Destination address, destination port and protocol of a packet that has been parsed.
    fn target(&self, at: usize) -> Option<(IpAddr, u16, u8)> {
        let headers = &self.stage.headers[at];
        let frame = self.packets.get(at)?.frame();
        let (_, destination) =
            FlowKey::addresses(frame.get(usize::from(headers.l3_offset)..)?, headers.is_v6)?;
        let port = be16(frame, usize::from(headers.l4_offset) + 2)?;
        Some((destination, port, headers.protocol))
    }

    /// Enters a flow into the table, or gives its old entry to `record`.
    fn track<I: Isa>(&mut self, isa: I, at: usize, record: RecordIndex) {
        let tag = self.stage.hashes[at].tag;
        let headers = self.stage.headers[at];
        // Looked up again: a packet before this one in the same burst may have made the entry.
        let Some(slot) = self.connections.find(isa, tag) else {
            self.insert(tag, record);
            return;
        };
        let old = self.connections.record(slot);
        let is_reopened = opens(&headers) && self.connections.class(slot) == Class::Closing;
        if old == record && !is_reopened {
            self.progress(slot, &headers);
            return;
        }
        self.connections.reassign(slot, record, Class::Embryonic, self.now);
        self.forget(old);
        self.count_connection(record);
    }

    fn insert(&mut self, tag: u64, record: RecordIndex) {
        match self.connections.insert(tag, record, Class::Embryonic, self.now, &self.tables.timeouts) {
            Inserted::Fresh => self.counters.insertions.add(1),
            Inserted::Evicted(old) => {
                self.counters.insertions.add(1);
                self.counters.evictions.add(1);
                self.forget(old);
            }
            Inserted::Expired(old) => {
                self.counters.insertions.add(1);
                self.counters.expirations.add(1);
                self.forget(old);
            }
            Inserted::Refused => {
                self.counters.refusals.add(1);
                return;
            }
        }
        self.count_connection(record);
    }

    /// Counts a new flow with its entry. Flows without one cannot be told from packets and are not counted.
    fn count_connection(&self, record: RecordIndex) {
        if let Some(counters) = self.counters.records.get(usize::from(record)) {
            counters.connections.add(1);
            counters.active.add(1);
        }
    }

    /// Counts that an entry of `record` is gone.
    fn forget(&self, record: RecordIndex) {
        if let Some(counters) = self.counters.records.get(usize::from(record)) {
            counters.active.subtract(1);
        }
    }
}
