//! Punt interfaces: what is not VIP traffic goes to the kernel, what the kernel sends goes out, and the balance holds.

use super::shared::machine;
use super::*;
use crate::io::handover::QueueOwners;
use lb_core::counters::Counter;
use lb_core::probe_route::ProbeRoutes;

/// A frame with this destination and nothing known behind it.
fn other_frame(destination: [u8; 6], ethertype: [u8; 2]) -> Frame {
    let mut bytes = [0u8; 60];
    bytes[..6].copy_from_slice(&destination);
    bytes[12..14].copy_from_slice(&ethertype);
    Frame::new(&bytes)
}

/// Owners of two ports, of which the first has a punt interface.
fn owners(queues: usize, workers: usize) -> Vec<QueueOwners> {
    let ports =
        vec![QueueOwners::new(0, queues, queues, workers), QueueOwners::new(1, queues, queues, workers)];
    let taps = Taps::new([true, false]).owners(&ports);
    ports.into_iter().chain(taps).collect()
}

/// What has left, as bytes.
fn taken(output: &Receiver<Frame>) -> Vec<Vec<u8>> {
    output.try_iter().map(|frame| frame.frame().to_vec()).collect()
}

#[test]
fn frames_go_to_the_kernel_and_come_from_it_whoever_owns_the_queues() {
    for (queues, workers) in [(1, 1), (1, 2), (2, 2), (2, 3)] {
        let mut machine = machine(&owners(queues, workers), workers, usize::MAX, true);
        for number in 1..=100 {
            machine.inputs[0][0].send(frame([203, 0, 113, 10], number)).unwrap();
            machine.inputs[0][0].send(frame([198, 51, 100, 11], number)).unwrap();
        }
        machine.inputs[0][0].send(other_frame([0xff; 6], [8, 6])).unwrap();
        machine.inputs[0][0].send(other_frame([0x33, 0x33, 0, 0, 0, 1], [0x86, 0xdd])).unwrap();
        machine.inputs[0][0].send(other_frame([2, 0, 0, 0, 0, 5], [8, 0])).unwrap();
        for number in 1..=50 {
            machine.inputs[2][0].send(frame([192, 0, 2, 1], number)).unwrap();
        }
        machine.run(203);
        let what = format!("{queues} queues, {workers} workers");
        let packets = |of: fn(&WorkerCounters) -> &Counter| machine.total(|worker| of(&worker.packets).get());
        assert_eq!(packets(|it| &it.received), 203, "{what}");
        assert_eq!(packets(|it| &it.sent), 100, "{what}");
        assert_eq!(packets(|it| &it.punted), 102, "{what}");
        assert_eq!(packets(|it| &it.drops.packets[DropReason::WrongMac as usize]), 1, "{what}");
        assert_eq!(machine.total(|worker| worker.packets.accounted()), 203, "{what}");
        let port = |of: fn(&crate::instruments::QueueCounters) -> &Counter| {
            machine.total(|worker| of(&worker.queues[0]).get())
        };
        assert_eq!((port(|it| &it.punted), port(|it| &it.injected)), (102, 50), "{what}");
        let to_kernel = taken(&machine.outputs[2]);
        assert_eq!(to_kernel.len(), 102, "{what}");
        assert!(
            to_kernel.contains(&other_frame([0xff; 6], [8, 6]).frame().to_vec()),
            "{what}: ARP is not edited"
        );
        let expected: Vec<Vec<u8>> =
            (1..=50).map(|number| frame([192, 0, 2, 1], number).frame().to_vec()).collect();
        assert_eq!(taken(&machine.outputs[0]), expected, "{what}: unchanged and in order");
        assert_eq!(machine.outputs[1].try_iter().count(), 100, "{what}");
    }
}

#[test]
fn a_full_ring_towards_the_kernel_or_from_it_is_counted_by_name() {
    let mut machine = machine(&owners(1, 1), 1, 5, true);
    for number in 1..=20 {
        machine.inputs[0][0].send(frame([198, 51, 100, 11], number)).unwrap();
        machine.inputs[2][0].send(frame([192, 0, 2, 1], number)).unwrap();
    }
    machine.run(20);
    let worker = &machine.instruments[0];
    let full = worker.packets.drops.packets[DropReason::PuntFull as usize].get();
    assert_eq!((worker.packets.punted.get(), full), (5, 15));
    assert_eq!(worker.packets.accounted(), 20, "what the kernel sends is outside the balance");
    let queue = &worker.queues[0];
    assert_eq!((queue.injected.get(), queue.inject_refused.get()), (5, 15));
}

#[test]
fn probes_of_the_kernel_leave_for_their_backend_and_the_rest_as_it_came() {
    for (queues, workers) in [(1, 1), (1, 2), (2, 2)] {
        let mut machine = machine(&owners(queues, workers), workers, usize::MAX, true);
        let routes = Arc::new(ProbeRoutes::default());
        let vip = "203.0.113.10".parse().unwrap();
        for number in 1..=20 {
            let _ = routes.enter(6, number, vip, 0).unwrap();
        }
        // Of a pair that is gone.
        let _ = routes.enter(6, 21, vip, 77).unwrap();
        let workers = std::mem::take(&mut machine.workers);
        machine.workers = workers.into_iter().map(|one| one.with_probes(Arc::clone(&routes))).collect();
        for number in 1..=30 {
            machine.inputs[2][0].send(frame([203, 0, 113, 10], number)).unwrap();
        }
        machine.inputs[0][0].send(frame([203, 0, 113, 10], 1)).unwrap();
        machine.run(1);
        let probes = taken(&machine.outputs[1]);
        // The twenty-first is a client's, whose packets a probe's port has nothing to do with.
        assert_eq!(probes.len(), 21, "{queues} queues: by the port of the backend");
        assert!(probes.iter().all(|bytes| bytes[..6] == BACKEND_MAC), "edited");
        let others: Vec<Vec<u8>> =
            (22..=30).map(|number| frame([203, 0, 113, 10], number).frame().to_vec()).collect();
        assert_eq!(taken(&machine.outputs[0]), others, "no probes: untouched");
        let injected = |port: usize| machine.total(|worker| worker.queues[port].injected.get());
        assert_eq!((injected(0), injected(1)), (9, 20), "by the port that they left by");
        let lost = |port: usize| machine.total(|worker| worker.queues[port].inject_refused.get());
        assert_eq!((lost(0), lost(1)), (1, 0));
        assert_eq!(machine.total(|worker| worker.packets.accounted()), 1, "outside the balance");
    }
}
