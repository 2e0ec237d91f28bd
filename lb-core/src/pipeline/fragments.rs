//! Fragments: the first one of a datagram is served by its ports, the others go where it went.
//!
//! Datagrams are not put together here (RFC 8900): every fragment is edited and sent as it comes. Fragments that come before
//! the first are given back to be held; once the first has been here, or the time is over, the worker asks again.

use super::Burst;
use super::misses::Tally;
use crate::address;
use crate::clock::Tick;
use crate::conn::Line;
use crate::fragments::{HeldState, Noted, Piece};
use crate::headers::{self, Fragment, NoFlow};
use crate::hw::{Level, Portable};
use crate::icmp::build;
use crate::packet::Packet;
use crate::reason::{AnswerReason, DropReason, PuntReason};
use crate::spec::Fragments;
use crate::tables::Tables;
use crate::verdict::Verdict;
use crate::wire::{PROTOCOL_ICMPV6, PROTOCOL_TCP};
use std::ops::DerefMut;

/// Neighbour discovery: router solicitation to redirect.
const ND_TYPES: std::ops::RangeInclusive<u8> = 133..=137;

/// What the fragments behind a first one get for what it got.
fn fate_of_others(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Answer(AnswerReason::FragmentationNeeded | AnswerReason::PacketTooBig) => {
            Verdict::Drop(DropReason::MtuExceeded)
        }
        Verdict::Answer(AnswerReason::TimeExceeded) => Verdict::Drop(DropReason::TtlExceeded),
        // Each fragment for itself.
        Verdict::Split(record, _) => Verdict::Forward(record),
        other => other,
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// One fragment, start to end.
    #[cold]
    pub(super) fn fragment(&mut self, level: Level, at: usize, fragment: &Fragment) {
        if self.is_neighbour_discovery(at, fragment) {
            // RFC 6980, whoever it is for.
            self.drop(at, DropReason::FragmentInvalid);
            return;
        }
        let destination = fragment.datagram.destination;
        let Some(service) = self.tables.service_at(destination) else {
            self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
            return;
        };
        let service_number = Some(usize::from(service));
        if address::is_martian(fragment.datagram.source, destination) {
            self.drop_served(at, DropReason::MartianSource, service_number);
            return;
        }
        if self.tables.portless(service).fragments == Fragments::Drop {
            self.drop_served(at, DropReason::Fragment, service_number);
            return;
        }
        let key = self.tables.hash(level, &fragment.datagram_key());
        if self.is_recalled {
            self.recalled(at, fragment, key, service_number);
            return;
        }
        let ticks = self.tables.signals.fragment_ticks;
        let noted = match Piece::of(fragment) {
            Some(piece) => self.aside.fragments.note(key, piece, self.now, ticks),
            None => self.aside.fragments.refuse(key, DropReason::FragmentInvalid, self.now, ticks),
        };
        match noted {
            Noted::First(slot) => {
                self.first(level, at, fragment);
                let fate = fate_of_others(self.stage.verdicts[at]);
                self.aside.fragments.decide(slot, fate, self.stage.hashes[at]);
                self.aside.fragments.release_if_whole(slot);
            }
            Noted::Decided(slot) => {
                self.follow(at, slot, fragment, service_number);
                self.aside.fragments.release_if_whole(slot);
            }
            Noted::Early(slot) if self.aside.fragments.hold(slot) => {
                self.counters.held.add(1);
                self.stage.verdicts[at] = Verdict::Hold(slot);
            }
            Noted::Early(_) | Noted::Full => {
                self.drop_served(at, DropReason::FragmentTableFull, service_number);
            }
        }
    }

    /// A fragment that was held, now that there is something to do with it.
    fn recalled(
        &mut self,
        at: usize,
        fragment: &Fragment,
        key: crate::hash::FlowHash,
        service: Option<usize>,
    ) {
        match self.aside.fragments.recall(key) {
            Some(slot) => {
                self.follow(at, slot, fragment, service);
                self.aside.fragments.release_if_whole(slot);
            }
            None => self.drop_served(at, DropReason::FragmentTimeout, service),
        }
    }

    /// The first fragment: decided as the whole datagram would be.
    fn first(&mut self, level: Level, at: usize, fragment: &Fragment) {
        let Some(packet) = self.packets.get(at) else { return };
        match headers::parse_first(packet.frame(), fragment) {
            Ok((headers, key)) => {
                let hash = self.tables.hash(level, &key);
                self.stage.hashes[at] = hash;
                let service = self.tables.service(key.destination, key.destination_port, key.protocol);
                if let Some(service) = service.filter(|service| self.tables.is_nat(*service)) {
                    // The ports of what follows cannot be translated, and its checksum is out of reach.
                    self.drop_served(at, DropReason::Fragment, Some(usize::from(service)));
                    return;
                }
                let mut tally = Tally::new(self.connections.len());
                let known = self.known(Portable, at, &headers);
                self.counters.lookups.add(1);
                self.counters.hits.add(u64::from(known.is_some()));
                let record = known.or_else(|| self.resolve(Portable, at, &headers, &mut tally));
                tally.count(self.counters, self.connections.len());
                if let Some(record) = record {
                    self.forward(at, record, &fragment.datagram.for_edit());
                    self.counters.fragments.add(u64::from(self.is_forwarded(at)));
                }
            }
            Err(NoFlow::Drop(reason)) => self.drop(at, reason),
            Err(NoFlow::Icmp(message)) => self.first_of_icmp(level, at, fragment, &message),
            Err(NoFlow::Punt(reason)) => self.stage.verdicts[at] = Verdict::Punt(reason),
            Err(NoFlow::Fragment(_)) => self.drop(at, DropReason::FragmentInvalid),
        }
    }

    fn first_of_icmp(&mut self, level: Level, at: usize, fragment: &Fragment, message: &headers::Portless) {
        // What a reply leaves out must not move the data behind it.
        if message.headers.l4_offset != fragment.datagram.headers.l4_offset {
            self.drop(at, DropReason::IcmpIgnored);
            return;
        }
        self.icmp(level, at, message);
        self.counters.fragments.add(u64::from(self.is_forwarded(at)));
    }

    fn is_forwarded(&self, at: usize) -> bool {
        matches!(self.stage.verdicts[at], Verdict::Forward(_))
    }

    /// A fragment whose datagram has been decided on.
    fn follow(&mut self, at: usize, slot: u16, fragment: &Fragment, service: Option<usize>) {
        let (fate, hash) = self.aside.fragments.fate(slot);
        match fate {
            Verdict::Forward(record) => {
                let is_gone =
                    self.tables.records.get(usize::from(record)).is_none_or(|record| record.is_dead);
                if is_gone {
                    self.drop_served(at, DropReason::NoBackend, service);
                    return;
                }
                self.stage.hashes[at] = hash;
                let headers = fragment.datagram.for_edit();
                match self.deliver(at, record, &headers) {
                    Ok(()) => self.counters.fragments.add(1),
                    Err(reason) if self.leaves_in_pieces(at, record, &headers, reason) => {}
                    // Never an error about any fragment but the first (RFC 1122 section 3.2.2).
                    Err(reason) => self.drop_served(at, reason, service),
                }
            }
            Verdict::Answer(AnswerReason::EchoReply) => self.follow_echo(at, fragment, service),
            Verdict::Punt(reason) => self.stage.verdicts[at] = Verdict::Punt(reason),
            Verdict::Drop(reason) => self.drop_served(at, reason, service),
            Verdict::Answer(_) | Verdict::Hold(_) | Verdict::Return(_) | Verdict::Split(..) => {
                self.drop_served(at, DropReason::Fragment, service)
            }
        }
    }

    fn follow_echo(&mut self, at: usize, fragment: &Fragment, service: Option<usize>) {
        let Some(packet) = self.packets.get_mut(at) else { return };
        let message = &fragment.datagram;
        let start = usize::from(message.headers.l4_offset);
        match build::echo_reply(packet, message.place(), start, false) {
            Some(()) => self.answer(at, AnswerReason::EchoReply),
            None => self.drop_served(at, DropReason::Malformed, service),
        }
    }

    /// The first fragment of a neighbour discovery message.
    fn is_neighbour_discovery(&self, at: usize, fragment: &Fragment) -> bool {
        let headers = fragment.datagram.headers;
        let kind = || self.packets.get(at)?.frame().get(usize::from(headers.l4_offset)).copied();
        headers.is_v6
            && headers.protocol == PROTOCOL_ICMPV6
            && fragment.is_first()
            && kind().is_some_and(|kind| ND_TYPES.contains(&kind))
    }
}

impl Piece {
    /// What a fragment covers of its datagram; `None` if no datagram is made of such pieces.
    fn of(fragment: &Fragment) -> Option<Self> {
        let len = fragment.len();
        let headers = fragment.datagram.headers;
        let end = u32::from(fragment.offset) + u32::from(len);
        // What stays in front of the data when the datagram is whole: over IPv6 without the fragment header, and the
        // fixed header does not count (RFC 8200 section 4.5).
        let kept = u32::from(headers.l4_offset) - u32::from(headers.l3_offset);
        let kept = if headers.is_v6 { kept.saturating_sub(48) } else { kept };
        let is_too_long = kept + end > u32::from(u16::MAX);
        let is_uneven = fragment.has_more && !len.is_multiple_of(8);
        // RFC 3128: flags of a TCP header in a fragment of their own.
        let is_hiding = headers.protocol == PROTOCOL_TCP && fragment.offset == 8;
        if len == 0 || is_too_long || is_uneven || is_hiding {
            return None;
        }
        Some(Self { start: fragment.offset, end: end as u16, is_last: !fragment.has_more })
    }
}

impl<S: DerefMut<Target = [Line]>> super::Pipeline<S> {
    /// The same pipeline with room for the fragments of `datagrams` datagrams at a time, of which `held` may wait for
    /// their first ones.
    #[must_use]
    pub fn with_fragments(mut self, datagrams: usize, held: usize) -> Self {
        self.aside.fragments = crate::fragments::FragmentTable::new(datagrams, held);
        self
    }

    /// Forgets the datagrams whose time is over.
    pub fn expire_fragments(&mut self, tables: &Tables, now: Tick) {
        self.aside.fragments.expire(now, tables.signals.fragment_ticks);
    }

    /// True, once, if something held is no longer waiting.
    #[inline]
    pub fn takes_back(&mut self) -> bool {
        self.aside.fragments.takes_back()
    }

    /// Whether what is held for a slot still waits.
    pub fn held_state(&self, slot: u16) -> HeldState {
        self.aside.fragments.held_state(slot)
    }

    /// Drops a held packet whose time is over: `len` is the length of its frame.
    pub fn give_up(&mut self, slot: u16, len: usize) {
        self.aside.fragments.give_up(slot);
        self.counters.held.subtract(1);
        self.counters.drops.count(DropReason::FragmentTimeout, len);
    }

    /// As [`Self::process`], for packets that were held and wait no longer.
    pub fn process_held<P: Packet>(
        &mut self,
        tables: &Tables,
        filter: &headers::PortFilter,
        now: Tick,
        packets: &mut [P],
    ) -> &[Verdict] {
        self.counters.held.subtract(packets.len().min(super::BURST_MAX) as u64);
        self.run(tables, filter, now, packets, true)
    }
}
