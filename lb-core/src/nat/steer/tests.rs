//! Whatever belongs to one session names one worker, and the work is spread.

use super::*;
use crate::clock::{Tick, Timeouts};
use crate::conn::ConnTable;
use crate::counters::WorkerCounters;
use crate::hw::Level;
use crate::nat::{ClientAddress, LocalRange, Nat, NatSpec};
use crate::packet::{Frame, Packet};
use crate::pipeline::Pipeline;
use crate::sample::{ACK, OUR_MAC, SYN, Sample};
use crate::spec::{BackendSpec, BackendState, Egress, Mode, PoolSpec, ServiceSpec, Spec};
use crate::verdict::Verdict;
use std::net::SocketAddr;
use std::sync::Arc;

const WORKERS: usize = 5;
const SECRET: [u64; 2] = [3, 4];

fn single(text: &str) -> crate::prefix::Prefix {
    text.parse::<IpAddr>().unwrap().into()
}

fn tables(mode: Mode) -> Tables {
    let egress = Egress { port: 0, mtu: 1500, source_mac: OUR_MAC, next_hop_mac: [2; 6] };
    let backend = |last: u8| BackendSpec {
        address: [10, 0, 0, last].into(),
        weight: 1,
        state: BackendState::Active,
        egress,
        mode,
    };
    let service = ServiceSpec {
        addresses: vec![single("203.0.113.10"), single("2001:db8:cafe::10")],
        ports: vec![80],
        protocol: 6,
        pool: 0,
        is_tracked: true,
        ..ServiceSpec::default()
    };
    Tables::build(&Spec {
        seed: 1,
        maglev_size: 131,
        timeouts: Timeouts::default(),
        signals: Default::default(),
        pools: vec![PoolSpec { backends: (1..4).map(backend).collect(), ..PoolSpec::default() }],
        services: vec![service],
        nat: NatSpec {
            ranges: vec![LocalRange { addresses: vec!["192.0.2.1".parse().unwrap()], ports: (1024, 65_535) }],
            ..NatSpec::default()
        },
    })
    .unwrap()
}

/// An ICMP error about a datagram, to who sent it, with a right checksum.
fn error_about(frame: &[u8]) -> Vec<u8> {
    let ip = &frame[14..];
    let is_v6 = ip[0] >> 4 == 6;
    let (head, protocol): ([u8; 8], u8) =
        if is_v6 { ([1, 4, 0, 0, 0, 0, 0, 0], 58) } else { ([3, 3, 0, 0, 0, 0, 0, 0], 1) };
    let key = parse(frame, PortFilter::ANY).unwrap().1;
    let router = if is_v6 { "[2001:db8::99]:0" } else { "198.18.0.1:0" };
    let mut error = Sample::tcp(router, &SocketAddr::new(key.source, 0).to_string(), 0)
        .with(|one| {
            one.transport = crate::sample::Transport::Other(protocol);
            one.payload = [&head[..], ip].concat();
        })
        .frame();
    let l4 = if is_v6 { 54 } else { 34 };
    let mut sum = crate::checksum::sum(&error[l4..]);
    if is_v6 {
        sum += crate::checksum::sum(&error[22..54]) + (error.len() - l4) as u64 + 58;
    }
    let sum = crate::checksum::finish(sum);
    error[l4 + 2..l4 + 4].copy_from_slice(&sum.to_be_bytes());
    error
}

#[test]
fn both_sides_of_a_session_and_their_errors_name_one_worker() {
    let full = Mode::FullNat { port: Some(8080), range: 0, client: ClientAddress::None };
    for (mode, vip, network) in [
        (Mode::Nat { port: Some(8080) }, "203.0.113.10:80", "198.51.100."),
        (full, "203.0.113.10:80", "198.51.100."),
        (full, "[2001:db8:cafe::10]:80", "2001:db8:100::"),
    ] {
        let tables = tables(mode);
        let pipeline = |index: usize| {
            let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
            Pipeline::new(ConnTable::with_capacity(64), counters, Level::Portable).with_nat(Nat::new(
                256,
                [index as u64, 9],
                index,
                WORKERS,
            ))
        };
        let mut pipelines: Vec<_> = (0..WORKERS).map(pipeline).collect();
        let worker = |frame: &[u8]| worker_of(&tables, SECRET, WORKERS, frame);
        let mut counts = [0; WORKERS];
        for client in 1..200u16 {
            let ip = format!("{network}{client}").parse::<IpAddr>().unwrap();
            let sample = Sample::tcp(&SocketAddr::new(ip, 4_000 + client).to_string(), vip, SYN);
            let owner = worker(&sample.frame()).unwrap();
            counts[owner] += 1;
            let mut packets = [Frame::new(&sample.frame())];
            let verdict = pipelines[owner].process(&tables, &PortFilter::ANY, Tick(0), &mut packets)[0];
            assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
            let there = packets[0].frame().to_vec();
            let seen = parse(&there, PortFilter::ANY).unwrap().1;
            let back = Sample::tcp(
                &SocketAddr::new(seen.destination, seen.destination_port).to_string(),
                &SocketAddr::new(seen.source, seen.source_port).to_string(),
                SYN | ACK,
            );
            assert_eq!(worker(&back.frame()), Some(owner), "the answer");
            assert_eq!(worker(&error_about(&there)), Some(owner), "an error about what the backend was sent");
            let mut packets = [Frame::new(&back.frame())];
            let verdict = pipelines[owner].process(&tables, &PortFilter::ANY, Tick(0), &mut packets)[0];
            assert_eq!(verdict, Verdict::Return(0));
            assert_eq!(worker(&error_about(packets[0].frame())), Some(owner), "an error about the answer");
        }
        assert!(counts.iter().all(|count| *count > 15), "{counts:?}");
    }
}

#[test]
fn what_is_not_translated_has_no_worker_here() {
    let tables = tables(Mode::Nat { port: None });
    for (from, to) in [("198.51.100.7:4000", "203.0.113.10:81"), ("198.51.100.7:4000", "198.51.100.8:80")] {
        assert_eq!(worker_of(&tables, SECRET, WORKERS, &Sample::tcp(from, to, SYN).frame()), None);
    }
    let mut arp = vec![0xff; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(worker_of(&tables, SECRET, WORKERS, &arp), None);
}
