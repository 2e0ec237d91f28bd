//! The rings between workers: who gets what, in which order, and that nothing is lost in them.

use super::*;
use lb_core::packet::Frame;
use std::thread;

/// An IPv4 TCP frame whose source port is `number`.
fn frame(number: u16) -> Frame {
    let mut bytes = [0u8; 60];
    bytes[12..14].copy_from_slice(&[8, 0]);
    bytes[14] = 0x45;
    bytes[23] = 6;
    bytes[26..34].copy_from_slice(&[198, 51, 100, 7, 203, 0, 113, 10]);
    bytes[34..36].copy_from_slice(&number.to_be_bytes());
    Frame::new(&bytes)
}

fn number(frame: &Frame) -> u16 {
    u16::from_be_bytes([frame.frame()[34], frame.frame()[35]])
}

fn numbers(burst: &[Frame]) -> Vec<u16> {
    burst.iter().map(number).collect()
}

/// Workers of which only the first has queues on the only port.
fn crew(workers: usize) -> Vec<Crew<Frame>> {
    Crew::assemble(workers, &[QueueOwners::new(0, 1, 1, workers)]).unwrap()
}

/// Tables of nothing.
fn no_tables() -> Tables {
    let spec = lb_core::spec::Spec {
        seed: 1,
        maglev_size: 13,
        timeouts: Default::default(),
        pools: Vec::new(),
        services: Vec::new(),
        nat: Default::default(),
        signals: Default::default(),
    };
    Tables::build(&spec).unwrap()
}

/// Everything in a worker's rings, with what it is for.
fn take_all(crew: &mut Crew<Frame>) -> Vec<(usize, Purpose, Vec<u16>)> {
    let mut found = Vec::new();
    let (to_serve, to_send) = crew.inboxes();
    for inbox in to_serve.chain(to_send) {
        let mut burst = Vec::new();
        while let Some((port, purpose)) = crew.take(inbox, BURST_MAX, &mut burst) {
            found.push((port, purpose, numbers(&burst)));
            burst.clear();
        }
    }
    found
}

#[test]
fn queues_have_owners_and_the_rest_is_served_by_them() {
    let full = QueueOwners::new(1, 3, 3, 3);
    assert_eq!((full.receive.as_slice(), full.is_steered(3)), (&[0, 1, 2][..], false));
    assert!(Crew::<Frame>::assemble(3, &[full.clone(), full]).unwrap().is_empty(), "nobody needs anybody");
    let (first, second) = (QueueOwners::new(0, 1, 1, 3), QueueOwners::new(1, 1, 2, 3));
    assert_eq!((first.receive.as_slice(), second.receive.as_slice()), (&[0][..], &[1][..]), "not all on one");
    assert_eq!(second.transmit, [1, 2]);
    assert_eq!([0, 1, 2].map(|worker| second.transmitter(worker)), [Some(1), Some(1), Some(2)]);
    assert!(first.is_steered(3) && second.is_steered(3));
    // Owners 0 and 1 serve two others each; 1 and 2 send through 0, 0 through 1.
    assert_eq!(packets_max(3, &[first, second]), (4 + 3) * RING_LEN);
    assert_eq!(packets_max(1, &[QueueOwners::new(0, 1, 1, 1)]), 0);
}

#[test]
fn a_burst_is_split_in_order_and_each_flow_stays_with_its_worker() {
    let mut crew = crew(3);
    let (first, others) = crew.split_at_mut(1);
    let steering = first[0].steering.clone();
    for _ in 0..3 {
        let mut burst: Vec<Frame> = (0..BURST_MAX as u16).map(frame).collect();
        first[0].steer(0, &mut burst, &no_tables());
        let expected = |worker: usize| -> Vec<u16> {
            (0..BURST_MAX as u16).filter(|n| steering.worker_of(frame(*n).frame()) == Some(worker)).collect()
        };
        assert_eq!(numbers(&burst), expected(0));
        for (index, other) in others.iter_mut().enumerate() {
            assert_eq!(take_all(other), [(0, Purpose::Serve, expected(index + 1))]);
        }
    }
}

#[test]
fn a_full_ring_is_seen_before_packets_are_taken_and_loses_none_after() {
    let mut crew = crew(2);
    let foreign = (0..).find(|n| crew[0].steering.worker_of(frame(*n).frame()) == Some(1)).unwrap();
    for _ in 0..RING_LEN / BURST_MAX {
        assert!(crew[0].has_room(BURST_MAX));
        let mut burst = vec![frame(foreign); BURST_MAX];
        crew[0].steer(0, &mut burst, &no_tables());
        assert!(burst.is_empty());
    }
    assert!(!crew[0].has_room(1));
    let mut burst = vec![frame(foreign); 5];
    crew[0].steer(0, &mut burst, &no_tables());
    assert_eq!(burst.len(), 5, "kept rather than lost");
    let taken: usize = take_all(&mut crew[1]).iter().map(|(.., numbers)| numbers.len()).sum();
    assert_eq!(taken, RING_LEN);
    assert!(crew[0].has_room(BURST_MAX));
}

#[test]
fn packets_leave_through_the_owner_of_the_queue_labelled_and_counted() {
    let mut crew = crew(2);
    let mut burst: Vec<Frame> = (0..3).map(frame).collect();
    let accepted = crew[1].hand_out(0, Purpose::Forward, &mut burst);
    assert_eq!(accepted, Accepted { packets: 3, bytes: 180 });
    assert!(burst.is_empty());
    crew[1].hand_out(0, Purpose::Answer, &mut vec![frame(9)]);
    crew[1].hand_out(0, Purpose::Forward, &mut vec![frame(4)]);
    let expected =
        [(Purpose::Forward, vec![0, 1, 2]), (Purpose::Answer, vec![9]), (Purpose::Forward, vec![4])];
    assert_eq!(take_all(&mut crew[0]), expected.map(|(purpose, numbers)| (0, purpose, numbers)));
    for round in 0..RING_LEN / BURST_MAX {
        let accepted = crew[1].hand_out(0, Purpose::Forward, &mut vec![frame(1); BURST_MAX]);
        assert_eq!(accepted.packets, BURST_MAX as u64, "round {round}");
    }
    assert!(!crew[1].has_way_out(1) && crew[1].has_room(BURST_MAX), "it waits before it takes more");
    let mut refused = vec![frame(1); 7];
    assert_eq!(crew[1].hand_out(0, Purpose::Forward, &mut refused), Accepted::default());
    assert!(refused.is_empty(), "given up, for the caller to count");
    assert_eq!(crew[0].hand_out(0, Purpose::Forward, &mut vec![frame(1)]), Accepted::default(), "to itself");
    assert_eq!(
        crew[1].hand_out(7, Purpose::Forward, &mut vec![frame(1)]),
        Accepted::default(),
        "no such port"
    );
}

#[test]
fn nobody_lies_down_on_work() {
    let mut crew = crew(2);
    assert!(crew[0].lie_down());
    crew[0].wake();
    crew[1].hand_out(0, Purpose::Forward, &mut vec![frame(1)]);
    assert!(!crew[0].lie_down());
    take_all(&mut crew[0]);
    assert!(crew[0].lie_down());
    crew[1].hand_out(0, Purpose::Forward, &mut vec![frame(1)]);
    // Hears the one byte that the ring has sent; without it this would block for ever.
    crew[0].wake();
    assert!(!crew[0].lie_down(), "woken for a reason");
}

#[test]
fn closed_rings_are_emptied_before_they_count_as_finished() {
    let mut crew = crew(2);
    crew[1].hand_out(0, Purpose::Forward, &mut vec![frame(1)]);
    assert!(crew[0].has_served_all(), "nobody receives for the only owner");
    crew[1].close_outgoing();
    assert!(!crew[0].has_sent_all());
    assert_eq!(take_all(&mut crew[0]).len(), 1);
    assert!(crew[0].has_sent_all());
    assert!(!crew[1].has_served_all(), "the owner may still receive");
    drop(crew.remove(0));
    assert!(crew[0].has_served_all());
}

#[test]
fn rings_carry_packets_between_threads_in_order() {
    const BURSTS: u16 = 400;
    let mut crew = crew(2);
    let (mut reader, mut owner) = (crew.remove(1), crew.remove(0));
    let foreign: Vec<u16> =
        (0..u16::MAX).filter(|n| owner.steering.worker_of(frame(*n).frame()) == Some(1)).take(64).collect();
    let sent = foreign.clone();
    let tables = no_tables();
    let thread = thread::spawn(move || {
        for _ in 0..BURSTS {
            while !owner.has_room(sent.len()) {
                thread::yield_now();
            }
            owner.steer(0, &mut sent.iter().map(|n| frame(*n)).collect::<Vec<_>>(), &tables);
        }
        owner.close_unserved();
    });
    let (mut received, mut burst) = (Vec::new(), Vec::new());
    while !reader.has_served_all() {
        if reader.take(0, 17, &mut burst).is_none() {
            thread::yield_now();
        }
        received.extend(numbers(&burst));
        burst.clear();
    }
    thread.join().unwrap();
    assert_eq!(received.len(), foreign.len() * usize::from(BURSTS));
    assert!(received.chunks(foreign.len()).all(|chunk| chunk == foreign));
}

/// A whole IPv4 TCP frame from one address and port to another.
fn whole(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Frame {
    let mut bytes = [0u8; 60];
    bytes[12..14].copy_from_slice(&[8, 0]);
    bytes[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
    bytes[26..30].copy_from_slice(&from.0);
    bytes[30..34].copy_from_slice(&to.0);
    let sum = lb_core::checksum::finish(lb_core::checksum::sum(&bytes[14..34]));
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    bytes[34..36].copy_from_slice(&from.1.to_be_bytes());
    bytes[36..38].copy_from_slice(&to.1.to_be_bytes());
    bytes[46] = 0x50;
    Frame::new(&bytes)
}

/// One VIP, 203.0.113.10:80, in `nat` over 10.0.0.1:8080.
fn nat_tables() -> Tables {
    use lb_core::spec::{BackendSpec, BackendState, Egress, Mode, PoolSpec, ServiceSpec, Spec};
    let backend = BackendSpec {
        address: [10, 0, 0, 1].into(),
        weight: 1,
        state: BackendState::Active,
        egress: Egress { port: 0, mtu: 1500, source_mac: [2; 6], next_hop_mac: [2; 6] },
        mode: Mode::Nat { port: Some(8080) },
    };
    let service = ServiceSpec {
        addresses: vec![std::net::IpAddr::from([203, 0, 113, 10]).into()],
        ports: vec![80],
        protocol: 6,
        pool: 0,
        is_tracked: true,
        ..ServiceSpec::default()
    };
    let spec = Spec {
        seed: 1,
        maglev_size: 13,
        timeouts: Default::default(),
        pools: vec![PoolSpec { backends: vec![backend], ..PoolSpec::default() }],
        services: vec![service],
        nat: Default::default(),
        signals: Default::default(),
    };
    Tables::build(&spec).unwrap()
}

#[test]
fn sessions_are_followed_where_the_device_spreads_and_nothing_else_moves() {
    let owners = QueueOwners::new(0, 2, 2, 2);
    assert_eq!(packets_max(2, std::slice::from_ref(&owners)), 0);
    let owners = owners.following_sessions(true);
    assert!(!owners.is_steered(2), "the device spreads flows");
    assert_eq!(packets_max(2, std::slice::from_ref(&owners)), 2 * RING_LEN);
    let tables = nat_tables();
    let mut crew = Crew::<Frame>::assemble(2, &[owners]).unwrap();
    let mut served = [0, 0];
    for client in 1..100u16 {
        let host = ([198, 51, 100, client as u8], 4_000 + client);
        let question = whole(host, ([203, 0, 113, 10], 80));
        let answer = whole(([10, 0, 0, 1], 8080), host);
        let other = whole(host, ([203, 0, 113, 10], 81));
        let mut at = Vec::new();
        for receiver in [0, 1] {
            for frame in [&question, &answer] {
                let mut burst = vec![frame.clone(), other.clone()];
                assert!(crew[receiver].is_steered(0) && crew[receiver].has_room(2));
                crew[receiver].steer(0, &mut burst, &tables);
                let moved = take_all(&mut crew[1 - receiver]);
                assert_eq!(burst.len() + moved.iter().map(|(.., numbers)| numbers.len()).sum::<usize>(), 2);
                assert_eq!(burst.last().map(|frame| frame.frame()[37]), Some(81), "no session, so it stays");
                at.push(if moved.is_empty() { receiver } else { 1 - receiver });
            }
        }
        assert!(at.iter().all(|worker| *worker == at[0]), "one worker, whoever received: {at:?}");
        served[at[0]] += 1;
    }
    assert!(served.iter().all(|count| *count > 20), "{served:?}");
    // One worker has nobody to hand over to.
    let alone = QueueOwners::new(0, 1, 1, 1).following_sessions(true);
    assert!(Crew::<Frame>::assemble(1, &[alone]).unwrap().is_empty());
}
