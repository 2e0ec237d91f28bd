//! The fast build against its obvious twin, and the small parts against arithmetic done another way.
//!
//! What only needs the public interface is in `lb-core/tests/maglev_*.rs`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::select;

use super::fill::{INDEX_MASK, steps_per_slot};
use super::permutation::step;
use super::{MaglevSeed, MaglevTable, Member, Permutation, SIZE_MAX, reference, turns};

const PRIMES: [u32; 14] = [2, 3, 5, 7, 11, 31, 61, 127, 251, 509, 1021, 2039, 4093, 16381];

fn identities(count: u32) -> Vec<[u8; 4]> {
    (0..count).map(|index| (0x0a01_0000 + index).to_be_bytes()).collect()
}

fn members<'a>(identities: &'a [[u8; 4]], weights: &[u32]) -> Vec<Member<'a>> {
    identities.iter().zip(weights).map(|(identity, &weight)| Member { identity, weight }).collect()
}

/// The table of `members` as the twin builds it; ordinals are those of `members`.
fn obvious(seed: MaglevSeed, size: u32, members: &[Member<'_>]) -> Vec<u16> {
    let mut takers: Vec<_> = members.iter().enumerate().filter(|(_, member)| member.weight > 0).collect();
    takers.sort_by_key(|(_, member)| member.identity);
    let takers: Vec<_> = takers
        .into_iter()
        .map(|(ordinal, member)| (ordinal as u16, seed.permutation(member.identity, size), member.weight))
        .collect();
    reference::slots(size, &takers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_build_equals_the_obvious_one(
        size in select(&PRIMES[..]),
        seed: u128,
        weights in prop::collection::vec(
            prop_oneof![3 => Just(100_u32), 2 => 0..4_u32, 2 => 1..200_u32, 1 => Just(4_000)],
            0..80,
        ),
    ) {
        let identities = identities(weights.len() as u32);
        let members = members(&identities, &weights);
        let takers = weights.iter().filter(|weight| **weight > 0).count();
        match MaglevTable::build(seed.into(), size, &members) {
            Ok(table) => prop_assert_eq!(table.slots(), obvious(seed.into(), size, &members)),
            Err(error) => prop_assert!(takers > size as usize, "{}", error),
        }
    }

    #[test]
    fn any_permutations_fill_as_the_obvious_build_does(
        size in select(&PRIMES[..]),
        parts in prop::collection::vec((any::<u32>(), any::<u32>(), 1..5_u32), 1..40),
    ) {
        let permutations: Vec<_> = parts
            .iter()
            .map(|part| Permutation { offset: part.0 % size, skip: part.1 % (size - 1).max(1) + 1 })
            .filter(|permutation| permutation.skip < size)
            .take(size as usize)
            .collect();
        let weights: Vec<u32> = parts.iter().take(permutations.len()).map(|part| part.2).collect();
        let takers: Vec<_> =
            (0_u16..).zip(&permutations).zip(&weights).map(|((n, p), w)| (n, *p, *w)).collect();
        let table = MaglevTable::from_permutations(size, &permutations, &weights).unwrap();
        prop_assert_eq!(table.slots(), reference::slots(size, &takers));
    }

    /// The tail never computes how many steps ahead a slot is; its stand-in must order them all the same.
    #[test]
    fn fractions_order_slots_as_steps_do(
        size in prop_oneof![Just(SIZE_MAX), Just(655_373), Just(65_537), Just(31)],
        (start, skip) in any::<(u32, u32)>(),
        (near, gap) in (any::<u32>(), prop_oneof![Just(1_u32), any::<u32>()]),
    ) {
        let (start, skip) = (start % size, skip % (size - 1) + 1);
        let near = near % (size - 1);
        let far = near + 1 + (gap - u32::from(gap > 0)) % (size - 1 - near);
        let distance = |steps: u32| {
            let at = (u64::from(start) + u64::from(steps) * u64::from(skip)) % u64::from(size);
            let fraction = steps_per_slot(skip, size);
            fraction.wrapping_mul(at).wrapping_sub(fraction.wrapping_mul(u64::from(start))) & !INDEX_MASK
        };
        prop_assert!(distance(near) < distance(far), "{near} and {far} steps");
        prop_assert_eq!(distance(0), 0);
        prop_assert!(distance(size - 1) >= distance(far));
    }

    #[test]
    fn the_schedule_is_the_credit_scheme_played_in_advance(
        weights in prop::collection::vec(prop_oneof![1..10_u32, 1..=u32::MAX], 1..20),
        size in 1..3000_u32,
    ) {
        let largest = u64::from(*weights.iter().max().unwrap());
        let mut credits = vec![0_u64; weights.len()];
        let mut played = Vec::new();
        while played.len() < size as usize {
            for (index, &weight) in weights.iter().enumerate() {
                credits[index] += u64::from(weight);
                if credits[index] >= largest {
                    credits[index] -= largest;
                    played.push(index as u16);
                }
            }
        }
        played.truncate(size as usize);
        prop_assert_eq!(turns::schedule(&weights, size), played);
    }
}

#[test]
fn the_fast_build_equals_the_obvious_one_at_the_papers_sizes() {
    for (size, count, spread) in [(65_537, 1000, 1), (65_537, 300, 7), (655_373, 1000, 1), (655_373, 50, 100)]
    {
        let identities = identities(count);
        let weights: Vec<u32> = (0..count).map(|index| index % spread + 1).collect();
        let members = members(&identities, &weights);
        let table = MaglevTable::build(MaglevSeed::from(5), size, &members).unwrap();
        assert!(table.slots() == obvious(MaglevSeed::from(5), size, &members), "{size} {count} {spread}");
    }
}

#[test]
fn as_many_members_as_slots_get_one_slot_each() {
    let size = 65_521;
    let identities = identities(size);
    let members = members(&identities, &vec![1; size as usize]);
    let table = MaglevTable::build(MaglevSeed::from(9), size, &members).unwrap();
    assert!(table.shares().iter().all(|share| *share == 1));
    assert_eq!(table.slots(), obvious(MaglevSeed::from(9), size, &members));
}

#[test]
fn extreme_weights_are_bounded_by_the_size_of_the_table() {
    // Asked round by round this would be 65537 rounds of 4000 members each.
    let identities = identities(4000);
    let mut weights = vec![1; 4000];
    weights[17] = u32::MAX;
    let table = MaglevTable::build(MaglevSeed::from(1), 65_537, &members(&identities, &weights)).unwrap();
    assert_eq!(table.shares()[17], 65_537);
    assert_eq!(table.thinnest_share(&members(&identities, &weights)), Some(0));
}

#[test]
fn a_step_is_an_addition_modulo_the_size() {
    let size = SIZE_MAX;
    for (at, skip) in [(0, 1), (size - 1, 1), (size - 1, size - 1), (size / 2, size / 2), (1, size - 1)] {
        assert_eq!(u64::from(step(at, skip, size)), (u64::from(at) + u64::from(skip)) % u64::from(size));
    }
}

/// Run with `cargo test --release -p lb-core --lib maglev -- --ignored --nocapture`; figures in
/// `docs/maglev.md`.
#[test]
#[ignore = "a measurement: prints build and lookup times, asserts nothing about them"]
fn speed() {
    for (size, repeats) in [(65_537, 300), (655_373, 30)] {
        for (name, spread) in [("equal weights", 1), ("weights 1..100", 100)] {
            let identities = identities(1000);
            let weights: Vec<u32> = (0..1000).map(|index| index % spread + 1).collect();
            let members = members(&identities, &weights);
            let seed = MaglevSeed::from(1);
            let fast = best(repeats, || drop(black_box(MaglevTable::build(seed, size, black_box(&members)))));
            let slow = best(3, || drop(black_box(obvious(seed, size, black_box(&members)))));
            let table = MaglevTable::build(seed, size, &members).unwrap();
            let digest = best(10, || {
                black_box(table.digest(&members));
            });
            eprintln!(
                "{size} slots, 1000 members, {name}: build {fast:?}, obvious {slow:?}, digest {digest:?}"
            );
            let lookups = 10_000_000_u32;
            let lookup = best(5, || {
                let mut sum = 0_u64;
                for hash in 0..lookups {
                    sum += u64::from(table.lookup(hash.wrapping_mul(0x9e37_79b9)).unwrap_or(0));
                }
                black_box(sum);
            });
            eprintln!("    lookup {:.2} ns", lookup.as_secs_f64() * 1e9 / f64::from(lookups));
        }
    }
}

fn best(repeats: u32, mut work: impl FnMut()) -> Duration {
    let timed = (0..repeats).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    timed.min().unwrap_or_default()
}
