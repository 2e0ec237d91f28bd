//! Two and three workers on ports with fewer queues: everything is served, by the right worker, and accounted for.

use super::*;
use crate::io::handover::{Crew, QueueOwners};
use std::thread;
use std::time::Instant;

/// The workers of a machine whose ports have the given owners; backends are behind port 1.
pub(super) struct Machine {
    pub(super) inputs: Vec<Vec<Sender<Frame>>>,
    pub(super) outputs: Vec<Receiver<Frame>>,
    pub(super) instruments: Vec<Arc<WorkerInstruments>>,
    pub(super) workers: Vec<Worker<MemoryIo>>,
}

/// Queues of these workers.
fn owned(receive: &[usize], transmit: &[usize]) -> QueueOwners {
    QueueOwners {
        receive: receive.into(),
        transmit: transmit.into(),
        is_private: false,
        follows_sessions: false,
    }
}

pub(super) fn machine(owners: &[QueueOwners], workers: usize, ring_len: usize, is_adaptive: bool) -> Machine {
    let tables = tables_over(&[1]);
    let mut crew = Crew::assemble(workers, owners).unwrap().into_iter();
    let mut machine =
        Machine { inputs: Vec::new(), outputs: Vec::new(), instruments: Vec::new(), workers: Vec::new() };
    let senders: Vec<Sender<Frame>> = owners
        .iter()
        .map(|_| {
            let (sender, receiver) = channel();
            machine.outputs.push(receiver);
            sender
        })
        .collect();
    machine.inputs = owners.iter().map(|_| Vec::new()).collect();
    for index in 0..workers {
        let mut ports = Vec::new();
        for (number, port) in owners.iter().enumerate() {
            let mut queues = MemoryPort::without_queues();
            if port.receive.contains(&index) {
                let (sender, receiver) = channel();
                machine.inputs[number].push(sender);
                queues = queues.receiving(receiver);
            }
            if port.transmit.contains(&index) {
                queues = queues.transmitting(senders[number].clone(), ring_len);
            }
            ports.push(queues);
        }
        let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
        let instruments = Arc::new(WorkerInstruments::new(format!("w{index}"), Arc::clone(&counters), 2));
        let pipeline = Pipeline::new(ConnTable::with_capacity(1 << 14), counters, Level::detect());
        let settings = LoopSettings { burst: 32, is_adaptive, latency_sample: 0 };
        let filters = vec![PortFilter::new(PORT_MAC); owners.len()];
        let io = MemoryIo::new(ports);
        let worker =
            Worker::new(io, pipeline, Arc::clone(&tables), filters, Arc::clone(&instruments), settings);
        machine.instruments.push(instruments);
        // Private ports are the kernel's ends of the first ports.
        let taps = owners.iter().filter(|port| port.is_private).count();
        let taps = Taps::new((0..owners.len() - taps).map(|port| port < taps));
        machine.workers.push(worker.in_crew(crew.next()).with_taps(taps));
    }
    machine
}

impl Machine {
    pub(super) fn total(&self, of: impl Fn(&WorkerInstruments) -> u64) -> u64 {
        self.instruments.iter().map(|worker| of(worker)).sum()
    }

    /// Runs until `frames` have been received from ports, then stops the workers at different moments.
    pub(super) fn run(&mut self, frames: u64) {
        let stops: Vec<Arc<AtomicBool>> =
            self.workers.iter().map(|_| Arc::new(AtomicBool::new(false))).collect();
        let threads: Vec<_> = self
            .workers
            .drain(..)
            .zip(&stops)
            .map(|(worker, stop)| (worker, Arc::clone(stop)))
            .map(|(worker, stop)| thread::spawn(move || worker.run(&stop)))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(30);
        let polled =
            |worker: &WorkerInstruments| worker.queues.iter().map(|q| q.received_packets.get()).sum();
        while self.total(polled) < frames {
            assert!(Instant::now() < deadline, "{} of {frames} received", self.total(polled));
            thread::sleep(Duration::from_millis(1));
        }
        for stop in stops {
            stop.store(true, Ordering::Release);
            thread::sleep(Duration::from_millis(2));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

const FLOWS: u16 = 500;
const PACKETS_PER_FLOW: u16 = 8;

/// Sends packets of many flows to every receive queue of the first port, one flow to one queue as RSS does.
fn send_flows(machine: &Machine) -> u64 {
    let queues = &machine.inputs[0];
    for _ in 0..PACKETS_PER_FLOW {
        for flow in 1..=FLOWS {
            let to = &queues[usize::from(flow) % queues.len()];
            to.send(frame([203, 0, 113, 10], flow)).unwrap();
        }
    }
    u64::from(FLOWS) * u64::from(PACKETS_PER_FLOW)
}

/// What must hold after any run: nothing lost, each flow known to one worker, its packets in order.
fn check(machine: &Machine, frames: u64, workers_at_work: usize) {
    let received = machine.total(|worker| worker.packets.received.get());
    assert_eq!(received, frames, "everything polled was served");
    assert_eq!(machine.total(|worker| worker.packets.accounted()), frames);
    let sent = machine.total(|worker| worker.packets.sent.get());
    let refused = machine.total(|worker| worker.packets.drops.packets[DropReason::TxFull as usize].get());
    assert_eq!(sent + refused, frames);
    assert_eq!(machine.outputs[1].try_iter().count() as u64, sent);
    assert_eq!(machine.total(|worker| worker.queues[1].sent_packets.get()), sent);
    let insertions = machine.total(|worker| worker.packets.insertions.get());
    assert_eq!(insertions, u64::from(FLOWS), "a flow that changed workers would be inserted twice");
    let busy = machine.instruments.iter().filter(|worker| worker.packets.received.get() > frames / 10);
    assert_eq!(busy.count(), workers_at_work);
}

#[test]
fn two_workers_share_a_port_with_one_queue() {
    for is_adaptive in [true, false] {
        let owners = [QueueOwners::new(0, 1, 1, 2), QueueOwners::new(1, 1, 1, 2)];
        let mut machine = machine(&owners, 2, usize::MAX, is_adaptive);
        let frames = send_flows(&machine);
        machine.run(frames);
        check(&machine, frames, 2);
        assert_eq!(machine.total(|worker| worker.packets.drops.total()), 0);
    }
}

#[test]
fn one_port_for_both_directions_has_one_owner() {
    let owners = [QueueOwners::new(0, 1, 2, 2), owned(&[0], &[0])];
    let mut machine = machine(&owners, 2, usize::MAX, true);
    let frames = send_flows(&machine);
    machine.run(frames);
    check(&machine, frames, 2);
    assert_eq!(machine.total(|worker| worker.packets.drops.total()), 0);
    assert_eq!(machine.instruments[1].queues[1].sent_packets.get(), 0, "it has no queue");
}

#[test]
fn three_workers_share_a_port_with_two_queues() {
    let owners = [QueueOwners::new(0, 2, 2, 3), QueueOwners::new(1, 3, 2, 3)];
    let mut machine = machine(&owners, 3, usize::MAX, true);
    let frames = send_flows(&machine);
    machine.run(frames);
    check(&machine, frames, 3);
}

#[test]
fn a_ring_that_is_full_drops_by_name_whoever_filled_it() {
    let owners = [QueueOwners::new(0, 1, 1, 2), owned(&[0, 1], &[0])];
    let mut machine = machine(&owners, 2, 3, true);
    let frames = send_flows(&machine);
    machine.run(frames);
    check(&machine, frames, 2);
    let refused = machine.total(|worker| worker.packets.drops.packets[DropReason::TxFull as usize].get());
    assert!(refused > 0, "a ring of three is too short for bursts of 32");
}

#[test]
fn frames_without_a_flow_stay_with_the_owner() {
    let owners = [QueueOwners::new(0, 1, 1, 2), QueueOwners::new(1, 2, 2, 2)];
    let mut machine = machine(&owners, 2, usize::MAX, true);
    for _ in 0..100 {
        let mut arp = [0u8; 60];
        arp[..6].fill(0xff);
        arp[12..14].copy_from_slice(&[8, 6]);
        machine.inputs[0][0].send(Frame::new(&arp)).unwrap();
    }
    machine.run(100);
    let received: Vec<u64> = machine.instruments.iter().map(|worker| worker.packets.received.get()).collect();
    assert_eq!(received, [100, 0]);
    assert_eq!(machine.total(|worker| worker.packets.accounted()), 100);
}

#[test]
fn a_worker_that_stops_early_still_takes_what_others_hand_over() {
    // The one that stops first is needed to serve, to send, or for both.
    for (receive, transmit) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let owners = [owned(&[receive], &[0, 1]), owned(&[0, 1], &[transmit])];
        let mut machine = machine(&owners, 2, usize::MAX, true);
        for flow in 1..=200 {
            machine.inputs[0][0].send(frame([203, 0, 113, 10], flow)).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(true));
        let threads: Vec<_> = machine
            .workers
            .drain(..)
            .map(|worker| {
                let stop = Arc::clone(&stop);
                let thread = thread::spawn(move || worker.run(&stop));
                // Long enough for the first one to be gone if it did not wait.
                thread::sleep(Duration::from_millis(50));
                thread
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let polled = machine.total(|worker| worker.queues[0].received_packets.get());
        assert!(polled > 0, "receive {receive}, transmit {transmit}");
        assert_eq!(machine.total(|worker| worker.packets.received.get()), polled);
        assert_eq!(machine.total(|worker| worker.packets.sent.get()), polled);
        assert_eq!(machine.outputs[1].try_iter().count() as u64, polled);
    }
}
