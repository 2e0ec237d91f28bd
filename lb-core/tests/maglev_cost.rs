//! What a reload of many pools costs in tables. The figure is printed; the limit only catches a lost order of magnitude,
//! because machines and profiles differ.

use std::time::{Duration, Instant};

use lb_core::maglev::{MaglevTable, Member, SIZE_DEFAULT};

const TABLES: u32 = 100;
const BACKENDS: u32 = 10;
const LIMIT: Duration = Duration::from_millis(20);

fn cost(weight: impl Fn(u32) -> u32) -> Duration {
    let seed = 0x6775_6964_6577_6179_0001_u128.into();
    let start = Instant::now();
    for pool in 0..TABLES {
        let identities: Vec<[u8; 4]> =
            (0..BACKENDS).map(|index| (0x0a00_0000 + pool * 256 + index).to_be_bytes()).collect();
        let members: Vec<Member<'_>> = identities
            .iter()
            .zip(0..)
            .map(|(identity, index)| Member { identity, weight: weight(index) })
            .collect();
        let table =
            MaglevTable::build(seed, SIZE_DEFAULT, &members).expect("a prime and distinct identities");
        assert!(!table.is_empty());
    }
    start.elapsed() / TABLES
}

#[test]
fn a_thousand_pools_of_ten_backends() {
    let (even, uneven) = (cost(|_| 100), cost(|index| 64 * 64 * (100 + 7 * index)));
    eprintln!("{SIZE_DEFAULT} slots, {BACKENDS} backends: {even:?} per table, {uneven:?} with weights");
    assert!(even < LIMIT && uneven < LIMIT, "{even:?}, {uneven:?}");
}
