//! The worker loop over memory ports: everything that comes in is accounted for, whatever becomes of it.

mod mixed;
mod pieces;
mod shared;
mod taps;

use super::*;
use crate::io::memory::{MemoryIo, MemoryPort};
use lb_core::conn::ConnTable;
use lb_core::counters::WorkerCounters;
use lb_core::hw::Level;
use lb_core::packet::{Frame, Packet};
use lb_core::reason::DropReason;
use lb_core::spec::{BackendSpec, BackendState, Egress, Mode, Oversize, PoolSpec, ServiceSpec, Spec};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use std::sync::mpsc::{Receiver, Sender, channel};

const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const BACKEND_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Tables with one backend behind each of `ports`.
fn tables_over(ports: &[u8]) -> Arc<Tables> {
    tables_with(ports, Oversize::Signal)
}

fn tables_with(ports: &[u8], oversize: Oversize) -> Arc<Tables> {
    let backend = |(index, &port): (u8, &u8)| BackendSpec {
        address: [10, 0, 0, 9 + index].into(),
        weight: 1,
        state: BackendState::Active,
        egress: Egress { port, mtu: 1500, source_mac: PORT_MAC, next_hop_mac: BACKEND_MAC },
        mode: Mode::L2Dsr,
    };
    let spec = Spec {
        seed: 1,
        maglev_size: 7,
        timeouts: lb_core::clock::Timeouts::default(),
        pools: vec![PoolSpec { backends: (0..).zip(ports).map(backend).collect(), oversize }],
        services: vec![ServiceSpec {
            addresses: vec!["203.0.113.10".parse().unwrap()],
            ports: vec![80],
            protocol: 6,
            pool: 0,
            is_tracked: true,
            ..ServiceSpec::default()
        }],
        nat: Default::default(),
        signals: Default::default(),
    };
    Arc::new(Tables::build(&spec).unwrap())
}

/// A TCP packet of 60 bytes from client port `source` to `destination`:80, addressed to the port's MAC.
fn frame(destination: [u8; 4], source: u16) -> Frame {
    let mut bytes = [0u8; 60];
    bytes[..6].copy_from_slice(&PORT_MAC);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
    bytes[12..14].copy_from_slice(&[8, 0]);
    let mut ip = MutableIpv4Packet::new(&mut bytes[14..]).unwrap();
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(40);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
    ip.set_source([198, 51, 100, 7].into());
    ip.set_destination(destination.into());
    ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
    bytes[34..36].copy_from_slice(&source.to_be_bytes());
    bytes[36..38].copy_from_slice(&80u16.to_be_bytes());
    bytes[46] = 0x50;
    bytes[47] = 0x10;
    Frame::new(&bytes)
}

struct Bench {
    input: Sender<Frame>,
    outputs: Vec<Receiver<Frame>>,
    instruments: Arc<WorkerInstruments>,
    worker: Worker<MemoryIo>,
}

fn bench(ring_len: usize, latency_sample: u64) -> Bench {
    bench_over(&[1], ring_len, latency_sample)
}

/// Two ports; backends behind `backend_ports`.
fn bench_over(backend_ports: &[u8], ring_len: usize, latency_sample: u64) -> Bench {
    bench_with(tables_over(backend_ports), usize::MAX, ring_len, latency_sample)
}

/// Two ports, and so many buffers for packets that are made here.
fn bench_with(tables: Arc<Tables>, buffers: usize, ring_len: usize, latency_sample: u64) -> Bench {
    let (input, first_input) = channel();
    let (_, second_input) = channel();
    let (mut outputs, mut ports) = (Vec::new(), Vec::new());
    for input in [first_input, second_input] {
        let (sender, receiver) = channel();
        outputs.push(receiver);
        ports.push(MemoryPort::new(input, sender, ring_len));
    }
    let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
    let instruments = Arc::new(WorkerInstruments::new("w0".into(), Arc::clone(&counters), 2));
    let pipeline = Pipeline::new(ConnTable::with_capacity(64), counters, Level::detect());
    let settings = LoopSettings { burst: 16, is_adaptive: true, latency_sample };
    let filters = vec![PortFilter::new(PORT_MAC); 2];
    let io = MemoryIo::new(ports).with_buffers(buffers);
    let worker = Worker::new(io, pipeline, tables, filters, Arc::clone(&instruments), settings);
    Bench { input, outputs, instruments, worker }
}

#[test]
fn packets_leave_by_the_port_of_their_backend_and_all_are_accounted_for() {
    let bench = bench(usize::MAX, 1);
    for source in 1..=40 {
        bench.input.send(frame([203, 0, 113, 10], source)).unwrap();
    }
    for source in 1..=10 {
        bench.input.send(frame([203, 0, 113, 11], source)).unwrap();
    }
    bench.input.send(Frame::new(&[0; 9])).unwrap();
    // Set before the start: the loop serves what is there and stops at its first idle moment.
    let stop = AtomicBool::new(true);
    bench.worker.run(&stop);

    let packets = &bench.instruments.packets;
    assert_eq!(packets.received.get(), 51);
    assert_eq!(packets.sent.get(), 40);
    assert_eq!(packets.drops.packets[DropReason::NoVip as usize].get(), 10, "no punt interface");
    assert_eq!(packets.drops.packets[DropReason::Malformed as usize].get(), 1);
    assert_eq!(packets.accounted(), packets.received.get());
    let sent: Vec<Frame> = bench.outputs[1].try_iter().collect();
    assert_eq!(sent.len(), 40);
    assert!(sent.iter().all(|frame| frame.frame()[..6] == BACKEND_MAC));
    assert_eq!(bench.outputs[0].try_iter().count(), 0);
    assert_eq!(bench.instruments.queues[0].received_packets.get(), 51);
    assert_eq!(bench.instruments.queues[1].sent_packets.get(), 40);
    assert!(bench.instruments.latency.counts().count() > 0, "bursts are timed");
    let bursts: u64 = bench.instruments.turns.bursts.iter().map(lb_core::counters::Counter::get).sum();
    assert_eq!(bursts, 4, "51 packets in bursts of 16");
}

#[test]
fn what_a_full_ring_refuses_is_dropped_by_name() {
    let bench = bench(5, 0);
    for source in 1..=16 {
        bench.input.send(frame([203, 0, 113, 10], source)).unwrap();
    }
    let stop = AtomicBool::new(true);
    bench.worker.run(&stop);
    let packets = &bench.instruments.packets;
    assert_eq!(packets.sent.get(), 5);
    assert_eq!(packets.drops.packets[DropReason::TxFull as usize].get(), 11);
    assert_eq!(packets.drops.bytes[DropReason::TxFull as usize].get(), 11 * 60);
    assert_eq!(packets.accounted(), packets.received.get());
    assert_eq!(bench.instruments.queues[1].full.get(), 1);
}

#[test]
fn the_loop_stops_while_traffic_keeps_coming() {
    let bench = bench(usize::MAX, 0);
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, worker, instruments) = (Arc::clone(&stop), bench.worker, Arc::clone(&bench.instruments));
    let thread = std::thread::spawn(move || worker.run(&flag));
    let input = bench.input;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while instruments.packets.received.get() < 5_000 {
        assert!(std::time::Instant::now() < deadline, "the loop does not take packets");
        // The worker may be gone only after the flag is set.
        input.send(frame([203, 0, 113, 10], 7)).unwrap();
    }
    stop.store(true, Ordering::Release);
    thread.join().unwrap();
    assert_eq!(instruments.packets.accounted(), instruments.packets.received.get());
    assert!(instruments.turns.heartbeat.age().is_some());
}
