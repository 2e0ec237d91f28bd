//! Scenarios whose instructions per packet are held by `scripts/bench-instructions` (callgrind).
//!
//! `instructions NAME` warms a pipeline up and sends a fixed number of packets through it; callgrind counts
//! inside [`counted_by_callgrind`] alone, so neither warm-up nor the writing of frames is in the figure.
//! `instructions` without a name runs all of them once, `--list` names them. Every run checks that what it
//! counted is what its name says: a scenario of drops would be a cheap one.

#![expect(clippy::print_stdout, reason = "the script reads what is printed")]

mod traffic;

use lb_core::clock::Tick;
use lb_core::conn::ConnTable;
use lb_core::counters::{Counter, WorkerCounters};
use lb_core::headers::PortFilter;
use lb_core::hw::Level;
use lb_core::packet::Buffer;
use lb_core::pipeline::{BURST_MAX, Pipeline};
use lb_core::spec::{BackendState, GueVariant, Mode};
use lb_core::tables::Tables;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use traffic::{Flow, Numbers, Source, TCP_ACK, outer_source};

/// Packets counted: enough that one more or less of a rare path moves the figure by less than 0.1 %.
const PACKETS: usize = 1 << 16;
/// Flows and entries of a table that they fill to two thirds, so that some live in their other line.
const FLOWS: u32 = 16_384;
const ENTRIES: usize = 24_576;
const TCP_SYN: u8 = 0x02;
/// Buffers in circulation.
const BUFFERS: usize = 512;

/// What the counted packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Packets of established flows, drawn at random; so many of a hundred are IPv6.
    Hits { v6_percent: u64 },
    /// SYNs of flows never seen, into a table that has room for them.
    New,
    /// SYNs of flows never seen, into a table full of such flows.
    Flood,
}

struct Scenario {
    name: &'static str,
    mode: fn() -> Mode,
    /// Family of the outer header.
    is_outer_v6: bool,
    load: Load,
}

fn ipip() -> Mode {
    Mode::Ipip { source: outer_source(false) }
}

fn ipip6() -> Mode {
    Mode::Ipip { source: outer_source(true) }
}

fn gue() -> Mode {
    Mode::Gue { source: outer_source(false), port: 6080, variant: GueVariant::Header }
}

fn gue6() -> Mode {
    Mode::Gue { source: outer_source(true), port: 6080, variant: GueVariant::Header }
}

fn vxlan() -> Mode {
    Mode::Vxlan { source: outer_source(false), port: 4789, vni: 42, inner_mac: [2, 0, 0, 0, 0, 3] }
}

fn l2dsr() -> Mode {
    Mode::L2Dsr
}

const fn hits(name: &'static str, mode: fn() -> Mode, is_outer_v6: bool, v6_percent: u64) -> Scenario {
    Scenario { name, mode, is_outer_v6, load: Load::Hits { v6_percent } }
}

const SCENARIOS: [Scenario; 10] = [
    hits("hit-ipip-4in4", ipip, false, 0),
    hits("hit-ipip-6in4", ipip, false, 100),
    hits("hit-ipip-mix20", ipip, false, 20),
    hits("hit-ipip-6in6", ipip6, true, 100),
    hits("hit-gue-4in4", gue, false, 0),
    hits("hit-gue-4in6", gue6, true, 0),
    hits("hit-vxlan-4in4", vxlan, false, 0),
    hits("hit-l2dsr-v4", l2dsr, false, 0),
    Scenario { name: "new-ipip-4in4", mode: ipip, is_outer_v6: false, load: Load::New },
    Scenario { name: "flood-ipip-4in4", mode: ipip, is_outer_v6: false, load: Load::Flood },
];

/// The function that the script names to callgrind: it counts from its entry to its return.
#[inline(never)]
fn counted_by_callgrind(pipeline: &mut Pipeline, tables: &Tables, burst: &mut [Box<Buffer>]) -> usize {
    // Something is left to do after the call, so that it is no tail call, which callgrind would lose.
    black_box(pipeline.process(tables, &PortFilter::ANY, NOW, burst)).len()
}

const NOW: Tick = Tick(1);

/// A pipeline and the buffers that pass through it.
struct Run {
    tables: Tables,
    pipeline: Pipeline,
    #[expect(clippy::vec_box, reason = "packets are reached through a pointer, as mbufs are")]
    buffers: Vec<Box<Buffer>>,
    at: usize,
}

impl Run {
    fn new(scenario: &Scenario) -> Self {
        let tables = traffic::tables((scenario.mode)(), scenario.is_outer_v6, |_| BackendState::Active);
        let entries = if scenario.load == Load::New { PACKETS * 3 / 2 } else { ENTRIES };
        let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
        let pipeline = Pipeline::new(ConnTable::with_capacity(entries), counters, Level::detect());
        Self { tables, pipeline, buffers: vec![Box::default(); BUFFERS], at: 0 }
    }

    /// Sends the packets of `flows` through the pipeline, in whole bursts.
    fn send(&mut self, source: &Source, mut flows: impl Iterator<Item = Flow>, is_counted: bool) {
        loop {
            self.at = (self.at + BURST_MAX) % BUFFERS;
            let burst = &mut self.buffers[self.at..self.at + BURST_MAX];
            for buffer in burst.iter_mut() {
                let Some(flow) = flows.next() else { return };
                source.write(buffer, flow);
            }
            if is_counted {
                black_box(counted_by_callgrind(&mut self.pipeline, &self.tables, burst));
            } else {
                black_box(self.pipeline.process(&self.tables, &PortFilter::ANY, NOW, burst));
            }
        }
    }

    fn forwarded(&self) -> u64 {
        self.pipeline.counters().records.iter().map(|record| record.packets.get()).sum()
    }
}

/// Flow `index` of the established ones; the share of IPv6 is spread over the numbers.
fn established(index: u32, v6_percent: u64) -> Flow {
    Flow { number: index, is_v6: Numbers(u64::from(index)).next() % 100 < v6_percent }
}

fn strangers(from: u32, count: usize) -> impl Iterator<Item = Flow> {
    (from..from + count as u32).map(|number| Flow { number, is_v6: false })
}

/// Runs one scenario; an error says what its packets did instead of what they should.
fn run(scenario: &Scenario) -> Result<(), String> {
    let mut run = Run::new(scenario);
    let counters = Arc::clone(run.pipeline.counters());
    let (syn, ack) = (Source::new(TCP_SYN), Source::new(TCP_ACK));
    // The counter that must go up by one with every packet.
    let witness: &Counter = match scenario.load {
        Load::Hits { .. } => &counters.hits,
        Load::New => &counters.insertions,
        Load::Flood => &counters.evictions,
    };
    match scenario.load {
        // The first packet makes the entry, the second establishes it, the third is plain.
        Load::Hits { v6_percent } => {
            for _ in 0..3 {
                run.send(&ack, (0..FLOWS).map(|index| established(index, v6_percent)), false);
            }
        }
        Load::New => {}
        // Eighteen for each line of six: the last free place is gone.
        Load::Flood => run.send(&syn, strangers(1 << 24, 3 * ENTRIES), false),
    }
    let (forwarded, witnessed) = (run.forwarded(), witness.get());
    match scenario.load {
        Load::Hits { v6_percent } => {
            let mut numbers = Numbers(3);
            let draw = |_| established(numbers.next() as u32 % FLOWS, v6_percent);
            run.send(&ack, (0..PACKETS).map(draw), true);
        }
        Load::New | Load::Flood => run.send(&syn, strangers(0, PACKETS), true),
    }
    let (forwarded, witnessed) = (run.forwarded() - forwarded, witness.get() - witnessed);
    let name = scenario.name;
    if forwarded != PACKETS as u64 {
        return Err(format!("{name}: {forwarded} of {PACKETS} packets were forwarded; all must be"));
    }
    if witnessed * 1000 < PACKETS as u64 * 999 {
        let load = scenario.load;
        return Err(format!("{name}: only {witnessed} of {PACKETS} packets were what {load:?} means"));
    }
    println!("{name} packets {PACKETS} level {}", run.pipeline.level().name());
    Ok(())
}

fn main() -> ExitCode {
    // `cargo bench` adds --bench.
    let asked: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    if asked == ["--list"] {
        SCENARIOS.iter().for_each(|scenario| println!("{}", scenario.name));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = asked.iter().find(|one| SCENARIOS.iter().all(|known| known.name != **one)) {
        eprintln!("instructions: there is no scenario {unknown}; --list names them");
        return ExitCode::from(2);
    }
    let chosen =
        SCENARIOS.iter().filter(|scenario| asked.is_empty() || asked.iter().any(|one| one == scenario.name));
    for scenario in chosen {
        if let Err(problem) = run(scenario) {
            eprintln!("instructions: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
