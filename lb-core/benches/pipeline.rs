//! ns per packet of the whole pipeline in memory, against a MAC swap of the same packets.
//!
//! One core, interleaved samples of a few thousand packets in one process, so that noise hits both sides.
//! Packets are written outside of the clock, eight bursts at a time, so that they are warm as a NIC leaves them;
//! the minimum is the figure of merit (docs/performance.md). Run: `cargo bench -p lb-core --bench pipeline`.

#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use lb_core::clock::{Tick, Timeouts};
use lb_core::conn::ConnTable;
use lb_core::counters::WorkerCounters;
use lb_core::headers::PortFilter;
use lb_core::hw::Level;
use lb_core::packet::{Buffer, Packet};
use lb_core::pipeline::{BURST_MAX, Pipeline};
use lb_core::spec::{BackendSpec, BackendState, Egress, GueVariant, Mode, PoolSpec, ServiceSpec, Spec};
use lb_core::tables::Tables;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packet buffers in circulation: a ring and a mempool cache, not more, or they fall out of the cache.
const BUFFERS: usize = 512;
/// Times that all buffers are filled, without the clock, and then worked through, with it.
const ROUNDS_PER_SAMPLE: usize = 16;
const FRAME_LEN: usize = 60;

fn tables(mode: impl Fn(usize) -> Mode) -> Tables {
    let backends = (0..1000).map(|index: usize| BackendSpec {
        address: [10, 1, (index >> 8) as u8, index as u8].into(),
        weight: 1,
        state: BackendState::Active,
        egress: Egress {
            port: 0,
            mtu: 1500,
            source_mac: [2, 0, 0, 0, 0, 1],
            next_hop_mac: [2, 0, 0, 0, 0, 2],
        },
        mode: mode(index),
    });
    let service = ServiceSpec {
        addresses: vec!["203.0.113.10".parse().expect("literal"), "2001:db8::10".parse().expect("literal")],
        ports: vec![443],
        protocol: 6,
        pool: 0,
        is_tracked: true,
    };
    let spec = Spec {
        seed: 7,
        maglev_size: 65_537,
        timeouts: Timeouts::default(),
        pools: vec![PoolSpec { backends: backends.collect() }],
        services: vec![service],
    };
    Tables::build(&spec).expect("a valid specification")
}

/// The 60-byte TCP packet of flow `index`, IPv4 or IPv6 (74 bytes).
fn packet(index: u32, is_v6: bool) -> Vec<u8> {
    let mut bytes = vec![0; if is_v6 { 74 } else { FRAME_LEN }];
    bytes[0] = 2;
    let (address, port) = (0x0a00_0000 | index >> 12, 1024 + (index & 0xfff) as u16);
    let l4 = if is_v6 {
        bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
        bytes[14] = 0x60;
        bytes[19] = 20;
        bytes[20..22].copy_from_slice(&[6, 64]);
        bytes[34..38].copy_from_slice(&address.to_be_bytes());
        bytes[38..54]
            .copy_from_slice(&"2001:db8::10".parse::<std::net::Ipv6Addr>().expect("literal").octets());
        54
    } else {
        bytes[12..14].copy_from_slice(&[8, 0]);
        bytes[14] = 0x45;
        bytes[17] = 40;
        bytes[22..24].copy_from_slice(&[64, 6]);
        bytes[26..30].copy_from_slice(&address.to_be_bytes());
        bytes[30..34].copy_from_slice(&[203, 0, 113, 10]);
        let checksum = lb_core::checksum::finish(lb_core::checksum::sum(&bytes[14..34]));
        bytes[24..26].copy_from_slice(&checksum.to_be_bytes());
        34
    };
    bytes[l4..l4 + 2].copy_from_slice(&port.to_be_bytes());
    bytes[l4 + 2..l4 + 4].copy_from_slice(&443u16.to_be_bytes());
    bytes[l4 + 12] = 0x50;
    bytes[l4 + 13] = 0x10;
    bytes
}

/// A trace of flow numbers to draw from, and the buffers that their packets are written into. The trace is
/// compact and a packet is made from a template, so that the source leaves the caches to the pipeline.
struct Source {
    trace: Vec<u32>,
    templates: [Vec<u8>; 2],
    buffers: Vec<Box<Buffer>>,
    next: usize,
}

/// Flag of IPv6 flows in the trace.
const V6: u32 = 1 << 31;

impl Source {
    fn new(flows: u32, v6_percent: u32) -> Self {
        let mut state = 0x1234_5678_9abc_def0u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let trace = (0..1 << 20).map(|_| {
            let is_v6 = (random() >> 40) as u32 % 100 < v6_percent;
            ((random() >> 32) as u32 % flows) | if is_v6 { V6 } else { 0 }
        });
        let buffers = (0..BUFFERS).map(|_| Box::default()).collect();
        Self { trace: trace.collect(), templates: [packet(0, false), packet(0, true)], buffers, next: 0 }
    }

    /// Fills all buffers.
    fn fill(&mut self) {
        for buffer in &mut self.buffers {
            let flow = self.trace[self.next];
            self.next = (self.next + 1) & (self.trace.len() - 1);
            let is_v6 = flow & V6 != 0;
            let template = &self.templates[usize::from(is_v6)];
            let bytes = buffer.reset(template.len());
            bytes.copy_from_slice(template);
            let (client, port) = ((flow & !V6) >> 12, (flow & 0xfff) as u16);
            let (l4, address) = if is_v6 { (54, 34) } else { (34, 26) };
            bytes[address..address + 4].copy_from_slice(&(0x0a00_0000 | client).to_be_bytes());
            bytes[l4..l4 + 2].copy_from_slice(&(1024 + port).to_be_bytes());
            if !is_v6 {
                let old = u16::from_be_bytes([bytes[24], bytes[25]]);
                let sum = u64::from(!old) + u64::from(client >> 16) + u64::from(client & 0xffff);
                bytes[24..26].copy_from_slice(&lb_core::checksum::finish(sum).to_be_bytes());
            }
        }
    }

    /// Time that `work` takes over one sample of freshly written packets, burst by burst.
    fn time(&mut self, mut work: impl FnMut(&mut [Box<Buffer>])) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..ROUNDS_PER_SAMPLE {
            self.fill();
            let start = Instant::now();
            for burst in self.buffers.chunks_mut(BURST_MAX) {
                work(burst);
            }
            total += start.elapsed();
        }
        total
    }
}

fn swap_macs(frame: &mut Box<Buffer>) {
    let bytes = frame.frame_mut();
    let (destination, rest) = bytes.split_at_mut(6);
    destination.swap_with_slice(&mut rest[..6]);
}

/// How many samples: the second argument, or enough.
fn samples() -> usize {
    std::env::args().nth(2).and_then(|samples| samples.parse().ok()).unwrap_or(300)
}

fn measure(name: &str, flows: u32, v6_percent: u32, tables: &Tables) {
    let mut source = Source::new(flows, v6_percent);
    let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
    let table = ConnTable::with_capacity((flows as usize * 5 / 4).max(16_384));
    let mut pipeline = Pipeline::new(table, counters, Level::detect());
    let now = Tick(1);
    for _ in 0..2 * source.trace.len() / BUFFERS / ROUNDS_PER_SAMPLE {
        source.time(|burst| _ = black_box(pipeline.process(tables, PortFilter::ANY, now, burst)));
    }
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..samples() {
        floor.push(source.time(|burst| burst.iter_mut().for_each(swap_macs)));
        ours.push(source.time(|burst| _ = black_box(pipeline.process(tables, PortFilter::ANY, now, burst))));
    }
    let packets = (ROUNDS_PER_SAMPLE * BUFFERS) as f64;
    let nanos = |mut samples: Vec<Duration>| {
        samples.sort();
        let at = |index: usize| samples[index].as_nanos() as f64 / packets;
        (at(0), at(samples.len() / 2))
    };
    let (ours, floor) = (nanos(ours), nanos(floor));
    println!(
        "{name:28} {flows:9} flows  {:6.2} / {:6.2} ns   macswap {:5.2} / {:5.2}",
        ours.0, ours.1, floor.0, floor.1,
    );
}

fn main() {
    let v4 = "198.51.100.1".parse().expect("literal");
    let ipip = tables(|_| Mode::Ipip { source: v4 });
    println!("instructions: {}", Level::detect().name());
    let only = std::env::args().nth(1).and_then(|flows| flows.parse::<u32>().ok());
    if let Some(flows) = only {
        measure("ipip 4in4", flows, 0, &ipip);
        return;
    }
    for flows in [10_000, 1_000_000, 10_000_000] {
        measure("ipip 4in4", flows, 0, &ipip);
    }
    measure("ipip 6in4", 1_000_000, 100, &ipip);
    measure("ipip 20 % IPv6", 1_000_000, 20, &ipip);
    measure(
        "gue",
        1_000_000,
        0,
        &tables(|_| Mode::Gue { source: v4, port: 6080, variant: GueVariant::Header }),
    );
    let vxlan = |_| Mode::Vxlan { source: v4, port: 4789, vni: 42, inner_mac: [2, 0, 0, 0, 0, 3] };
    measure("vxlan", 1_000_000, 0, &tables(vxlan));
    measure("l2dsr", 1_000_000, 0, &tables(|_| Mode::L2Dsr));
}
