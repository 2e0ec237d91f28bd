//! What the Maglev paper promises and known defects of other tables, tested from outside.
//!
//! Sections refer to "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016).

use lb_core::maglev::{
    MaglevError, MaglevSeed, MaglevTable, Member, Permutation, SIZE_MAX, is_prime, primes_near,
};
use proptest::prelude::*;
use proptest::sample::select;

const PRIMES: [u32; 8] = [2, 7, 31, 251, 1021, 4093, 16381, 65537];

fn identities(count: u32) -> Vec<[u8; 4]> {
    (0..count).map(|index| (0x0a01_0000 + index).to_be_bytes()).collect()
}

fn equal(identities: &[[u8; 4]]) -> Vec<Member<'_>> {
    identities.iter().map(|identity| Member { identity, weight: 1 }).collect()
}

fn weighted<'a>(identities: &'a [[u8; 4]], weight: impl Fn(usize) -> u32) -> Vec<Member<'a>> {
    let members = identities.iter().enumerate();
    members.map(|(index, identity)| Member { identity, weight: weight(index) }).collect()
}

#[test]
fn table_1_of_the_paper() {
    let permutations = [(3, 4), (0, 2), (3, 1)].map(|(offset, skip)| Permutation { offset, skip });
    let before = MaglevTable::from_permutations(7, &permutations, &[1, 1, 1]).unwrap();
    assert_eq!(before.slots(), [1, 0, 1, 0, 2, 2, 0], "B2 B1 B2 B1 B3 B3 B1");
    let after = MaglevTable::from_permutations(7, &permutations, &[1, 0, 1]).unwrap();
    assert_eq!(after.slots(), [0, 0, 0, 0, 2, 2, 2], "B1 B1 B1 B1 B3 B3 B3");
    assert_eq!(after.shares(), [4, 0, 3]);
    // The table of permutations printed left of it.
    let columns = permutations.map(|permutation| permutation.walk(7).collect::<Vec<_>>());
    assert_eq!(columns[0], [3, 0, 4, 1, 5, 2, 6]);
    assert_eq!(columns[1], [0, 2, 4, 6, 1, 3, 5]);
    assert_eq!(columns[2], [3, 4, 5, 6, 0, 1, 2]);
}

proptest! {
    #[test]
    fn every_walk_visits_every_slot_once(
        seed: u128, identity in prop::collection::vec(any::<u8>(), 0..40), size in select(&PRIMES[..]),
    ) {
        let mut walk: Vec<u32> = MaglevSeed::from(seed).permutation(&identity, size).walk(size).collect();
        walk.sort_unstable();
        prop_assert!(walk.into_iter().eq(0..size));
    }

    #[test]
    fn equal_weights_share_the_slots_to_within_one(
        seed: u128, size in select(&PRIMES[..]), count in 1..200_u32, weight in 1..=u32::MAX,
    ) {
        let identities = identities(count.min(size));
        let members = weighted(&identities, |_| weight);
        let shares = MaglevTable::build(seed.into(), size, &members).unwrap().shares();
        prop_assert_eq!(shares.iter().sum::<u32>(), size);
        prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
    }

    #[test]
    fn the_order_given_decides_nothing_but_the_ordinals(
        seed: u128,
        given in prop::collection::hash_map(any::<[u8; 4]>(), 0..5_u32, 1..30),
        (order, size) in (Just((0..30).collect::<Vec<usize>>()).prop_shuffle(), select(&PRIMES[2..6])),
    ) {
        let straight: Vec<Member<'_>> =
            given.iter().map(|(identity, &weight)| Member { identity, weight }).collect();
        let shuffled: Vec<Member<'_>> =
            order.iter().filter_map(|index| straight.get(*index)).copied().collect();
        let one = MaglevTable::build(seed.into(), size, &straight).unwrap();
        let other = MaglevTable::build(seed.into(), size, &shuffled).unwrap();
        let owners = |table: &MaglevTable, members: &[Member<'_>]| -> Vec<Vec<u8>> {
            table.slots().iter().map(|ordinal| members[usize::from(*ordinal)].identity.to_vec()).collect()
        };
        prop_assert_eq!(owners(&one, &straight), owners(&other, &shuffled));
        prop_assert_eq!(one.digest(&straight), other.digest(&shuffled));
    }
}

#[test]
fn shares_at_the_papers_sizes() {
    // FIELD D1.4: 65537 / 458 = 143.09 and 65537 / 1000 = 65.5.
    for (count, low, high) in [(458, 143, 144), (1000, 65, 66)] {
        let identities = identities(count);
        let shares = MaglevTable::build(MaglevSeed::from(3), 65_537, &equal(&identities)).unwrap().shares();
        assert_eq!((shares.iter().min(), shares.iter().max()), (Some(&low), Some(&high)));
    }
}

/// FIELD D6: `offset + j * skip` in 32 bits wraps for a table of 655373 slots and visits only some of them.
#[test]
fn the_walk_of_the_large_table_does_not_wrap() {
    let size = 655_373;
    let permutation = Permutation { offset: 655_372, skip: 655_371 };
    let mut wrapping = vec![false; size as usize];
    let mut ours = wrapping.clone();
    for (j, slot) in permutation.walk(size).enumerate() {
        let j = j as u32;
        wrapping[(permutation.offset.wrapping_add(j.wrapping_mul(permutation.skip)) % size) as usize] = true;
        ours[slot as usize] = true;
        let expected =
            (u64::from(permutation.offset) + u64::from(j) * u64::from(permutation.skip)) % u64::from(size);
        assert_eq!(u64::from(slot), expected);
    }
    assert!(ours.iter().all(|seen| *seen));
    assert!(wrapping.iter().any(|seen| !seen), "the hazard would be no hazard");
}

/// FIELD D4. The shares follow from the turns alone, so the figures hold for every seed.
#[test]
fn weighted_shares_are_as_exact_as_known() {
    for (count, heavy, worst_percent) in
        [(100, 2, 0.21), (100, 10, 0.13), (1000, 2, 1.58), (1000, 10, 7.69), (10, 100, 0.60), (2, 10, 0.0015)]
    {
        let identities = identities(count);
        let members = weighted(&identities, |index| if index % 2 == 0 { 1 } else { heavy });
        let table = MaglevTable::build(MaglevSeed::from(1), 65_537, &members).unwrap();
        let total: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
        let errors = table.shares().into_iter().zip(&members).map(|(share, member)| {
            let ideal = 65_537.0 * f64::from(member.weight) / total;
            (f64::from(share) - ideal).abs() / ideal * 100.0
        });
        let worst = errors.fold(0.0, f64::max);
        assert!((worst - worst_percent).abs() <= 0.006, "N={count} 1:{heavy}: {worst:.4} %");
        let thinnest = table.thinnest_share(&members);
        assert_eq!(thinnest, table.shares().into_iter().min());
    }
}

#[test]
fn only_ratios_of_weights_matter() {
    let identities = identities(20);
    let build = |factor: u32| {
        let members = weighted(&identities, |index| (index as u32 % 7) * factor);
        MaglevTable::build(MaglevSeed::from(8), 4093, &members).unwrap()
    };
    assert_eq!(build(1), build(100));
    assert_eq!(build(1), build(u32::MAX / 7));
}

/// Every slot is hit by the hashes from ceil(slot * 2^32 / size) on and by no other: checked at both ends of
/// each.
#[test]
fn multiply_shift_gives_every_slot_its_part_of_the_hashes() {
    let identities = identities(50);
    for size in [7, 251, 65_537, 655_373] {
        let members = equal(&identities[..7.min(size as usize)]);
        let table = MaglevTable::build(MaglevSeed::from(4), size, &members).unwrap();
        let first_hash = |slot: u32| (u64::from(slot) << 32).div_ceil(u64::from(size));
        for slot in 0..size {
            let (first, last) = (first_hash(slot), first_hash(slot + 1) - 1);
            assert!((1_u64 << 32) / u64::from(size) <= last - first + 1);
            assert!(last - first < (1_u64 << 32).div_ceil(u64::from(size)));
            for hash in [first, last] {
                assert_eq!(table.slot_of(hash as u32), slot);
                assert_eq!(table.lookup(hash as u32), Some(table.slots()[slot as usize]));
            }
        }
    }
}

#[test]
fn the_digest_tells_tables_apart() {
    let identities = identities(12);
    let base = equal(&identities[..10]);
    let build = |seed: u128, size, members: &[Member<'_>]| {
        MaglevTable::build(MaglevSeed::from(seed), size, members).unwrap().digest(members)
    };
    let digest = build(1, 1021, &base);
    assert_eq!(digest, build(1, 1021, &base));
    let mut other_weight = base.clone();
    other_weight[3].weight = 2;
    let mut other_identity = base.clone();
    other_identity[3].identity = &identities[11];
    let mut seen = vec![digest];
    seen.push(build(2, 1021, &base));
    seen.push(build(1, 1019, &base));
    seen.push(build(1, 1021, &base[..9]));
    seen.push(build(1, 1021, &equal(&identities[..11])));
    seen.push(build(1, 1021, &other_weight));
    seen.push(build(1, 1021, &other_identity));
    seen.push(build(1, 1021, &[]));
    seen.push(build(1, 1019, &[]));
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all, "two different tables have one digest");
    // A member that owns nothing is no part of the table.
    let mut idle = base.clone();
    idle.push(Member { identity: &identities[11], weight: 0 });
    assert_eq!(build(1, 1021, &idle), digest);
}

#[test]
fn nobody_with_weight_makes_an_empty_table() {
    let identities = identities(3);
    for members in [Vec::new(), weighted(&identities, |_| 0)] {
        let table = MaglevTable::build(MaglevSeed::from(1), 7, &members).unwrap();
        assert!(table.is_empty());
        assert_eq!((table.size(), table.slots().len(), table.lookup(0)), (7, 0, None));
        assert_eq!(table.lookup(u32::MAX), None);
        assert_eq!(table.shares(), vec![0; members.len()]);
        assert_eq!(table.thinnest_share(&members), None);
    }
}

#[test]
fn a_single_member_owns_everything_at_every_small_size() {
    for size in [2, 3, 5, 7] {
        let members = [Member { identity: b"", weight: 3 }];
        let table = MaglevTable::build(MaglevSeed::from(1), size, &members).unwrap();
        assert_eq!(table.slots(), vec![0; size as usize]);
    }
}

#[test]
fn refusals_are_typed_and_say_what_to_do() {
    let identities = identities(65_536);
    let members = equal(&identities);
    let refuse =
        |size, members: &[Member<'_>]| MaglevTable::build(MaglevSeed::from(1), size, members).unwrap_err();
    for size in [0, 1, 4, 65_536] {
        assert_eq!(refuse(size, &members[..1]), MaglevError::NotPrime { size });
    }
    assert_eq!(
        refuse(65_536, &members[..1]).to_string(),
        "table size 65536 is not a prime number (nearest: 65521 and 65537)"
    );
    assert_eq!(refuse(16_777_259, &[]), MaglevError::TooLarge { size: 16_777_259 });
    assert!(is_prime(SIZE_MAX));
    assert_eq!(refuse(7, &members[..8]), MaglevError::TooSmall { size: 7, takers: 8 });
    assert_eq!(refuse(65_537, &members), MaglevError::TooManyMembers { members: 65_536 });
    assert!(MaglevTable::build(MaglevSeed::from(1), 65_537, &members[..65_535]).is_ok());

    let mut twins = members[..3].to_vec();
    twins[2] = Member { weight: 0, ..twins[0] };
    assert_eq!(refuse(7, &twins), MaglevError::DuplicateIdentity { first: 0, second: 2 });

    for (offset, skip) in [(7, 1), (0, 0), (0, 7)] {
        let permutations = [Permutation { offset: 0, skip: 1 }, Permutation { offset, skip }];
        let refusal = MaglevTable::from_permutations(7, &permutations, &[1, 1]).unwrap_err();
        assert_eq!(refusal, MaglevError::BadPermutation { ordinal: 1 });
    }
    let permutations = [Permutation { offset: 0, skip: 1 }];
    assert_eq!(
        MaglevTable::from_permutations(7, &permutations, &[1, 1]).unwrap_err(),
        MaglevError::LengthsDiffer { permutations: 1, weights: 2 }
    );
}

#[test]
fn the_seed_is_not_printed() {
    assert_eq!(format!("{:?}", MaglevSeed::from(0x0123_4567)), "MaglevSeed(..)");
}

#[test]
fn primes_agree_with_a_sieve() {
    let mut prime = vec![true; 70_000];
    prime[..2].fill(false);
    for number in 2..prime.len() {
        if prime[number] {
            prime.iter_mut().skip(2 * number).step_by(number).for_each(|multiple| *multiple = false);
        }
    }
    for (number, expected) in prime.iter().enumerate() {
        assert_eq!(is_prime(number as u32), *expected, "{number}");
    }
    assert!(is_prime(655_373) && is_prime(10_000_019) && is_prime(4_294_967_291));
    // 65521 squared has no smaller factor; the other one has several.
    assert!(!is_prime(4_293_001_441) && !is_prime(u32::MAX));
    assert_eq!(primes_near(65_536), (Some(65_521), Some(65_537)));
    assert_eq!(primes_near(65_537), (Some(65_521), Some(65_539)));
    assert_eq!(primes_near(0), (None, Some(2)));
    assert_eq!(primes_near(2), (None, Some(3)));
    assert_eq!(primes_near(u32::MAX), (Some(4_294_967_291), None));
}
