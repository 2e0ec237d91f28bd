//! Numbers keep their meaning.

use super::*;
use lb_core::clock::Timeouts;
use lb_core::counters::WorkerCounters;
use lb_core::reason::DropReason;
use lb_core::spec::{BackendSpec, BackendState, Egress, Mode, PoolSpec, ServiceSpec};

fn spec(services: &[&[u8]]) -> Spec {
    let backend = |last: &u8| BackendSpec {
        address: [10, 0, 0, *last].into(),
        weight: 1,
        state: BackendState::Active,
        egress: Egress { port: 0, mtu: 1500, source_mac: [0; 6], next_hop_mac: [0; 6] },
        mode: Mode::L2Dsr,
    };
    let pools = services
        .iter()
        .map(|last| PoolSpec { backends: last.iter().map(backend).collect(), ..PoolSpec::default() });
    let service = |pool: usize| ServiceSpec {
        addresses: vec![IpAddr::from([192, 0, 2, pool as u8]).into()],
        ports: vec![80],
        protocol: 6,
        pool,
        is_tracked: true,
        ..ServiceSpec::default()
    };
    Spec {
        seed: 1,
        maglev_size: 251,
        timeouts: Timeouts::default(),
        pools: pools.collect(),
        services: (0..services.len()).map(service).collect(),
        nat: Default::default(),
        signals: Default::default(),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn worker() -> Vec<Arc<WorkerInstruments>> {
    vec![Arc::new(WorkerInstruments::new("w0".into(), Arc::new(WorkerCounters::for_any_tables()), 1))]
}

#[test]
fn a_number_stays_with_its_pair_whatever_comes_and_goes() {
    let (mut numbers, mut ledger, none) = (Numbers::default(), Ledger::default(), Vec::new());
    let mut assign = |services: &[&[u8]], vips: &[&str]| {
        numbers.assign(&spec(services), &names(vips), &none, &mut ledger).unwrap()
    };
    let first = assign(&[&[1, 2], &[1]], &["a", "b"]);
    assert_eq!((first.services, first.records), (vec![0, 1], vec![vec![0, 1], vec![2]]));
    let swapped = assign(&[&[1], &[3, 2]], &["b", "a"]);
    assert_eq!((swapped.services, swapped.records), (vec![1, 0], vec![vec![2], vec![3, 1]]));
    let back = assign(&[&[1, 2], &[1]], &["a", "b"]);
    assert_eq!(back.records, [vec![0, 1], vec![2]], "a roll-back finds its numbers");
}

#[test]
fn a_number_with_entries_is_never_given_away() {
    let (mut numbers, mut ledger, workers) = (Numbers::with_limit(2), Ledger::default(), worker());
    numbers.assign(&spec(&[&[1, 2]]), &names(&["a"]), &workers, &mut ledger).unwrap();
    let counters = &workers[0].packets.records;
    counters.at(0).packets.add(10);
    counters.at(1).packets.add(7);
    counters.at(0).active.add(1);
    let tried = numbers.clone().assign(&spec(&[&[3, 4]]), &names(&["a"]), &workers, &mut ledger.clone());
    assert_eq!(tried, Err(Exhausted), "number 0 has an entry");
    let layout = numbers.assign(&spec(&[&[3]]), &names(&["a"]), &workers, &mut ledger).unwrap();
    assert_eq!(layout.records, [[1]]);
    assert_eq!(ledger.record(1, &workers).packets, 0, "the newcomer has counted nothing");
    counters.at(1).packets.add(5);
    assert_eq!(ledger.record(1, &workers).packets, 5);
    assert_eq!(ledger.services(&workers)[&0].packets, 22, "the VIP keeps what its former backend counted");
}

#[test]
fn a_service_number_changes_hands_only_when_all_is_over() {
    let (mut numbers, mut ledger, workers) = (Numbers::with_limit(1), Ledger::default(), worker());
    numbers.assign(&spec(&[&[1]]), &names(&["a"]), &workers, &mut ledger).unwrap();
    let packets = &workers[0].packets;
    packets.records.at(0).active.add(1);
    packets.service_drops.at(0).count(DropReason::MtuExceeded, 100);
    let tried = numbers.clone().assign(&spec(&[&[1]]), &names(&["b"]), &workers, &mut ledger.clone());
    assert_eq!(tried, Err(Exhausted));
    packets.records.at(0).active.subtract(1);
    numbers.assign(&spec(&[&[1]]), &names(&["b"]), &workers, &mut ledger).unwrap();
    assert_eq!(ledger.drops(0, DropReason::MtuExceeded, &workers), 0);
    packets.service_drops.at(0).count(DropReason::MtuExceeded, 100);
    assert_eq!(ledger.drops(0, DropReason::MtuExceeded, &workers), 1);
}
