//! One worker of the benchmark: a pipeline, a source, and the three things that are timed in turn.

use super::clock::BenchClock;
use super::draw::Draw;
use super::meter::Meter;
use super::settings::{Mix, Settings};
use super::source::{BATCH_MAX, MemorySource, Source};
use super::tally::Tally;
use super::traffic::{Flow, Frames, PORT_MAC, Population};
use lb_core::conn::{ConnTable, Line};
use lb_core::counters::WorkerCounters;
use lb_core::headers::PortFilter;
use lb_core::hw::{LINE_ENTRIES, Level};
use lb_core::packet::Packet;
use lb_core::pipeline::Pipeline;
use lb_core::tables::Tables;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Batches of one sample: a fraction of a millisecond, shorter than a time slice.
const SAMPLE_BATCHES: usize = 16;
/// Packets, per line of the table, by which a flood has filled every line. How many flows call a line home is
/// Poisson distributed: at 100 per line, no line of any table has fewer than six.
const FLOOD_PER_LINE_MAX: u64 = 100;

/// What a sample measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The source alone.
    Source,
    /// The least that a forwarder does: two MAC addresses change places.
    MacSwap,
    /// The production pipeline.
    Pipeline,
}

/// See the module. `'t` is the memory of the connection table.
pub(super) struct Rig<'t, S> {
    source: S,
    pipeline: Pipeline<&'t mut [Line]>,
    tables: Arc<Tables>,
    frames: Frames,
    draw: Draw,
    flows: Vec<Flow>,
    batch: usize,
    clock: BenchClock,
}

/// Packets of a batch: whole bursts.
pub(super) fn batch_len(settings: &Settings) -> usize {
    let burst = usize::from(settings.burst);
    BATCH_MAX / burst * burst
}

impl<'t, S: Source> Rig<'t, S> {
    /// A rig whose table is `lines`, empty until [`Self::fill`].
    ///
    /// # Errors
    /// When there is no such traffic.
    pub(super) fn new(
        settings: &Settings,
        worker: usize,
        source: S,
        tables: Arc<Tables>,
        lines: &'t mut [Line],
    ) -> Result<Self, String> {
        let batch = batch_len(settings);
        let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
        Ok(Self {
            source,
            pipeline: Pipeline::new(ConnTable::new(lines), counters, Level::detect()),
            tables,
            frames: Frames::new(settings),
            draw: Draw::new(settings, worker)?,
            flows: vec![Flow::default(); SAMPLE_BATCHES * batch],
            batch,
            clock: BenchClock::new(settings, batch),
        })
    }

    /// Brings the table into the state that is to be measured, by packets through the pipeline.
    ///
    /// # Errors
    /// When that state is not reached.
    pub(super) fn fill(&mut self, settings: &Settings, stop: &AtomicBool) -> Result<(), String> {
        let mut memory = MemorySource::new(settings.burst.into());
        match settings.mix {
            Mix::Uniform | Mix::Zipf => self.fill_established(settings, &mut memory, stop),
            // Half as many again: then the first have timed out, and as many come as go.
            Mix::New => self.fill_fresh(&mut memory, stop, |sent, _| sent * 2 >= settings.flows * 3),
            Mix::Flood => {
                let capacity = self.pipeline.connections().capacity();
                let limit = capacity as u64 / LINE_ENTRIES as u64 * FLOOD_PER_LINE_MAX;
                self.fill_fresh(&mut memory, stop, |sent, entries| entries == capacity || sent > limit);
                let entries = self.pipeline.connections().len();
                if entries < capacity && !stop.load(Ordering::Relaxed) {
                    return Err(format!("the flood filled {entries} of {capacity} entries only: a defect"));
                }
            }
        }
        Ok(())
    }

    /// Every flow twice, so that its entry is an established one.
    fn fill_established(&mut self, settings: &Settings, memory: &mut MemorySource, stop: &AtomicBool) {
        let population = Population::new(settings);
        let mut flows = Vec::with_capacity(self.batch);
        let mut number = 0;
        while number < settings.flows && !stop.load(Ordering::Relaxed) {
            let end = settings.flows.min(number + self.batch as u64);
            flows.clear();
            flows.extend((number..end).map(|number| population.flow(number)));
            number = end;
            for _ in 0..2 {
                self.send(memory, &flows);
            }
        }
    }

    /// New flows until `is_done` with the number of packets sent and of entries in the table.
    fn fill_fresh(
        &mut self,
        memory: &mut MemorySource,
        stop: &AtomicBool,
        is_done: impl Fn(u64, usize) -> bool,
    ) {
        let mut flows = vec![Flow::default(); self.batch];
        let mut sent = 0;
        while !is_done(sent, self.pipeline.connections().len()) && !stop.load(Ordering::Relaxed) {
            self.draw.fill(&mut flows);
            self.send(memory, &flows);
            sent += flows.len() as u64;
        }
    }

    /// A batch through the pipeline that nobody times.
    fn send(&mut self, memory: &mut MemorySource, flows: &[Flow]) {
        let Self { pipeline, tables, frames, clock, .. } = self;
        let now = clock.before_batch(pipeline, tables);
        memory.batch(flows, frames, &mut Unmetered, |packets| {
            pipeline.process(tables, &FILTER, now, packets);
        });
    }

    /// Draws the flows of the next samples.
    pub(super) fn draw(&mut self) {
        self.draw.fill(&mut self.flows);
    }

    /// Packets of a sample.
    pub(super) fn sample_len(&self) -> usize {
        self.flows.len()
    }

    /// One sample of one side, over the flows drawn last.
    pub(super) fn sample(&mut self, side: Side, meter: &mut impl Meter) {
        let Self { source, pipeline, tables, frames, flows, batch, clock, .. } = self;
        for flows in flows.chunks(*batch) {
            match side {
                Side::Source => source.batch(flows, frames, meter, |packets| {
                    black_box(packets);
                }),
                Side::MacSwap => source.batch(flows, frames, meter, |packets| {
                    packets.iter_mut().for_each(swap_macs);
                }),
                Side::Pipeline => {
                    let now = clock.before_batch(pipeline, tables);
                    source.batch(flows, frames, meter, |packets| {
                        black_box(pipeline.process(tables, &FILTER, now, packets));
                    });
                }
            }
        }
    }

    /// Tells the clock how long the pipeline has been busy.
    pub(super) fn was_busy(&mut self, nanos: f64) {
        self.clock.was_busy(nanos);
    }

    /// The counters as they stand.
    pub(super) fn tally(&self) -> Tally {
        Tally::of(self.pipeline.counters())
    }

    /// Entries in the table, and how many fit.
    pub(super) fn entries(&self) -> (usize, usize) {
        let connections = self.pipeline.connections();
        (connections.len(), connections.capacity())
    }

    /// What went wrong with the source, if anything did.
    pub(super) fn fault(&self) -> Option<String> {
        self.source.fault()
    }
}

/// As in production, a port takes frames to its own MAC only.
const FILTER: PortFilter = PortFilter::new(PORT_MAC);

/// Measures nothing.
struct Unmetered;

impl Meter for Unmetered {
    fn start(&mut self) {}
    fn stop(&mut self) {}
}

#[inline(always)]
fn swap_macs(packet: &mut impl Packet) {
    if let Some(head) = packet.frame_mut().first_chunk_mut::<12>() {
        let old = *head;
        head[..6].copy_from_slice(&old[6..]);
        head[6..].copy_from_slice(&old[..6]);
    }
}

#[cfg(test)]
#[path = "rig/tests.rs"]
mod tests;
