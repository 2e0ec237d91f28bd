//! Fragments that came before the first of their datagram, until they can be served.
//!
//! The core bounds their number, says which slot of its fragment table each waits for, and tells when one need wait no
//! longer. What must hold: what is held is served in the order of its arrival, or given up when its time is over; when the
//! worker stops, nothing is left.

use super::{Origin, Worker};
use crate::io::{PacketBurst, PacketIo};
use lb_core::conn::Line;
use lb_core::fragments::HeldState;
use lb_core::packet::Packet;
use lb_core::pipeline::BURST_MAX;
use std::ops::DerefMut;

/// One packet, where it came in, and what it waits for.
#[derive(Debug)]
struct Waiting<P> {
    packet: P,
    port: usize,
    slot: u16,
}

/// All of them, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Held<P>(Vec<Waiting<P>>);

impl<P> Default for Held<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P> Held<P> {
    /// Keeps a packet that came in by `port` until `slot` waits no longer.
    pub(super) fn push(&mut self, packet: P, port: usize, slot: u16) {
        self.0.push(Waiting { packet, port, slot });
    }

    /// The first packet of a state, and whoever came in by the same port with it, at most `max`.
    fn take(&mut self, max: usize, is_due: impl Fn(u16) -> bool) -> Option<(usize, Vec<Waiting<P>>)> {
        let port = self.0.iter().find(|one| is_due(one.slot))?.port;
        let mut left = max;
        let due = self.0.extract_if(.., |one| {
            let is_taken = left > 0 && one.port == port && is_due(one.slot);
            left -= usize::from(is_taken);
            is_taken
        });
        Some((port, due.collect()))
    }
}

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// Serves what is held and can be served, and gives up what has waited too long.
    #[cold]
    pub(super) fn take_back(&mut self) {
        loop {
            let pipeline = &self.pipeline;
            let is_ready = |slot| pipeline.held_state(slot) == HeldState::Ready;
            let Some((port, due)) = self.held.take(BURST_MAX, is_ready) else { break };
            for one in due {
                let refused = self.in_hand.push(one.packet);
                debug_assert!(refused.is_ok(), "an empty burst has room for a burst");
            }
            self.decide(port, Origin::Held);
        }
        self.give_up(|state| state == HeldState::Gone);
    }

    /// Forgets datagrams whose time is over.
    #[inline]
    pub(super) fn expire_held(&mut self) {
        self.pipeline.expire_fragments(&self.tables, self.now);
        if self.pipeline.takes_back() {
            self.take_back();
        }
    }

    /// Gives up everything, before the worker ends.
    pub(super) fn give_up_held(&mut self) {
        self.give_up(|_| true);
    }

    fn give_up(&mut self, is_over: impl Fn(HeldState) -> bool) {
        loop {
            let pipeline = &self.pipeline;
            let Some((_, due)) = self.held.take(usize::MAX, |slot| is_over(pipeline.held_state(slot))) else {
                return;
            };
            for one in due {
                self.pipeline.give_up(one.slot, one.packet.frame().len());
            }
        }
    }
}
