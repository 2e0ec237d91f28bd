//! How evenly the flow hash spreads flows, and how surely it tells them apart: by Pearson's chi-square, over
//! clients whose addresses and ports are as regular as real ones.
//!
//! Beside the tests in `src/hash/tests.rs` and `src/conn/tests/crowd.rs`: every bit of the hash and every pair of
//! six-bit groups, both families, what is seen on the wire, and each bit of the fingerprint.

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use lb_core::clock::{Tick, Timeouts};
use lb_core::composition::{Composition, Form, Policy};
use lb_core::conn::{Class, ConnTable};
use lb_core::counters::WorkerCounters;
use lb_core::flow::FlowKey;
use lb_core::hash::{FlowHash, FlowHasher};
use lb_core::headers::PortFilter;
use lb_core::hw::{Level, Portable};
use lb_core::packet::{Buffer, Packet};
use lb_core::pipeline::{BURST_MAX, Pipeline};
use lb_core::spec::{BackendState, GueVariant, Mode};
use lb_core::verdict::Verdict;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use traffic::{Flow, Numbers, Source, TCP_ACK, outer_source};

const FLOWS: u32 = 300_000;

/// Pearson's statistic of `counts` against `shares`, and 5 sigma about what chance gives. Too even is as
/// suspicious as too uneven.
fn assert_shares(counts: &[u32], shares: impl Iterator<Item = f64>, what: &str) {
    let total = f64::from(counts.iter().sum::<u32>());
    let distance =
        |(count, share): (&u32, f64)| (f64::from(*count) - total * share).powi(2) / (total * share);
    let chi2: f64 = counts.iter().zip(shares).map(distance).sum();
    let freedom = counts.len() as f64 - 1.0;
    let sigmas = (chi2 - freedom) / (2.0 * freedom).sqrt();
    assert!(sigmas.abs() < 5.0, "{what}: chi-square {chi2:.0} of {freedom} degrees, {sigmas:+.1} sigma");
}

fn assert_uniform(counts: &[u32], what: &str) {
    assert_shares(counts, std::iter::repeat(1.0 / counts.len() as f64), what);
}

fn key(source: impl Into<IpAddr>, source_port: u16) -> FlowKey {
    let source = source.into();
    let destination = if source.is_ipv6() { traffic::VIP6.into() } else { traffic::VIP4.into() };
    FlowKey { source, destination, source_port, destination_port: 443, protocol: 6 }
}

/// A name, and the flow of a number.
type Crowd = (&'static str, fn(u32) -> FlowKey);

/// Crowds that differ in few and regular bits.
fn crowds() -> [Crowd; 5] {
    [
        ("one address, then the next; ports in a row", |index| {
            key(Ipv4Addr::from(0x0a00_0000 + index / 50_000), 10_000 + (index % 50_000) as u16)
        }),
        ("one port, addresses in a row", |index| key(Ipv4Addr::from(0x0a00_0000 + index), 40_000)),
        ("one host of each network", |index| key(Ipv4Addr::from(0x0100_0001 + (index << 8)), 40_000)),
        ("IPv6 hosts in a row", |index| {
            key([0x2001, 0xdb8, 0, 0, 0, 0, (index >> 16) as u16, index as u16], 40_000)
        }),
        ("one host of each IPv6 network, a few ports", |index| {
            let network = index / 4;
            key(
                [0x2001, 0xdb8, (network >> 16) as u16, network as u16, 0, 0, 0, 1],
                40_000 + (index % 4) as u16,
            )
        }),
    ]
}

fn bits(hash: FlowHash) -> u128 {
    u128::from(hash.spread) << 64 | u128::from(hash.tag)
}

/// Line, fingerprint, slot and entropy are windows of these bits, whatever their width.
#[test]
fn every_window_of_twelve_bits_is_uniform() {
    let hasher = FlowHasher::new(42);
    for (crowd, flow) in crowds() {
        let starts: Vec<usize> = (0..=116).step_by(4).collect();
        let mut counts = vec![vec![0; 4_096]; starts.len()];
        for index in 0..FLOWS {
            let hash = bits(hasher.hash(Level::detect(), &flow(index)));
            for (start, counts) in starts.iter().zip(&mut counts) {
                counts[(hash >> start) as usize & 0xfff] += 1;
            }
        }
        for (start, counts) in starts.iter().zip(&counts) {
            assert_uniform(counts, &format!("{crowd}: bits {start} to {}", start + 11));
        }
    }
}

/// The line says nothing of the fingerprint, neither of them of the slot or of the entropy.
#[test]
fn any_two_groups_of_six_bits_are_independent() {
    const GROUPS: usize = 21;
    let hasher = FlowHasher::new(43);
    for (crowd, flow) in crowds() {
        let mut counts = vec![vec![0; 4_096]; GROUPS * GROUPS];
        for index in 0..FLOWS {
            let hash = bits(hasher.hash(Level::detect(), &flow(index)));
            let groups: [usize; GROUPS] = std::array::from_fn(|group| (hash >> (6 * group)) as usize & 0x3f);
            for one in 1..GROUPS {
                for other in 0..one {
                    counts[one * GROUPS + other][groups[one] << 6 | groups[other]] += 1;
                }
            }
        }
        for one in 1..GROUPS {
            for other in 0..one {
                let what = format!("{crowd}: bits from {} with bits from {}", 6 * one, 6 * other);
                assert_uniform(&counts[one * GROUPS + other], &what);
            }
        }
    }
}

/// Two fleets with neighbouring seeds have nothing in common.
#[test]
fn hashes_of_two_seeds_are_independent() {
    let (one, other) = (FlowHasher::new(8), FlowHasher::new(9));
    let mut counts = vec![vec![0; 4_096]; 21];
    let (_, flow) = crowds()[0];
    for index in 0..FLOWS {
        let key = flow(index);
        let (one, other) = (bits(one.hash(Level::detect(), &key)), bits(other.hash(Level::detect(), &key)));
        for (group, counts) in counts.iter_mut().enumerate() {
            let [one, other] = [one, other].map(|hash| (hash >> (6 * group)) as usize & 0x3f);
            counts[one << 6 | other] += 1;
        }
    }
    for (group, counts) in counts.iter().enumerate() {
        assert_uniform(counts, &format!("bits from {} under two seeds", 6 * group));
    }
}

/// Bits 16 to 63 without bit 48 are the 47 of docs/connection-table.md: a flow that differs in any one of them is
/// another flow. With the uniformity above, that makes the odds of a false match what the document says.
#[test]
fn each_bit_of_the_fingerprint_tells_flows_apart() {
    let mut numbers = Numbers(51);
    for bit in (16..64).filter(|bit| *bit != 48) {
        for _ in 0..200 {
            let tag = numbers.next();
            let mut table = ConnTable::with_capacity(12);
            table.insert(tag, 1, Class::Established, Tick(0), &Timeouts::default());
            assert!(table.find(Portable, tag).is_some());
            assert!(table.find(Portable, tag ^ 1 << bit).is_none(), "bit {bit} of {tag:#x} does not count");
        }
    }
}

/// What the pipeline made of the packets of `FLOWS` clients, each sent twice.
fn sent(mode: Mode, is_outer_v6: bool, mut look: impl FnMut(usize, Verdict, &[u8])) -> Pipeline {
    let tables = traffic::tables(mode, is_outer_v6, |_| BackendState::Active);
    let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
    let table = ConnTable::with_capacity(2 * FLOWS as usize);
    let mut pipeline = Pipeline::new(table, counters, Level::detect());
    let source = Source::new(TCP_ACK);
    let mut burst = vec![Buffer::default(); BURST_MAX];
    for first in (0..FLOWS).step_by(BURST_MAX) {
        for _ in 0..2 {
            for (number, buffer) in (first..).zip(&mut burst) {
                source.write(buffer, Flow { number, is_v6: number.is_multiple_of(3) });
            }
            let verdicts = pipeline.process(&tables, &PortFilter::ANY, Tick(1), &mut burst);
            for (at, (verdict, buffer)) in verdicts.iter().zip(&burst).enumerate() {
                look(first as usize + at, *verdict, buffer.frame());
            }
        }
    }
    pipeline
}

/// RFC 7348 section 5, RFC 8926 section 3.3.
fn source_ports(mode: Mode, what: &str) {
    let mut counts = vec![0; 1 << 14];
    let mut of_flow = std::collections::HashMap::new();
    sent(mode, false, |flow, _, frame| {
        let port = u16::from_be_bytes([frame[34], frame[35]]);
        match of_flow.insert(flow, port) {
            None => counts[usize::from(port).checked_sub(49_152).expect("an ephemeral port")] += 1,
            Some(before) => assert_eq!(before, port, "{what}: flow {flow} has two source ports"),
        }
    });
    assert_uniform(&counts, what);
}

/// RFC 6437 section 2, RFC 6438: not zero, uniform, constant for a flow.
fn flow_labels(mode: Mode, what: &str) {
    let mut halves = [vec![0; 1 << 10], vec![0; 1 << 10]];
    let mut of_flow = std::collections::HashMap::new();
    sent(mode, true, |flow, _, frame| {
        let label = u32::from_be_bytes([0, frame[15] & 0xf, frame[16], frame[17]]);
        assert_ne!(label, 0, "{what}: flow {flow} has no label");
        match of_flow.insert(flow, label) {
            None => {
                halves[0][label as usize & 0x3ff] += 1;
                halves[1][label as usize >> 10] += 1;
            }
            Some(before) => assert_eq!(before, label, "{what}: flow {flow} has two labels"),
        }
    });
    assert_uniform(&halves[0], &format!("{what}, lower half"));
    assert_uniform(&halves[1], &format!("{what}, upper half"));
}

fn composed(form: Form, is_v6: bool) -> Mode {
    Mode::Composed(Composition { form, source: outer_source(is_v6), policy: Policy::default() })
}

#[test]
fn udp_source_ports_are_uniform_and_belong_to_the_flow() {
    let gue = Mode::Gue { source: outer_source(false), port: 6080, variant: GueVariant::Header };
    source_ports(gue, "UDP source ports of GUE");
    let geneve = Form::Geneve { port: 6081, vni: 1, inner_mac: None };
    source_ports(composed(geneve, false), "UDP source ports of Geneve");
}

#[test]
fn flow_labels_are_uniform_and_belong_to_the_flow() {
    flow_labels(Mode::Ipip { source: outer_source(true) }, "flow labels of IPIP");
    flow_labels(composed(Form::Gre { key: None }, true), "flow labels of GRE");
}

/// Every backend gets flows as its Maglev share says, and no two flows are taken for one.
#[test]
fn backends_get_their_shares_and_every_flow_has_an_entry_of_its_own() {
    let mode = Mode::Ipip { source: outer_source(false) };
    let mut counts = vec![0; traffic::BACKENDS];
    let pipeline = sent(mode, false, |flow, verdict, _| {
        let Verdict::Forward(record) = verdict else { panic!("flow {flow} became {verdict:?}") };
        counts[usize::from(record)] += 1;
    });
    counts.iter_mut().for_each(|count| *count /= 2);
    let tables = traffic::tables(mode, false, |_| BackendState::Active);
    let maglev = tables.maglev(0).expect("there is one pool");
    let shares: Vec<f64> =
        maglev.shares().iter().map(|&slots| f64::from(slots) / f64::from(maglev.size())).collect();
    assert_shares(&counts, shares.into_iter(), "flows per backend");
    let flows = u64::from(FLOWS).next_multiple_of(BURST_MAX as u64);
    let counters = pipeline.counters();
    assert_eq!(counters.insertions.get(), flows, "entries made");
    assert_eq!(counters.hits.get(), flows, "the second packets of all flows, and nothing else");
}
