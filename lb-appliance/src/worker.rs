//! The worker: one thread, its queues, its connection table, one loop.
//!
//! Takes a burst from each port in turn, has the core decide and edit, hands the packets on, counts. Every
//! few hundred turns, or whenever it is idle, it does its housekeeping: clock, sweep of the connection
//! table, heartbeat, stop flag. It shares nothing with other workers and never waits for anybody.

mod pace;

use crate::instruments::{BURST_BOUNDS, WorkerInstruments};
use crate::io::PacketIo;
use lb_core::clock::Tick;
use lb_core::conn::Line;
use lb_core::headers::PortFilter;
use lb_core::packet::Packet;
use lb_core::pipeline::{BURST_MAX, Pipeline};
use lb_core::reason::DropReason;
use lb_core::tables::Tables;
use lb_core::verdict::Verdict;
use pace::{IdlePace, SweepPace};
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Turns between two looks at the clock and the stop flag.
const HOUSEKEEPING_TURNS: u32 = 256;

/// How a worker runs.
#[derive(Clone, Copy, Debug)]
pub struct LoopSettings {
    /// Packets per burst, 1 to [`BURST_MAX`].
    pub burst: usize,
    /// Sleep when there is nothing to do.
    pub is_adaptive: bool,
    /// Time one burst per this many packets; 0 is never.
    pub latency_sample: u64,
}

/// One worker.
pub struct Worker<I: PacketIo, S = Box<[Line]>> {
    io: I,
    pipeline: Pipeline<S>,
    tables: Arc<Tables>,
    filters: Vec<PortFilter>,
    instruments: Arc<WorkerInstruments>,
    settings: LoopSettings,
    packets: Vec<I::Packet>,
    answers: Vec<I::Packet>,
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
            io,
            pipeline,
            tables,
            filters,
            instruments,
            settings,
            packets: Vec::with_capacity(BURST_MAX),
            answers: Vec::with_capacity(BURST_MAX),
            now: Tick::default(),
            until_sample: settings.latency_sample,
        }
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
                self.instruments.turns.heartbeat_unix_millis.set(unix_millis());
                if stop.load(Ordering::Acquire) {
                    break;
                }
            }
            if let (Some(timeout), true) = (sleep, self.settings.is_adaptive) {
                self.io.wait(timeout);
            }
        }
    }

    /// Polls every port once; returns how many packets came.
    fn turn(&mut self, start: u64) -> usize {
        let mut received = 0;
        for port in 0..self.io.port_count() {
            received += self.poll(port);
        }
        if received > 0 && self.settings.latency_sample > 0 {
            self.until_sample = self.until_sample.saturating_sub(received as u64);
            if self.until_sample == 0 {
                self.until_sample = self.settings.latency_sample;
                self.instruments.latency.record(self.io.now_nanos().saturating_sub(start));
            }
        }
        received
    }

    /// One burst from one port, all the way to the transmit rings.
    fn poll(&mut self, port: usize) -> usize {
        self.io.receive(port, self.settings.burst, &mut self.packets);
        let received = self.packets.len();
        self.count_poll(received);
        if received == 0 {
            return 0;
        }
        let filter = self.filters.get(port).copied().unwrap_or(PortFilter::ANY);
        let bytes: usize = self.packets.iter().map(|packet| packet.frame().len()).sum();
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.received_packets.add(received as u64);
            queue.received_bytes.add(bytes as u64);
        }
        self.dispatch(filter);
        self.flush();
        self.answer(port);
        self.io.free_discarded();
        received
    }

    /// Decides on the burst and sorts the packets by what becomes of them.
    fn dispatch(&mut self, filter: PortFilter) {
        let verdicts = self.pipeline.process(&self.tables, filter, self.now, &mut self.packets);
        let records = self.tables.records();
        let drops = &self.instruments.packets.drops;
        for (packet, verdict) in self.packets.drain(..).zip(verdicts) {
            match *verdict {
                Verdict::Forward(record) => match records.get(usize::from(record)) {
                    Some(record) => self.io.stage(usize::from(record.port()), packet),
                    None => {
                        drops.count(DropReason::NoBackend, packet.frame().len());
                        self.io.discard(packet);
                    }
                },
                Verdict::Answer => self.answers.push(packet),
                // No punt interfaces yet: what would be the kernel's is dropped under its own name.
                Verdict::Punt(reason) => {
                    drops.count(reason.drop_reason(), packet.frame().len());
                    self.io.discard(packet);
                }
                // Counted where it was decided.
                Verdict::Drop(_) => self.io.discard(packet),
            }
        }
    }

    /// Transmits everything staged toward backends.
    fn flush(&mut self) {
        for port in 0..self.io.port_count() {
            let sent = self.flush_port(port);
            self.instruments.packets.sent.add(sent);
        }
    }

    /// Transmits our own replies by the port that the questions came in by.
    fn answer(&mut self, port: usize) {
        if self.answers.is_empty() {
            return;
        }
        for packet in self.answers.drain(..) {
            self.io.stage(port, packet);
        }
        let sent = self.flush_port(port);
        self.instruments.packets.answered.add(sent);
    }

    /// Transmits what is staged for one port and counts what the ring refused; returns what it took.
    fn flush_port(&mut self, port: usize) -> u64 {
        let flushed = self.io.flush(port);
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.sent_packets.add(flushed.sent_packets);
            queue.sent_bytes.add(flushed.sent_bytes);
            queue.full.add(u64::from(flushed.refused_packets > 0));
        }
        let drops = &self.instruments.packets.drops;
        drops.packets[DropReason::TxFull as usize].add(flushed.refused_packets);
        drops.bytes[DropReason::TxFull as usize].add(flushed.refused_bytes);
        flushed.sent_packets
    }

    fn count_poll(&self, received: usize) {
        let turns = &self.instruments.turns;
        turns.polls.add(1);
        if received == 0 {
            turns.empty_polls.add(1);
            return;
        }
        let bucket = BURST_BOUNDS.partition_point(|bound| *bound < received as u64);
        turns.bursts[bucket.min(BURST_BOUNDS.len() - 1)].add(1);
    }
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

#[cfg(test)]
mod tests;
