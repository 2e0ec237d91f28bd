//! The connection table: look-ups that hit and miss, insertion, eviction, sweep; by size and load.

use crate::traffic::Numbers;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use lb_core::clock::{Tick, Timeouts};
use lb_core::conn::{Class, ConnTable};
use lb_core::hw::{self, Isa, Kernel, LINE_ENTRIES, Level};
use std::hint::black_box;

/// Tables of 128 KiB, 8 MiB and 128 MiB: second-level cache, third, memory.
const LINES: [usize; 3] = [1 << 11, 1 << 17, 1 << 21];
const LOADS_PERCENT: [usize; 3] = [40, 80, 95];
const BURST: usize = 64;
/// Tags asked for in turn, so many that they come from all over the table.
const ASKED: usize = 1 << 18;

pub(crate) fn stages(criterion: &mut Criterion) {
    look_ups(criterion);
    insertions(criterion);
    evictions(criterion);
    sweeps(criterion);
}

/// An established flow in every place that `load_percent` asks for, and their tags.
fn filled(lines: usize, load_percent: usize, class: Class) -> (ConnTable, Vec<u64>) {
    let mut table = ConnTable::with_capacity(lines * LINE_ENTRIES);
    let mut numbers = Numbers(11);
    let mut tags = Vec::new();
    let wanted = lines * LINE_ENTRIES * load_percent / 100;
    while table.len() < wanted {
        let (tag, before) = (numbers.next(), table.len());
        table.insert(tag, (tag >> 54) as u16, class, Tick(0), &Timeouts::default());
        if table.len() > before {
            tags.push(tag);
        }
    }
    (table, tags)
}

/// A burst of look-ups as the pipeline makes them: prefetch all home lines, then look.
struct LookUps<'a> {
    table: &'a ConnTable,
    tags: &'a [u64; BURST],
}

impl Kernel for LookUps<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        self.tags.iter().for_each(|tag| self.table.prefetch_far(*tag));
        self.tags.iter().filter(|tag| self.table.find(isa, **tag).is_some()).count()
    }
}

fn look_ups(criterion: &mut Criterion) {
    let level = Level::detect();
    let mut group = criterion.benchmark_group("look-up");
    group.throughput(Throughput::Elements(BURST as u64));
    for lines in LINES {
        for load in LOADS_PERCENT {
            let (table, tags) = filled(lines, load, Class::Established);
            let mut numbers = Numbers(12);
            let hits: Vec<u64> =
                (0..ASKED).map(|_| tags[(numbers.next() % tags.len() as u64) as usize]).collect();
            let misses: Vec<u64> = (0..ASKED).map(|_| numbers.next()).collect();
            for (name, asked, expected) in [("hit", hits, BURST), ("miss", misses, 0)] {
                let mut bursts = asked.as_chunks::<BURST>().0.iter().cycle();
                let id = BenchmarkId::new(name, format!("{} entries at {load} %", lines * LINE_ENTRIES));
                group.bench_function(id, |bench| {
                    bench.iter(|| {
                        let tags = bursts.next().expect("an endless cycle");
                        let found = hw::run(level, LookUps { table: &table, tags });
                        assert_eq!(black_box(found), expected, "{name}");
                    });
                });
            }
        }
    }
    group.finish();
}

/// Into an empty table until it is two thirds full.
fn insertions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert");
    for lines in [LINES[0], LINES[1]] {
        let count = lines * LINE_ENTRIES * 2 / 3;
        group.throughput(Throughput::Elements(count as u64));
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("into free places", format!("{count} flows")), |bench| {
            bench.iter_batched_ref(
                || ConnTable::with_capacity(lines * LINE_ENTRIES),
                |table| {
                    let mut numbers = Numbers(13);
                    for _ in 0..count {
                        table.insert(numbers.next(), 1, Class::Embryonic, Tick(0), &Timeouts::default());
                    }
                    assert!(table.len() * 1_000 >= count * 999, "{} of {count} went in", table.len());
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Onto a table that is full of embryonic flows: what a SYN flood costs in the end. One after the other and
/// without the pipeline's prefetch.
fn evictions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("evict");
    group.throughput(Throughput::Elements(BURST as u64));
    for lines in LINES {
        let (mut table, _) = filled(lines, 99, Class::Embryonic);
        let mut numbers = Numbers(14);
        group.bench_function(BenchmarkId::from_parameter(format!("{} entries", table.capacity())), |bench| {
            bench.iter(|| {
                for _ in 0..BURST {
                    let tag = numbers.next();
                    black_box(table.insert(tag, 1, Class::Embryonic, Tick(1), &Timeouts::default()));
                }
            });
        });
    }
    group.finish();
}

/// Per line, nothing to remove: what the worker does all the time.
fn sweeps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    group.throughput(Throughput::Elements(BURST as u64));
    for lines in LINES {
        let (mut table, tags) = filled(lines, 80, Class::Established);
        group.bench_function(BenchmarkId::from_parameter(format!("{lines} lines")), |bench| {
            bench.iter(|| {
                table.sweep(BURST, Tick(1), &Timeouts::default(), |record| record == u16::MAX, |_| {});
            });
        });
        assert_eq!(table.len(), tags.len(), "nothing was due");
    }
    group.finish();
}
