//! The miss path's tables: VIP look-up, Maglev look-up and build.

use crate::traffic::{BACKENDS, Numbers};
use criterion::{BenchmarkId, Criterion, Throughput};
use lb_core::maglev::{MaglevSeed, MaglevTable, Member};
use lb_core::service::ServiceTable;
use lb_core::service::layers::Ports;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

const SIZES: [u32; 2] = [65_537, 655_373];
/// Questions per iteration.
const ASKED: usize = 1 << 12;

pub(crate) fn stages(criterion: &mut Criterion) {
    vips(criterion);
    maglev(criterion);
}

fn vip(index: u32) -> IpAddr {
    Ipv4Addr::from(0xcb00_7100 + index).into()
}

fn vips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("VIP look-up");
    group.throughput(Throughput::Elements(ASKED as u64));
    for count in [1u32, 10, 100, 1_000, 10_000] {
        let mut table = ServiceTable::with_capacity(count as usize);
        for index in 0..count {
            table.insert(vip(index).into(), Ports::One(443), 6, index as u16).expect("each address once");
        }
        let mut numbers = Numbers(21);
        let asked: Vec<IpAddr> = (0..ASKED).map(|_| vip(numbers.next() as u32 % count)).collect();
        for (name, port, is_known) in [("hit", 443, true), ("miss", 444, false)] {
            group.bench_function(BenchmarkId::new(name, format!("{count} VIPs")), |bench| {
                bench.iter(|| {
                    let found = asked.iter().filter(|vip| table.find(**vip, port, 6).is_some()).count();
                    assert_eq!(black_box(found), if is_known { ASKED } else { 0 });
                });
            });
        }
    }
    group.finish();
}

fn maglev(criterion: &mut Criterion) {
    let identities: Vec<[u8; 4]> =
        (0..BACKENDS as u32).map(|index| (0x0a01_0000 + index).to_be_bytes()).collect();
    let members = |spread: u32| -> Vec<Member<'_>> {
        let numbered = identities.iter().enumerate();
        numbered.map(|(index, identity)| Member { identity, weight: index as u32 % spread + 1 }).collect()
    };
    let mut group = criterion.benchmark_group("Maglev build");
    group.sample_size(10);
    for size in SIZES {
        for (name, spread) in [("equal weights", 1), ("weights 1 to 100", 100)] {
            let members = members(spread);
            group.bench_function(BenchmarkId::new(name, size), |bench| {
                bench.iter(|| MaglevTable::build(MaglevSeed::from(7), size, &members).expect("a prime size"));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("Maglev look-up");
    group.throughput(Throughput::Elements(ASKED as u64));
    let mut numbers = Numbers(22);
    let asked: Vec<u32> = (0..ASKED).map(|_| numbers.next() as u32).collect();
    for size in SIZES {
        let table = MaglevTable::build(MaglevSeed::from(7), size, &members(1)).expect("a prime size");
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            bench.iter(|| asked.iter().filter_map(|hash| table.lookup(*hash)).map(u64::from).sum::<u64>());
        });
    }
    group.finish();
}
