//! Bursts whose packets go different ways, and rings that do not take them.

use super::*;
use crate::io::handover::Purpose;
use lb_core::reason::{AnswerReason, PuntReason};
use lb_core::verdict::Verdict;
use proptest::prelude::*;

#[test]
fn backends_behind_two_ports_get_their_own_packets() {
    let bench = bench_over(&[0, 1], usize::MAX, 0);
    for source in 1..=200 {
        // Every fifth is for nobody.
        let last = if source % 5 == 0 { 11 } else { 10 };
        bench.input.send(frame([203, 0, 113, last], source)).unwrap();
    }
    bench.worker.run(&AtomicBool::new(true));
    let sent: Vec<Vec<Frame>> = bench.outputs.iter().map(|output| output.try_iter().collect()).collect();
    assert_eq!(sent[0].len() + sent[1].len(), 160);
    assert!(sent.iter().all(|frames| frames.len() > 20), "two backends of one weight");
    let packets = &bench.instruments.packets;
    assert_eq!(packets.drops.packets[DropReason::NoVip as usize].get(), 40);
    assert_eq!((packets.received.get(), packets.accounted()), (200, 200));
    for (port, frames) in sent.iter().enumerate() {
        let queue = &bench.instruments.queues[port];
        assert_eq!(queue.sent_packets.get(), frames.len() as u64);
        assert_eq!(queue.sent_bytes.get(), frames.len() as u64 * 60);
        let sources: Vec<u16> =
            frames.iter().map(|frame| u16::from_be_bytes([frame.frame()[34], frame.frame()[35]])).collect();
        assert!(sources.is_sorted(), "in the order of their arrival");
    }
}

#[test]
fn whole_bursts_and_sorted_ones_fill_the_ring_alike() {
    // One record, so the burst goes whole; one stranger in it, so it is sorted.
    for strangers in [0, 1] {
        let bench = bench(5, 0);
        (0..strangers).for_each(|_| bench.input.send(frame([203, 0, 113, 11], 1)).unwrap());
        (strangers..16).for_each(|source| bench.input.send(frame([203, 0, 113, 10], source)).unwrap());
        bench.worker.run(&AtomicBool::new(true));
        let packets = &bench.instruments.packets;
        assert_eq!(packets.sent.get(), 5);
        let refused = u64::from(11 - strangers);
        assert_eq!(packets.drops.packets[DropReason::TxFull as usize].get(), refused);
        assert_eq!(packets.drops.bytes[DropReason::TxFull as usize].get(), refused * 60);
        assert_eq!((packets.accounted(), bench.instruments.queues[1].full.get()), (16, 1));
    }
}

#[test]
fn a_burst_goes_whole_only_if_all_of_it_goes_one_way() {
    let forward = [Verdict::Forward(0); 3];
    let outbound = |ports: &[u8]| Outbound::<Vec<Frame>>::new(&tables_over(ports), 2);
    assert_eq!(outbound(&[1]).sole_port(&forward), Some(1));
    assert_eq!(outbound(&[0, 0]).sole_port(&forward), Some(0));
    assert_eq!(outbound(&[0, 1]).sole_port(&forward), None, "two ports");
    assert_eq!(outbound(&[2]).sole_port(&forward), None, "a port that is not there");
    for other in [
        Verdict::Answer(AnswerReason::EchoReply),
        Verdict::Punt(PuntReason::NotIp),
        Verdict::Drop(DropReason::Malformed),
        Verdict::Forward(1),
    ] {
        assert_eq!(outbound(&[1]).sole_port(&[forward[0], other]), None, "{other:?}");
    }
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => (0u16..5).prop_map(Verdict::Forward),
        2 => Just(Verdict::Answer(AnswerReason::EchoReply)),
        1 => Just(Verdict::Punt(PuntReason::NotUnicast)),
        1 => Just(Verdict::Drop(DropReason::Checksum)),
    ]
}

proptest! {
    #[test]
    fn every_packet_of_any_burst_is_accounted_for_once(
        verdicts in prop::collection::vec(any_verdict(), 1..=64),
        ring_len in 0usize..70,
        has_tap in any::<bool>(),
    ) {
        // Records 0..3 lead to ports 0, 1 and 2, of which the last does not exist; 3 and 4 are no records.
        let tables = tables_over(&[0, 1, 2]);
        let (mut ports, mut outputs) = (Vec::new(), Vec::new());
        // The third is the kernel's end of port 1, if it has one.
        for _ in 0..3 {
            let (output, sent) = channel();
            ports.push(MemoryPort::without_queues().transmitting(output, ring_len));
            outputs.push(sent);
        }
        let counters = Arc::new(WorkerCounters::new(3, 1));
        let instruments = WorkerInstruments::new("w0".into(), counters, 2);
        let mut io = MemoryIo::new(ports);
        let mut outbound = Outbound::new(&tables, 2);
        let mut burst: Vec<Frame> = (0..verdicts.len() as u16).map(|n| frame([203, 0, 113, 10], n)).collect();
        let taps = Taps::new([false, has_tap]);
        let mut held = Held::default();
        let drops = &instruments.packets.drops;
        outbound.sort(&mut burst, &verdicts, tables.records(), has_tap, (drops, (&mut held, 1)));
        prop_assert!(burst.is_empty());
        let mut exit = Exit { io: &mut io, crew: None, taps: &taps, instruments: &instruments };
        outbound.flush(1, &mut exit);

        let wanted = |port: u16| verdicts.iter().filter(|verdict| **verdict == Verdict::Forward(port)).count();
        let is = |verdict: fn(&Verdict) -> bool| verdicts.iter().filter(|one| verdict(one)).count();
        let answers = is(|verdict| matches!(verdict, Verdict::Answer(_)));
        let to_ring = [wanted(0).min(ring_len), wanted(1).min(ring_len)];
        let answered = answers.min(ring_len - to_ring[1]);
        let packets = &instruments.packets;
        let dropped = |reason: DropReason| packets.drops.packets[reason as usize].get() as usize;
        prop_assert_eq!(outputs[0].try_iter().count(), to_ring[0]);
        prop_assert_eq!(outputs[1].try_iter().count(), to_ring[1] + answered);
        prop_assert_eq!(packets.sent.get() as usize, to_ring[0] + to_ring[1]);
        prop_assert_eq!(packets.answered.get() as usize, answered);
        prop_assert_eq!(dropped(DropReason::NoBackend), wanted(2) + wanted(3) + wanted(4));
        let punts = is(|one| matches!(one, Verdict::Punt(_)));
        let punted = if has_tap { punts.min(ring_len) } else { 0 };
        prop_assert_eq!(outputs[2].try_iter().count(), punted);
        prop_assert_eq!(packets.punted.get() as usize, punted);
        prop_assert_eq!(instruments.queues[1].punted.get() as usize, punted, "counted by the port");
        prop_assert_eq!(dropped(DropReason::NoVip), if has_tap { 0 } else { punts });
        prop_assert_eq!(dropped(DropReason::PuntFull), if has_tap { punts - punted } else { 0 });
        let decided = is(|verdict| matches!(verdict, Verdict::Drop(_)));
        prop_assert_eq!(packets.accounted() as usize + decided, verdicts.len(), "the core counts its own drops");
        prop_assert_eq!(packets.drops.bytes[DropReason::TxFull as usize].get() as usize, dropped(DropReason::TxFull) * 60);
        let mut unused = Vec::new();
        exit.send(0, Purpose::Forward, &mut unused);
        prop_assert_eq!(packets.sent.get() as usize, to_ring[0] + to_ring[1], "nothing is sent twice");
    }
}
