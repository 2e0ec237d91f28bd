//! The flow hash: fixed vectors, agreement of the levels, avalanche and uniformity.

use super::*;
use crate::wire::PROTOCOL_TCP;
use proptest::prelude::*;

fn key(source: &str, destination: &str, source_port: u16, destination_port: u16) -> FlowKey {
    FlowKey {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port,
        destination_port,
        protocol: PROTOCOL_TCP,
    }
}

fn flow(index: u32) -> FlowKey {
    let mut flow = key("198.51.100.7", "203.0.113.10", 1024 + (index % 60_000) as u16, 443);
    flow.source = IpAddr::from((0x0a00_0000 + index / 60_000).to_be_bytes());
    flow
}

/// Pearson's statistic against a flat distribution, and 5 sigma above what chance gives.
fn assert_uniform(counts: &[u32], what: &str) {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    let chi2: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
    let freedom = counts.len() as f64 - 1.0;
    let limit = 5.0 * (2.0 * freedom).sqrt();
    assert!((chi2 - freedom).abs() < limit, "{what}: chi2 {chi2:.0} of {freedom} degrees");
}

/// These bits are a promise to the fleet: a failure here means that FLOW_HASH_VERSION must change.
#[test]
fn vectors_of_the_specification() {
    let hasher = FlowHasher::new(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
    let v4 = hasher.hash_portable(&key("198.51.100.7", "203.0.113.10", 40_000, 443));
    let v6 = hasher.hash_portable(&key("2001:db8::7", "2001:db8:cafe::10", 40_000, 443));
    let spec = include_str!("../../../docs/flow-hash.md");
    for hash in [v4, v6] {
        let row = format!("`{:016x}` | `{:016x}`", hash.tag, hash.spread);
        assert!(spec.contains(&row), "docs/flow-hash.md has no vector {row}");
    }
}

#[test]
fn lines_slots_and_entropy_are_uniform_over_sequential_flows() {
    let hasher = FlowHasher::new(42);
    let level = Level::detect();
    let mut lines = vec![0; 4096];
    let mut fingerprints = vec![0; 4096];
    let mut slots = vec![0; 4099];
    let mut entropy = vec![0; 1 << 14];
    for index in 0..400_000 {
        let hash = hasher.hash(level, &flow(index));
        lines[(hash.tag & 0xfff) as usize] += 1;
        fingerprints[(hash.tag >> 52) as usize] += 1;
        slots[((u64::from(hash.maglev()) * 4099) >> 32) as usize] += 1;
        entropy[(hash.entropy() & 0x3fff) as usize] += 1;
    }
    assert_uniform(&lines, "table lines");
    assert_uniform(&fingerprints, "fingerprints");
    assert_uniform(&slots, "Maglev slots");
    assert_uniform(&entropy, "UDP source ports");
}

#[test]
fn every_input_bit_flips_half_of_the_output() {
    let hasher = FlowHasher::new(7);
    for bit in 0..128 {
        let mut flipped = 0;
        let samples = 200;
        for sample in 0..samples {
            let mut block = [0u8; 16];
            block[..4].copy_from_slice(&(sample as u32).wrapping_mul(0x9e37_79b9).to_be_bytes());
            let keys = hasher.loaded(Portable);
            let (mut before, mut after) = (FlowHash::default(), FlowHash::default());
            keys.v6(&block, &block, [0; 4], 6, &mut before);
            let mut other = block;
            other[bit / 8] ^= 1 << (bit % 8);
            keys.v6(&other, &block, [0; 4], 6, &mut after);
            flipped += (before.tag ^ after.tag).count_ones() + (before.spread ^ after.spread).count_ones();
        }
        let share = f64::from(flipped) / f64::from(samples * 128);
        assert!((0.47..0.53).contains(&share), "source bit {bit} flips {share:.3} of the output");
    }
}

#[test]
fn the_seed_changes_everything() {
    let flow = flow(1);
    let (a, b) = (FlowHasher::new(1).hash_portable(&flow), FlowHasher::new(2).hash_portable(&flow));
    assert_ne!(a.tag, b.tag);
    assert_ne!(a.spread, b.spread);
}

proptest! {
    #[test]
    fn all_levels_agree(
        seed in any::<u128>(),
        source in any::<[u8; 16]>(),
        destination in any::<[u8; 16]>(),
        ports in any::<(u16, u16)>(),
        protocol in any::<u8>(),
        is_v6 in any::<bool>(),
    ) {
        let address = |bytes: [u8; 16]| -> IpAddr {
            if is_v6 { bytes.into() } else { <[u8; 4]>::try_from(&bytes[..4]).unwrap().into() }
        };
        let key = FlowKey {
            source: address(source),
            destination: address(destination),
            source_port: ports.0,
            destination_port: ports.1,
            protocol,
        };
        let hasher = FlowHasher::new(seed);
        for level in Level::all() {
            prop_assert_eq!(hasher.hash(level, &key), hasher.hash_portable(&key));
        }
    }
}
