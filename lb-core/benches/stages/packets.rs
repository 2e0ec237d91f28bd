//! Parse, hash, checksum and the header edits, over bursts of small frames.

use crate::traffic::{self, Flow, Source, TCP_ACK, outer_source};
use criterion::{BenchmarkId, Criterion, Throughput};
use lb_core::checksum;
use lb_core::encap;
use lb_core::flow::FlowKey;
use lb_core::hash::{FlowHash, FlowHasher};
use lb_core::headers::{self, Headers, PortFilter};
use lb_core::hw::Level;
use lb_core::packet::{Buffer, Packet};
use lb_core::record::RecordTail;
use lb_core::spec::{BackendState, GueVariant, Mode};
use lb_core::verdict::RecordIndex;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Frames in circulation, as many as a pipeline sees before the first comes again.
const FRAMES: u32 = 512;

pub(crate) fn stages(criterion: &mut Criterion) {
    parse(criterion);
    hash(criterion);
    edit(criterion);
    checksums(criterion);
}

fn flows(is_v6: bool) -> impl Iterator<Item = Flow> {
    (0..FRAMES).map(move |number| Flow { number: number << 8, is_v6 })
}

fn frames(is_v6: bool) -> Vec<Buffer> {
    let source = Source::new(TCP_ACK);
    let frame = |flow| {
        let mut buffer = Buffer::default();
        source.write(&mut buffer, flow);
        buffer
    };
    flows(is_v6).map(frame).collect()
}

fn parsed(frame: &[u8]) -> (Headers, FlowKey) {
    headers::parse(frame, PortFilter::ANY).expect("a frame of the source has a flow")
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(FRAMES.into()));
    for (name, is_v6) in [("v4", false), ("v6", true)] {
        let frames = frames(is_v6);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                for frame in &frames {
                    black_box(parsed(black_box(frame.frame())));
                }
            });
        });
    }
    group.finish();
}

/// One hash at a time, round keys loaded for each: the dearest way to use it. In the pipeline they are loaded
/// once per burst.
fn hash(criterion: &mut Criterion) {
    let hasher = FlowHasher::new(7);
    let level = Level::detect();
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Elements(FRAMES.into()));
    for (family, is_v6) in [("v4", false), ("v6", true)] {
        let keys: Vec<FlowKey> = frames(is_v6).iter().map(|frame| parsed(frame.frame()).1).collect();
        group.bench_function(BenchmarkId::new(family, level.name()), |bench| {
            bench.iter(|| keys.iter().for_each(|key| _ = black_box(hasher.hash(level, black_box(key)))));
        });
        group.bench_function(BenchmarkId::new(family, "plain Rust"), |bench| {
            bench.iter(|| keys.iter().for_each(|key| _ = black_box(hasher.hash_portable(black_box(key)))));
        });
    }
    group.finish();
}

/// All modes, with both outer families where there is one.
fn modes() -> Vec<(String, Mode, bool)> {
    let mut modes = vec![("l2dsr".to_string(), Mode::L2Dsr, false)];
    for (family, is_v6) in [("v4", false), ("v6", true)] {
        let source = outer_source(is_v6);
        let gue = |variant| Mode::Gue { source, port: 6080, variant };
        let vxlan = Mode::Vxlan { source, port: 4789, vni: 42, inner_mac: [2, 0, 0, 0, 0, 3] };
        modes.push((format!("ipip outer {family}"), Mode::Ipip { source }, is_v6));
        modes.push((format!("gue outer {family}"), gue(GueVariant::Header), is_v6));
        modes.push((format!("gue-direct outer {family}"), gue(GueVariant::Direct), is_v6));
        modes.push((format!("vxlan outer {family}"), vxlan, is_v6));
    }
    modes
}

/// The header edit alone, of IPv4 packets. The frames are written again outside of the timed part.
fn edit(criterion: &mut Criterion) {
    let source = Source::new(TCP_ACK);
    let hasher = FlowHasher::new(7);
    let mut group = criterion.benchmark_group("edit");
    group.throughput(Throughput::Elements(FRAMES.into()));
    for (name, mode, is_outer_v6) in modes() {
        let tables = traffic::tables(mode, is_outer_v6, |_| BackendState::Active);
        // The content of a VXLAN header does not change what writing it costs.
        let tail = RecordTail::default();
        let mut frames = frames(false);
        let summaries: Vec<(Headers, FlowHash, RecordIndex)> = frames
            .iter()
            .map(|frame| {
                let (headers, key) = parsed(frame.frame());
                let hash = hasher.hash_portable(&key);
                (headers, hash, tables.select(0, hash).expect("the pool has backends"))
            })
            .collect();
        group.bench_function(&name, |bench| {
            bench.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    frames.iter_mut().zip(flows(false)).for_each(|(frame, flow)| source.write(frame, flow));
                    let start = Instant::now();
                    for (frame, (headers, hash, record)) in frames.iter_mut().zip(&summaries) {
                        let record = &tables.records()[usize::from(*record)];
                        let done = encap::apply(frame, headers, *hash, record, &tail);
                        assert_eq!(done, Ok(()), "the buffers have headroom");
                    }
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn checksums(criterion: &mut Criterion) {
    let bytes: Vec<u8> = (0..1_480u32).map(|at| (at * 7) as u8).collect();
    let mut group = criterion.benchmark_group("checksum");
    let header: [u8; 20] = *bytes.first_chunk().expect("there are more");
    group.bench_function("IPv4 header is valid", |bench| {
        bench.iter(|| checksum::ipv4_header_is_valid(black_box(&header)));
    });
    for len in [20, 40, 1_480] {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("sum of bytes", len), |bench| {
            bench.iter(|| checksum::sum(black_box(&bytes[..len])));
        });
    }
    group.finish();
}
