//! What holds of any traffic at all: nothing is lost unseen, and neither the size of a burst nor the
//! instruction set makes a difference.

use super::*;
use crate::counters::Counter;
use crate::packet::Buffer;
use crate::sample::any_sample;
use proptest::prelude::*;
use std::net::SocketAddr;

/// Frames of few clients to the services, of strangers, damaged ones and noise.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let vips = [
        "203.0.113.10:443",
        "203.0.113.10:80",
        "203.0.113.53:53",
        "203.0.113.20:7",
        "203.0.113.66:80",
        "203.0.113.10:22",
        "[2001:db8:cafe::10]:443",
        "[2001:db8:cafe::53]:53",
        "[2001:db8:cafe::20]:9",
    ];
    let served =
        (any_sample(), 0..vips.len(), 0u16..6, 0u8..12).prop_map(move |(mut sample, vip, client, ttl)| {
            let ip = if vip < 6 { "198.51.100.7" } else { "2001:db8::7" };
            sample.from = SocketAddr::new(address(ip), client);
            sample.to = vips[vip].parse().unwrap();
            sample.ttl = ttl;
            sample.frame()
        });
    let damaged = (any_sample(), 0usize..60, any::<u8>()).prop_map(|(sample, at, byte)| {
        let mut frame = sample.frame();
        let at = at % frame.len();
        frame[at] = byte;
        frame
    });
    prop_oneof![
        6 => served,
        1 => any_sample().prop_map(|sample| sample.frame()),
        1 => damaged,
        1 => prop::collection::vec(any::<u8>(), 0..100),
    ]
}

fn any_bursts() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    prop::collection::vec(prop::collection::vec(any_frame(), 1..=BURST_MAX), 1..5)
}

/// Whether received is forwarded, punted and dropped, and the counters say the same as the verdicts.
fn check_conservation(lab: &Lab, verdicts: &[Verdict]) {
    let counters = lab.counters();
    let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|one| wanted(one)).count() as u64;
    let forwarded = count(|one| matches!(one, Verdict::Forward(_)));
    let punted = count(|one| matches!(one, Verdict::Punt(_)));
    let dropped = count(|one| matches!(one, Verdict::Drop(_)));
    let answered = count(|one| matches!(one, Verdict::Answer(_)));
    let held = count(|one| matches!(one, Verdict::Hold(_)));
    assert_eq!(counters.answers.iter().map(Counter::get).sum::<u64>(), answered);
    assert_eq!(counters.held.get(), held);
    assert_eq!(counters.received.get(), verdicts.len() as u64);
    assert_eq!(counters.received.get(), forwarded + answered + punted + counters.drops.total() + held);
    assert_eq!(dropped, counters.drops.total());
    for reason in DropReason::ALL {
        let with_reason = verdicts.iter().filter(|one| **one == Verdict::Drop(*reason)).count() as u64;
        assert_eq!(counters.drops.packets[*reason as usize].get(), with_reason, "{reason:?}");
        let of_services: u64 =
            counters.service_drops.iter().map(|one| one.packets[*reason as usize].get()).sum();
        assert!(of_services <= with_reason, "{reason:?}");
    }
    for (record, counters) in counters.records.iter().enumerate() {
        let to_it = verdicts.iter().filter(|one| **one == Verdict::Forward(record as u16)).count() as u64;
        assert_eq!(counters.packets.get(), to_it, "record {record}");
    }
    let active: u64 = counters.records.iter().map(|one| one.active.get()).sum();
    assert_eq!(active, lab.pipeline.connections().len() as u64);
    assert_eq!(counters.entries.get(), active);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_packet_gets_one_verdict_and_is_counted_once(
        bursts in any_bursts(),
        entries in prop_oneof![Just(12), Just(600)],
    ) {
        let mut lab = Lab::at_level(spec(), entries, Level::detect());
        let mut verdicts = Vec::new();
        for burst in &bursts {
            let outcomes = lab.burst(burst);
            prop_assert_eq!(outcomes.len(), burst.len());
            for ((verdict, left), frame) in outcomes.iter().zip(burst) {
                let may_differ = matches!(verdict, Verdict::Forward(_) | Verdict::Answer(_));
                prop_assert!(may_differ || left == frame, "{:?} but edited", verdict);
            }
            verdicts.extend(outcomes.into_iter().map(|(verdict, _)| verdict));
            lab.wait(7);
        }
        check_conservation(&lab, &verdicts);
    }

    #[test]
    fn the_size_of_a_burst_makes_no_difference(
        frames in prop::collection::vec(any_frame(), 1..200),
        size in 2..=BURST_MAX,
    ) {
        let run = |size: usize| -> Vec<(Verdict, Vec<u8>)> {
            let mut lab = Lab::new();
            frames.chunks(size).flat_map(|burst| lab.burst(burst)).collect()
        };
        let one_by_one = run(1);
        prop_assert_eq!(&run(size), &one_by_one);
        prop_assert_eq!(&run(BURST_MAX), &one_by_one);
    }

    /// The first guess at a frame's family may see what lies behind a frame that was cut off.
    #[test]
    fn what_a_buffer_held_before_makes_no_difference(
        frames in prop::collection::vec((any_frame(), prop_oneof![1 => 0usize..70, 2 => Just(2_000)]), 1..200),
    ) {
        let (mut lab, mut same) = (Lab::new(), Lab::new());
        for burst in frames.chunks(BURST_MAX) {
            let mut buffers = vec![Buffer::default(); burst.len()];
            for (buffer, (frame, cut)) in buffers.iter_mut().zip(burst) {
                buffer.reset(frame.len()).copy_from_slice(frame);
                buffer.reset(frame.len().min(*cut));
            }
            let exact: Vec<_> = buffers.iter().map(|buffer| buffer.frame().to_vec()).collect();
            let verdicts = lab.pipeline.process(&lab.tables, &OURS, lab.now, &mut buffers).to_vec();
            let outcomes = verdicts.into_iter().zip(buffers.iter().map(|buffer| buffer.frame().to_vec()));
            prop_assert_eq!(outcomes.collect::<Vec<_>>(), same.burst(&exact));
        }
    }

    #[test]
    fn the_instruction_set_makes_no_difference(bursts in any_bursts()) {
        let mut fast = Lab::at_level(spec(), 600, Level::detect());
        let outcomes: Vec<_> = bursts.iter().map(|burst| fast.burst(burst)).collect();
        for level in Level::all().skip(1) {
            let mut other = Lab::at_level(spec(), 600, level);
            for (burst, outcomes) in bursts.iter().zip(&outcomes) {
                prop_assert_eq!(outcomes, &other.burst(burst));
            }
            prop_assert_eq!(format!("{:?}", fast.counters()), format!("{:?}", other.counters()));
        }
    }

    /// A pure function: with an empty table the backend follows from the tables and the flow alone.
    #[test]
    fn without_entries_the_backend_follows_from_the_flow(frames in prop::collection::vec(any_frame(), 1..60)) {
        let together = Lab::new().burst(&frames);
        let lab = Lab::new();
        for (frame, (verdict, _)) in frames.iter().zip(together) {
            let alone = Lab::at_level(spec(), 12, Level::Portable).burst(std::slice::from_ref(frame));
            prop_assert_eq!(alone[0].0, verdict);
            // Fragments and ICMP have no flow of their own, see their tests.
            if let (Verdict::Forward(record), Ok((_, key))) = (verdict, parse(frame, OURS)) {
                let (to, port) = (key.destination, key.destination_port);
                let service = lab.tables.service(to, port, key.protocol).unwrap();
                let hash = lab.tables.hash(Level::detect(), &key);
                prop_assert_eq!(lab.tables.select(service, hash), Some(record));
            }
        }
    }
}
