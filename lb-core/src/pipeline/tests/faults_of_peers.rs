//! Faults that other balancers have or had (FIELD.md, A13): each as a test that we do not have it.

use super::*;
use crate::sample::{ACK, Extension, SYN};
use crate::spec::HashFields;
use std::collections::HashSet;

/// VPP reads ports at fixed offsets: IPv4 options and IPv6 extension headers give it garbage, so one flow may split.
#[test]
fn ports_are_read_where_they_are_whatever_stands_before_them() {
    let mut remembering = Lab::new();
    let mut forgetful = Lab::new();
    forgetful.change(|spec| spec.services[WEB].is_tracked = false);
    for client in 0..500u16 {
        let v4 = web(client.into(), ACK);
        let v6 =
            Sample::tcp(&format!("[2001:db8::{client:x}]:{}", 1024 + client), "[2001:db8:cafe::10]:443", ACK);
        let mut shapes = vec![v4.clone(), v4.clone().with(|one| one.options = vec![1; 4])];
        shapes.push(v4.clone().with(|one| one.options = vec![7, 39].into_iter().chain([0; 38]).collect()));
        shapes.push(v4.with(|one| one.tags = vec![(0x8100, 5)]));
        let mut shapes6 = vec![v6.clone()];
        for extension in [Extension::HopByHop(0), Extension::Destination(2), Extension::Fragment(0, false)] {
            shapes6.push(v6.clone().with(|one| one.extensions = vec![extension, Extension::Destination(0)]));
        }
        for shapes in [shapes, shapes6] {
            for lab in [&mut remembering, &mut forgetful] {
                let records: HashSet<_> = shapes.iter().map(|sample| lab.record(sample)).collect();
                assert_eq!(records.len(), 1, "{:?}", shapes[0]);
            }
        }
    }
    assert_eq!(remembering.pipeline.connections().len(), 1000, "and every flow has one entry");
}

/// VPP keys its entries by 32 bits of hash and the VIP: of a million flows about 116 pairs share one. Here the line and
/// the fingerprint in it are all 64 bits of the tag, so every bit of it tells flows apart.
#[test]
fn flows_whose_hashes_differ_in_one_bit_do_not_share_an_entry() {
    // 65,536 lines: home line and fingerprint are the whole tag.
    let mut table: ConnTable = ConnTable::with_capacity(350_000);
    for number in 1u64..200 {
        let tag = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        table.insert(tag, number as u16, crate::conn::Class::Established, Tick(0), &Timeouts::default());
        for bit in 0..64 {
            let other = table.find(hw::Portable, tag ^ 1 << bit);
            assert_eq!(other.map(|slot| table.record(slot)), None, "bit {bit} of {tag:016x}");
        }
        let own = table.find(hw::Portable, tag);
        assert_eq!(own.map(|slot| table.record(slot)), Some(number as u16));
    }
}

/// Katran, DPVS and IPVS hash with constants that anybody can read: who knows them can aim all flows at one backend.
/// Here whoever has found such flows for one seed has found nothing for another, for every kind of hash.
#[test]
fn flows_aimed_at_one_backend_scatter_under_another_seed() {
    let hashes = [HashFields::FiveTuple, HashFields::Source { ipv4: 32, ipv6: 128 }];
    for hash in hashes {
        let lab_of = |seed| {
            let mut spec = spec();
            spec.seed = seed;
            spec.services[WEB].selection.hash = hash;
            Lab::at_level(spec, 64, Level::detect())
        };
        let mut known = lab_of(0x5eed);
        let victim = known.record(&web(0, SYN));
        let aimed: Vec<u32> =
            (0..8_000).filter(|client| known.record(&web(*client, SYN)) == victim).collect();
        assert!(aimed.len() > 300, "{} flows", aimed.len());
        let mut secret = lab_of(0x5ec2e7);
        let hit = aimed.iter().filter(|client| secret.record(&web(**client, SYN)) == victim).count();
        // A tenth on the average, a fifth of the weight at most; half would be twenty deviations away.
        assert!(hit < aimed.len() / 2, "{hit} of {}", aimed.len());
    }
}

/// DPVS shifts weights to the right until their sum fits, so that small ones become equal.
#[test]
fn small_weights_keep_their_proportions_beside_large_ones() {
    let mut spec = spec();
    spec.maglev_size = 65_537;
    let weights = [10, 20, 30, 65_535, 65_535, 1, 2, 3, 4, 5];
    for (backend, weight) in spec.pools[0].backends.iter_mut().zip(weights) {
        backend.weight = weight;
    }
    let tables = Tables::build(&spec).unwrap();
    let sum: u32 = weights.iter().sum();
    for (ordinal, weight) in weights.into_iter().enumerate() {
        let slots =
            tables.maglev(0).unwrap().slots().iter().filter(|slot| usize::from(**slot) == ordinal).count();
        let wanted = f64::from(weight) / f64::from(sum) * 65_537.0;
        assert!(
            (slots as f64 - wanted).abs() <= 1.5 + wanted / 1000.0,
            "weight {weight}: {slots} slots of {wanted:.1}"
        );
    }
}

/// Katran and VPP's cnat multiply in 32 bits or compare in too few: tables of large sizes are then filled unevenly.
#[test]
fn the_largest_table_is_filled_as_evenly_as_a_small_one() {
    let mut spec = spec();
    spec.maglev_size = 10_000_019;
    spec.pools.truncate(1);
    spec.services.truncate(1);
    for backend in &mut spec.pools[0].backends {
        backend.weight = 7;
    }
    let tables = Tables::build(&spec).unwrap();
    let mut counts = vec![0u32; spec.pools[0].backends.len()];
    for slot in tables.maglev(0).unwrap().slots() {
        counts[usize::from(*slot)] += 1;
    }
    let share = spec.maglev_size / counts.len() as u32;
    assert!(counts.iter().all(|count| count.abs_diff(share) <= 2), "{counts:?}");
}
