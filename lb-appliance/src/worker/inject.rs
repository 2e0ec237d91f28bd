//! From the kernel to the wire: what is sent on a punt interface leaves by its port.
//!
//! What must hold: these frames are none of the balancer's own traffic. They are counted as injected, and neither
//! as received nor as sent, so that received = sent + answered + punted + dropped holds without them.

use super::{Exit, Worker};
use crate::io::handover::Purpose;
use crate::io::{PacketBurst, PacketIo};
use lb_core::conn::Line;
use std::ops::DerefMut;

/// While packets come from ports, turns between two looks at the kernel's ends.
const TURNS_BETWEEN_LOOKS: u32 = 16;

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// Looks at the punt interfaces, always when the ports brought nothing, else every so often; returns how many
    /// frames came from the kernel.
    #[inline]
    pub(super) fn visit_taps(&mut self, received: usize) -> usize {
        if self.taps.is_empty() {
            return 0;
        }
        self.turns_without_look += 1;
        if received > 0 && self.turns_without_look < TURNS_BETWEEN_LOOKS {
            return 0;
        }
        self.turns_without_look = 0;
        self.taps.numbers().map(|tap| self.poll_tap(tap)).sum()
    }

    /// One burst from one punt interface, out of its port.
    fn poll_tap(&mut self, tap: usize) -> usize {
        let Some(port) = self.taps.port_of(tap) else { return 0 };
        let burst = self.settings.burst;
        let is_blocked = self.crew.as_ref().is_some_and(|crew| !crew.has_way_out(burst));
        // What cannot go on is left in the kernel's queue.
        if is_blocked || !self.io.can_receive(tap) {
            return 0;
        }
        self.io.receive(tap, burst, &mut self.in_hand);
        let taken = self.in_hand.len();
        if taken > 0 {
            self.injected(port);
        }
        taken
    }

    /// Every frame that the kernel sends passes here: the burst in hand, which is to leave by `port`.
    fn injected(&mut self, port: usize) {
        self.divert_probes(port);
        let mut exit = Exit {
            io: &mut self.io,
            crew: self.crew.as_mut(),
            taps: &self.taps,
            instruments: &self.instruments,
        };
        exit.send(port, Purpose::Inject, &mut self.in_hand);
    }
}
