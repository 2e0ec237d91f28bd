//! Choices by the source, by slices and by server IDs, without a packet path around them.

use super::*;
use crate::clock::Timeouts;
use crate::hw::Level;
use crate::spec::{
    BackendSpec, BackendState, Egress, Mode, PoolSpec, QuicSpec, ServerIdSpec, ServiceSpec, SliceSpec, Spec,
};
use proptest::prelude::*;
use std::collections::HashSet;

const BACKENDS: u8 = 5;

fn spec(selection: SelectionSpec) -> Spec {
    let backend = |index: u8| BackendSpec {
        address: [10, 0, 0, 1 + index].into(),
        weight: 1 + u32::from(index),
        state: BackendState::Active,
        egress: Egress { port: 0, mtu: 1500, source_mac: [2; 6], next_hop_mac: [2; 6] },
        mode: Mode::L2Dsr,
    };
    let service = |address: &str, protocol| ServiceSpec {
        addresses: vec![address.parse().unwrap()],
        protocol,
        is_tracked: true,
        selection: selection.clone(),
        ..ServiceSpec::default()
    };
    Spec {
        seed: 0x5eed,
        maglev_size: 1021,
        timeouts: Timeouts::default(),
        pools: vec![PoolSpec { backends: (0..BACKENDS).map(backend).collect(), ..PoolSpec::default() }],
        services: vec![service("203.0.113.1", 6), service("203.0.113.2", 17), service("2001:db8::1", 6)],
        nat: Default::default(),
        signals: Default::default(),
    }
}

fn key(source: IpAddr, source_port: u16, destination_port: u16) -> FlowKey {
    let destination = if source.is_ipv6() { "2001:db8::1" } else { "203.0.113.1" };
    FlowKey { source, destination: destination.parse().unwrap(), source_port, destination_port, protocol: 6 }
}

fn by_source(ipv4: u8, ipv6: u8) -> Tables {
    let selection = SelectionSpec { hash: HashFields::Source { ipv4, ipv6 }, ..SelectionSpec::default() };
    Tables::build(&spec(selection)).unwrap()
}

#[test]
fn services_are_special_only_if_they_choose_otherwise() {
    let plain = Tables::build(&spec(SelectionSpec::default())).unwrap();
    assert!((0..3).all(|service| !plain.is_special(service)));
    assert!(by_source(32, 128).is_special(0));
}

#[test]
fn clients_of_a_prefix_share_a_backend_and_prefixes_spread() {
    let tables = by_source(24, 56);
    let pick = |source: [u8; 4], port| tables.choice(0, &key(source.into(), port, 443), &[]).record.unwrap();
    for host in 0..=255 {
        assert_eq!(pick([198, 51, 100, host], 1024 + u16::from(host)), pick([198, 51, 100, 0], 7));
    }
    let picked: HashSet<_> = (0..200).map(|net| pick([198, 51, net, 1], 7)).collect();
    assert_eq!(picked.len(), usize::from(BACKENDS), "200 prefixes use every backend");
    // A client keeps its backend over ports and VIPs of the pool: session affinity is about the client.
    let other_vip =
        FlowKey { destination: "203.0.113.2".parse().unwrap(), ..key([198, 51, 100, 9].into(), 9, 80) };
    let owner = |record| tables.owner(record).unwrap().backend;
    assert_eq!(owner(tables.choice(1, &other_vip, &[]).record.unwrap()), owner(pick([198, 51, 100, 1], 1)));
}

#[test]
fn a_slice_belongs_to_its_backend_whatever_its_weight() {
    let slice = |low, high, backend| SliceSpec { low, high, backend };
    let slices = vec![slice(2048, 4095, 1), slice(1024, 2047, 0), slice(8000, 8000, 3)];
    let mut spec = spec(SelectionSpec { slices, ..SelectionSpec::default() });
    let pick = |spec: &Spec, port| {
        let choice = Tables::build(spec).unwrap().choice(0, &key([198, 51, 100, 1].into(), 9, port), &[]);
        assert_eq!(choice.by, By::Slice);
        choice.record
    };
    for (port, owner) in [
        (1023, None),
        (1024, Some(0)),
        (2047, Some(0)),
        (2048, Some(1)),
        (4095, Some(1)),
        (4096, None),
        (8000, Some(3)),
        (8001, None),
    ] {
        assert_eq!(pick(&spec, port), owner, "port {port}");
    }
    spec.pools[0].backends[1].state = BackendState::Drain;
    spec.pools[0].backends[3].weight = 0;
    assert_eq!((pick(&spec, 3000), pick(&spec, 8000)), (Some(1), Some(3)), "its ports stay its own");
    spec.pools[0].backends[1].state = BackendState::Down;
    assert_eq!(pick(&spec, 3000), None, "nobody takes the ports of another");
}

fn with_ids() -> Spec {
    let quic = QuicSpec { config_id: 1, nonce_len: 4, is_length_encoded: false, key: None };
    let ids = (0..BACKENDS).map(|index| vec![0xa0, index]).collect();
    let server_ids = Some(ServerIdSpec { quic: vec![quic], tcp_option: false, ids });
    spec(SelectionSpec { server_ids, ..SelectionSpec::default() })
}

#[test]
fn a_server_id_leads_to_its_live_backend_and_else_to_maglev() {
    let mut spec = with_ids();
    let packet = |id: [u8; 2]| [&[0; 8][..], &[0x40, 0x20], &id, &[1, 2, 3, 4, 5]].concat();
    let flow = FlowKey { protocol: 17, ..key([198, 51, 100, 1].into(), 9, 443) };
    let tables = Tables::build(&spec).unwrap();
    let maglev = tables.select(1, tables.hash(Level::Portable, &flow));
    for index in 0..BACKENDS {
        let choice = tables.choice(1, &flow, &packet([0xa0, index]));
        assert_eq!(tables.owner(choice.record.unwrap()).unwrap().backend, usize::from(index));
        assert_eq!(choice.by, By::ServerId);
    }
    let fallback = |tables: &Tables, packet: &[u8]| {
        let choice = tables.choice(1, &flow, packet);
        assert_eq!((choice.record, choice.by), (maglev, By::Maglev));
        choice.id
    };
    assert_eq!(fallback(&tables, &packet([0xb0, 0])), IdOutcome::Unknown);
    assert_eq!(
        fallback(&tables, &[&[0; 8][..], &[0x40, 0xe0, 1, 2, 3, 4, 5, 6]].concat()),
        IdOutcome::Unroutable
    );
    assert_eq!(fallback(&tables, &[0; 8]), IdOutcome::None);
    let other = (tables.owner(maglev.unwrap()).unwrap().backend + 1) % usize::from(BACKENDS);
    spec.pools[0].backends[other].state = BackendState::Drain;
    let drained = Tables::build(&spec).unwrap().choice(1, &flow, &packet([0xa0, other as u8]));
    assert_eq!(drained.by, By::ServerId, "a draining backend keeps its connections");
    spec.pools[0].backends[other].state = BackendState::Down;
    let choice = Tables::build(&spec).unwrap().choice(1, &flow, &packet([0xa0, other as u8]));
    assert_eq!((choice.by, choice.id), (By::Maglev, IdOutcome::Unknown), "not to a dead one");
}

proptest! {
    #[test]
    fn maglev_sees_the_first_bits_of_the_source_and_nothing_else(
        sources: [u128; 2],
        ports: [(u16, u16); 2],
        is_v6: bool,
        ipv4 in 1u8..=32,
        ipv6 in 1u8..=128,
        common in 0u32..=128,
    ) {
        let tables = by_source(ipv4, ipv6);
        let width = if is_v6 { 128 } else { 32 };
        // The second address begins like the first.
        let tail = if common == 0 { u128::MAX } else { u128::MAX.checked_shr(common).unwrap_or(0) };
        let sources = [sources[0], sources[0] & !tail | sources[1] & tail];
        let address = |bits: u128| -> IpAddr {
            if is_v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits((bits >> 96) as u32).into() }
        };
        let service = if is_v6 { 2 } else { 0 };
        let hash = |at: usize| {
            tables.slot_hash(service, &key(address(sources[at]), ports[at].0, ports[at].1))
        };
        let len = u32::from(if is_v6 { ipv6 } else { ipv4 });
        let first = |bits: u128| if is_v6 { bits } else { bits >> 96 } >> (width - len);
        prop_assert_eq!(hash(0) == hash(1), first(sources[0]) == first(sources[1]));
    }

    #[test]
    fn slices_agree_with_a_walk_over_all(
        cuts in prop::collection::btree_set(1u16..500, 2..20),
        asked in prop::collection::vec(0u16..520, 50),
    ) {
        let cuts: Vec<u16> = cuts.into_iter().collect();
        // Every other stretch between two cuts belongs to somebody.
        let slices: Vec<SliceSpec> = cuts.windows(2).enumerate().filter(|(at, _)| at % 3 != 1)
            .map(|(at, cut)| SliceSpec { low: cut[0], high: cut[1] - 1, backend: at % usize::from(BACKENDS) }).collect();
        let naive = |port| {
            let owner = slices.iter().find(|slice| slice.low <= port && port <= slice.high);
            owner.map(|slice| slice.backend as RecordIndex)
        };
        let records: Vec<RecordIndex> = (0..RecordIndex::from(BACKENDS)).collect();
        let selection = Selection::new(&SelectionSpec { slices: slices.clone(), ..SelectionSpec::default() }, &records);
        for port in asked {
            let found = selection.as_ref().and_then(|selection| selection.slice(port));
            prop_assert_eq!(found, naive(port), "port {}", port);
        }
    }
}
