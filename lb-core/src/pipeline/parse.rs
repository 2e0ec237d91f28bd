//! First pass: headers, hash, prefetch.
//!
//! Packets are split by family without a branch, so that a mixed stream does not mispredict, and each
//! set runs through its quick parser. What the quick parsers do not recognise goes through the full one.

use super::{Burst, Set};
use crate::conn::Line;
use crate::hash::LoadedKeys;
use crate::headers::{self, NoFlow};
use crate::hw::Isa;
use crate::packet::Packet;
use crate::reason::{DropReason, PuntReason};
use crate::verdict::Verdict;
use std::ops::DerefMut;

/// How many packets ahead the start of a frame is asked for.
const FRAME_LOOK_AHEAD: usize = 4;

/// Ethertypes as the first two bytes at offset 12 read in little-endian order.
const IPV4_LE: u16 = 0x0008;
const IPV6_LE: u16 = 0xdd86;

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    #[inline(always)]
    pub(super) fn parse<I: Isa>(&mut self, isa: I) {
        let keys = self.tables.hasher.loaded(isa);
        let (v4, v6, mut odd) = self.split();
        let mut flows = Set::default();
        for at in v4 {
            let Some(packet) = self.packets.get(at) else { break };
            let summary = &mut self.stage.headers[at];
            let Some(block) = headers::quick_v4(packet.frame(), self.filter, summary) else {
                odd.add(at);
                continue;
            };
            let hash = keys.v4(block, summary.protocol);
            self.connections.prefetch_far(hash.tag);
            self.stage.hashes[at] = hash;
            flows.add(at);
        }
        for at in v6 {
            let Some(packet) = self.packets.get(at) else { break };
            let summary = &mut self.stage.headers[at];
            let Some(head) = headers::quick_v6(packet.frame(), self.filter, summary) else {
                odd.add(at);
                continue;
            };
            let (source, rest) = head[22..].split_first_chunk::<16>().expect("constant offsets");
            let (destination, rest) = rest.split_first_chunk::<16>().expect("constant offsets");
            let ports = *rest.first_chunk::<4>().expect("constant offsets");
            let hash = keys.v6(source, destination, ports, summary.protocol);
            self.connections.prefetch_far(hash.tag);
            self.stage.hashes[at] = hash;
            flows.add(at);
        }
        self.stage.flows = flows;
        for at in odd {
            self.parse_fully(&keys, at);
        }
    }

    /// Positions of the IPv4, the IPv6 and the other frames.
    #[inline(always)]
    fn split(&self) -> (Set, Set, Set) {
        let (mut v4, mut v6, mut other) = (Set::default(), Set::default(), Set::default());
        for packet in self.packets.iter().take(FRAME_LOOK_AHEAD) {
            packet.prefetch();
        }
        for (at, packet) in self.packets.iter().enumerate() {
            if let Some(ahead) = self.packets.get(at + FRAME_LOOK_AHEAD) {
                ahead.prefetch();
            }
            let ethertype = match packet.frame().first_chunk::<14>() {
                Some(head) if packet.is_contiguous() => u16::from_le_bytes([head[12], head[13]]),
                _ => 0,
            };
            let (is_v4, is_v6) = (ethertype == IPV4_LE, ethertype == IPV6_LE);
            v4.add_if(at, is_v4);
            v6.add_if(at, is_v6);
            other.add_if(at, !(is_v4 | is_v6));
        }
        (v4, v6, other)
    }

    /// The full parser, for everything that is not plain.
    #[cold]
    fn parse_fully<I: Isa>(&mut self, keys: &LoadedKeys<I>, at: usize) {
        let Some(packet) = self.packets.get(at) else { return };
        if !packet.is_contiguous() {
            self.drop(at, DropReason::Unsupported);
            return;
        }
        match headers::parse(packet.frame(), self.filter) {
            Ok((headers, key)) => {
                let hash = keys.key(&key);
                self.connections.prefetch_far(hash.tag);
                self.stage.headers[at] = headers;
                self.stage.hashes[at] = hash;
                self.stage.flows.add(at);
            }
            Err(NoFlow::Drop(reason)) => self.drop(at, reason),
            Err(NoFlow::Punt(reason)) => self.stage.verdicts[at] = Verdict::Punt(reason),
            // A fragment of a VIP's datagram cannot be balanced; one for anybody else is the kernel's.
            Err(NoFlow::Fragment(destination)) => match self.tables.service_at(destination) {
                Some(service) => self.drop_served(at, DropReason::Fragment, Some(usize::from(service))),
                None => self.stage.verdicts[at] = Verdict::Punt(PuntReason::NoVip),
            },
        }
    }
}
