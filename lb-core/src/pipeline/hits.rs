//! Second pass: packets whose flow is known.
//!
//! An ordinary hit is decided and edited in one go, while its record is at hand: table line, record, packet,
//! counters, and no trace in any list but its verdict. Whatever is not ordinary is set aside in a set by a
//! branch that ordinary traffic does not take.

use super::Burst;
use super::forward::Forwarder;
use super::set::Set;
use crate::clock::Tick;
use crate::conn::{Line, Lines};
use crate::hw::{Isa, Kernel};
use crate::packet::Packet;
use std::hint::cold_path;
use std::ops::DerefMut;

/// How many packets ahead a table line is pulled from the second into the first cache level.
pub(super) const LINE_LOOK_AHEAD: usize = 6;

impl Forwarder<'_> {
    /// Takes a packet if it has an entry in its home line. Rare cases are noted in memory, because the loop
    /// needs the registers.
    #[inline(always)]
    fn at_home<I: Isa>(
        &mut self,
        isa: I,
        lines: &mut Lines<'_>,
        now: Tick,
        (at, packet, is_v6): (usize, &mut impl Packet, bool),
    ) {
        // Not every position ahead is a packet of this loop: then this asks for some other line.
        lines.prefetch_near(self.stage.hashes[at + LINE_LOOK_AHEAD].low());
        let hash = &self.stage.hashes[at];
        let line = lines.home(hash.low());
        let found = line.find(isa, hash.lo(), hash.hi());
        if found == 0 {
            cold_path();
            // Whether flows live elsewhere, and whether this one will have to, is as random as the hash: no branches, but
            // words of ones or zeroes.
            let overflows = u64::from(line.has_overflow()).wrapping_neg();
            let is_full = u64::from(line.taken() == self.stage.full_line).wrapping_neg();
            // The alternate line is asked for here and not in a loop of its own, so that it comes while the others are
            // served: to look for the flow there, or to put it there.
            lines.prefetch_alternate_if(hash.tag, overflows | is_full);
            self.stage.elsewhere.add_masked(at, overflows);
            self.stage.misses.add(at);
            self.stage.crammed.add_masked(at, is_full);
            return;
        }
        self.hit(line, found, now, (at, packet, is_v6));
    }

    /// A packet with an entry, the lowest of the bits of `found`, in `line`.
    #[inline(always)]
    fn hit(
        &mut self,
        line: &mut Line,
        found: u32,
        now: Tick,
        (at, packet, is_v6): (usize, &mut impl Packet, bool),
    ) {
        let entry = found.trailing_zeros() as usize;
        let index = line.record(entry);
        let size = self.stage.sizes[at];
        if line.is_unsteady(found) || size.exceeds(self.records[usize::from(index)].inner_max) {
            cold_path();
            self.stage.unusual.add(at);
            return;
        }
        line.touch(entry, now);
        if !self.forward(at, packet, index, size, is_v6) {
            cold_path();
            self.stage.unusual.add(at);
        }
    }
}

/// Forwards the plain packets of one family whose flow has an entry in its home line.
pub(super) struct Hits<'b, 'a, S, P, const IS_V6: bool>(pub(super) &'b mut Burst<'a, S, P>, pub(super) Set);

impl<S: DerefMut<Target = [Line]>, P: Packet, const IS_V6: bool> Kernel for Hits<'_, '_, S, P, IS_V6> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self(burst, plain) = self;
        let now = burst.now;
        let mut forwarder = Forwarder::new(burst.stage, burst.tables, burst.counters);
        let mut lines = burst.connections.lines_mut();
        for (at, packet) in plain.of(burst.packets) {
            forwarder.at_home(isa, &mut lines, now, (at, packet, IS_V6));
        }
    }
}

/// [`Hits`] of IPv4, then of IPv6; one kernel, because to leave one and enter the next costs as much as two packets.
pub(super) struct HitsOfBoth<'b, 'a, S, P>(
    pub(super) &'b mut Burst<'a, S, P>,
    pub(super) Set,
    pub(super) Set,
);

impl<S: DerefMut<Target = [Line]>, P: Packet> Kernel for HitsOfBoth<'_, '_, S, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self(burst, v4, v6) = self;
        Hits::<_, _, false>(burst, v4).run(isa);
        Hits::<_, _, true>(burst, v6).run(isa);
    }
}

/// Forwards the plain packets whose flow has an entry in its alternate line; the others are misses.
pub(super) struct Elsewhere<'b, 'a, S, P>(pub(super) &'b mut Burst<'a, S, P>);

impl<S: DerefMut<Target = [Line]>, P: Packet> Kernel for Elsewhere<'_, '_, S, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self(burst) = self;
        let (elsewhere, v6, now) = (burst.stage.elsewhere, burst.stage.plain_v6, burst.now);
        let mut forwarder = Forwarder::new(burst.stage, burst.tables, burst.counters);
        let mut lines = burst.connections.lines_mut();
        for (at, packet) in elsewhere.of(burst.packets) {
            let hash = &forwarder.stage.hashes[at];
            let line = lines.alternate(hash.tag);
            let found = line.find(isa, hash.lo(), hash.hi());
            if found == 0 {
                forwarder.stage.misses.add(at);
            } else {
                forwarder.hit(line, found, now, (at, packet, v6.has(at)));
            }
        }
    }
}
