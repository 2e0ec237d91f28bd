//! Flows over time: what they keep, what they lose, and when.

use super::*;
use crate::conn::Class;
use crate::hw::Portable;
use crate::sample::{ACK, FIN, RST, SYN, Transport};

fn class(lab: &Lab, sample: &Sample) -> Option<Class> {
    let (_, key) = parse(&sample.frame(), OURS).unwrap();
    let tag = lab.tables.hash(Level::Portable, &key).tag;
    let connections = lab.pipeline.connections();
    connections.find(Portable, tag).map(|slot| connections.class(slot))
}

/// Connections of 200 clients, with the backends they have.
fn connected(lab: &mut Lab) -> Vec<RecordIndex> {
    (0..200)
        .map(|index| {
            let record = lab.record(&web(index, SYN));
            assert_eq!(lab.record(&web(index, ACK)), record);
            record
        })
        .collect()
}

#[test]
fn a_connection_keeps_its_backend_when_others_come_and_go() {
    let mut lab = Lab::new();
    lab.set_state(3, BackendState::Down);
    let before = connected(&mut lab);
    lab.set_state(3, BackendState::Active);
    lab.change(|spec| spec.pools[0].backends[5].weight = 9);
    let moved =
        (0..200).filter(|index| lab.maglev(&web(*index, ACK), WEB) != Some(before[*index as usize])).count();
    assert!(moved > 10, "the change moves only {moved} slots: no test");
    for index in 0..200 {
        assert_eq!(lab.record(&web(index, ACK)), before[index as usize], "client {index}");
    }
}

#[test]
fn when_a_backend_fails_its_connections_move_and_no_others() {
    let mut lab = Lab::new();
    let before = connected(&mut lab);
    lab.set_state(2, BackendState::Down);
    let mut moved = 0;
    for index in 0..200 {
        let record = lab.record(&web(index, ACK));
        if before[index as usize] == 2 {
            assert_ne!(record, 2);
            assert_eq!(lab.record(&web(index, ACK)), record, "and stay where they went");
            moved += 1;
        } else {
            assert_eq!(record, before[index as usize], "client {index}");
        }
    }
    assert!(moved > 5, "{moved} clients had the backend");
    assert_eq!(lab.counters().records[2].active.get(), 0);
    assert_eq!(lab.pipeline.connections().len(), 200);
}

#[test]
fn a_draining_backend_keeps_its_connections_and_gets_no_new_ones() {
    let mut lab = Lab::new();
    let before = connected(&mut lab);
    lab.set_state(4, BackendState::Drain);
    for index in 0..200 {
        assert_eq!(lab.record(&web(index, ACK)), before[index as usize], "client {index} goes on");
        assert_ne!(lab.record(&web(1000 + index, SYN)), 4, "a new client");
    }
    let drained: Vec<u32> = (0..200).filter(|index| before[*index as usize] == 4).collect();
    assert!(drained.len() > 5);
    for index in drained {
        let reopened = lab.record(&web(index, SYN));
        assert_ne!(reopened, 4, "a SYN never follows the entry of an earlier connection");
        assert_eq!(lab.record(&web(index, ACK)), reopened, "and its data follows the SYN");
    }
    assert_eq!(lab.counters().records[4].active.get(), 0);
}

#[test]
fn when_all_backends_are_gone_packets_are_dropped_until_one_is_back() {
    let mut lab = Lab::new();
    let before = connected(&mut lab);
    let all =
        |state| move |spec: &mut Spec| spec.pools[0].backends.iter_mut().for_each(|one| one.state = state);
    lab.change(all(BackendState::Down));
    for flags in [SYN, ACK] {
        assert_eq!(lab.send(&web(1, flags)).0, Verdict::Drop(DropReason::NoBackend));
    }
    lab.change(all(BackendState::Active));
    assert_eq!(lab.record(&web(1, ACK)), before[1], "Maglev has not forgotten");
    lab.change(all(BackendState::Drain));
    assert_eq!(lab.record(&web(1, ACK)), before[1], "draining ones keep what they have");
    assert_eq!(lab.send(&web(999, SYN)).0, Verdict::Drop(DropReason::NoBackend), "and take nothing");
}

#[test]
fn entries_go_through_their_classes_and_out() {
    let mut lab = Lab::new();
    let client = |flags| web(1, flags);
    lab.send(&client(SYN));
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Embryonic));
    lab.send(&client(SYN));
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Embryonic), "a repeated SYN is no handshake");
    lab.send(&client(ACK));
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Established));
    lab.wait(300);
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Established), "on its last tick");
    lab.send(&client(ACK));
    lab.wait(300);
    lab.send(&client(FIN | ACK));
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Closing));
    lab.send(&client(ACK));
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Closing), "the last ACK opens nothing");
    lab.wait(30);
    assert_eq!(class(&lab, &client(SYN)), Some(Class::Closing));
    lab.wait(1);
    assert_eq!(class(&lab, &client(SYN)), None);
    assert_eq!((lab.counters().expirations.get(), lab.counters().entries.get()), (1, 0));
}

#[test]
fn a_reset_shortens_an_entry_and_does_not_delete_it() {
    let mut lab = Lab::new();
    let record = lab.record(&web(1, SYN));
    lab.record(&web(1, ACK));
    assert_eq!(lab.record(&web(1, RST)), record, "the backend hears of it");
    assert_eq!(class(&lab, &web(1, ACK)), Some(Class::Closing));
    lab.change(|spec| spec.pools[0].backends[0].weight = 50);
    for _ in 0..10 {
        lab.wait(29);
        assert_eq!(lab.record(&web(1, ACK)), record, "a forged reset costs a live connection nothing");
    }
}

#[test]
fn datagrams_become_a_flow_with_the_second() {
    let mut lab = Lab::new();
    let datagram = web(1, 0).with(|one| one.transport = Transport::Udp);
    let record = lab.record(&datagram);
    assert_eq!(class(&lab, &datagram), Some(Class::Embryonic));
    assert_eq!(lab.record(&datagram), record);
    assert_eq!(class(&lab, &datagram), Some(Class::Datagram));
    lab.wait(61);
    assert_eq!(class(&lab, &datagram), None);
}

#[test]
fn a_connection_is_counted_once_and_once_more_when_reopened() {
    let mut lab = Lab::new();
    let record = usize::from(lab.record(&web(1, SYN)));
    let counted = |lab: &Lab| {
        let counters = &lab.counters().records[record];
        (counters.connections.get(), counters.active.get())
    };
    for flags in [SYN, ACK, ACK, FIN | ACK, ACK] {
        lab.send(&web(1, flags));
        assert_eq!(counted(&lab), (1, 1));
    }
    lab.send(&web(1, SYN));
    assert_eq!(counted(&lab), (2, 1), "a SYN after FIN is a new connection in the old place");
    lab.wait(61);
    assert_eq!(counted(&lab), (2, 0));
}

#[test]
fn the_entries_of_a_dead_backend_are_swept() {
    let mut lab = Lab::new();
    let before = connected(&mut lab);
    let had = before.iter().filter(|record| **record == 1).count() as u64;
    assert_eq!(lab.counters().records[1].active.get(), had);
    lab.set_state(1, BackendState::Down);
    lab.wait(0);
    assert_eq!(lab.counters().records[1].active.get(), 0);
    assert_eq!(lab.pipeline.connections().len() as u64, 200 - had);
    assert_eq!(lab.counters().expirations.get(), had);
}

#[test]
fn a_handshake_in_one_burst_is_one_connection() {
    let mut lab = Lab::new();
    let frames = [SYN, ACK, ACK, FIN | ACK].map(|flags| web(7, flags).frame());
    let outcomes = lab.burst(&frames);
    assert!(outcomes.iter().all(|(verdict, _)| *verdict == outcomes[0].0));
    assert_eq!(class(&lab, &web(7, ACK)), Some(Class::Closing));
    assert_eq!((lab.counters().insertions.get(), lab.pipeline.connections().len()), (1, 1));
}

/// Hits are decided before misses, so within one burst data may follow the old entry although a SYN came
/// before it. Real clients send data after the backend has answered the SYN, which is a burst later.
#[test]
fn data_in_the_same_burst_as_its_syn_may_still_follow_the_old_entry() {
    let mut lab = Lab::new();
    let old = lab.record(&web(7, SYN));
    lab.record(&web(7, ACK));
    lab.set_state(old, BackendState::Drain);
    let outcomes = lab.burst(&[SYN, ACK].map(|flags| web(7, flags).frame()));
    assert_ne!(outcomes[0].0, Verdict::Forward(old));
    assert_eq!(outcomes[1].0, Verdict::Forward(old));
    assert_eq!(lab.send(&web(7, ACK)).0, outcomes[0].0, "from the next burst on the SYN's backend has it");
}

#[test]
fn a_full_table_goes_on_by_hash() {
    let mut lab = Lab::at_level(spec(), 12, Level::detect());
    for index in 0..100 {
        let expected = lab.maglev(&web(index, SYN), WEB).unwrap();
        for flags in [SYN, ACK, ACK] {
            assert_eq!(lab.record(&web(index, flags)), expected, "client {index}");
        }
    }
    let counters = lab.counters();
    assert_eq!(
        (lab.pipeline.connections().len(), counters.entries.get(), counters.capacity.get()),
        (12, 12, 12)
    );
    assert!(counters.refusals.get() > 80, "{} refusals", counters.refusals.get());
    let active: u64 = counters.records.iter().map(|one| one.active.get()).sum();
    assert_eq!(active, 12, "flows without an entry are not active ones");
}

#[test]
fn what_does_not_fit_into_a_burst_is_left_alone() {
    let mut lab = Lab::new();
    let frames: Vec<Vec<u8>> = (0..70).map(|index| web(index, SYN).frame()).collect();
    let mut packets: Vec<Frame> = frames.iter().map(|frame| Frame::new(frame)).collect();
    let verdicts = lab.pipeline.process(&lab.tables, &OURS, lab.now, &mut packets).len();
    assert_eq!((verdicts, lab.counters().received.get()), (BURST_MAX, 64));
    assert!(packets[64..].iter().zip(&frames[64..]).all(|(packet, frame)| packet.frame() == frame));
    assert!(lab.burst(&[]).is_empty(), "an empty burst is no event");
}
