//! The figures: for programs as JSON, for people as a few lines.

use super::settings::{Settings, name};
use super::statistics::{Samples, Summary};
use super::tally::Tally;
use lb_core::hw::Level;
use serde::Serialize;
use std::fmt;

const KIB: u64 = 1 << 10;
const PAGE_BYTES: u64 = 4 * KIB;
const HUGE_PAGE_BYTES: u64 = crate::arena::HUGE_PAGE_LEN as u64;

/// What one worker measured. Samples are nanoseconds per packet.
#[derive(Clone, Debug)]
pub(super) struct WorkerResult {
    pub(super) source: Samples,
    pub(super) macswap: Samples,
    pub(super) pipeline: Samples,
    pub(super) instructions: Result<f64, String>,
    pub(super) tally: Tally,
    /// Packets sent to the pipeline while it was measured.
    pub(super) packets: u64,
    pub(super) sample_packets: usize,
    pub(super) entries: usize,
    pub(super) capacity: usize,
    pub(super) table_bytes: usize,
    /// Of the table; `None` if the kernel does not tell.
    pub(super) huge_bytes: Option<usize>,
    pub(super) cpu: Option<u32>,
}

/// What `guideway bench` prints; the fields are the keys of the JSON (docs/bench.md).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Nanoseconds per packet on each worker, the quietest sample: source memory without, dpdk with the source.
    pub ns_min: f64,
    /// The same, median of the samples.
    pub ns_median: f64,
    /// Million packets per second of all workers, at `ns_min`.
    pub mpps: f64,
    /// Nanoseconds per packet of a MAC swap on the same source, the quietest sample.
    pub macswap_ns_min: f64,
    /// The same, median.
    pub macswap_ns_median: f64,
    /// Nanoseconds per packet of the source alone, the quietest sample.
    pub source_ns_min: f64,
    /// The same, median.
    pub source_ns_median: f64,
    /// `ns_min` over `macswap_ns_min`.
    pub ratio: f64,
    /// Instructions per packet of the pipeline, if they can be counted here.
    pub instructions_per_packet: Option<f64>,
    /// Why they cannot.
    pub instructions_reason: Option<String>,
    /// `--flows`.
    pub flows: u64,
    /// Entries in the connection tables of all workers after the measurement.
    pub entries: usize,
    /// Entries that fit into them.
    pub capacity: usize,
    /// `entries` over `capacity`.
    pub load: f64,
    /// Memory of the tables.
    pub table_bytes: usize,
    /// `table_bytes` over `entries`.
    pub bytes_per_flow: f64,
    /// Page size of most of the table's memory, bytes; null if the kernel does not tell.
    pub page_bytes: Option<u64>,
    /// Packets through the pipeline while it was measured; all were forwarded.
    pub packets: u64,
    /// Those of them that had an entry.
    pub hits: u64,
    /// New entries.
    pub insertions: u64,
    /// Entries pushed out by new ones before their time.
    pub evicted: u64,
    /// Packets of flows that found no room, and were forwarded by hash alone.
    pub refused: u64,
    /// Entries that had timed out.
    pub expired: u64,
    /// `--mix`.
    pub mix: String,
    /// `--family`.
    pub family: String,
    /// Share of IPv6 packets, percent.
    pub v6_percent: u8,
    /// `--encap`.
    pub encap: String,
    /// `--outer`.
    pub outer: String,
    /// `--source`.
    pub source: String,
    /// `--size`.
    pub size: u16,
    /// `--burst`.
    pub burst: u8,
    /// `--workers`.
    pub workers: u8,
    /// `--vips`.
    pub vips: u16,
    /// `--backends`.
    pub backends: u16,
    /// `--seed`.
    pub seed: u64,
    /// `--seconds`.
    pub seconds: f64,
    /// Samples of each side.
    pub samples: usize,
    /// Packets of one sample.
    pub sample_packets: usize,
    /// Instruction set of the pipeline.
    pub level: &'static str,
    /// CPU of each worker; null where threads cannot be pinned.
    pub cpus: Vec<Option<u32>>,
    /// True if Ctrl-C ended it early.
    pub is_interrupted: bool,
}

impl Report {
    /// # Errors
    /// If the workers' counters do not bear out what was measured, or nothing was.
    pub(super) fn new(
        settings: &Settings,
        workers: &[WorkerResult],
        is_interrupted: bool,
    ) -> Result<Self, String> {
        let nothing = || "interrupted before anything was measured".to_owned();
        let summary = |side: fn(&WorkerResult) -> &Samples| -> Result<Summary, String> {
            let sides: Vec<&Samples> = workers.iter().map(side).collect();
            Samples::mean(&sides).summary().ok_or_else(nothing)
        };
        let pipeline = summary(|worker| &worker.pipeline)?;
        let macswap = summary(|worker| &worker.macswap)?;
        let source = summary(|worker| &worker.source)?;
        for worker in workers {
            worker.tally.verify(settings.mix, worker.packets)?;
        }
        let first = workers.first().ok_or_else(nothing)?;
        let tally = workers.iter().map(|worker| worker.tally).fold(Tally::default(), Tally::plus);
        let total = |count: fn(&WorkerResult) -> usize| workers.iter().map(count).sum::<usize>();
        let (entries, capacity) = (total(|worker| worker.entries), total(|worker| worker.capacity));
        let table_bytes = total(|worker| worker.table_bytes);
        let huge_bytes = workers.iter().map(|worker| worker.huge_bytes).sum::<Option<usize>>();
        Ok(Self {
            ns_min: pipeline.min,
            ns_median: pipeline.median,
            mpps: f64::from(settings.workers) * 1_000.0 / pipeline.min,
            macswap_ns_min: macswap.min,
            macswap_ns_median: macswap.median,
            source_ns_min: source.min,
            source_ns_median: source.median,
            ratio: pipeline.min / macswap.min,
            instructions_per_packet: first.instructions.as_ref().ok().copied(),
            instructions_reason: first.instructions.as_ref().err().cloned(),
            flows: settings.flows,
            entries,
            capacity,
            load: entries as f64 / capacity as f64,
            table_bytes,
            bytes_per_flow: table_bytes as f64 / entries as f64,
            page_bytes: huge_bytes
                .map(|huge| if huge * 2 > table_bytes { HUGE_PAGE_BYTES } else { PAGE_BYTES }),
            packets: tally.received,
            hits: tally.hits,
            insertions: tally.insertions,
            evicted: tally.evictions,
            refused: tally.refusals,
            expired: tally.expirations,
            mix: name(&settings.mix),
            family: name(&settings.family),
            v6_percent: settings.v6_share_percent(),
            encap: name(&settings.encap),
            outer: name(&settings.outer),
            source: name(&settings.source),
            size: settings.size,
            burst: settings.burst,
            workers: settings.workers,
            vips: settings.vips,
            backends: settings.backends,
            seed: settings.seed,
            seconds: settings.seconds,
            samples: first.pipeline.len(),
            sample_packets: first.sample_packets,
            level: Level::detect().name(),
            cpus: workers.iter().map(|worker| worker.cpu).collect(),
            is_interrupted,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mix, family, encap, outer, source, size, burst, workers, level, .. } = self;
        let workers = if *workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
        writeln!(
            out,
            "{encap} over {outer}, {family} clients, {size}-byte frames, {mix} mix, {source} source, bursts of {burst}"
        )?;
        let cpus: Vec<String> = self.cpus.iter().flatten().map(u32::to_string).collect();
        let cpus = if cpus.is_empty() { "not pinned".to_owned() } else { format!("CPU {}", cpus.join(", ")) };
        writeln!(
            out,
            "{workers} ({cpus}), {level}, {} samples of {} packets each, in turn",
            self.samples, self.sample_packets
        )?;
        let (min, median) = (self.ns_min, self.ns_median);
        writeln!(out, "  pipeline      {min:7.2} ns min {median:7.2} median  {:.1} Mpps", self.mpps)?;
        let (min, median) = (self.macswap_ns_min, self.macswap_ns_median);
        writeln!(out, "  MAC swap      {min:7.2} ns min {median:7.2} median  ratio {:.2}", self.ratio)?;
        let (min, median) = (self.source_ns_min, self.source_ns_median);
        writeln!(out, "  source alone  {min:7.2} ns min {median:7.2} median")?;
        match (self.instructions_per_packet, &self.instructions_reason) {
            (Some(count), _) => writeln!(out, "  instructions  {count:7.1} per packet")?,
            (None, reason) => {
                let reason = reason.as_deref().unwrap_or("unknown");
                writeln!(out, "  instructions  not countable here: {reason}")?;
            }
        }
        let pages = match self.page_bytes {
            Some(bytes) => format!("{} KiB pages", bytes / KIB),
            None => "pages of unknown size".to_owned(),
        };
        writeln!(
            out,
            "  table         {} flows in {} entries (load {:.2}), {} KiB on {pages}, {:.1} bytes per flow",
            self.entries,
            self.capacity,
            self.load,
            self.table_bytes as u64 / KIB,
            self.bytes_per_flow
        )?;
        write!(
            out,
            "  packets       {} forwarded, all of them: {} hits, {} insertions, {} evicted, {} refused, {} expired",
            self.packets, self.hits, self.insertions, self.evicted, self.refused, self.expired
        )
    }
}
