//! Second pass, the rest: what is not plain, and what has an entry but is out of the ordinary, one by one.

use super::Burst;
use super::misses::Tally;
use crate::address;
use crate::conn::{Class, Line, Placed, Slot};
use crate::encap;
use crate::flow::FlowKey;
use crate::headers::{Headers, plain};
use crate::hw::{Isa, Kernel};
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::record::Kind;
use crate::verdict::{RecordIndex, Verdict};
use crate::wire::{PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, be16};
use std::ops::DerefMut;

/// A packet that opens a TCP connection: it must not follow the entry of an earlier one.
#[inline(always)]
pub(super) fn opens(headers: &Headers) -> bool {
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

/// Everything that the loops over the hits have set aside, as a function of its own: the registers of the
/// common loops are not for this. Gives the number of packets without a usable entry.
pub(super) struct Rest<'b, 'a, S, P>(pub(super) &'b mut Burst<'a, S, P>);

impl<S: DerefMut<Target = [Line]>, P: Packet> Kernel for Rest<'_, '_, S, P> {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let Self(burst) = self;
        let mut tally = Tally::new(burst.connections.len());
        let (v6, misses) = (burst.stage.plain_v6, burst.stage.misses);
        let mut again = burst.stage.special & misses | burst.stage.unusual | burst.stage.odd;
        let mut missed = misses.len();
        if !misses.is_empty() {
            burst.stage.seen.renew();
            // Some that were looked for early have been found.
            let served = burst.stage.served & misses;
            again = again | burst.serve(isa, served - v6, false, &mut tally);
            again = again | burst.serve(isa, served & v6, true, &mut tally);
        }
        for at in again {
            let is_new = burst.one(isa, at, &mut tally);
            missed += usize::from(is_new && !misses.has(at));
        }
        tally.count(burst.counters, burst.connections.len());
        missed
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// One packet, start to end. True if it had no usable entry.
    #[inline(always)]
    fn one<I: Isa>(&mut self, isa: I, at: usize, tally: &mut Tally) -> bool {
        let headers = self.headers(at);
        let (index, is_miss) = match self.known(isa, at, &headers) {
            Some(index) => (index, false),
            None => match self.resolve(isa, at, &headers, tally) {
                Some(index) => (index, true),
                None => return true,
            },
        };
        self.forward(at, index, &headers);
        is_miss
    }

    /// The header summary of a packet that has a flow.
    #[inline(always)]
    pub(super) fn headers(&self, at: usize) -> Headers {
        if self.stage.odd.has(at) {
            return self.stage.headers[at];
        }
        let frame = self.packets.get(at).map_or(&[][..], |packet| packet.frame());
        plain::headers(frame, self.stage.plain_v6.has(at))
    }

    /// The record of the flow's entry, if it has one that this packet may use.
    #[inline(always)]
    pub(super) fn known<I: Isa>(&mut self, isa: I, at: usize, headers: &Headers) -> Option<RecordIndex> {
        let slot = self.connections.find(isa, self.stage.hashes[at].tag)?;
        let index = self.connections.record(slot);
        let is_gone = self
            .tables
            .records
            .get(usize::from(index))
            .is_none_or(|record| record.is_dead || record.kind == Kind::Nat);
        if is_gone || opens(headers) || self.belongs_elsewhere(at, headers, index) {
            return None;
        }
        self.progress(slot, headers);
        Some(index)
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

    /// The last decisions and the edit; what cannot go on is answered or dropped.
    #[inline(always)]
    pub(super) fn forward(&mut self, at: usize, index: RecordIndex, headers: &Headers) {
        if let Err(reason) = self.deliver(at, index, headers) {
            self.refuse(at, index, headers, reason);
        }
    }

    /// The last decisions, TTL, then size; then the edit.
    #[inline(always)]
    pub(super) fn deliver(
        &mut self,
        at: usize,
        index: RecordIndex,
        headers: &Headers,
    ) -> Result<(), DropReason> {
        let (record, tail) = (self.tables.records.at(index), self.tables.tails.at(index));
        let packet = self.packets.get_mut(at).ok_or(DropReason::Malformed)?;
        if headers.ttl <= tail.ttl_step() {
            return Err(DropReason::TtlExceeded);
        }
        if headers.ip_len > tail.inner_max {
            return Err(DropReason::MtuExceeded);
        }
        encap::apply(packet, headers, self.stage.hashes[at], record, tail)?;
        self.stage.verdicts[at] = Verdict::Forward(index);
        let counters = self.counters.records.at(index);
        counters.packets.add(1);
        counters.ip_bytes.add(u64::from(headers.ip_len));
        Ok(())
    }

    /// The record that a new flow gets; `None` if the packet has got another verdict.
    #[inline(always)]
    pub(super) fn resolve<I: Isa>(
        &mut self,
        isa: I,
        at: usize,
        headers: &Headers,
        tally: &mut Tally,
    ) -> Option<RecordIndex> {
        let Some(key) = self.key(at, headers) else {
            self.drop(at, DropReason::Malformed);
            return None;
        };
        let Some(service) = self.tables.service(key.destination, key.destination_port, key.protocol) else {
            if !self.translate_back(at, headers) {
                self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
            }
            return None;
        };
        if address::is_martian(key.source, key.destination) {
            self.drop_served(at, DropReason::MartianSource, Some(usize::from(service)));
            return None;
        }
        if self.tables.is_nat(service) {
            self.translate(isa, at, headers, (service, &key));
            return None;
        }
        let record = match self.tables.is_special(service) {
            false => self.tables.select(service, self.stage.hashes[at]),
            true => self.chosen(isa, at, headers, (service, &key)),
        };
        let Some(record) = record else {
            self.drop_served(at, DropReason::NoBackend, Some(usize::from(service)));
            return None;
        };
        if self.tables.is_tracked(service) {
            self.track(isa, at, record, headers, tally);
        }
        Some(record)
    }

    /// The 5-tuple of a packet that has been parsed.
    #[inline(always)]
    fn key(&self, at: usize, headers: &Headers) -> Option<FlowKey> {
        let frame = self.packets.get(at)?.frame();
        let ip = frame.get(usize::from(headers.l3_offset)..)?;
        let (source, destination) = FlowKey::addresses(ip, headers.is_v6)?;
        let (l4, protocol) = (usize::from(headers.l4_offset), headers.protocol);
        let (source_port, destination_port) = match protocol {
            PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP => (be16(frame, l4)?, be16(frame, l4 + 2)?),
            _ => (0, 0),
        };
        Some(FlowKey { source, destination, source_port, destination_port, protocol })
    }

    /// Enters a flow into the table, or gives its old entry to `record`.
    #[inline(always)]
    fn track<I: Isa>(
        &mut self,
        isa: I,
        at: usize,
        record: RecordIndex,
        headers: &Headers,
        tally: &mut Tally,
    ) {
        let tag = self.stage.hashes[at].tag;
        // Looked up again: a packet before this one in the same burst may have made the entry.
        let Some(slot) = self.connections.find(isa, tag) else {
            let placed = Placed { record, class: Class::Embryonic, now: self.now };
            let hash = &self.stage.hashes[at];
            let inserted = self.connections.insert_on(isa, hash, placed, &self.tables.timeouts);
            tally.note(inserted, record, self.counters.records.places());
            return;
        };
        let old = self.connections.record(slot);
        let is_reopened = opens(headers) && self.connections.class(slot) == Class::Closing;
        if old == record && !is_reopened {
            self.progress(slot, headers);
            return;
        }
        self.connections.reassign(slot, record, Class::Embryonic, self.now);
        self.counters.records.at(old).active.subtract(1);
        let counters = self.counters.records.at(record);
        counters.connections.add(1);
        counters.active.add(1);
    }
}
