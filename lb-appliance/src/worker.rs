//! The worker: one thread, its queues, its connection table, one loop.
//!
//! Takes a burst from each port in turn, has the core decide and edit, hands the packets on, counts. Every
//! few hundred turns, or whenever it is idle, it does its housekeeping: clock, sweep of the connection
//! table, heartbeat, stop flag. It never waits for anybody, and shares nothing with other workers but the
//! rings of ports with too few queues ([`crate::io::handover`]).

pub mod control_line;
mod held;
mod inject;
mod outbound;
mod pace;
mod probes;
mod shared;
mod split;

use crate::instruments::{BURST_BOUNDS, WorkerInstruments};
use crate::io::handover::{Crew, Purpose};
use crate::io::taps::Taps;
use crate::io::{PacketBurst, PacketIo};
use control_line::ControlLine;
use held::Held;
use lb_core::clock::Tick;
use lb_core::conn::Line;
use lb_core::headers::PortFilter;
use lb_core::pipeline::Pipeline;
use lb_core::tables::Tables;
use outbound::{Exit, Outbound};
use pace::{IdlePace, SweepPace};
use probes::Probes;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Turns between two looks at the clock and the stop flag.
const HOUSEKEEPING_TURNS: u32 = 256;

/// Where a burst comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A port, or another worker.
    Received,
    /// It has been held here.
    Held,
}

/// How a worker runs.
#[derive(Clone, Copy, Debug)]
pub struct LoopSettings {
    /// Packets per burst, 1 to [`lb_core::pipeline::BURST_MAX`].
    pub burst: usize,
    /// Sleep when there is nothing to do.
    pub is_adaptive: bool,
    /// Time one burst per this many packets; 0 is never.
    pub latency_sample: u64,
}

/// One worker.
pub struct Worker<I: PacketIo, S = Box<[Line]>> {
    io: I,
    /// The others, where ports have fewer queues than there are workers.
    crew: Option<Crew<I::Packet>>,
    /// The ends of the kernel.
    taps: Taps,
    turns_without_look: u32,
    /// Which of the kernel's frames are health probes.
    probes: Option<Probes>,
    /// To the controller, where there is one.
    line: Option<ControlLine>,
    pipeline: Pipeline<S>,
    tables: Arc<Tables>,
    filters: Vec<PortFilter>,
    instruments: Arc<WorkerInstruments>,
    settings: LoopSettings,
    in_hand: I::Burst,
    outbound: Outbound<I::Burst>,
    /// Fragments that wait for the first of their datagram.
    held: Held<I::Packet>,
    now: Tick,
    until_sample: u64,
}

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// A worker over `io`; `filters` holds one entry per port.
    pub fn new(
        io: I,
        pipeline: Pipeline<S>,
        tables: Arc<Tables>,
        filters: Vec<PortFilter>,
        instruments: Arc<WorkerInstruments>,
        settings: LoopSettings,
    ) -> Self {
        Self {
            outbound: Outbound::new(&tables, io.port_count()),
            taps: Taps::none(io.port_count()),
            turns_without_look: 0,
            probes: None,
            io,
            crew: None,
            line: None,
            pipeline,
            tables,
            filters,
            instruments,
            settings,
            in_hand: I::Burst::default(),
            held: Held::default(),
            now: Tick::default(),
            until_sample: settings.latency_sample,
        }
    }

    /// The same worker as one of a crew.
    #[must_use]
    pub fn in_crew(mut self, crew: Option<Crew<I::Packet>>) -> Self {
        self.crew = crew;
        self
    }

    /// The same worker with punt interfaces, which are the last ports of its I/O.
    #[must_use]
    pub fn with_taps(mut self, taps: Taps) -> Self {
        self.taps = taps;
        self
    }

    /// Runs until `stop` is set.
    pub fn run(mut self, stop: &AtomicBool) {
        let start = self.io.now_nanos();
        let mut before = start;
        let mut sweep = SweepPace::new(self.pipeline.connections().line_count(), start);
        let mut idle = IdlePace::new(start, self.io.wakes_for_packets());
        let mut turns = 0u32;
        loop {
            let received = self.turn(before);
            let after = self.io.now_nanos();
            let turn = &self.instruments.turns;
            let spent = if received > 0 { &turn.busy_nanos } else { &turn.idle_nanos };
            spent.add(after.saturating_sub(before));
            before = after;

            let sleep = if received > 0 { idle.busy(after) } else { idle.empty(after) };
            turns = turns.wrapping_add(1);
            let is_due = turns.is_multiple_of(HOUSEKEEPING_TURNS);
            if is_due || sleep.is_some() {
                self.now = Tick::from_nanos(after.saturating_sub(start));
                self.pipeline.sweep(&self.tables, self.now, sweep.lines_due(after));
                self.expire_held();
                self.instruments.turns.heartbeat.beat();
                if stop.load(Ordering::Acquire) {
                    break;
                }
                if self.attend_line() {
                    continue;
                }
            }
            if let (Some(timeout), true) = (sleep, self.settings.is_adaptive) {
                self.sleep(timeout);
            }
        }
        self.leave();
        self.give_up_held();
    }

    /// Polls every port once, the other workers, and the kernel if it is time; returns how many packets came.
    #[inline]
    fn turn(&mut self, start: u64) -> usize {
        let mut received = 0;
        for port in 0..self.taps.port_count() {
            if self.io.can_receive(port) {
                received += self.poll(port);
            }
        }
        received += self.poll_crew();
        if received > 0 && self.settings.latency_sample > 0 {
            self.until_sample = self.until_sample.saturating_sub(received as u64);
            if self.until_sample == 0 {
                self.until_sample = self.settings.latency_sample;
                self.instruments.latency.record(self.io.now_nanos().saturating_sub(start));
            }
        }
        received + self.visit_taps(received)
    }

    /// One burst from one port, all the way to the transmit rings or to the workers that it belongs to.
    #[inline]
    fn poll(&mut self, port: usize) -> usize {
        let burst = self.settings.burst;
        let is_steered = match &self.crew {
            Some(crew) => {
                let is_steered = crew.is_steered(port);
                // What cannot go on is left in the device.
                if !crew.has_way_out(burst) || is_steered && !crew.has_room(burst) {
                    return 0;
                }
                is_steered
            }
            None => false,
        };
        self.io.receive(port, burst, &mut self.in_hand);
        let received = self.in_hand.len();
        self.instruments.turns.polls.add(1);
        if received == 0 {
            self.instruments.turns.empty_polls.add(1);
            return 0;
        }
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.received_packets.add(received as u64);
            queue.received_bytes.add(self.in_hand.bytes());
        }
        if let (true, Some(crew)) = (is_steered, &mut self.crew) {
            crew.steer(port, &mut self.in_hand, &self.tables);
        }
        self.serve(port);
        received
    }

    /// Serves the burst in hand, which came in by `port`, and what was held and waits no longer because of it.
    #[inline]
    fn serve(&mut self, port: usize) {
        self.decide(port, Origin::Received);
        if self.pipeline.takes_back() {
            self.take_back();
        }
    }

    /// Decides on the burst in hand, which came in by `port`, and sends each packet where it belongs.
    #[inline]
    fn decide(&mut self, port: usize, origin: Origin) {
        let served = self.in_hand.len();
        if served == 0 {
            return;
        }
        let bucket = BURST_BOUNDS.partition_point(|bound| *bound < served as u64);
        self.instruments.turns.bursts[bucket.min(BURST_BOUNDS.len() - 1)].add(1);

        self.pipeline.came_by(port as u8);
        let filter = self.filters.get(port).unwrap_or(&PortFilter::ANY);
        let packets = self.in_hand.packets();
        let verdicts = match origin {
            Origin::Received => self.pipeline.process(&self.tables, filter, self.now, packets),
            Origin::Held => self.pipeline.process_held(&self.tables, filter, self.now, packets),
        };
        let mut exit = Exit {
            io: &mut self.io,
            crew: self.crew.as_mut(),
            taps: &self.taps,
            instruments: &self.instruments,
        };
        if let Some(to) = self.outbound.sole_port(verdicts) {
            exit.send(to, Purpose::Forward, &mut self.in_hand);
            return;
        }
        let drops = &self.instruments.packets.drops;
        let has_tap = self.taps.of_port(port).is_some();
        let held = (&mut self.held, port);
        self.outbound.sort(&mut self.in_hand, verdicts, self.tables.records(), has_tap, (drops, held));
        self.outbound.flush(port, &mut exit);
        if !self.outbound.too_long.is_empty() {
            self.send_in_pieces();
        }
    }

    /// Sleeps, unless another worker has something for this one.
    fn sleep(&mut self, timeout: Duration) {
        let Some(crew) = &mut self.crew else { return self.io.wait(timeout) };
        if crew.lie_down() {
            self.io.wait(timeout);
            crew.wake();
        }
    }
}

#[cfg(test)]
mod tests;
