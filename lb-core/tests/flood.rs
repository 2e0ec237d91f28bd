//! A flood of ten million SYNs through the whole pipeline, with clock and sweep as a worker has them: the
//! connections that were there before keep their entries.
//!
//! Before the flood half of the backends are drained. A drained backend gets no new flow, so a connection of one
//! stays where it is by its entry alone: without it, Maglev would move it, and the test would see that.

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use lb_core::clock::Tick;
use lb_core::conn::ConnTable;
use lb_core::counters::WorkerCounters;
use lb_core::headers::PortFilter;
use lb_core::hw::Level;
use lb_core::packet::Buffer;
use lb_core::pipeline::{BURST_MAX, Pipeline};
use lb_core::spec::{BackendState, Mode};
use lb_core::tables::Tables;
use lb_core::verdict::{RecordIndex, Verdict};
use std::sync::Arc;
use traffic::{Flow, Numbers, Source, TCP_ACK, outer_source};

const TCP_SYN: u8 = 0x02;
const ESTABLISHED: u32 = 100_000;
const SYNS: u32 = 10_000_000;
/// `forwarding.connections.per_worker` if nobody says otherwise.
const ENTRIES: usize = 1_048_576;
/// Of 1,000 connections, so many must keep their entries.
const KEPT_PER_MILLE: u64 = 999;

/// The worker's housekeeping: every so many turns, and a whole sweep in so many nanoseconds.
const HOUSEKEEPING_TURNS: u64 = 256;
const SWEEP_NANOS: u64 = 8_000_000_000;
const SWEEP_LINES_MAX: u64 = 2_048;

/// A worker without its I/O: bursts go in one after the other, time passes as they come.
struct Worker {
    pipeline: Pipeline,
    burst: Vec<Buffer>,
    nanos_per_packet: u64,
    nanos: u64,
    swept_until: u64,
    turns: u64,
}

impl Worker {
    fn new(tables: &Tables, nanos_per_packet: u64) -> Self {
        let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
        let pipeline = Pipeline::new(ConnTable::with_capacity(ENTRIES), counters, Level::detect());
        let burst = vec![Buffer::default(); BURST_MAX];
        Self { pipeline, burst, nanos_per_packet, nanos: 0, swept_until: 0, turns: 0 }
    }

    /// One turn of the loop. `write` makes the packets.
    fn turn(&mut self, tables: &Tables, mut write: impl FnMut(usize, &mut Buffer)) -> &[Verdict] {
        self.burst.iter_mut().enumerate().for_each(|(at, buffer)| write(at, buffer));
        self.nanos += self.nanos_per_packet * BURST_MAX as u64;
        self.turns += 1;
        let now = Tick::from_nanos(self.nanos);
        if self.turns.is_multiple_of(HOUSEKEEPING_TURNS) {
            let lines = self.pipeline.connections().line_count() as u64;
            let due = (self.nanos - self.swept_until) * lines / SWEEP_NANOS;
            self.swept_until = self.nanos;
            self.pipeline.sweep(tables, now, due.min(SWEEP_LINES_MAX) as usize);
        }
        self.pipeline.process(tables, &PortFilter::ANY, now, &mut self.burst)
    }

    /// One packet of every established flow; where each went.
    fn everybody(&mut self, tables: &Tables, source: &Source) -> Vec<RecordIndex> {
        let mut records = Vec::with_capacity(ESTABLISHED as usize);
        for first in (0..ESTABLISHED).step_by(BURST_MAX) {
            let verdicts = self.turn(tables, |at, buffer| source.write(buffer, client(first + at as u32)));
            records.extend(verdicts.iter().map(|verdict| match verdict {
                Verdict::Forward(record) => *record,
                other => panic!("a packet of an established flow became {other:?}"),
            }));
        }
        // The last burst had flows beyond the last; they are established too and nobody asks for them.
        records.truncate(ESTABLISHED as usize);
        records
    }

    fn hits(&self) -> u64 {
        self.pipeline.counters().hits.get()
    }

    fn forwarded(&self) -> u64 {
        self.pipeline.counters().records.iter().map(|record| record.packets.get()).sum()
    }
}

fn client(number: u32) -> Flow {
    Flow { number, is_v6: number.is_multiple_of(5) }
}

fn tables(state: fn(usize) -> BackendState) -> Tables {
    traffic::tables(Mode::Ipip { source: outer_source(false) }, false, state)
}

fn flood(syns_per_second: u64) {
    let before = tables(|_| BackendState::Active);
    let half = |index| if index % 2 == 0 { BackendState::Drain } else { BackendState::Active };
    let during = tables(half);
    let mut worker = Worker::new(&before, 1_000_000_000 / syns_per_second);
    let (syn, ack) = (Source::new(TCP_SYN), Source::new(TCP_ACK));
    worker.everybody(&before, &syn);
    let home = worker.everybody(&before, &ack);

    // In every burst one packet is of a connection, in turn, so that none of them idles into its timeout; the others
    // are SYNs that never come again.
    let (mut numbers, mut stranger) = (Numbers(31), 1 << 24);
    let (hits, forwarded, turns) = (worker.hits(), worker.forwarded(), worker.turns);
    for turn in 0.. {
        if stranger >= (1 << 24) + SYNS {
            break;
        }
        let place = numbers.next() as usize % BURST_MAX;
        worker.turn(&during, |at, buffer| {
            if at == place {
                ack.write(buffer, client(turn % ESTABLISHED));
            } else {
                syn.write(buffer, Flow { number: stranger, is_v6: stranger.is_multiple_of(5) });
                stranger += 1;
            }
        });
    }
    let turns = worker.turns - turns;
    let counters = Arc::clone(worker.pipeline.counters());
    assert_eq!(worker.forwarded() - forwarded, turns * BURST_MAX as u64, "a full table drops nobody");
    let hits = worker.hits() - hits;
    let (evicted, expired, refused) =
        (counters.evictions.get(), counters.expirations.get(), counters.refusals.get());
    eprintln!("{hits} of {turns} packets of connections hit during the flood");
    eprintln!(
        "{evicted} evicted, {expired} expired, {refused} refused; load {} entries",
        worker.pipeline.connections().len()
    );
    assert!(hits * 1_000 >= turns * KEPT_PER_MILLE, "{hits} of {turns} packets of connections hit");
    assert!(
        evicted + expired > u64::from(SYNS) / 2,
        "that was no flood: {evicted} evicted, {expired} expired"
    );

    let hits = worker.hits();
    let after = worker.everybody(&during, &ack);
    let kept = worker.hits() - hits;
    let packets = u64::from(ESTABLISHED).next_multiple_of(BURST_MAX as u64);
    let stayed = home.iter().zip(&after).filter(|(before, after)| before == after).count() as u64;
    eprintln!("{kept} of {packets} kept their entries, {stayed} of {ESTABLISHED} their backends");
    assert!(kept * 1_000 >= packets * KEPT_PER_MILLE, "{kept} of {packets} kept their entries");
    assert!(stayed * 1_000 >= u64::from(ESTABLISHED) * KEPT_PER_MILLE, "{stayed} kept their backends");
}

/// One second: nothing times out, the table fills to the last place.
#[test]
fn established_flows_survive_ten_million_syns_in_a_second() {
    flood(10_000_000);
}

/// Seven minutes: embryonic entries also time out and are swept while others come.
#[test]
fn established_flows_survive_ten_million_syns_in_seven_minutes() {
    flood(24_000);
}
