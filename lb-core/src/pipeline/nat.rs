//! Packets of services behind address translation, one by one: there and back.
//!
//! No loop comes here. What a client sends arrives because its service is special; what a backend answers, because no
//! service has its destination. Both find their session by their full tuple.

use super::rest::opens;
use super::{Burst, Pipeline};
use crate::address;
use crate::clock::Tick;
use crate::conn::Line;
use crate::counters::WorkerCounters;
use crate::flow::FlowKey;
use crate::headers::{Headers, Portless};
use crate::hw::Isa;
use crate::nat::icmp::{ERROR_LEN_MAX, Error};
use crate::nat::rewrite::{self, Change, Insertion};
use crate::nat::table::SessionIndex;
use crate::nat::tuple::octets;
use crate::nat::{ClientAddress, Direction, Nat, NatBackend, Session, Tuple, proxy};
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::service::ServiceIndex;
use crate::tables::Tables;
use crate::verdict::{RecordIndex, Verdict};
use crate::wire::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN,
};
use std::ops::DerefMut;

impl<S: DerefMut<Target = [Line]>> Pipeline<S> {
    /// The same pipeline with room for sessions.
    #[must_use]
    pub fn with_nat(mut self, nat: Nat) -> Self {
        self.counters.nat.capacity.set(nat.sessions.capacity() as u64);
        self.stage.nat = nat;
        self
    }

    /// Sessions of address translation.
    pub fn nat(&self) -> &Nat {
        &self.stage.nat
    }

    /// The next burst came in by this port, by which its answers are to leave.
    #[inline]
    pub fn came_by(&mut self, port: u8) {
        self.stage.nat.ingress = port;
    }

    /// Sweeps as large a part of the sessions as `lines` are of the connection table.
    pub(super) fn sweep_nat(&mut self, tables: &Tables, now: Tick, lines: usize) {
        let Nat { sessions, .. } = &mut self.stage.nat;
        if sessions.is_empty() {
            return;
        }
        let per_line = sessions.capacity().div_ceil(self.connections.line_count().max(1));
        let (records, counters) = (&tables.records, &*self.counters);
        let is_gone = |record: u16| records.get(usize::from(record)).is_none_or(|found| found.is_dead);
        let places = lines.saturating_mul(per_line.max(1));
        sessions.sweep(places, now, &tables.nat_tables().timeouts, is_gone, |session| {
            counters.nat.expired.add(1);
            count_end(counters, session);
        });
        counters.nat.sessions.set(sessions.len() as u64);
    }
}

/// What a session that is over was counted in.
fn count_end(counters: &WorkerCounters, session: &Session) {
    counters.records.at(session.record).active.subtract(1);
    if session.has_local_port() {
        counters.nat.local_ports.subtract(1);
    }
}

/// The tuple, the Ethernet addresses of an answer, and for TCP sequence and acknowledgement.
struct Seen {
    tuple: Tuple,
    answer_macs: [u8; 12],
    sequence: u32,
    acknowledged: u32,
    has_payload: bool,
}

impl Seen {
    fn of(frame: &[u8], headers: &Headers) -> Option<Self> {
        let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
        let (source, destination) = FlowKey::addresses(frame.get(l3..)?, headers.is_v6)?;
        let transport = frame.get(l4..)?;
        let port = |at: usize| Some(u16::from_be_bytes(*transport.get(at..)?.first_chunk()?));
        let number = |at: usize| Some(u32::from_be_bytes(*transport.get(at..)?.first_chunk()?));
        let protocol = headers.protocol;
        let (source_port, destination_port) = (port(0)?, port(2)?);
        let key = FlowKey { source, destination, source_port, destination_port, protocol };
        let mut answer_macs = [0; 12];
        answer_macs[..6].copy_from_slice(frame.get(6..12)?);
        answer_macs[6..].copy_from_slice(frame.get(..6)?);
        let is_tcp = protocol == PROTOCOL_TCP;
        let header_len = if is_tcp { usize::from(*transport.get(12)? >> 4) * 4 } else { 8 };
        Some(Self {
            tuple: Tuple::of(&key),
            answer_macs,
            sequence: if is_tcp { number(4)? } else { 0 },
            acknowledged: if is_tcp { number(8)? } else { 0 },
            has_payload: l4 + header_len < l3 + usize::from(headers.ip_len),
        })
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    fn seen(&self, at: usize, headers: &Headers) -> Option<Seen> {
        Seen::of(self.packets.get(at)?.frame(), headers)
    }

    /// A packet of a client for a translated service.
    #[cold]
    pub(super) fn translate<I: Isa>(
        &mut self,
        isa: I,
        at: usize,
        headers: &Headers,
        (service, key): (ServiceIndex, &FlowKey),
    ) {
        let done = match self.seen(at, headers) {
            // What has no ports, or is no TCP or UDP, cannot be told apart on its way back.
            Some(_) if !matches!(key.protocol, PROTOCOL_TCP | PROTOCOL_UDP) => Err(DropReason::Unsupported),
            Some(seen) => self.toward_backend(isa, at, headers, (service, key), &seen),
            None => Err(DropReason::Malformed),
        };
        if let Err(reason) = done {
            self.drop_served(at, reason, Some(usize::from(service)));
        }
    }

    fn toward_backend<I: Isa>(
        &mut self,
        isa: I,
        at: usize,
        headers: &Headers,
        flow: (ServiceIndex, &FlowKey),
        seen: &Seen,
    ) -> Result<(), DropReason> {
        if headers.ttl <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        let index = match self.session_of(&seen.tuple, headers) {
            Some(index) => index,
            None => self.open(isa, at, headers, flow, seen)?,
        };
        let nat = &mut self.stage.nat;
        let session = nat.sessions.get_mut(index);
        let backend = self.tables.nat_tables().backend(session.record).ok_or(DropReason::NoBackend)?;
        session.client_macs = seen.answer_macs;
        session.ingress = nat.ingress;
        session.note_sequence(true, headers.tcp_flags, seen.sequence);
        session.note_forward(headers.tcp_flags, self.now);
        let (record, to) = (session.record, session.backward.reversed());
        let macs = macs_toward(backend);
        let mut change = Change::plain(&to, macs, backend.egress.mtu);
        if headers.protocol == PROTOCOL_TCP {
            dress(&mut change, session, backend, headers, seen)?;
        }
        nat.identification = nat.identification.wrapping_add(1);
        change.identification = nat.identification;
        let packet = self.packets.get_mut(at).ok_or(DropReason::Malformed)?;
        edit(packet, headers, change)?;
        self.stage.verdicts[at] = Verdict::Forward(record);
        self.count_forwarded(record, headers.ip_len);
        Ok(())
    }

    fn count_forwarded(&self, record: RecordIndex, ip_len: u16) {
        let counters = self.counters.records.at(record);
        counters.packets.add(1);
        counters.ip_bytes.add(ip_len.into());
    }

    /// The session that a packet of a client may use. One that it may not is removed.
    fn session_of(&mut self, tuple: &Tuple, headers: &Headers) -> Option<SessionIndex> {
        let nat = &mut self.stage.nat;
        let index = nat.sessions.find(tuple, Direction::Forward)?;
        let session = nat.sessions.get(index);
        let is_usable = is_served(self.tables, session)
            && !session.is_expired(self.now, &self.tables.nat_tables().timeouts)
            && !(opens(headers) && session.is_closing());
        if !is_usable {
            self.close(index);
            return None;
        }
        Some(index)
    }

    fn close(&mut self, index: SessionIndex) {
        let sessions = &mut self.stage.nat.sessions;
        if let Some(session) = sessions.remove(index) {
            count_end(self.counters, &session);
            self.counters.nat.sessions.set(sessions.len() as u64);
        }
    }

    /// A new session: a backend by Maglev, and for full NAT a local address and port.
    fn open<I: Isa>(
        &mut self,
        isa: I,
        at: usize,
        headers: &Headers,
        (service, key): (ServiceIndex, &FlowKey),
        seen: &Seen,
    ) -> Result<SessionIndex, DropReason> {
        let record = self.chosen(isa, at, headers, (service, key)).ok_or(DropReason::NoBackend)?;
        let tables = self.tables.nat_tables();
        let backend = tables.backend(record).ok_or(DropReason::NoBackend)?;
        if headers.protocol == PROTOCOL_TCP && !may_open(headers, backend, seen) {
            return Err(DropReason::NatNoSession);
        }
        let answer = answer_of(backend, &seen.tuple);
        let backward = match backend.full {
            None => self.own_answer(answer)?,
            Some((range, _)) => {
                let nat = &mut self.stage.nat;
                let range = tables.ranges.get(usize::from(range)).ok_or(DropReason::NatPortsExhausted)?;
                let is_taken = |tuple: &Tuple| nat.sessions.find(tuple, Direction::Backward).is_some();
                range
                    .allocate(nat.share, &mut nat.cursor, &answer, is_taken)
                    .ok_or(DropReason::NatPortsExhausted)?
            }
        };
        let mut session = Session::new(seen.tuple, backward, (service, record), self.now);
        if let (Some((_, ClientAddress::ProxyV2)), PROTOCOL_TCP) = (backend.full, headers.protocol) {
            session.prefix_len = proxy::len(seen.tuple.is_v6) as u8;
        }
        let index = self.stage.nat.sessions.insert(session).map_err(|_full| DropReason::NatTableFull)?;
        let counters = self.counters.records.at(record);
        counters.connections.add(1);
        counters.active.add(1);
        self.counters.nat.opened.add(1);
        self.counters.nat.sessions.set(self.stage.nat.sessions.len() as u64);
        if session.has_local_port() {
            self.counters.nat.local_ports.add(1);
        }
        Ok(index)
    }

    /// `answer`, unless it is another live flow's: with the client's own port two VIPs on one backend could have the
    /// same answers.
    fn own_answer(&mut self, answer: Tuple) -> Result<Tuple, DropReason> {
        let sessions = &self.stage.nat.sessions;
        if let Some(other) = sessions.find(&answer, Direction::Backward) {
            let session = sessions.get(other);
            let is_over = session.is_closing()
                || session.is_expired(self.now, &self.tables.nat_tables().timeouts)
                || !is_served(self.tables, session);
            if !is_over {
                return Err(DropReason::NatPortsExhausted);
            }
            self.close(other);
        }
        Ok(answer)
    }

    /// An answer of a backend. False if it belongs to no session.
    #[cold]
    pub(super) fn translate_back(&mut self, at: usize, headers: &Headers) -> bool {
        if self.tables.nat().is_none() {
            return false;
        }
        let Some(seen) = self.seen(at, headers) else { return false };
        let Some(index) = self.stage.nat.sessions.find(&seen.tuple, Direction::Backward) else {
            return false;
        };
        let service = self.stage.nat.sessions.get(index).service;
        if let Err(reason) = self.toward_client(at, headers, index, &seen) {
            self.drop_served(at, reason, Some(usize::from(service)));
        }
        true
    }

    fn toward_client(
        &mut self,
        at: usize,
        headers: &Headers,
        index: SessionIndex,
        seen: &Seen,
    ) -> Result<(), DropReason> {
        if headers.ttl <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        let nat = &mut self.stage.nat;
        let session = nat.sessions.get_mut(index);
        session.note_sequence(false, headers.tcp_flags, seen.sequence);
        session.note_backward(headers.tcp_flags, self.now);
        let (to, port) = (session.forward.reversed(), session.ingress);
        let mut change = Change::plain(&to, session.client_macs, self.tables.nat_tables().mtu(port));
        nat.identification = nat.identification.wrapping_add(1);
        change.identification = nat.identification;
        let packet = self.packets.get_mut(at).ok_or(DropReason::Malformed)?;
        if session.prefix_len > 0 && headers.tcp_flags & TCP_ACK != 0 {
            session.note_acknowledged(seen.acknowledged);
            let map = |number| session.to_client(number);
            rewrite::map_acknowledgement(packet.frame_mut(), headers, map).ok_or(DropReason::Malformed)?;
            if headers.tcp_flags & TCP_SYN != 0 {
                change.mss_less = session.prefix_len;
            }
        }
        edit(packet, headers, change)?;
        self.stage.verdicts[at] = Verdict::Return(port);
        self.counters.nat.returned.add(1);
        Ok(())
    }
}

/// The edit; what the option for the client's address has no room for goes without it.
fn edit<P: Packet>(packet: &mut P, headers: &Headers, mut change: Change<'_>) -> Result<(), DropReason> {
    if !rewrite::has_room(packet.frame(), headers, &change) {
        change.insert = Insertion::NONE;
    }
    rewrite::apply(packet, headers, &change)
}

/// True if the flow's backend still is the one that the session was made for, and alive.
fn is_served(tables: &Tables, session: &Session) -> bool {
    let alive = tables.records.get(usize::from(session.record)).is_some_and(|record| !record.is_dead);
    let backend = tables.nat_tables().backend(session.record);
    alive && backend.is_some_and(|backend| backend.address == session.backward.source_ip())
}

/// True if a TCP segment without a session may make one. In full NAT only a SYN: the backend knows nothing of the local
/// port that it would get. In NAT the ports stay, so that connections survive a restart; but not their last packets.
fn may_open(headers: &Headers, backend: &NatBackend, seen: &Seen) -> bool {
    match backend.full {
        // Data in a SYN (RFC 7413) would come before the header; without it the client tries again without.
        Some((_, ClientAddress::ProxyV2)) => opens(headers) && !seen.has_payload,
        Some(_) => opens(headers),
        None => headers.tcp_flags & (TCP_FIN | TCP_RST) == 0,
    }
}

/// What the backend's answers look like; for full NAT the destination is still to be chosen.
fn answer_of(backend: &NatBackend, forward: &Tuple) -> Tuple {
    Tuple {
        source: octets(backend.address),
        source_port: backend.port.unwrap_or(forward.destination_port),
        destination: forward.source,
        destination_port: forward.source_port,
        protocol: forward.protocol,
        is_v6: backend.address.is_ipv6(),
    }
}

fn macs_toward(backend: &NatBackend) -> [u8; 12] {
    let mut macs = [0; 12];
    macs[..6].copy_from_slice(&backend.egress.next_hop_mac);
    macs[6..].copy_from_slice(&backend.egress.source_mac);
    macs
}

/// What a client's segment carries besides its own, and its sequence number.
fn dress(
    change: &mut Change<'_>,
    session: &Session,
    backend: &NatBackend,
    headers: &Headers,
    seen: &Seen,
) -> Result<(), DropReason> {
    let flags = headers.tcp_flags;
    match backend.full {
        Some((_, ClientAddress::ProxyV2)) if session.prefix_len > 0 => {
            if opens(headers) {
                return if seen.has_payload { Err(DropReason::Unsupported) } else { Ok(()) };
            }
            if flags & TCP_RST == 0 && session.needs_prefix(seen.sequence) {
                change.insert = Insertion::proxy(&session.forward);
            } else {
                change.sequence = Some(session.to_backend(seen.sequence));
            }
        }
        Some((_, ClientAddress::Toa)) => {
            let is_first = flags & TCP_ACK != 0
                && seen.sequence == session.client_isn.wrapping_add(1)
                && seen.acknowledged == session.backend_isn.wrapping_add(1);
            if flags & TCP_RST == 0 && (opens(headers) || is_first) {
                change.insert = Insertion::toa(&session.forward);
            }
        }
        _ => {}
    }
    Ok(())
}

/// ICMP errors about translated flows.
impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// An error about a translated flow, from either side. False if it is none, or about no session: somebody else's.
    #[cold]
    pub(super) fn translate_error(&mut self, at: usize, message: &Portless) -> bool {
        if self.tables.nat().is_none() {
            return false;
        }
        let Some(frame) = self.packets.get(at).map(|packet| packet.frame()) else { return false };
        let Some(error) = Error::parse(frame, message) else { return false };
        let sessions = &self.stage.nat.sessions;
        // What was sent to the backend is quoted by its side, what was sent to the client by the client's.
        let about = Tuple::of(&error.quoted.key).reversed();
        let found = [Direction::Backward, Direction::Forward]
            .into_iter()
            .find_map(|side| Some((sessions.get(sessions.find(&about, side)?), side)));
        let Some((session, side)) = found else { return false };
        let (service, record) = (usize::from(session.service), session.record);
        if address::is_martian(message.source, message.destination) {
            self.drop_served(at, DropReason::MartianSource, Some(service));
            return true;
        }
        let mut datagram = [0; ERROR_LEN_MAX];
        let (written, macs, verdict) = match side {
            Direction::Backward => {
                let flow = &session.forward;
                let ends = (flow.destination, flow.source);
                let sequence = error.sequence().map(|number| session.to_client(number));
                let sequence = sequence.filter(|_| session.prefix_len > 0);
                let written = error.write(ends, flow, sequence, &mut datagram);
                (written, session.client_macs, Verdict::Return(session.ingress))
            }
            Direction::Forward => {
                let flow = &session.backward;
                let is_own = !session.has_local_port();
                let source = if is_own { octets(error.source) } else { flow.destination };
                let written = error.write((source, flow.source), flow, None, &mut datagram);
                let backend = self.tables.nat_tables().backend(record);
                (written, backend.map(macs_toward).unwrap_or_default(), Verdict::Forward(record))
            }
        };
        let is_last_hop = error.ttl <= 1;
        let l3 = error.l3;
        let Some(len) = written.filter(|_| !is_last_hop) else {
            let reason = if is_last_hop { DropReason::TtlExceeded } else { DropReason::Unsupported };
            self.drop_served(at, reason, Some(service));
            return true;
        };
        let replaced =
            self.packets.get_mut(at).and_then(|packet| replace(packet, l3, macs, &datagram[..len]));
        match replaced {
            Some(()) => {
                self.stage.verdicts[at] = verdict;
                if side == Direction::Forward {
                    self.counters.icmp_errors.add(1);
                    self.count_forwarded(record, message.headers.ip_len);
                }
            }
            None => self.drop_served(at, DropReason::NoHeadroom, Some(service)),
        }
        true
    }
}

/// Ethernet header with two VLAN tags.
const HEAD_LEN_MAX: usize = 22;

/// Puts a datagram in the place of the one that starts at `l3`; VLAN tags stay.
fn replace<P: Packet>(packet: &mut P, l3: usize, macs: [u8; 12], datagram: &[u8]) -> Option<()> {
    let mut head = [0; HEAD_LEN_MAX];
    let head = head.get_mut(..l3)?;
    head.copy_from_slice(packet.frame().get(..l3)?);
    head.get_mut(..12)?.copy_from_slice(&macs);
    let ethertype = if datagram.first()? >> 4 == 6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    head.get_mut(l3 - 2..)?.copy_from_slice(&ethertype.to_be_bytes());
    let len = l3 + datagram.len();
    // To the front, where every buffer has room.
    let grow = len.saturating_sub(packet.frame().len());
    let frame = packet.reframe(grow as isize, len)?;
    frame.get_mut(..l3)?.copy_from_slice(head);
    frame.get_mut(l3..)?.copy_from_slice(datagram);
    Some(())
}
