//! Second pass, the rest: packets without an entry, and packets with one that are out of the ordinary.
//!
//! Gathered from the whole burst, so that their memory latency overlaps too: first all VIPs and the
//! prefetches of the Maglev slots, then the slots, the entries and the last decisions, then the edits.

use super::Burst;
use super::set::Set;
use crate::conn::{Class, Inserted, Line, Slot};
use crate::encap;
use crate::flow::FlowKey;
use crate::headers::{Headers, plain};
use crate::hw::Isa;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::verdict::{RecordIndex, Verdict};
use crate::wire::{PROTOCOL_TCP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, be16};
use std::net::IpAddr;
use std::ops::DerefMut;

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
    /// Everything that the loops over the hits have set aside. Returns the packets without a usable entry.
    #[inline(always)]
    pub(super) fn rest<I: Isa>(&mut self, isa: I) -> Set {
        let mut misses = self.stage.misses;
        let mut forwarded = Set::default();
        for at in self.stage.unusual | self.stage.odd {
            match self.known(isa, at) {
                Known::Forward => forwarded.add(at),
                Known::Dropped => {}
                Known::Miss => misses.add(at),
            }
        }
        if !misses.is_empty() {
            forwarded = forwarded | self.resolve(isa, misses);
        }
        for at in forwarded {
            self.edit(at);
        }
        misses
    }

    /// The header summary of a packet that has a flow.
    #[inline(always)]
    fn headers(&self, at: usize) -> Headers {
        if self.stage.odd.has(at) {
            return self.stage.headers[at];
        }
        let frame = self.packets.get(at).map_or(&[][..], |packet| packet.frame());
        plain::headers(frame, self.stage.plain_v6.has(at))
    }

    /// A packet whose flow may have an entry, and that needs a closer look.
    #[inline(never)]
    fn known<I: Isa>(&mut self, isa: I, at: usize) -> Known {
        let headers = self.headers(at);
        let Some(slot) = self.connections.find(isa, self.stage.hashes[at].tag) else { return Known::Miss };
        let index = self.connections.record(slot);
        let is_gone = self.tables.records.get(usize::from(index)).is_none_or(|record| record.is_dead);
        if is_gone || opens(&headers) {
            return Known::Miss;
        }
        self.progress(slot, &headers);
        if self.forward(at, index, &headers) { Known::Forward } else { Known::Dropped }
    }

    /// Notes a packet on its entry.
    #[inline(always)]
    fn progress(&mut self, slot: Slot, headers: &Headers) {
        let class = self.connections.class(slot);
        let next = next_class(class, headers);
        if next != class {
            self.connections.set_class(slot, next);
        }
        self.connections.touch(slot, self.now);
    }

    /// The last decisions: TTL, then size. True if the packet is to be edited and sent.
    #[inline(always)]
    fn forward(&mut self, at: usize, index: RecordIndex, headers: &Headers) -> bool {
        let inner_max = self.tables.records.at(index).inner_max;
        if headers.ttl > 1 && headers.ip_len <= inner_max {
            self.stage.verdicts[at] = Verdict::Forward(index);
            return true;
        }
        let reason = if headers.ttl <= 1 { DropReason::TtlExceeded } else { DropReason::MtuExceeded };
        self.drop_served(at, reason, self.service_of(index));
        false
    }

    /// Packets without a usable entry: VIP, Maglev, insert. Returns those that are to be edited and sent.
    #[inline(never)]
    fn resolve<I: Isa>(&mut self, isa: I, misses: Set) -> Set {
        let mut served = Set::default();
        for at in misses {
            let Some((destination, port, protocol)) = self.target(at) else {
                self.drop(at, DropReason::Malformed);
                continue;
            };
            let Some(service) = self.tables.service(destination, port, protocol) else {
                self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
                continue;
            };
            self.tables.prefetch_slot(service, self.stage.hashes[at]);
            self.stage.services[at] = service;
            served.add(at);
        }
        let mut forwarded = Set::default();
        for at in served {
            let service = self.stage.services[at];
            let Some(record) = self.tables.select(service, self.stage.hashes[at]) else {
                self.drop_served(at, DropReason::NoBackend, Some(usize::from(service)));
                continue;
            };
            let headers = self.headers(at);
            if self.tables.is_tracked(service) {
                self.track(isa, at, record, &headers);
            }
            let is_forwarded = self.forward(at, record, &headers);
            forwarded.add_if(at, is_forwarded);
        }
        forwarded
    }

    /// Destination address, destination port and protocol of a packet that has been parsed.
    #[inline(always)]
    fn target(&self, at: usize) -> Option<(IpAddr, u16, u8)> {
        let headers = self.headers(at);
        let frame = self.packets.get(at)?.frame();
        let (_, destination) =
            FlowKey::addresses(frame.get(usize::from(headers.l3_offset)..)?, headers.is_v6)?;
        let port = be16(frame, usize::from(headers.l4_offset) + 2)?;
        Some((destination, port, headers.protocol))
    }

    /// Enters a flow into the table, or gives its old entry to `record`.
    #[inline(always)]
    fn track<I: Isa>(&mut self, isa: I, at: usize, record: RecordIndex, headers: &Headers) {
        let tag = self.stage.hashes[at].tag;
        // Looked up again: a packet before this one in the same burst may have made the entry.
        let Some(slot) = self.connections.find(isa, tag) else {
            self.insert(tag, record);
            return;
        };
        let old = self.connections.record(slot);
        let is_reopened = opens(headers) && self.connections.class(slot) == Class::Closing;
        if old == record && !is_reopened {
            self.progress(slot, headers);
            return;
        }
        self.connections.reassign(slot, record, Class::Embryonic, self.now);
        self.forget(old);
        self.count_connection(record);
    }

    #[inline(always)]
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
    #[inline(always)]
    fn count_connection(&self, record: RecordIndex) {
        let counters = self.counters.records.at(record);
        counters.connections.add(1);
        counters.active.add(1);
    }

    /// Counts that an entry of `record` is gone.
    #[inline(always)]
    fn forget(&self, record: RecordIndex) {
        self.counters.records.at(record).active.subtract(1);
    }

    /// Third pass, for packets that had to be looked at singly: edits and counts.
    #[inline(always)]
    fn edit(&mut self, at: usize) {
        let Verdict::Forward(index) = self.stage.verdicts[at] else { return };
        let headers = self.headers(at);
        let (record, tail) = (self.tables.records.at(index), self.tables.tails.at(index));
        let Some(packet) = self.packets.get_mut(at) else { return };
        if let Err(reason) = encap::apply(packet, &headers, self.stage.hashes[at], record, tail) {
            self.drop_served(at, reason, self.service_of(index));
            return;
        }
        let counters = self.counters.records.at(index);
        counters.packets.add(1);
        counters.ip_bytes.add(u64::from(headers.ip_len));
    }
}

/// What became of a packet that needed a closer look.
enum Known {
    Forward,
    Dropped,
    Miss,
}
