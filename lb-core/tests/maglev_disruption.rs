//! How much a change of the backends disturbs: the figures measured independently before this code existed.
//!
//! FIELD D2 (1000 backends, k fail at once), D3 (one removed or added), D4 (a heavy one drains). "Collateral"
//! slots move between two backends that are healthy before and after. The tolerances are wide against the
//! spread over seeds and narrow against any mistake in the permutations.

use std::collections::BTreeSet;

use lb_core::maglev::{Disruption, MaglevError, MaglevSeed, MaglevTable, Member, disruption};

fn identities(count: u32) -> Vec<[u8; 4]> {
    (0..count).map(|index| (0x0a01_0000 + index).to_be_bytes()).collect()
}

fn equal(identities: &[[u8; 4]]) -> Vec<Member<'_>> {
    identities.iter().map(|identity| Member { identity, weight: 1 }).collect()
}

fn build(seed: u64, size: u32, members: &[Member<'_>]) -> MaglevTable {
    MaglevTable::build(MaglevSeed::from(u128::from(seed)), size, members)
        .expect("a prime and distinct identities")
}

/// SplitMix64: any number will do, as long as it is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

fn percent(slots: u64, trials: u32, size: u32) -> f64 {
    slots as f64 * 100.0 / f64::from(trials) / f64::from(size)
}

/// Averages of (changed, collateral) in percent of the table when `failed` of 1000 backends fail at once.
fn failures(size: u32, failed: usize, trials: u32) -> (f64, f64) {
    let identities = identities(1000);
    let mut numbers = Numbers(failed as u64);
    let (mut changed, mut collateral) = (0, 0);
    for seed in 0..trials {
        let before = equal(&identities);
        let mut after = before.clone();
        let mut down = BTreeSet::new();
        while down.len() < failed {
            down.insert(numbers.below(1000));
        }
        for &ordinal in &down {
            after[ordinal].weight = 0;
        }
        let seed = u64::from(seed);
        let tables = (build(seed, size, &before), build(seed, size, &after));
        let moved = disruption((&tables.0, &before), (&tables.1, &after)).expect("one size");
        changed += u64::from(moved.changed);
        collateral += u64::from(moved.collateral);
    }
    (percent(changed, trials, size), percent(collateral, trials, size))
}

#[test]
fn failures_of_1000_backends_in_the_small_table() {
    for (failed, changed, collateral) in [
        (1, 0.680, 0.580),
        (2, 1.205, 1.005),
        (5, 2.354, 1.854),
        (10, 3.401, 2.401),
        (20, 4.715, 2.715),
        (50, 8.328, 3.328),
        (100, 13.621, 3.621),
    ] {
        let seen = failures(65_537, failed, 12);
        eprintln!("65537 slots, {failed} failed: changed {:.3} %, collateral {:.3} %", seen.0, seen.1);
        assert!((seen.0 - changed).abs() <= 0.15, "changed {:.3} %, known {changed} %", seen.0);
        assert!((seen.1 - collateral).abs() <= 0.15, "collateral {:.3} %, known {collateral} %", seen.1);
    }
}

#[test]
fn failures_of_1000_backends_in_the_large_table() {
    for (failed, changed, collateral) in [(1, 0.430, 0.330), (10, 1.582, 0.582), (50, 5.910, 0.910)] {
        let seen = failures(655_373, failed, 4);
        eprintln!("655373 slots, {failed} failed: changed {:.3} %, collateral {:.3} %", seen.0, seen.1);
        assert!((seen.0 - changed).abs() <= 0.05, "changed {:.3} %, known {changed} %", seen.0);
        assert!((seen.1 - collateral).abs() <= 0.05, "collateral {:.3} %, known {collateral} %", seen.1);
    }
}

#[test]
fn one_backend_removed_or_added() {
    for (size, count, removal, addition) in [
        (16_381, 10, 0.540, 0.567),
        (16_381, 100, 1.309, 1.356),
        (16_381, 200, 1.677, 1.673),
        (16_381, 1000, 0.593, 0.579),
        (65_537, 10, 0.249, 0.241),
        (65_537, 100, 0.563, 0.568),
        (65_537, 458, 0.925, 0.926),
        (65_537, 1000, 0.583, 0.566),
    ] {
        let identities = identities(count + 1);
        let all = equal(&identities);
        let (mut removed, mut added) = (0, 0);
        // Few backends need many seeds: see "The tail" in docs/maglev.md.
        let trials = if count == 10 { 600 } else { 40 };
        for seed in 0..trials {
            let seed = u64::from(seed) + 1000;
            let (fewer, base) = (&all[..count as usize - 1], &all[..count as usize]);
            let tables = [fewer, base, &all].map(|members| build(seed, size, members));
            removed += u64::from(disruption((&tables[1], base), (&tables[0], fewer)).unwrap().collateral);
            added += u64::from(disruption((&tables[1], base), (&tables[2], &all)).unwrap().collateral);
        }
        let seen = (percent(removed, trials, size), percent(added, trials, size));
        eprintln!("{size} slots, {count} backends: removal {:.3} %, addition {:.3} %", seen.0, seen.1);
        assert!((seen.0 - removal).abs() <= 0.10, "removal {:.3} %, known {removal} %", seen.0);
        assert!((seen.1 - addition).abs() <= 0.10, "addition {:.3} %, known {addition} %", seen.1);
    }
}

#[test]
fn one_heavy_backend_drains() {
    for (count, heavy, known) in
        [(100, 2, 0.600), (100, 10, 0.647), (1000, 2, 0.729), (1000, 10, 0.946), (2, 10, 0.0)]
    {
        let identities = identities(count);
        let before: Vec<Member<'_>> = (0..)
            .zip(&identities)
            .map(|(index, identity)| Member { identity, weight: if index % 2 == 0 { 1 } else { heavy } })
            .collect();
        let mut after = before.clone();
        after[1].weight = 0;
        let trials = 20;
        let collateral = (0..trials).map(|seed| {
            let seed = u64::from(seed);
            let tables = (build(seed, 65_537, &before), build(seed, 65_537, &after));
            u64::from(disruption((&tables.0, &before), (&tables.1, &after)).unwrap().collateral)
        });
        let seen = percent(collateral.sum(), trials, 65_537);
        eprintln!("{count} backends 1:{heavy}: collateral {seen:.3} %");
        assert!((seen - known).abs() <= 0.10, "{seen:.3} %, known {known} %");
    }
}

#[test]
fn slots_are_compared_by_identity_not_by_ordinal() {
    let identities = identities(5);
    let before = equal(&identities);
    let mut after = before.clone();
    after.reverse();
    let tables = (build(1, 251, &before), build(1, 251, &after));
    assert_ne!(tables.0.slots(), tables.1.slots());
    let moved = disruption((&tables.0, &before), (&tables.1, &after)).unwrap();
    assert_eq!(moved, Disruption { size: 251, changed: 0, collateral: 0, unavoidable: 0 });
}

#[test]
fn leaving_the_list_and_losing_the_weight_are_one_and_the_same() {
    let identities = identities(5);
    let before = equal(&identities);
    let gone = &before[1..];
    let mut drained = before.clone();
    drained[0].weight = 0;
    let table = build(1, 251, &before);
    let (without, with) = (build(1, 251, gone), build(1, 251, &drained));
    let moved = disruption((&table, &before), (&without, gone)).unwrap();
    assert_eq!(moved, disruption((&table, &before), (&with, &drained)).unwrap());
    let lost = table.shares()[0];
    assert_eq!(moved.unavoidable, lost);
    assert_eq!(moved.changed, lost + moved.collateral);
    assert!((moved.excess_ratio() - f64::from(moved.collateral) / 251.0).abs() < 1e-9);
}

#[test]
fn the_last_backend_leaves_and_the_first_one_comes() {
    let identities = identities(1);
    let one = equal(&identities);
    let (full, empty) = (build(1, 251, &one), build(1, 251, &[]));
    let whole = Disruption { size: 251, changed: 251, collateral: 0, unavoidable: 251 };
    assert_eq!(disruption((&full, &one), (&empty, &[])).unwrap(), whole);
    assert_eq!(disruption((&empty, &[]), (&full, &one)).unwrap(), whole);
    assert_eq!(disruption((&empty, &[]), (&empty, &[])).unwrap().changed, 0);
}

#[test]
fn tables_of_different_sizes_are_not_compared() {
    let sizes = (build(1, 251, &[]), build(1, 509, &[]));
    let refusal = disruption((&sizes.0, &[]), (&sizes.1, &[])).unwrap_err();
    assert_eq!(refusal, MaglevError::SizesDiffer { before: 251, after: 509 });
}
