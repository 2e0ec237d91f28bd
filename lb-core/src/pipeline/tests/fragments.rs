//! Fragments through the packet path: all of a datagram to one backend in whatever order, and no other way in.

use super::traffic::cut;
use super::*;
use crate::fragments::HeldState;
use crate::headers::NoFlow;
use crate::sample::{ACK, Extension, SYN, Transport};
use crate::spec::{Echo, Fragments};
use proptest::prelude::*;

/// Sends frames one by one, and what was held again whenever it is due, as a worker does.
fn run(lab: &mut Lab, frames: &[Vec<u8>]) -> Vec<Option<(Verdict, Vec<u8>)>> {
    let mut fates: Vec<Option<(Verdict, Vec<u8>)>> = vec![None; frames.len()];
    let mut held: Vec<(usize, u16)> = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let (verdict, left) = lab.burst(std::slice::from_ref(frame)).remove(0);
        match verdict {
            Verdict::Hold(slot) => held.push((number, slot)),
            _ => fates[number] = Some((verdict, left)),
        }
        take_back(lab, frames, &mut held, &mut fates);
    }
    fates
}

fn take_back(
    lab: &mut Lab,
    frames: &[Vec<u8>],
    held: &mut Vec<(usize, u16)>,
    fates: &mut [Option<(Verdict, Vec<u8>)>],
) {
    if !lab.pipeline.takes_back() {
        return;
    }
    held.retain(|(number, slot)| match lab.pipeline.held_state(*slot) {
        HeldState::Waiting => true,
        HeldState::Ready => {
            let mut packets = [Frame::new(&frames[*number])];
            let verdict = lab.pipeline.process_held(&lab.tables, &OURS, lab.now, &mut packets)[0];
            fates[*number] = Some((verdict, packets[0].frame().to_vec()));
            false
        }
        HeldState::Gone => {
            lab.pipeline.give_up(*slot, frames[*number].len());
            false
        }
    });
}

fn records(fates: &[Option<(Verdict, Vec<u8>)>]) -> Vec<RecordIndex> {
    let record = |fate: &Option<(Verdict, Vec<u8>)>| match fate {
        Some((Verdict::Forward(record), _)) => *record,
        other => panic!("{other:?}"),
    };
    fates.iter().map(record).collect()
}

fn verdict(fate: &Option<(Verdict, Vec<u8>)>) -> Option<Verdict> {
    fate.as_ref().map(|(verdict, _)| *verdict)
}

fn large(is_v6: bool, client: u16) -> Sample {
    let sample = match is_v6 {
        true => Sample::udp(&format!("[2001:db8::7]:{client}"), "[2001:db8:cafe::10]:443"),
        false => Sample::udp(&format!("198.51.100.7:{client}"), "203.0.113.10:443"),
    };
    sample.with(|one| one.payload = (0..4000).map(|n| n as u8).collect())
}

#[test]
fn the_last_one_first_and_still_one_backend_with_every_byte() {
    for (is_v6, client) in [(false, 1), (true, 1), (false, 2), (true, 2), (true, 3), (false, 3)] {
        let sample = large(is_v6, 5000 + client);
        let mut lab = Lab::new();
        let expected = lab.maglev(&sample.clone().with(|one| one.payload.clear()), QUIC).unwrap();
        let mut frames = cut(&sample, 1400, 77);
        frames.reverse();
        let fates = run(&mut lab, &frames);
        assert_eq!(records(&fates), [expected; 3]);
        let backend = backend_of(&lab.spec, expected).clone();
        for (frame, fate) in frames.iter().zip(&fates) {
            // As a packet without a shortcut for its checksum: the outer one over IPv6 is right for every fragment.
            let Err(NoFlow::Fragment(fragment)) = parse(frame, OURS) else { panic!() };
            let (_, key) = parse(&sample.clone().with(|one| one.payload.clear()).frame(), OURS).unwrap();
            let hash = lab.tables.hash(Level::Portable, &key);
            let edited = naive::encapsulated(frame, &fragment.datagram.headers, hash, &backend);
            assert_eq!(fate.as_ref().unwrap().1, edited);
        }
        let counters = lab.counters();
        assert_eq!((counters.fragments.get(), counters.held.get(), counters.received.get()), (3, 0, 3));
        assert_eq!(lab.pipeline.aside.fragments.len(), 0, "the slot is free at once");
        assert_eq!(lab.pipeline.connections().len(), 1, "the flow has an entry like any other");
    }
}

#[test]
fn fragments_follow_the_entry_of_their_flow() {
    let mut lab = Lab::new();
    let small = large(false, 9).with(|one| one.payload.truncate(10));
    let record = lab.record(&small);
    lab.set_state(record, BackendState::Drain);
    assert_ne!(lab.maglev(&small, QUIC), Some(record));
    assert_eq!(records(&run(&mut lab, &cut(&large(false, 9), 1400, 5))), [record; 3]);
}

#[test]
fn a_first_fragment_that_does_not_come_is_not_waited_for() {
    let mut lab = Lab::new();
    let frames = cut(&large(false, 9), 1400, 5);
    let mut fates = run(&mut lab, &frames[1..]);
    assert_eq!(fates, [None, None]);
    assert_eq!((lab.counters().held.get(), lab.counters().accounted()), (2, 2));
    lab.wait(2);
    let mut held: Vec<(usize, u16)> = vec![(0, 0), (1, 0)];
    let slot = (0..1024).find(|slot| {
        lab.pipeline.held_state(*slot) == HeldState::Gone && {
            lab.pipeline.aside.fragments.fate(*slot).1 == FlowHash::default()
                && lab.pipeline.aside.fragments.is_held(*slot)
        }
    });
    held.iter_mut().for_each(|one| one.1 = slot.unwrap());
    take_back(&mut lab, &frames[1..], &mut held, &mut fates);
    assert!(held.is_empty());
    let counters = lab.counters();
    assert_eq!(counters.drops.packets[DropReason::FragmentTimeout as usize].get(), 2);
    assert_eq!((counters.held.get(), counters.received.get(), counters.accounted()), (0, 2, 2));
    assert!(lab.pipeline.aside.fragments.is_empty());
    assert!(
        matches!(verdict(&run(&mut lab, &frames[..1])[0]), Some(Verdict::Forward(_))),
        "it comes after all"
    );
}

#[test]
fn the_tables_bounds_have_names() {
    let mut lab = Lab::new();
    let old = std::mem::replace(&mut lab, Lab::new());
    let Lab { spec, tables, pipeline, now } = old;
    let mut lab = Lab { spec, tables, pipeline: pipeline.with_fragments(8, 2), now };
    let early: Vec<Vec<u8>> = (0..20).map(|id| cut(&large(false, 9), 1400, id).remove(1)).collect();
    let fates = run(&mut lab, &early);
    let full = Some(Verdict::Drop(DropReason::FragmentTableFull));
    assert_eq!(fates.iter().filter(|fate| verdict(fate) == full).count(), 18, "two are held");
    assert_eq!(lab.counters().held.get(), 2);
    assert_eq!(lab.counters().service_drops[WEB].packets[DropReason::FragmentTableFull as usize].get(), 18);
}

/// One rule of the RFCs per line.
#[test]
fn attacks_end_here() {
    let invalid = Some(Verdict::Drop(DropReason::FragmentInvalid));
    let tcp = |is_v6| match is_v6 {
        true => Sample::tcp("[2001:db8::7]:9", "[2001:db8:cafe::10]:443", SYN),
        false => Sample::tcp("198.51.100.7:9", "203.0.113.10:443", SYN),
    };
    for is_v6 in [false, true] {
        let small = tcp(is_v6).with(|one| one.payload = vec![1; 60]);
        let tiny = cut(&small, 16, 1);
        assert_eq!(verdict(&run(&mut Lab::new(), &tiny)[0]), invalid, "RFC 1858: half a TCP header");
        let fates = run(&mut Lab::new(), &tiny);
        assert!(fates.iter().all(|fate| verdict(fate) == invalid), "and all behind it");
        let offset_one = cut(&small, 8, 1).remove(1);
        assert_eq!(verdict(&run(&mut Lab::new(), &[offset_one])[0]), invalid, "RFC 3128: its flags alone");

        let frames = cut(&large(is_v6, 9), 1400, 1);
        let other = cut(&large(is_v6, 9), 1392, 1);
        let overlapping = [frames[0].clone(), other[1].clone(), frames[1].clone(), frames[2].clone()];
        let fates = run(&mut Lab::new(), &overlapping);
        assert!(matches!(verdict(&fates[0]), Some(Verdict::Forward(_))));
        assert!(fates[1..].iter().all(|fate| verdict(fate) == invalid), "RFC 5722: the rest of the datagram");
        let fates = run(&mut Lab::new(), &[&frames[2..], &other[1..2], &frames[1..2], &frames[..1]].concat());
        assert!(fates.iter().all(|fate| verdict(fate) == invalid), "those that were held as well");

        let twice = [frames[0].clone(), frames[1].clone(), frames[1].clone(), frames[2].clone()];
        assert_eq!(
            records(&run(&mut Lab::new(), &twice)).len(),
            4,
            "RFC 8200 4.5: duplicates are no overlap"
        );

        let l3 = 14;
        let mut beyond = frames[2].clone();
        if is_v6 {
            beyond[l3 + 42..l3 + 44].copy_from_slice(&0xfff8u16.to_be_bytes());
        } else {
            beyond[l3 + 6..l3 + 8].copy_from_slice(&0x1fffu16.to_be_bytes());
            beyond[l3 + 10..l3 + 12].fill(0);
            let sum = pnet_packet::util::checksum(&beyond[l3..l3 + 20], usize::MAX);
            beyond[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(verdict(&run(&mut Lab::new(), &[beyond])[0]), invalid, "beyond 65,535 bytes");
        let uneven = cut(&large(is_v6, 9), 1404, 1).remove(0);
        assert_eq!(verdict(&run(&mut Lab::new(), &[uneven])[0]), invalid, "not a multiple of 8 bytes");
    }
    let chain = tcp(true).with(|one| {
        one.extensions = vec![Extension::Fragment(0, true), Extension::Destination(2)];
        one.transport = Transport::Other(60);
        one.payload = vec![60, 5, 1, 4, 0, 0, 0, 0];
    });
    assert_eq!(
        verdict(&run(&mut Lab::new(), &[chain.frame()])[0]),
        invalid,
        "RFC 7112: the chain goes on elsewhere"
    );
    let nd = tcp(true).with(|one| {
        one.to = "[2001:db8::99]:0".parse().unwrap();
        one.extensions = vec![Extension::Fragment(0, true)];
        one.transport = Transport::Other(58);
        one.payload = vec![136, 0, 0, 0, 0, 0, 0, 0];
    });
    assert_eq!(verdict(&run(&mut Lab::new(), &[nd.frame()])[0]), invalid, "RFC 6980: whoever it is for");
}

#[test]
fn policies_and_other_addresses() {
    let frames = cut(&large(false, 9), 1400, 1);
    let mut lab = Lab::new();
    lab.change(|spec| spec.services[WEB].portless.fragments = Fragments::Drop);
    let fates = run(&mut lab, &frames);
    assert!(fates.iter().all(|fate| verdict(fate) == Some(Verdict::Drop(DropReason::Fragment))));
    let elsewhere = large(false, 9).with(|one| one.to = "203.0.113.11:443".parse().unwrap());
    let fates = run(&mut lab, &cut(&elsewhere, 1400, 1));
    assert!(fates.iter().all(|fate| verdict(fate) == Some(Verdict::Punt(PuntReason::NoVip))));
    let other_port = large(false, 9).with(|one| one.to.set_port(99));
    let mut reversed = cut(&other_port, 1400, 1);
    reversed.reverse();
    let fates = run(&mut Lab::new(), &reversed);
    assert!(fates.iter().all(|fate| verdict(fate) == Some(Verdict::Punt(PuntReason::NoVip))), "{fates:?}");
}

/// The first may be told why it cannot go on, the others never.
#[test]
fn only_the_first_is_told() {
    for is_v6 in [false, true] {
        let late = cut(&large(is_v6, 9).with(|one| one.ttl = 1), 1400, 1);
        let fates = run(&mut Lab::new(), &late);
        assert_eq!(verdict(&fates[0]), Some(Verdict::Answer(AnswerReason::TimeExceeded)));
        assert!(fates[1..].iter().all(|fate| verdict(fate) == Some(Verdict::Drop(DropReason::TtlExceeded))));
        let mut lab = Lab::new();
        lab.change(|spec| spec.signals.inner_mtu = 1300);
        let fates = run(&mut lab, &cut(&large(is_v6, 9), 1400, 1));
        let answer = if is_v6 { AnswerReason::PacketTooBig } else { AnswerReason::FragmentationNeeded };
        assert_eq!(verdict(&fates[0]), Some(Verdict::Answer(answer)));
        assert!(fates[1..].iter().all(|fate| verdict(fate) == Some(Verdict::Drop(DropReason::MtuExceeded))));
    }
}

/// `ping -s 4000`: each fragment of a request becomes that of the reply; put together they are one with a good checksum.
#[test]
fn a_long_ping_is_answered_in_whatever_order() {
    for is_v6 in [false, true] {
        let (from, to) = match is_v6 {
            true => ("[2001:db8::7]:0", "[2001:db8:cafe::10]:0"),
            false => ("198.51.100.7:0", "203.0.113.10:0"),
        };
        let mut message: Vec<u8> = (0..4008).map(|n| n as u8).collect();
        message[..8].copy_from_slice(&[if is_v6 { 128 } else { 8 }, 0, 0, 0, 1, 2, 0, 1]);
        let sample = Sample::udp(from, to).with(|one| {
            one.transport = Transport::Other(if is_v6 { 58 } else { 1 });
            one.payload = message.clone();
        });
        for reversed in [false, true] {
            let mut frames = cut(&sample, 1448, 9);
            if reversed {
                frames.reverse();
            }
            let mut fates = run(&mut Lab::new(), &frames);
            assert!(fates.iter().all(|fate| verdict(fate) == Some(Verdict::Answer(AnswerReason::EchoReply))));
            if reversed {
                fates.reverse();
            }
            let header_len = if is_v6 { 48 } else { 20 };
            let whole: Vec<u8> =
                fates.iter().flat_map(|fate| fate.as_ref().unwrap().1[14 + header_len..].to_vec()).collect();
            assert_eq!(whole[4..], message[4..]);
            assert_eq!(whole[0], if is_v6 { 129 } else { 0 });
            let (new, old) = (checksum_of(&whole), checksum_of(&message));
            assert_eq!(new, old, "the sum over type and checksum is the same");
            let again = parse(&fates[1].as_ref().unwrap().1, PortFilter::ANY);
            let Err(NoFlow::Fragment(second)) = again else { panic!("{again:?}") };
            assert_eq!((second.offset, second.id, second.has_more), (1448, 9, true));
        }
        let mut lab = Lab::new();
        lab.change(|spec| spec.services[WEB].portless.echo = Echo::Forward);
        let forwarded = records(&run(&mut lab, &cut(&sample, 1400, 9)));
        assert!(forwarded.iter().all(|record| *record == forwarded[0]));
    }
}

fn checksum_of(bytes: &[u8]) -> u16 {
    crate::checksum::fold(crate::checksum::sum(bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any datagrams, cut anywhere, in any order: each to the backend of its flow, and every packet accounted for.
    #[test]
    fn any_order_leads_to_the_backend_of_the_flow(
        clients in prop::collection::vec((any::<bool>(), 1u16..40, 1usize..20), 1..12),
        order in any::<u64>(),
    ) {
        let mut lab = Lab::new();
        let mut frames = Vec::new();
        for (id, (is_v6, client, units)) in clients.iter().enumerate() {
            let sample = large(*is_v6, *client).with(|one| one.payload.truncate(600));
            let head = sample.clone().with(|one| one.payload.clear());
            let expected = lab.maglev(&head, QUIC).unwrap();
            let parts = cut(&sample, units * 8 + 24, id as u16);
            frames.extend(parts.into_iter().map(|frame| (frame, expected)));
        }
        let mut numbers = crate::sample::Numbers(order);
        for at in (1..frames.len()).rev() {
            frames.swap(at, numbers.below(at + 1));
        }
        let (frames, expected): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        prop_assert_eq!(records(&run(&mut lab, &frames)), expected);
        let counters = lab.counters();
        let sent: u64 = counters.records.iter().map(|one| one.packets.get()).sum();
        prop_assert_eq!((counters.received.get(), counters.held.get(), sent), (frames.len() as u64, 0, frames.len() as u64));
        prop_assert!(lab.pipeline.aside.fragments.is_empty());
    }

    /// Fragments of anything, damaged: nothing panics, nothing is lost.
    #[test]
    fn damaged_fragments_are_accounted_for(
        damage in prop::collection::vec((0usize..120, any::<u8>()), 0..6),
        is_v6: bool,
        tcp: bool,
        units in 1usize..30,
    ) {
        let mut lab = Lab::new();
        let sample = large(is_v6, 7).with(|one| {
            one.payload.truncate(300);
            if tcp {
                one.transport = Transport::Tcp(ACK);
            }
        });
        let mut frames = cut(&sample, units * 8, 3);
        for (at, byte) in damage {
            let count = frames.len();
            let frame = &mut frames[at % count];
            let at = at % frame.len();
            frame[at] = byte;
        }
        let fates = run(&mut lab, &frames);
        let waiting = fates.iter().filter(|fate| fate.is_none()).count() as u64;
        let punted = fates.iter().filter(|fate| matches!(fate, Some((Verdict::Punt(_), _)))).count() as u64;
        let counters = lab.counters();
        let sent: u64 = counters.records.iter().map(|one| one.packets.get()).sum();
        let answers: u64 = counters.answers.iter().map(|one| one.get()).sum();
        prop_assert_eq!(counters.held.get(), waiting);
        prop_assert_eq!(counters.received.get(), sent + answers + punted + counters.drops.total() + waiting);
    }
}
