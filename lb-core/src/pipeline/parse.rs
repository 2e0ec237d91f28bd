//! First pass: shape, hash, prefetch.
//!
//! Traffic of one family, which is what most bursts are, goes through the loop of that family as it comes;
//! a mixed stream is split first, without a branch, so that it does not mispredict. What is not plain goes
//! through the full parser; ICMP and fragments, which have no flow by themselves, are served there and then.

use super::set::Set;
use super::{Burst, Mix};
use crate::conn::Line;
use crate::headers::plain::Shapes;
use crate::headers::{self, NoFlow};
use crate::hw::{self, Isa, Kernel, Level};
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::verdict::Verdict;
use std::hint::cold_path;
use std::ops::DerefMut;

/// How many packets ahead the start of a frame is asked for.
const FRAME_LOOK_AHEAD: usize = 4;

/// The plain packets of one family among some. An `AHEAD` of zero says that the burst has been split: all frames have been
/// fetched, and those of IPv4 begin like one.
struct Plain<'b, 'a, S, P, const IS_V6: bool, const AHEAD: usize>(&'b mut Burst<'a, S, P>, Set);

impl<S, P, const IS_V6: bool, const AHEAD: usize> Kernel for Plain<'_, '_, S, P, IS_V6, AHEAD>
where
    S: DerefMut<Target = [Line]>,
    P: Packet,
{
    type Output = Set;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Set {
        let Self(burst, candidates) = self;
        let (shapes, keys) = (Shapes::new(isa, burst.filter), burst.tables.hasher.loaded(isa));
        let (stage, lines) = (&mut *burst.stage, burst.connections.lines_mut());
        // In memory, because the loop needs the registers.
        stage.odd = Set::default();
        for (at, packet) in candidates.of_fetched::<AHEAD, P>(burst.packets) {
            let plain = match (packet.is_contiguous(), IS_V6) {
                (false, _) => None,
                (true, false) => shapes
                    .v4(packet.frame(), AHEAD == 0)
                    .map(|(size, protocol, flow)| (size, keys.v4(flow, protocol, &mut stage.hashes[at]))),
                (true, true) => shapes.v6(packet.frame()).map(|(size, protocol, flow)| {
                    (size, keys.v6_wire(flow, protocol, &mut stage.hashes[at]))
                }),
            };
            let Some((size, tag)) = plain else {
                cold_path();
                stage.odd.add(at);
                continue;
            };
            lines.prefetch_far(tag as u32);
            stage.sizes[at] = size;
        }
        candidates - stage.odd
    }
}

/// The plain packets of both families among all of a burst: those of IPv4, those of IPv6. One kernel, because to leave one
/// and enter the next costs as much as two packets.
struct Both<'b, 'a, S, P>(&'b mut Burst<'a, S, P>);

impl<S: DerefMut<Target = [Line]>, P: Packet> Kernel for Both<'_, '_, S, P> {
    type Output = (Set, Set);

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> (Set, Set) {
        let Self(burst) = self;
        let shapes = Shapes::new(isa, burst.filter);
        // Nothing is asked for ahead: the loop is so short that the CPU is twenty packets ahead by itself.
        let v4 = Set::of_those(burst.packets, |packet| shapes.begins_v4(packet.glimpse()));
        let others = Set::first(burst.packets.len()) - v4;
        let v4 = Plain::<_, _, false, 0>(burst, v4).run(isa);
        (v4, Plain::<_, _, true, 0>(burst, others).run(isa))
    }
}

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// Sorts the burst into plain packets by family, odd packets and those without a flow; hashes.
    pub(super) fn parse(&mut self, level: Level) {
        let all = Set::first(self.packets.len());
        for packet in self.packets.iter().take(FRAME_LOOK_AHEAD) {
            packet.prefetch();
        }
        let none = Set::default();
        let (v4, v6) = match *self.mix {
            Mix::V4 => (hw::run(level, Plain::<_, _, false, FRAME_LOOK_AHEAD>(self, all)), none),
            Mix::V6 => (none, hw::run(level, Plain::<_, _, true, FRAME_LOOK_AHEAD>(self, all))),
            Mix::Both => hw::run(level, Both(self)),
        };
        self.stage.plain_v4 = v4;
        self.stage.plain_v6 = v6;
        self.stage.odd = none;
        let odd = all - (v4 | v6);
        *self.mix = match (v4.is_empty(), v6.is_empty()) {
            (false, true) if odd.is_empty() => Mix::V4,
            (true, false) if odd.is_empty() => Mix::V6,
            _ => Mix::Both,
        };
        for at in odd {
            self.parse_fully(level, at);
        }
    }

    /// The full parser, for everything that is not plain.
    #[cold]
    fn parse_fully(&mut self, level: Level, at: usize) {
        let Some(packet) = self.packets.get(at) else { return };
        if !packet.is_contiguous() {
            self.drop(at, DropReason::Unsupported);
            return;
        }
        match headers::parse(packet.frame(), *self.filter) {
            Ok((headers, key)) => {
                let hash = self.tables.hash(level, &key);
                self.connections.lines_mut().prefetch_far(hash.low());
                self.stage.headers[at] = headers;
                self.stage.hashes[at] = hash;
                self.stage.odd.add(at);
            }
            Err(NoFlow::Drop(reason)) => self.drop(at, reason),
            Err(NoFlow::Punt(reason)) => self.stage.verdicts[at] = Verdict::Punt(reason),
            Err(NoFlow::Fragment(fragment)) => self.fragment(level, at, &fragment),
            // Errors about translated flows come to local addresses, too, and from backends about what they were sent.
            Err(NoFlow::Icmp(message)) if self.translate_error(at, &message) => {}
            Err(NoFlow::Icmp(message)) => self.icmp(level, at, &message),
        }
    }
}
