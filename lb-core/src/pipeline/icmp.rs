//! ICMP: errors about flows, echo requests, errors from the tunnels, and errors of our own.
//!
//! All of it is off the loops. What must hold: an error about a flow gets to the backend that the flow has; nobody is
//! told anything that the RFCs forbid to tell; every message that we make is paid from a budget.

use super::Burst;
use crate::address;
use crate::checksum;
use crate::conn::Line;
use crate::flow::FlowKey;
use crate::headers::{Headers, Portless};
use crate::hw::{Level, Portable};
use crate::icmp::build::{self, Error, Place};
use crate::icmp::limit::Purse;
use crate::icmp::quote::{self, Quote};
use crate::icmp::{self, Kind};
use crate::packet::Packet;
use crate::reason::{AnswerReason, DropReason, PuntReason};
use crate::service::ServiceIndex;
use crate::spec::{Echo, Oversize};
use crate::verdict::{RecordIndex, Verdict};
use crate::wire::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, be16};
use std::net::IpAddr;
use std::ops::DerefMut;

/// No path is narrower (RFC 8200 section 5), so nobody is told less.
const MTU_MIN_V6: u16 = 1280;
/// What hosts take for the least that a sane IPv4 path has; telling less would only help an attacker.
const MTU_MIN_V4: u16 = 552;
/// MTUs in use, for routers that say "too big" without a number (RFC 1191 section 7.1).
const PLATEAUS: [u16; 10] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// One message, start to end.
    #[cold]
    pub(super) fn icmp(&mut self, level: Level, at: usize, message: &Portless) {
        let kind = self.message(at, message).and_then(|bytes| Some((*bytes.first()?, *bytes.get(1)?)));
        let Some((kind, code)) = kind else {
            self.drop(at, DropReason::Malformed);
            return;
        };
        let kind = Kind::of(message.headers.is_v6, kind, code);
        let Some(service) = self.tables.service_at(message.destination) else {
            if !kind.is_error() || !self.about_tunnel(at, message, kind) {
                self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip);
            }
            return;
        };
        if address::is_martian(message.source, message.destination) {
            self.drop_served(at, DropReason::MartianSource, Some(usize::from(service)));
            return;
        }
        match kind {
            Kind::Error | Kind::TooBig => self.error_about_flow(level, at, message, service),
            Kind::EchoRequest => self.echo(level, at, message, service),
            Kind::Obsolete => self.drop_served(at, DropReason::IcmpIgnored, Some(usize::from(service))),
            Kind::Other => self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip),
        }
    }

    /// The bytes of a message, from its type on.
    fn message(&self, at: usize, message: &Portless) -> Option<&[u8]> {
        let Headers { ip_len, l3_offset, l4_offset, .. } = message.headers;
        let end = usize::from(l3_offset) + usize::from(ip_len);
        self.packets.get(at)?.frame().get(usize::from(l4_offset)..end)
    }

    /// An error to a VIP: to the backend of the flow that it is about. Its checksum is the backend's to check.
    fn error_about_flow(&mut self, level: Level, at: usize, message: &Portless, here: ServiceIndex) {
        let about = self.answered(at, message, here);
        // A translated flow has a session, and then its errors do not come here.
        let Some((service, flow)) = about.filter(|(service, _)| !self.tables.is_nat(*service)) else {
            self.drop_served(at, DropReason::IcmpUnmatched, Some(usize::from(here)));
            return;
        };
        let hash = self.tables.hash(level, &flow);
        self.stage.hashes[at] = hash;
        let known = self.connections.find(Portable, hash.tag).map(|slot| self.connections.record(slot));
        let is_alive = |index: &RecordIndex| {
            self.tables.records.get(usize::from(*index)).is_some_and(|one| !one.is_dead)
        };
        // Slices overrule entries; who is named by a server ID has an entry, and the quote does not name him.
        let known = known.filter(is_alive).filter(|_| !self.tables.has_slices(service));
        let chosen = || match flow.protocol {
            // As the request: see `echo`.
            PROTOCOL_ICMP | PROTOCOL_ICMPV6 => self.tables.select(service, hash),
            _ => self.tables.choose(Portable, service, (&flow, hash), &[]).record,
        };
        let record = known.or_else(chosen);
        let headers = message.for_edit();
        let done = match record {
            Some(record) => match self.deliver(at, record, &headers) {
                Err(reason) if self.leaves_in_pieces(at, record, &headers, reason) => Ok(()),
                done => done,
            },
            None => Err(DropReason::NoBackend),
        };
        match done {
            Ok(()) => self.counters.icmp_errors.add(1),
            // Never an error about an error.
            Err(reason) => self.drop_served(at, reason, Some(usize::from(service))),
        }
    }

    /// The flow that an error to `here` is about, and its service: the quote is of an answer that we may have sent.
    fn answered(&self, at: usize, message: &Portless, here: ServiceIndex) -> Option<(ServiceIndex, FlowKey)> {
        let is_v6 = message.headers.is_v6;
        let quoted = quote::quoted(self.message(at, message)?, is_v6)?;
        // RFC 5927 section 4: what it quotes must be something that we may have sent.
        let quote = Quote::parse(quoted).filter(|quote| quote.key.source == message.destination)?;
        let flow = quote.answered_flow();
        if flow.protocol != icmp::protocol(is_v6) {
            let service = self.tables.service(flow.destination, flow.destination_port, flow.protocol)?;
            return Some((service, flow));
        }
        // The reply of a backend to a ping has the backend of the ping; our own replies have none.
        let is_reply = *quoted.get(usize::from(quote.l4_offset))? == icmp::echo_reply(is_v6);
        let is_backends = is_reply && self.tables.portless(here).echo == Echo::Forward;
        is_backends.then_some((here, flow))
    }

    fn echo(&mut self, level: Level, at: usize, message: &Portless, service: ServiceIndex) {
        let number = Some(usize::from(service));
        let hash = self.tables.hash(level, &message.key());
        let record = self.tables.select(service, hash);
        match (self.tables.portless(service).echo, record) {
            (Echo::Ignore, _) => self.drop_served(at, DropReason::IcmpIgnored, number),
            (_, None) => self.drop_served(at, DropReason::NoBackend, number),
            // What is translated has ports; so we answer for such a VIP.
            (Echo::Forward, Some(record)) if !self.tables.is_nat(service) => {
                self.stage.hashes[at] = hash;
                self.forward(at, record, &message.for_edit());
            }
            (Echo::Answer | Echo::Forward, Some(_)) => {
                if !self.may_answer(at, message.source, message.destination) {
                    self.drop_served(at, DropReason::IcmpIgnored, number);
                } else if !self.may_say(Purse::Echoes, message.source) {
                    self.drop_served(at, DropReason::IcmpRateLimited, number);
                } else if self.reply(at, message).is_none() {
                    self.drop_served(at, DropReason::Malformed, number);
                } else {
                    self.answer(at, AnswerReason::EchoReply);
                }
            }
        }
    }

    fn reply(&mut self, at: usize, message: &Portless) -> Option<()> {
        let start = usize::from(message.headers.l4_offset);
        build::echo_reply(self.packets.get_mut(at)?, message.place(), start, true)
    }

    /// Gives a packet that was turned into a reply its verdict.
    pub(super) fn answer(&mut self, at: usize, reason: AnswerReason) {
        self.counters.answers[reason as usize].add(1);
        self.stage.verdicts[at] = Verdict::Answer(reason);
    }

    /// True if a packet comes from somebody who may be answered.
    fn may_answer(&self, at: usize, source: IpAddr, destination: IpAddr) -> bool {
        let station = self.packets.get(at).and_then(|packet| packet.frame().get(6).copied());
        !address::is_martian(source, destination) && station.is_some_and(|first| first & 1 == 0)
    }

    /// Takes a message to `source` out of a budget, if there is any left.
    fn may_say(&mut self, purse: Purse, source: IpAddr) -> bool {
        let budget = match purse {
            Purse::Errors => self.tables.signals.errors,
            Purse::Echoes => self.tables.signals.echoes,
        };
        let network = match source {
            IpAddr::V4(_) => source,
            IpAddr::V6(address) => IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes()),
        };
        let key = FlowKey {
            source: network,
            destination: network,
            source_port: 0,
            destination_port: 0,
            protocol: 0,
        };
        let hash = self.tables.hash(Level::Portable, &key).tag;
        self.aside.limiter.take(purse, budget, hash, self.now)
    }

    /// What becomes of a packet that cannot be forwarded to `record`: it leaves in pieces, if that helps and is wanted; or its
    /// sender is told, if he may be and the budget allows it; else the packet is dropped for the reason.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&mut self, at: usize, record: RecordIndex, headers: &Headers, reason: DropReason) {
        if self.leaves_in_pieces(at, record, headers, reason) {
            return;
        }
        match self.tell(at, record, headers, reason) {
            Some(told) => self.answer(at, told),
            None => self.drop_served(at, reason, self.service_of(record)),
        }
    }

    /// Turns a packet into an error about itself.
    fn tell(
        &mut self,
        at: usize,
        record: RecordIndex,
        headers: &Headers,
        reason: DropReason,
    ) -> Option<AnswerReason> {
        let Headers { l3_offset, ip_len, is_v6, .. } = *headers;
        let (error, answer) = match reason {
            DropReason::TtlExceeded => (Error::TimeExceeded, AnswerReason::TimeExceeded),
            DropReason::MtuExceeded => {
                let tail = self.tables.tails.get(usize::from(record))?;
                let fits = tail.inner_max;
                let mtu = if is_v6 { fits.max(MTU_MIN_V6) } else { fits };
                // A dead record fits nothing; and a packet that is no longer than what it is told gains nothing.
                if fits == 0 || ip_len <= mtu || tail.oversize == Oversize::Drop {
                    return None;
                }
                let answer =
                    if is_v6 { AnswerReason::PacketTooBig } else { AnswerReason::FragmentationNeeded };
                (Error::TooBig { mtu }, answer)
            }
            _ => return None,
        };
        let ip = self.packets.get(at)?.frame().get(usize::from(l3_offset)..)?;
        let (source, destination) = FlowKey::addresses(ip, is_v6)?;
        if !self.may_answer(at, source, destination) || !self.may_say(Purse::Errors, source) {
            return None;
        }
        let about = Place { l3_offset: l3_offset.into(), len: ip_len.into(), is_v6 };
        build::error(self.packets.get_mut(at)?, about, error)?;
        Some(answer)
    }

    /// An error to one of our own addresses. False, with nothing done, if it is not about a packet that we
    /// encapsulated: then it is the kernel's.
    fn about_tunnel(&mut self, at: usize, message: &Portless, kind: Kind) -> bool {
        if !self.tables.tunnels.is_source(message.destination) {
            return false;
        }
        let is_v6 = message.headers.is_v6;
        let Some(bytes) = self.message(at, message) else { return false };
        let outer = quote::quoted(bytes, is_v6).and_then(Quote::parse);
        if !outer.is_some_and(|quote| self.tables.tunnels.has_sent(&quote)) {
            return false;
        }
        let relayed = match kind {
            Kind::TooBig => self.relay(at, message),
            _ => None,
        };
        match relayed {
            Some(reason) => self.answer(at, reason),
            None => self.drop(at, DropReason::IcmpTunnel),
        }
        true
    }

    /// Tells the client of the datagram inside that it was too big: RFC 2003 section 5.1, RFC 2473 section 7.1.
    fn relay(&mut self, at: usize, message: &Portless) -> Option<AnswerReason> {
        let Headers { l3_offset, l4_offset, is_v6, .. } = message.headers;
        let bytes = self.message(at, message)?;
        // Acted upon, so it is checked.
        let pseudo = if is_v6 { pseudo_sum(message, bytes.len()) } else { 0 };
        if checksum::fold(pseudo + checksum::sum(bytes)) != 0xffff {
            return None;
        }
        let quoted = quote::quoted(bytes, is_v6)?;
        let inner_at = quote::inner_offset(quoted)?;
        let inner = quoted.get(inner_at..)?;
        let flow = Quote::parse(inner)?;
        let key = flow.key;
        self.tables.service(key.destination, key.destination_port, key.protocol)?;
        let mtu = inner_mtu(bytes, quoted, is_v6)?.saturating_sub(u16::try_from(inner_at).ok()?);
        let mtu = mtu.max(if flow.is_v6 { MTU_MIN_V6 } else { MTU_MIN_V4 });
        // RFC 5927 section 7.2: a datagram that would fit is no cause. The inner length may be cut, never the word.
        let inner_len = if flow.is_v6 { be16(inner, 4)?.saturating_add(40) } else { be16(inner, 2)? };
        if inner_len <= mtu {
            return None;
        }
        let about = Place {
            l3_offset: usize::from(l4_offset) + icmp::HEADER_LEN + inner_at,
            len: inner.len().min(usize::from(inner_len)),
            is_v6: flow.is_v6,
        };
        if !self.may_answer(at, key.source, key.destination) || !self.may_say(Purse::Errors, key.source) {
            return None;
        }
        let packet = self.packets.get_mut(at)?;
        build::relayed_error(packet, usize::from(l3_offset), about, Error::TooBig { mtu })?;
        Some(if flow.is_v6 { AnswerReason::PacketTooBig } else { AnswerReason::FragmentationNeeded })
    }
}

/// The MTU that a Fragmentation Needed or Packet Too Big states, for the packet that it quotes, which was longer.
fn inner_mtu(message: &[u8], quoted: &[u8], is_v6: bool) -> Option<u16> {
    let sent = if is_v6 { be16(quoted, 4)?.saturating_add(40) } else { be16(quoted, 2)? };
    let stated = if is_v6 && be16(message, 4)? != 0 { u16::MAX } else { be16(message, 6)? };
    let mtu = match stated {
        0 => PLATEAUS.into_iter().find(|plateau| *plateau < sent)?,
        stated => stated,
    };
    (mtu < sent).then_some(mtu)
}

/// Sum of the pseudo header of an ICMPv6 message (RFC 8200 section 8.1).
fn pseudo_sum(message: &Portless, len: usize) -> u64 {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(_) => [0; 16],
        IpAddr::V6(address) => address.octets(),
    };
    let addresses = checksum::sum(&bytes(message.source)) + checksum::sum(&bytes(message.destination));
    addresses + len as u64 + u64::from(icmp::protocol(true))
}
