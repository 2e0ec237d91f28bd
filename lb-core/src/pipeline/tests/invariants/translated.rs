//! Clients of translated services and their backends: what each sends, and what must come out on the other side. What
//! is expected is worked out from the packet that was sent; what came is read by pnet, and every checksum proved.

use super::clients::Client;
use super::messages::from_ip_len;
use super::nat::errors::{error, opened, proved_quote};
use super::nat::{CLIENT_PORT, FIRST, answer, set_numbers};
use super::tally::Kind;
use super::world::PORT_MTU;
use super::*;
use crate::nat::Tuple;
use crate::nat::proved::{Read, read};
use crate::sample::{ACK, FIN, Numbers, RST, SYN, Transport};
use std::collections::HashMap;

/// Port of all backends.
const BACKEND_PORT: u16 = 8080;
/// Longest datagram that is quoted whole by every error.
const QUOTED_MAX: usize = 500;

/// What is known of a flow's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    None,
    /// There is one.
    Live,
    /// It may be over: a FIN, a reset, or a backend that has failed.
    Unsure,
}

/// A translated flow.
struct Pair {
    client: Client,
    state: State,
    record: Option<RecordIndex>,
    /// Those of sessions that may have been opened since by packets that were too long for their way out.
    opened: Vec<RecordIndex>,
    /// What its last packet was to the backend, and what its last answer was to the client.
    seen: Option<Read>,
    there: Option<Vec<u8>>,
    back: Option<Vec<u8>>,
    answer: Vec<u8>,
    flags: u8,
}

/// Who a packet of the translated services is from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Client,
    Backend,
    /// A router on the way to the backend, about a packet to it.
    RouterThere,
    /// A router on the way to the client, about an answer.
    RouterBack,
    /// A client that fragments.
    Fragment,
}

/// All translated flows.
#[derive(Default)]
pub(super) struct Translated {
    pairs: Vec<Pair>,
    /// Whose an answer is.
    owners: HashMap<Tuple, usize>,
}

impl Translated {
    pub(super) fn add(&mut self, client: Client) {
        self.pairs.push(Pair {
            client,
            state: State::None,
            record: None,
            opened: Vec::new(),
            seen: None,
            there: None,
            back: None,
            answer: Vec::new(),
            flags: 0,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The flow's first choice, were it new.
    pub(super) fn client(&self, index: usize) -> &Client {
        &self.pairs[index].client
    }

    /// All sessions are over.
    pub(super) fn forget(&mut self) {
        for pair in &mut self.pairs {
            (pair.state, pair.seen, pair.there, pair.back) = (State::None, None, None, None);
            pair.opened.clear();
        }
        self.owners.clear();
    }

    /// Some backends are down: what is known of their sessions is that they may be over.
    pub(super) fn doubt(&mut self, is_down: impl Fn(RecordIndex) -> bool) {
        for pair in &mut self.pairs {
            if pair.state == State::Live && pair.record.is_some_and(&is_down) {
                pair.state = State::Unsure;
            }
        }
    }

    fn is_owner(&self, index: usize) -> bool {
        let seen = self.pairs[index].seen.as_ref();
        seen.is_some_and(|seen| self.owners.get(&seen.tuple.reversed()) == Some(&index))
    }

    /// A packet of either side of a flow, or about it.
    pub(super) fn packet(&mut self, index: usize, numbers: &mut Numbers) -> (Kind, Side, Vec<u8>) {
        let is_owner = self.is_owner(index);
        let pair = &mut self.pairs[index];
        match numbers.below(12) {
            0..=2 if is_owner => (Kind::NatAnswer, Side::Backend, pair.answer(numbers)),
            3 if is_owner && pair.there.is_some() => (
                Kind::NatErrorBack,
                Side::RouterThere,
                error_of(pair.there.as_ref().unwrap(), false, numbers),
            ),
            4 if is_owner && pair.back.is_some() => {
                (Kind::NatErrorThere, Side::RouterBack, error_of(pair.back.as_ref().unwrap(), true, numbers))
            }
            5 => {
                let (sample, _) = pair.client.packet(100, numbers);
                let mut parts = traffic::cut(&sample, 64, numbers.next() as u16);
                (Kind::NatFragment, Side::Fragment, parts.swap_remove(numbers.below(parts.len())))
            }
            6 => {
                let kind = Kind::NatMtu;
                let len = 1_400 + numbers.below(110);
                (kind, Side::Client, pair.request(len, numbers))
            }
            _ => {
                let len = numbers.below(300);
                (pair.client.kind, Side::Client, pair.request(len, numbers))
            }
        }
    }

    /// What became of it against invariants 3 and 4. `choice` is the record of a new flow.
    pub(super) fn check(
        &mut self,
        (index, side, sent): (usize, Side, &[u8]),
        (verdict, left): (Verdict, &[u8]),
        choice: Option<RecordIndex>,
        spec: &Spec,
    ) {
        let is_owner = self.is_owner(index);
        let pair = &mut self.pairs[index];
        if matches!(verdict, Verdict::Forward(_) | Verdict::Return(_)) {
            assert!(from_ip_len(&left[naive::l3_of(left)..]) <= usize::from(PORT_MTU), "{sent:02x?}");
        }
        match (side, verdict) {
            (Side::Fragment, Verdict::Drop(_) | Verdict::Hold(_)) => {}
            (Side::Fragment, verdict) => panic!("{verdict:?} for a fragment: {sent:02x?}"),
            (Side::Client, Verdict::Forward(record)) => {
                let usable = pair.record.filter(|_| pair.state != State::None);
                let is_known = [usable, choice].contains(&Some(record)) || pair.opened.contains(&record);
                assert!(is_known, "{record} for {usable:?}, {choice:?}, {:?}", pair.opened);
                assert!(pair.state != State::Live || Some(record) == usable, "a session keeps its backend");
                let seen = pair.check_there(sent, left, backend_of(spec, record));
                pair.note_forwarded(record, left, seen.tuple);
                self.owners.insert(seen.tuple.reversed(), index);
                self.pairs[index].seen = Some(seen);
            }
            (Side::Client, verdict) => pair.check_refused(sent, verdict, choice),
            (Side::Backend, Verdict::Return(port)) => {
                assert!(is_owner && pair.state != State::None, "nobody's answer has come to a client");
                assert_eq!(port, CLIENT_PORT);
                pair.check_back(left);
                pair.back = (left.len() < QUOTED_MAX).then(|| left.to_vec());
            }
            (Side::RouterThere, Verdict::Return(port)) => {
                assert_eq!(port, CLIENT_PORT);
                let (from, to, _, ttl, quote) = opened(left);
                let ends = (pair.client.sample.to.ip(), pair.client.sample.from.ip());
                assert_eq!((from, to, ttl), (ends.0, ends.1, 32));
                check_quote(&quote, pair.client_tuple());
            }
            (Side::RouterBack, Verdict::Forward(record)) => {
                let (_, to, _, ttl, quote) = opened(left);
                assert_eq!((to, ttl), (backend_of(spec, record).address, 32));
                // A packet that was too long for its way out may have opened another session.
                if pair.state == State::Live {
                    assert_eq!(Some(record), pair.record);
                    check_quote(&quote, pair.seen.as_ref().unwrap().tuple.reversed());
                }
            }
            // Its session is over, or may be.
            (Side::Backend | Side::RouterThere | Side::RouterBack, verdict) => {
                let is_long = from_ip_len(&sent[naive::l3_of(sent)..]) > 1_480;
                let is_too_long = is_long && verdict == Verdict::Drop(DropReason::MtuExceeded);
                assert!(pair.state != State::Live || is_too_long, "{verdict:?} for {side:?}: {sent:02x?}");
            }
        }
    }
}

impl Pair {
    /// A packet of the client, with about `len` bytes of payload.
    fn request(&mut self, len: usize, numbers: &mut Numbers) -> Vec<u8> {
        let (mut sample, _) = self.client.packet(len, numbers);
        if sample.is_v6() && sample.transport == Transport::UdpUnchecked {
            sample.transport = Transport::Udp;
        }
        let Transport::Tcp(mut flags) = sample.transport else {
            self.flags = 0;
            return sample.frame();
        };
        // Half of all are plain data, so that sessions live.
        if numbers.once_in(2) {
            flags = if self.state == State::None { SYN } else { ACK };
        }
        sample.transport = Transport::Tcp(flags);
        if flags & SYN != 0 && self.client.kind == Kind::Proxy {
            sample.payload.clear();
        }
        self.flags = flags;
        let mut frame = sample.frame();
        if flags & SYN == 0 {
            set_numbers(&mut frame, FIRST + 1, 0);
        }
        frame
    }

    /// The backend's answer to what it has seen last.
    fn answer(&mut self, numbers: &mut Numbers) -> Vec<u8> {
        let transport = match self.client.sample.transport {
            Transport::Tcp(_) if numbers.once_in(3) => Transport::Tcp(SYN | ACK),
            Transport::Tcp(_) => Transport::Tcp(ACK),
            _ => Transport::Udp,
        };
        let len = if numbers.once_in(8) { 1_400 + numbers.below(80) } else { numbers.below(300) };
        let seen = self.seen.as_ref().unwrap();
        self.answer = answer(seen, transport, 60).with(|one| one.payload = vec![0x3c; len]).frame();
        self.answer.clone()
    }

    fn client_tuple(&self) -> Tuple {
        Tuple::of(&self.client.flow().key)
    }

    fn note_forwarded(&mut self, record: RecordIndex, left: &[u8], tuple: Tuple) {
        if self.state == State::Live {
            assert_eq!(self.seen.as_ref().map(|seen| seen.tuple), Some(tuple), "and its addresses");
        }
        self.record = Some(record);
        self.opened.clear();
        self.there = (left.len() < QUOTED_MAX).then(|| left.to_vec());
        let is_over = self.flags & (FIN | RST) != 0;
        let opens = self.flags & (SYN | ACK) == SYN || self.client_tuple().protocol == 17;
        self.state = match (is_over, opens) {
            (true, _) => State::Unsure,
            (_, true) => State::Live,
            (..) if self.state == State::None => State::Live,
            _ => self.state,
        };
    }

    /// What the backend gets: the client's segment to its own address and port, one hop on.
    fn check_there(&self, sent: &[u8], left: &[u8], backend: &BackendSpec) -> Read {
        let (old, new) = (read(sent, naive::l3_of(sent)), read(left, naive::l3_of(left)));
        assert_eq!(left[..12], [backend.egress.next_hop_mac, backend.egress.source_mac].concat());
        assert_eq!((new.tuple.destination_ip(), new.tuple.destination_port), (backend.address, BACKEND_PORT));
        if self.client.kind == Kind::Nat {
            assert_eq!((new.tuple.source, new.tuple.source_port), (old.tuple.source, old.tuple.source_port));
        } else {
            let local = if backend.address.is_ipv6() { "2001:db8:aa::100" } else { "192.0.2.100" };
            assert_eq!(new.tuple.source_ip(), address(local));
            assert!(new.tuple.source_port >= 1_024);
        }
        assert_eq!((new.ttl, new.tos, new.tuple.protocol), (old.ttl - 1, old.tos, old.tuple.protocol));
        let expected = self.expected_segment(&old, new.segment.len());
        assert_eq!(
            without_ports(&new.segment, new.tuple.protocol),
            without_ports(&expected, old.tuple.protocol)
        );
        new
    }

    /// What the backend is to get of a segment: with its client's address, where that is passed on.
    fn expected_segment(&self, old: &Read, new_len: usize) -> Vec<u8> {
        let mut segment = old.segment.clone();
        if old.tuple.protocol != 6 {
            return segment;
        }
        let opens = self.flags & (SYN | ACK) == SYN;
        let port = old.tuple.source_port.to_be_bytes();
        match self.client.kind {
            Kind::Toa if opens && new_len > segment.len() => {
                let address = &old.tuple.source[..old.tuple.address_len()];
                let option = [&[254, 4 + address.len() as u8], &port[..], address].concat();
                segment[12] += (option.len() as u8 / 4) << 4;
                segment.splice(20..20, option);
            }
            // The option has room, but for the longest of segments.
            Kind::Toa if opens => assert!(segment.len() > 1_400, "a SYN without the option"),
            Kind::Proxy if !opens && self.flags & RST != 0 && self.flags & SYN == 0 => {
                let header_len = proxy_header(old).len() as u32;
                segment[4..8].copy_from_slice(&(FIRST + 1 + header_len).to_be_bytes());
            }
            Kind::Proxy if self.flags & SYN == 0 => {
                segment.splice(20..20, proxy_header(old));
            }
            _ => {}
        }
        segment
    }

    /// What the client gets: the backend's segment from the VIP, by the way that the client's packet came.
    fn check_back(&self, left: &[u8]) {
        let (old, new) = (read(&self.answer, 14), read(left, naive::l3_of(left)));
        assert_eq!(left[..6], crate::sample::ROUTER_MAC);
        assert_eq!(new.tuple, self.client_tuple().reversed(), "the client hears the VIP");
        assert_eq!((new.ttl, new.tos), (old.ttl - 1, old.tos));
        let protocol = old.tuple.protocol;
        assert_eq!(without_ports(&new.segment, protocol), without_ports(&old.segment, protocol));
    }

    /// Why a client's packet is not sent on.
    fn check_refused(&mut self, sent: &[u8], verdict: Verdict, choice: Option<RecordIndex>) {
        let is_tcp = self.client_tuple().protocol == 6;
        let opens = self.flags & (SYN | ACK) == SYN || !is_tcp;
        let ip_len = from_ip_len(&sent[naive::l3_of(sent)..]);
        let is_allowed = match verdict {
            Verdict::Drop(DropReason::MtuExceeded) => ip_len > usize::from(PORT_MTU) - 60,
            Verdict::Drop(DropReason::NoBackend) => choice.is_none() && self.state != State::Live,
            Verdict::Drop(DropReason::NatNoSession) => !opens && self.state != State::Live,
            // Told of the MTU.
            Verdict::Answer(_) => ip_len > usize::from(PORT_MTU) - 60,
            _ => false,
        };
        assert!(is_allowed, "{verdict:?} for flags {:#x}, {:?}: {sent:02x?}", self.flags, self.state);
        // It may have opened a session, or ended one.
        if self.state != State::Live && ip_len > usize::from(PORT_MTU) - 60 {
            self.opened.extend(choice);
            self.state = State::Unsure;
        } else if self.state == State::Live && self.flags & (FIN | RST) != 0 {
            self.state = State::Unsure;
        }
    }
}

/// An error of a router about a packet that has left us.
fn error_of(frame: &[u8], is_to_client: bool, numbers: &mut Numbers) -> Vec<u8> {
    let datagram = &frame[naive::l3_of(frame)..];
    let is_v6 = datagram[0] >> 4 == 6;
    let datagram = &datagram[..from_ip_len(datagram)];
    let head = match (is_v6, numbers.below(3)) {
        (false, 0) => [3, 1, 0, 0, 0, 0, 0, 0],
        (false, 1) => [3, 4, 0, 0, 0, 0, 0x05, 0x78],
        (false, _) => [11, 0, 0, 0, 0, 0, 0, 0],
        (true, 0) => [1, 0, 0, 0, 0, 0, 0, 0],
        (true, 1) => [2, 0, 0, 0, 0, 0, 0x05, 0x78],
        (true, _) => [3, 0, 0, 0, 0, 0, 0, 0],
    };
    let router = match (is_v6, is_to_client) {
        (false, true) => "198.18.99.1",
        (false, false) => "10.9.9.9",
        (true, true) => "2001:db8:98::1",
        (true, false) => "2001:db8:99::9",
    };
    // The least quote, or all of it.
    let least = if is_v6 { 48 } else { 28 };
    error(router, datagram, head, if numbers.once_in(2) { least } else { 2_000 })
}

/// A quote is of the packet as its receiver sent it; if it is whole, its checksums are right.
fn check_quote(quote: &[u8], tuple: Tuple) {
    let l4 = if quote[0] >> 4 == 6 { 40 } else { 20 };
    let port = |at: usize| u16::from_be_bytes([quote[l4 + at], quote[l4 + at + 1]]);
    assert_eq!((port(0), port(2)), (tuple.source_port, tuple.destination_port));
    let (from, to) =
        if l4 == 40 { (&quote[8..24], &quote[24..40]) } else { (&quote[12..16], &quote[16..20]) };
    assert_eq!((from, to), (&tuple.source[..from.len()], &tuple.destination[..to.len()]));
    if quote.len() == from_ip_len(quote) {
        assert_eq!(proved_quote(quote).tuple, tuple);
    }
}

/// A segment but for what translation changes by its nature: ports and checksum. Both were proved.
fn without_ports(segment: &[u8], protocol: u8) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    let at = if protocol == 6 { 16 } else { 6 };
    bytes[..4].fill(0);
    bytes[at..at + 2].fill(0);
    bytes
}

/// The header of the PROXY protocol, version 2, in front of a client's stream.
fn proxy_header(client: &Read) -> Vec<u8> {
    let tuple = &client.tuple;
    let len = tuple.address_len();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[0x21, if tuple.is_v6 { 0x21 } else { 0x11 }, 0, 2 * len as u8 + 4][..],
        &tuple.source[..len],
        &tuple.destination[..len],
        &tuple.source_port.to_be_bytes(),
        &tuple.destination_port.to_be_bytes(),
    ]
    .concat()
}
