//! Probes are recognised and edited as client packets are; nothing else of the host is touched.

use super::*;
use crate::clock::Timeouts;
use crate::encap::apply;
use crate::packet::Frame;
use crate::sample::{ACK, OUR_MAC, Sample, any_sample};
use crate::spec::{BackendSpec, BackendState, Egress, GueVariant, Mode, PoolSpec, ServiceSpec, Spec};
use proptest::prelude::*;

const PORT: u16 = 40_000;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// One backend per mode and family, all of them in `state`.
fn tables(state: BackendState) -> Tables {
    let mut backends = Vec::new();
    for (source, to) in [("192.0.2.1", "192.0.2.9"), ("2001:db8:aa::1", "2001:db8:bb::9")] {
        let (source, to) = (address(source), address(to));
        for mode in [
            Mode::Ipip { source },
            Mode::Gue { source, port: 6080, variant: GueVariant::Header },
            Mode::Gue { source, port: 6080, variant: GueVariant::Direct },
            Mode::Vxlan { source, port: 4789, vni: 7, inner_mac: [2, 0, 0, 0, 0, 0x77] },
            Mode::L2Dsr,
        ] {
            let egress =
                Egress { port: 0, mtu: 1500, source_mac: OUR_MAC, next_hop_mac: [2, 0, 0, 0, 0, 0x99] };
            backends.push(BackendSpec { address: to, weight: 1, state, egress, mode });
        }
    }
    let pools: Vec<_> =
        backends.into_iter().map(|one| PoolSpec { backends: vec![one], ..PoolSpec::default() }).collect();
    let services = (0..pools.len()).map(|pool| ServiceSpec {
        addresses: vec![
            address(&format!("203.0.113.{pool}")).into(),
            address(&format!("2001:db8:cafe::{pool}")).into(),
        ],
        ports: vec![80],
        protocol: 6,
        pool,
        is_tracked: true,
        ..ServiceSpec::default()
    });
    let services = services.collect();
    let spec = Spec {
        seed: 1,
        maglev_size: 13,
        timeouts: Timeouts::default(),
        pools,
        services,
        nat: Default::default(),
        signals: Default::default(),
    };
    Tables::build(&spec).unwrap()
}

fn diverted(sample: &Sample, routes: &ProbeRoutes, tables: &Tables) -> (Diverted, Frame) {
    let mut frame = Frame::new(&sample.frame());
    let found = divert(&mut frame, routes, tables, Level::detect());
    (found, frame)
}

#[test]
fn a_probe_gets_the_edit_of_its_backend_though_the_backend_is_dead() {
    let (active, down) = (tables(BackendState::Active), tables(BackendState::Down));
    let routes = ProbeRoutes::default();
    assert!(down.records().iter().all(|record| record.is_dead()));
    for record in 0..active.records().len() as RecordIndex {
        for sample in [
            Sample::tcp("198.51.100.11:40000", "203.0.113.10:8080", ACK),
            Sample::tcp("[2001:db8::11]:40000", "[2001:db8:cafe::10]:8080", ACK),
            Sample::udp("198.51.100.11:40000", "203.0.113.10:53"),
            Sample::udp("[2001:db8::11]:40000", "[2001:db8:cafe::10]:53"),
        ] {
            let ticket = routes.enter(sample.protocol(), PORT, sample.to.ip(), record).unwrap();
            let mut wanted = Frame::new(&sample.frame());
            let (headers, key) = parse(wanted.frame(), PortFilter::ANY).unwrap();
            let hash = active.hasher.hash_portable(&key);
            let (edit, tail) = (active.records.at(record), active.tails.at(record));
            apply(&mut wanted, &headers, hash, edit, tail).unwrap();
            for tables in [&active, &down] {
                let (found, frame) = diverted(&sample, &routes, tables);
                assert_eq!(found, Diverted::To(record), "{sample:?}");
                assert_eq!(frame.frame(), wanted.frame(), "as a client's packet would leave: {sample:?}");
            }
            routes.remove(&ticket);
            assert_eq!(diverted(&sample, &routes, &active).0, Diverted::No, "over");
        }
    }
}

#[test]
fn other_traffic_of_the_host_is_no_probe() {
    let (tables, routes) = (tables(BackendState::Active), ProbeRoutes::default());
    let _entered = routes.enter(PROTOCOL_TCP, PORT, address("203.0.113.0"), 0).unwrap();
    let _entered = routes.enter(PROTOCOL_TCP, PORT, address("2001:db8:cafe::"), 0).unwrap();
    let table = [
        ("another port", Sample::tcp("198.51.100.11:40001", "203.0.113.0:80", ACK)),
        ("another destination", Sample::tcp("198.51.100.11:40000", "203.0.113.1:80", ACK)),
        ("another protocol", Sample::udp("198.51.100.11:40000", "203.0.113.0:80")),
        ("another destination, IPv6", Sample::tcp("[2001:db8::11]:40000", "[2001:db8:cafe::1]:80", ACK)),
        ("ICMP", {
            let echo = Sample::udp("198.51.100.11:40000", "203.0.113.0:80");
            echo.with(|one| one.transport = crate::sample::Transport::Other(1))
        }),
        ("a fragment", {
            let first = Sample::tcp("198.51.100.11:40000", "203.0.113.0:80", ACK);
            first.with(|one| one.fragment = 0x2000)
        }),
    ];
    for (sentence, sample) in table {
        let (found, frame) = diverted(&sample, &routes, &tables);
        assert_eq!((found, frame.frame()), (Diverted::No, &sample.frame()[..]), "{sentence}");
    }
}

#[test]
fn what_cannot_be_sent_is_dropped_by_name_and_left_as_it_was() {
    let (tables, routes) = (tables(BackendState::Active), ProbeRoutes::default());
    let sample = Sample::tcp("198.51.100.11:40000", "203.0.113.0:80", ACK);
    let _entered = routes.enter(PROTOCOL_TCP, PORT, sample.to.ip(), 0).unwrap();
    let last_hop = sample.clone().with(|one| one.ttl = 1);
    let (found, frame) = diverted(&last_hop, &routes, &tables);
    assert_eq!((found, frame.frame()), (Diverted::Drop(DropReason::TtlExceeded), &last_hop.frame()[..]));
    for gone in [tables.records().len() as RecordIndex, RecordIndex::MAX] {
        let _entered = routes.enter(PROTOCOL_TCP, PORT, sample.to.ip(), gone).unwrap();
        let (found, frame) = diverted(&sample, &routes, &tables);
        assert_eq!((found, frame.frame()), (Diverted::Drop(DropReason::NoBackend), &sample.frame()[..]));
    }
}

#[test]
fn who_leaves_late_removes_nobody_else() {
    let routes = ProbeRoutes::default();
    let vip = address("203.0.113.0");
    let key = FlowKey {
        source: address("198.51.100.11"),
        destination: vip,
        source_port: PORT,
        destination_port: 80,
        protocol: PROTOCOL_TCP,
    };
    let first = routes.enter(PROTOCOL_TCP, PORT, vip, 7).unwrap();
    let second = routes.enter(PROTOCOL_TCP, PORT, vip, 7).unwrap();
    routes.remove(&first);
    assert_eq!(routes.find(&key), Some(7), "the second of the same port, VIP and record stays");
    routes.remove(&second);
    assert_eq!(routes.find(&key), None);
    assert!(routes.enter(1, PORT, vip, 7).is_none(), "ICMP has no ports");
    let last = routes.enter(PROTOCOL_TCP, u16::MAX, vip, RecordIndex::MAX).unwrap();
    let key = FlowKey { source_port: u16::MAX, ..key };
    assert_eq!(routes.find(&key), Some(RecordIndex::MAX), "the largest of both");
    routes.remove(&last);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A frame of any bytes at all, with entries for every port that it could be from.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), record: u16) {
        let (tables, routes) = (tables(BackendState::Down), ProbeRoutes::default());
        let mut frame = Frame::new(&bytes);
        if let Ok((_, key)) = parse(&bytes, PortFilter::ANY) {
            let _ = routes.enter(key.protocol, key.source_port, key.destination, record);
        }
        let found = divert(&mut frame, &routes, &tables, Level::detect());
        prop_assert!(matches!(found, Diverted::To(_)) || frame.frame() == bytes);
    }

    /// Any packet of the host: without an entry it is untouched, with its entry it is the probe of that record.
    #[test]
    fn an_entry_decides_and_nothing_else(sample in any_sample(), cut in 0..400usize, record in 0..10u16) {
        let (tables, routes) = (tables(BackendState::Down), ProbeRoutes::default());
        let whole = sample.frame();
        let bytes = &whole[..whole.len().saturating_sub(cut)];
        let mut frame = Frame::new(bytes);
        prop_assert_eq!(divert(&mut frame, &routes, &tables, Level::detect()), Diverted::No);
        prop_assert_eq!(frame.frame(), bytes);
        let Ok((headers, key)) = parse(bytes, PortFilter::ANY) else { return Ok(()) };
        let ticket = routes.enter(key.protocol, key.source_port, key.destination, record);
        let found = divert(&mut frame, &routes, &tables, Level::detect());
        let expected =
            if headers.ttl > 1 { Diverted::To(record) } else { Diverted::Drop(DropReason::TtlExceeded) };
        prop_assert_eq!(found, expected);
        routes.remove(&ticket.unwrap());
    }
}
