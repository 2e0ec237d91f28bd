//! Health probes through the tunnel, on their way from the kernel: each leaves as client traffic for its backend would.
//!
//! They are frames of the kernel, and counted as such: as injected, by the port that they leave by.

use super::{Exit, Worker};
use crate::io::handover::Purpose;
use crate::io::{PacketBurst, PacketIo};
use lb_core::conn::Line;
use lb_core::hw::Level;
use lb_core::pipeline::BURST_MAX;
use lb_core::probe_route::{Diverted, ProbeRoutes, divert};
use std::ops::DerefMut;
use std::sync::Arc;

/// What a worker knows of probes.
#[derive(Debug)]
pub(super) struct Probes {
    routes: Arc<ProbeRoutes>,
    level: Level,
}

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// The same worker, which knows the probes under way.
    #[must_use]
    pub fn with_probes(mut self, routes: Arc<ProbeRoutes>) -> Self {
        self.probes = Some(Probes { routes, level: Level::detect() });
        self
    }

    /// Takes the probes out of the burst in hand, which is to leave by `port`, and sends each toward its backend.
    pub(super) fn divert_probes(&mut self, port: usize) {
        let Some(Probes { routes, level }) = &self.probes else { return };
        let mut found = [Diverted::No; BURST_MAX];
        for (packet, found) in self.in_hand.packets().iter_mut().zip(&mut found) {
            *found = divert(packet, routes, &self.tables, *level);
        }
        if found.iter().all(|found| *found == Diverted::No) {
            return;
        }
        let lost = self.outbound.sort_probes(&mut self.in_hand, &found, port, self.tables.records());
        if let (Some(queue), true) = (self.instruments.queues.get(port), lost > 0) {
            queue.inject_refused.add(lost);
        }
        let mut exit = Exit {
            io: &mut self.io,
            crew: self.crew.as_mut(),
            taps: &self.taps,
            instruments: &self.instruments,
        };
        self.outbound.flush_staged(Purpose::Inject, &mut exit);
    }
}
