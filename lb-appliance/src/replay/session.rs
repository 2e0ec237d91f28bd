//! The replay itself: read, gather bursts, process, write.
//!
//! The order of things is the worker's: sweep what time has made due, then process the burst. Everything
//! of one tick happens at that tick, so that bursts can be cut anywhere without changing a result.

use super::burst::FrameBurst;
use super::capture::{Capture, CaptureError};
use super::clock::{VirtualClock, sweeps, tick};
use super::error::ReplayError;
use super::line::Line;
use super::options::{ReplayOptions, UnknownBackend};
use super::sink::PcapSink;
use super::summary::Summary;
use super::waiting::Waiting;
use crate::config::Config;
use crate::plan::{Names, Plan};
use lb_core::conn::ConnTable;
use lb_core::counters::WorkerCounters;
use lb_core::fragments::HeldState;
use lb_core::headers::{self, NoFlow, PortFilter};
use lb_core::hw::Level;
use lb_core::nat::Nat;
use lb_core::packet::Packet;
use lb_core::pipeline::{BURST_MAX, Pipeline};
use lb_core::tables::Tables;
use lb_core::verdict::Verdict;
use std::io::{Read, Write};
use std::sync::Arc;

/// A packet path that is ready for a capture.
#[derive(Debug)]
pub struct Replay {
    pub(super) tables: Tables,
    names: Names,
    pub(super) pipeline: Pipeline,
    pub(super) counters: Arc<WorkerCounters>,
    burst_max: usize,
    pub(super) summary: Summary,
    /// Until when the connection table has been swept, whole ticks since the first frame.
    pub(super) swept_ticks: u64,
    /// Fragments that came before the first of their datagram.
    pub(super) held: Vec<Waiting>,
}

impl Replay {
    /// Builds the tables of `config`.
    ///
    /// # Errors
    /// [`ReplayError::UnknownBackend`] for a name in `options`; [`ReplayError::Tables`] for a configuration
    /// that was not validated.
    pub fn new(config: &Config, options: &ReplayOptions) -> Result<Self, ReplayError> {
        let mut plan = Plan::new(config, &[]);
        for name in &options.down {
            if plan.set_down(&name.pool, &name.backend).is_err() {
                return Err(UnknownBackend::new(name, &plan.names).into());
            }
        }
        let tables = Tables::build(&plan.spec).map_err(ReplayError::Tables)?;
        let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
        let connections = ConnTable::with_capacity(config.forwarding.connections.per_worker as usize);
        // A replay is to be the same each time, so the key of the sessions is no secret here.
        let nat = Nat::new(config.forwarding.nat.sessions_per_worker as usize, [0; 2], 0, 1);
        Ok(Self {
            pipeline: Pipeline::new(connections, Arc::clone(&counters), Level::detect())
                .with_fragments(
                    config.forwarding.fragments.per_worker as usize,
                    config.forwarding.fragments.held_per_worker as usize,
                )
                .with_nat(nat),
            tables,
            names: plan.names,
            counters,
            burst_max: options.burst.clamp(1, BURST_MAX),
            summary: Summary::default(),
            swept_ticks: 0,
            held: Vec::new(),
        })
    }

    /// Sends every frame of `capture` through the packet path: those that would be sent go to `writer` as a
    /// classic pcap, one line about each frame goes to `json`.
    ///
    /// # Errors
    /// [`ReplayError::Capture`] at damage in the capture, after everything before it has been written;
    /// [`ReplayError::Output`] and [`ReplayError::Json`] if that is impossible.
    pub fn run<R: Read, W: Write>(
        mut self,
        mut capture: Capture<R>,
        writer: W,
        mut json: Option<&mut dyn Write>,
    ) -> Result<Summary, ReplayError> {
        let mut sink = PcapSink::new(writer, capture.resolution())?;
        let damage = self.pump(&mut capture, &mut sink, &mut json)?;
        sink.finish()?;
        if let Some(json) = &mut json {
            json.flush().map_err(ReplayError::Json)?;
        }
        if let Err(source) = self.summary.conserved(&self.counters) {
            return Err(ReplayError::NotConserved { source, summary: Box::new(self.summary) });
        }
        match damage {
            None => Ok(self.summary),
            Some(source) => Err(ReplayError::Capture { source, summary: Box::new(self.summary) }),
        }
    }

    /// Processes all frames up to the end of the capture or the damage that it returns.
    fn pump<R: Read, W: Write>(
        &mut self,
        capture: &mut Capture<R>,
        sink: &mut PcapSink<W>,
        json: &mut Option<&mut dyn Write>,
    ) -> Result<Option<CaptureError>, ReplayError> {
        let mut clock = VirtualClock::default();
        let mut burst = FrameBurst::default();
        let damage = loop {
            let captured = match capture.next_frame() {
                Ok(Some(captured)) => captured,
                Ok(None) => break None,
                Err(damage) => break Some(damage),
            };
            self.summary.backwards += u64::from(!clock.advance(captured.nanos));
            self.summary.snapped += u64::from(captured.is_snapped());
            self.summary.unrepresentable += u64::from(captured.is_clamped);
            let ticks = clock.ticks();
            if burst.is_closed(ticks, self.burst_max) {
                self.process(&mut burst, sink, json)?;
            }
            burst.push(captured.nanos, ticks, captured.bytes);
        };
        self.process(&mut burst, sink, json)?;
        self.give_up(|_| true, json)?;
        Ok(damage)
    }

    /// One burst through the packet path, as the worker does it.
    fn process<W: Write>(
        &mut self,
        burst: &mut FrameBurst,
        sink: &mut PcapSink<W>,
        json: &mut Option<&mut dyn Write>,
    ) -> Result<(), ReplayError> {
        self.sweep_until(burst.ticks);
        let now = tick(burst.ticks);
        self.pipeline.expire_fragments(&self.tables, now);
        self.give_up(|state| state == HeldState::Gone, json)?;
        let verdicts = self.pipeline.process(&self.tables, &PortFilter::ANY, now, &mut burst.frames).to_vec();
        for (at, ((frame, stamp), verdict)) in
            burst.frames.iter().zip(&burst.stamps).zip(verdicts).enumerate()
        {
            let n = self.summary.frames;
            self.summary.frames += 1;
            match verdict {
                Verdict::Split(record, l3) => {
                    self.split((n, *stamp), (at, record, l3), frame, sink, json)?;
                }
                Verdict::Hold(slot) => self.held.push(Waiting { n, frame: frame.clone(), slot }),
                verdict => self.settle((n, *stamp), verdict, frame.frame(), sink, json)?,
            }
        }
        if self.pipeline.takes_back() {
            self.take_back(now, burst.stamps.last().copied().unwrap_or_default(), sink, json)?;
        }
        burst.clear();
        Ok(())
    }

    /// Writes and counts what became of frame number `n`, which leaves at `stamp` if it does.
    pub(super) fn settle<W: Write>(
        &mut self,
        (n, stamp): (u64, u64),
        verdict: Verdict,
        frame: &[u8],
        sink: &mut PcapSink<W>,
        json: &mut Option<&mut dyn Write>,
    ) -> Result<(), ReplayError> {
        self.say(n, verdict, frame, json)?;
        match verdict {
            Verdict::Forward(_) | Verdict::Return(_) => {
                sink.push(stamp, frame)?;
                self.counters.sent.add(1);
            }
            Verdict::Answer(_) => {
                sink.push(stamp, frame)?;
                self.counters.answered.add(1);
            }
            Verdict::Punt(_) => self.counters.punted.add(1),
            // Counted where it was decided.
            Verdict::Drop(_) | Verdict::Hold(_) | Verdict::Split(..) => {}
        }
        Ok(())
    }

    /// Writes the line about a frame, and counts it in the summary.
    pub(super) fn say(
        &mut self,
        n: u64,
        verdict: Verdict,
        frame: &[u8],
        json: &mut Option<&mut dyn Write>,
    ) -> Result<(), ReplayError> {
        if let Some(json) = json {
            let (vip, backend) = name(&self.tables, &self.names, verdict, frame);
            let line = Line { n, verdict: verdict.name(), reason: verdict.reason(), vip, backend };
            line.write(&mut **json).map_err(ReplayError::Json)?;
        }
        self.summary.count(verdict);
        Ok(())
    }

    fn sweep_until(&mut self, ticks: u64) {
        let lines = self.pipeline.connections().line_count();
        for (at, lines) in sweeps(self.swept_ticks, ticks, lines) {
            if self.pipeline.connections().is_empty() && self.pipeline.nat().sessions().is_empty() {
                break;
            }
            self.pipeline.sweep(&self.tables, at, lines);
        }
        self.swept_ticks = ticks;
    }
}

/// Names of the VIP and of the backend of a frame, as far as they are known.
fn name<'n>(
    tables: &Tables,
    names: &'n Names,
    verdict: Verdict,
    frame: &[u8],
) -> (Option<&'n str>, Option<&'n str>) {
    match verdict {
        Verdict::Forward(record) | Verdict::Split(record, _) => match tables.owner(record) {
            Some(owner) => (names.vip(owner), names.backend(owner)),
            None => (None, None),
        },
        // A dropped frame is unchanged, so it still tells whom it was for.
        Verdict::Drop(_) => {
            let service = match headers::parse(frame, PortFilter::ANY) {
                Ok((_, key)) => tables.service(key.destination, key.destination_port, key.protocol),
                Err(NoFlow::Fragment(fragment)) => tables.service_at(fragment.datagram.destination),
                Err(NoFlow::Icmp(message)) => tables.service_at(message.destination),
                Err(_) => None,
            };
            (service.and_then(|service| names.vips.get(usize::from(service))).map(String::as_str), None)
        }
        Verdict::Return(_) | Verdict::Answer(_) | Verdict::Hold(_) | Verdict::Punt(_) => (None, None),
    }
}

#[cfg(test)]
mod tests;
