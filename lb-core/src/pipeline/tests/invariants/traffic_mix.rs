//! What comes in one burst after the other: every kind of packet, with the share that it has.

use super::clients::{Client, Flow, damaged};
use super::expected::{Expected, OfBurst};
use super::tally::{Fate, Kind};
use super::translated::{Side, Translated};
use super::twin::{noise, packets_of_client, service_of};
use super::world::Vip;
use super::*;
use crate::clock::Tick;
use crate::flow::FlowKey;
use crate::sample::{Extension, Transport};
use std::collections::{HashSet, VecDeque};

/// Clients of the laboratory's services, of the special ones and of the translated ones.
const PLAIN: usize = 1_000;
const SPECIAL: usize = 4_000;
const PAIRS: usize = 360;
/// Encapsulated packets that routers may report as too big.
const OUTERS: usize = 64;
/// What such a router says it takes, bytes.
const TUNNEL_MTU: u16 = 1_380;

/// What a packet is to those who check it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Nothing is expected of it but that it is counted.
    Noise,
    /// Its source is no host's.
    Martian,
    /// It is one of a flow.
    Flow(Flow),
    /// It goes where a flow goes and is no part of it.
    About(Flow),
    /// A fragment of the datagram of this number.
    Fragment(usize),
    /// It comes to this, if the service of the flow has a backend.
    Fate(Flow, Fate),
    /// An error about an encapsulated packet.
    Tunnel,
    /// Of the translated flow of this number, or about it.
    Translated(usize, Side),
}

/// One packet.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) frame: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) role: Role,
    /// Of a fragment, the flow of its datagram.
    pub(super) of: Option<Flow>,
    /// It is a fragment and not the first.
    pub(super) is_later: bool,
}

impl Sent {
    fn new(kind: Kind, frame: Vec<u8>, role: Role) -> Self {
        Self { frame, kind, role, of: None, is_later: false }
    }

    /// The flow whose backend it is to get.
    pub(super) fn flow(&self) -> Option<Flow> {
        match self.role {
            Role::Flow(flow) | Role::About(flow) => Some(flow),
            Role::Fragment(_) => self.of,
            _ => None,
        }
    }
}

/// True if no host sends from the address, or not to this destination (RFC 1812 section 5.3.7, RFC 6890).
fn is_martian(key: &FlowKey) -> bool {
    let is_nobodys = match key.source {
        IpAddr::V4(source) => matches!(source.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(source) => source.octets()[0] == 0xff || source.to_bits() <= 1,
    };
    is_nobodys || key.source == key.destination
}

/// A datagram in pieces.
pub(super) struct Datagram {
    flow: Flow,
    record: Option<RecordIndex>,
    /// When a piece was refused.
    spoiled: Option<Tick>,
    is_echo: bool,
}

impl Datagram {
    /// All pieces to one backend, which is that of the flow; none after one was refused.
    pub(super) fn check(&mut self, sent: &Sent, verdict: Verdict, now: Tick, before: &OfBurst) {
        match verdict {
            Verdict::Forward(record) => {
                assert_ne!(self.spoiled, Some(now), "a spoilt datagram goes on: {sent:02x?}");
                let is_decided = self.record == Some(record);
                // A first one that comes twice may come after all others, and is that of a new datagram then.
                let is_new = !sent.is_later && (self.record.is_none() || sent.kind == Kind::FragmentTwice);
                let may_decide = is_new && Expected::allows(before, &self.flow, record);
                assert!(
                    is_decided || may_decide,
                    "{record} for a datagram of {:?}: {sent:02x?}",
                    self.record
                );
                self.record = Some(record);
            }
            Verdict::Drop(DropReason::FragmentInvalid) => self.spoiled = Some(now),
            Verdict::Answer(_) => {
                assert!(!sent.is_later || self.is_echo, "an error about a later one: {sent:02x?}")
            }
            Verdict::Return(_) | Verdict::Punt(_) | Verdict::Split(..) => {
                panic!("{verdict:?} for {sent:02x?}")
            }
            Verdict::Drop(_) | Verdict::Hold(_) => {}
        }
    }
}

/// The traffic.
pub(super) struct Mix {
    plain: Vec<twin::Prepared>,
    /// The same as they are sent.
    plain_sent: Vec<Sent>,
    pub(super) clients: Vec<Client>,
    pub(super) translated: Translated,
    /// Of all clients, whom damaged frames are made of.
    shapes: Vec<Client>,
    pub(super) datagrams: Vec<Datagram>,
    /// Fragments that are to be sent.
    queue: VecDeque<Sent>,
    outers: Vec<Vec<u8>>,
}

impl Mix {
    pub(super) fn new(vips: &[Vip], numbers: &mut Numbers) -> Self {
        let plain: Vec<_> = (0..PLAIN).flat_map(|index| packets_of_client(index, numbers)).collect();
        let spec = spec();
        let sent = |one: &twin::Prepared| {
            let service = one.flow.and_then(|key| Some((key, service_of(&spec, &key)?)));
            let (kind, role) = match service {
                None => (Kind::Plain, Role::Noise),
                Some((key, _)) if is_martian(&key) => (Kind::Martian, Role::Martian),
                Some((key, service)) => {
                    (Kind::Plain, Role::Flow(Flow { key, service, opens: one.opens, named: None }))
                }
            };
            Sent::new(kind, one.frame.clone(), role)
        };
        let is_nat = |vip: &&Vip| (Kind::Nat as u8..=Kind::Proxy as u8).contains(&(vip.kind as u8));
        let (nat, special): (Vec<&Vip>, Vec<&Vip>) = vips.iter().partition(is_nat);
        let mut client = |index: usize, vips: &[&Vip]| Client::new(index, vips[index % vips.len()], numbers);
        let clients: Vec<Client> = (0..SPECIAL).map(|index| client(index, &special)).collect();
        let pairs: Vec<Client> = (SPECIAL..SPECIAL + PAIRS).map(|index| client(index, &nat)).collect();
        let mut translated = Translated::default();
        pairs.iter().for_each(|pair| translated.add(pair.clone()));
        Self {
            plain_sent: plain.iter().map(sent).collect(),
            plain,
            shapes: [&clients[..], &pairs[..]].concat(),
            clients,
            translated,
            datagrams: Vec::new(),
            queue: VecDeque::new(),
            outers: Vec::new(),
        }
    }

    /// Remembers an encapsulated packet that a router may find too big.
    pub(super) fn note_outer(&mut self, left: &[u8], overhead: usize, numbers: &mut Numbers) {
        let is_large = messages::from_ip_len(&left[naive::l3_of(left)..]) > usize::from(TUNNEL_MTU) + 20;
        if overhead == 0 || !is_large {
            return;
        }
        if self.outers.len() < OUTERS {
            self.outers.push(left.to_vec());
        } else {
            self.outers[numbers.below(OUTERS)] = left.to_vec();
        }
    }

    /// Up to 64 packets.
    pub(super) fn burst(
        &mut self,
        numbers: &mut Numbers,
        run: &Expected,
        tables: &Tables,
        backends: &[BackendSpec],
    ) -> Vec<Sent> {
        let wanted = 1 + numbers.below(BURST_MAX);
        let mut used = HashSet::new();
        let mut burst = Vec::with_capacity(wanted);
        // Neighbours send more at a time, so that bursts have several packets of a flow.
        let near = numbers.below(self.plain.len());
        while burst.len() < wanted {
            let sent = match numbers.below(100) {
                0..=23 => {
                    let is_near = numbers.once_in(2);
                    let at = if is_near { near + numbers.below(40) } else { numbers.below(self.plain.len()) };
                    self.plain_sent[at % self.plain.len()].clone()
                }
                24..=26 => self.noise(numbers),
                27..=31 => self.about_the_limit(numbers, run, tables, backends),
                32..=41 => self.error(numbers),
                42..=45 => self.echo(numbers),
                46..=57 => self.fragment(numbers),
                58..=59 => match self.outers.is_empty() {
                    true => continue,
                    false => self.tunnel_error(numbers),
                },
                60..=77 => {
                    // In one burst a session and its end may come in any order, so one packet each.
                    let index = numbers.below(self.translated.len());
                    if !used.insert(index) {
                        continue;
                    }
                    let (kind, side, frame) = self.translated.packet(index, numbers);
                    Sent::new(kind, frame, Role::Translated(index, side))
                }
                _ => {
                    let client = self.client(numbers, |_| true);
                    let (frame, flow) = client.frame(numbers);
                    Sent::new(client.kind, frame, Role::Flow(flow))
                }
            };
            burst.push(sent);
        }
        burst
    }

    /// One of the clients that `is_wanted`; there are some.
    fn client(&self, numbers: &mut Numbers, is_wanted: impl Fn(&Client) -> bool) -> &Client {
        loop {
            let client = &self.clients[numbers.below(self.clients.len())];
            if is_wanted(client) {
                return client;
            }
        }
    }

    fn noise(&self, numbers: &mut Numbers) -> Sent {
        let frame =
            if numbers.once_in(2) { noise(&self.plain, numbers) } else { damaged(&self.shapes, numbers) };
        Sent::new(Kind::Noise, frame, Role::Noise)
    }

    /// A packet about as long as its way out takes, with the last TTL, or behind the header of an atomic fragment.
    fn about_the_limit(
        &self,
        numbers: &mut Numbers,
        run: &Expected,
        tables: &Tables,
        backends: &[BackendSpec],
    ) -> Sent {
        let is_policy = numbers.once_in(4);
        let has_policy = |client: &Client| matches!(client.kind, Kind::Pieces | Kind::Silent);
        let client = self.client(numbers, |client| !is_policy || has_policy(client));
        let (mut sample, flow) = client.packet(10, numbers);
        let kind = match (numbers.below(5), run.owner(&flow, tables)) {
            (0, _) => {
                sample.ttl = numbers.below(3) as u8;
                Kind::LastHop
            }
            (1, _) if sample.is_v6() => {
                sample.extensions = vec![Extension::Fragment(0, false)];
                Kind::FragmentAtomic
            }
            (_, Some(owner)) => {
                let fits = usize::from(MTU) - naive::overhead(&backends[usize::from(owner)]);
                let (kind, len) =
                    [(Kind::MtuBelow, fits - 1), (Kind::MtuAt, fits), (Kind::MtuAbove, fits + 1)]
                        [numbers.below(3)];
                // By their pools' policies what is too long has another fate there.
                let kind = match client.kind {
                    other @ (Kind::Pieces | Kind::Silent) => other,
                    _ => kind,
                };
                if numbers.once_in(2) && !sample.is_v6() {
                    sample.fragment = 0;
                }
                let more = len - sample.datagram().len();
                sample.payload.resize(sample.payload.len() + more, 0x42);
                kind
            }
            (_, None) => client.kind,
        };
        Sent::new(kind, sample.frame(), Role::Flow(flow))
    }

    fn error(&self, numbers: &mut Numbers) -> Sent {
        let client = self.client(numbers, |_| true);
        let (kind, frame, flow) = messages::error_about(client, numbers);
        Sent::new(kind, frame, Role::About(flow))
    }

    fn echo(&self, numbers: &mut Numbers) -> Sent {
        // Of services without an address of their own the first one says what becomes of pings.
        let forwards = |client: &Client| {
            client.kind == Kind::EveryForm && client.sample.transport == Transport::Udp
                || client.kind == Kind::AnyProtocol && client.sample.to.ip().to_string().ends_with("32")
        };
        match numbers.below(6) {
            0 => {
                let client = self.client(numbers, |client| client.kind == Kind::PortRange);
                let role = Role::Fate(messages::echo_flow(client), Fate::Drop);
                Sent::new(Kind::EchoIgnored, messages::ping(client, numbers).frame(), role)
            }
            1 => {
                let client = self.client(numbers, forwards);
                let role = Role::About(messages::echo_flow(client));
                Sent::new(Kind::EchoError, messages::error_about_reply(client, numbers), role)
            }
            2 | 3 => {
                let client = self.client(numbers, forwards);
                let role = Role::About(messages::echo_flow(client));
                Sent::new(Kind::EchoForwarded, messages::ping(client, numbers).frame(), role)
            }
            _ => {
                let answers = |client: &Client| client.kind != Kind::PortRange && !forwards(client);
                let client = if numbers.once_in(3) {
                    self.translated.client(numbers.below(self.translated.len()))
                } else {
                    self.client(numbers, answers)
                };
                let role = Role::Fate(messages::echo_flow(client), Fate::Answer);
                Sent::new(Kind::EchoAnswered, messages::ping(client, numbers).frame(), role)
            }
        }
    }

    fn tunnel_error(&self, numbers: &mut Numbers) -> Sent {
        let outer = &self.outers[numbers.below(self.outers.len())];
        let frame = traffic::from_tunnel(outer, TUNNEL_MTU, 520).frame();
        Sent::new(Kind::TunnelError, frame, Role::Tunnel)
    }

    /// The next of the fragments under way; they come in any order, mixed with those of other datagrams.
    fn fragment(&mut self, numbers: &mut Numbers) -> Sent {
        while self.queue.len() < 20 {
            for piece in self.datagram(numbers) {
                let at = numbers.below(self.queue.len() + 1);
                if piece.kind == Kind::FragmentTwice {
                    self.queue.insert(at, piece.clone());
                }
                self.queue.insert(at, piece);
            }
        }
        self.queue.pop_front().expect("there are twenty")
    }

    /// The pieces of a new datagram.
    fn datagram(&mut self, numbers: &mut Numbers) -> Vec<Sent> {
        let number = self.datagrams.len();
        let id = number as u16;
        let (kind, flow, frames) = match numbers.below(10) {
            0 => {
                let client = self.client(numbers, |client| {
                    !matches!(
                        client.kind,
                        Kind::PortRange | Kind::EveryForm | Kind::AnyProtocol | Kind::FragmentsDropped
                    )
                });
                (Kind::FragmentEcho, messages::echo_flow(client), messages::long_ping(client, id))
            }
            1 => {
                let client = self.client(numbers, |client| client.kind == Kind::FragmentsDropped);
                let (sample, flow) = client.packet(90, numbers);
                let pieces = traffic::cut(&sample, 40, id).into_iter();
                let role = Role::Fate(flow, Fate::Drop);
                return pieces.map(|frame| Sent::new(Kind::FragmentsDropped, frame, role)).collect();
            }
            which => {
                let client = self.client(numbers, |client| client.kind != Kind::FragmentsDropped);
                let len = 60 + numbers.below(400);
                let (sample, flow) = client.packet(len, numbers);
                // The first has the headers and the longest connection ID.
                let size = 32 + 8 * numbers.below(20);
                let mut frames = traffic::cut(&sample, size, id);
                let other = traffic::cut(&sample, size + 8, id);
                match which {
                    2 if frames.len() > 1 && other.len() > 1 => {
                        frames.push(other[1].clone());
                        (Kind::FragmentOverlap, flow, frames)
                    }
                    3 => (Kind::FragmentTwice, flow, frames),
                    _ => (Kind::FragmentFirst, flow, frames),
                }
            }
        };
        if frames.len() == 1 {
            // It was so short that it is whole.
            return self.datagram(numbers);
        }
        self.datagrams.push(Datagram {
            flow,
            record: None,
            spoiled: None,
            is_echo: kind == Kind::FragmentEcho,
        });
        let piece = |(at, frame): (usize, Vec<u8>)| {
            let kind = if kind == Kind::FragmentFirst && at > 0 { Kind::FragmentLater } else { kind };
            Sent { frame, kind, role: Role::Fragment(number), of: Some(flow), is_later: at > 0 }
        };
        frames.into_iter().enumerate().map(piece).collect()
    }
}
