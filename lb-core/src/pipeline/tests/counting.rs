//! Counters: every packet in exactly one place, and the refusals that only odd buffers cause.

use super::*;
use crate::conn::Class;
use crate::sample::{ACK, Numbers, SYN};

/// A buffer without headroom, or in several pieces.
struct Odd {
    bytes: Vec<u8>,
    is_contiguous: bool,
}

impl Packet for Odd {
    fn frame(&self) -> &[u8] {
        &self.bytes
    }

    fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        if grow != 0 || len > self.bytes.len() {
            return None;
        }
        self.bytes.truncate(len);
        Some(&mut self.bytes)
    }

    fn is_contiguous(&self) -> bool {
        self.is_contiguous
    }
}

fn odd(lab: &mut Lab, sample: &Sample, is_contiguous: bool) -> (Verdict, Vec<u8>) {
    let mut packets = [Odd { bytes: sample.frame(), is_contiguous }];
    let verdict = lab.pipeline.process(&lab.tables, &OURS, lab.now, &mut packets)[0];
    (verdict, packets[0].bytes.clone())
}

#[test]
fn a_packet_without_headroom_is_dropped_for_that() {
    let (mut lab, sample) = (Lab::new(), Sample::tcp("198.51.100.7:1", "203.0.113.20:5", SYN));
    let frame = sample.frame();
    assert_eq!(odd(&mut lab, &sample, true), (Verdict::Drop(DropReason::NoHeadroom), frame.clone()));
    let (counters, reason) = (lab.counters(), DropReason::NoHeadroom as usize);
    assert_eq!(counters.drops.packets[reason].get(), 1);
    assert_eq!(counters.drops.bytes[reason].get(), frame.len() as u64);
    assert_eq!(counters.service_drops[ANY_PORT].packets[reason].get(), 1);
    assert!(counters.records.iter().all(|record| record.packets.get() == 0), "nothing was forwarded");
}

#[test]
fn a_packet_in_several_buffers_is_not_supported_whatever_it_holds() {
    let mut lab = Lab::new();
    let arp = web(1, ACK).with(|one| one.destination_mac = [0xff; 6]);
    for sample in [web(1, ACK), arp, Sample::udp("[2001:db8::7]:5", "[2001:db8:cafe::53]:53")] {
        let frame = sample.frame();
        assert_eq!(odd(&mut lab, &sample, false), (Verdict::Drop(DropReason::Unsupported), frame));
    }
    assert_eq!(lab.counters().drops.packets[DropReason::Unsupported as usize].get(), 3);
}

#[test]
fn records_count_packets_and_the_clients_bytes() {
    let mut lab = Lab::new();
    let sizes = [0usize, 1, 100, 1000];
    let padded = |len: usize| web(3, ACK).with(|one| (one.payload = vec![0; len], one.padding = 4).1);
    let record = usize::from(lab.record(&padded(0)));
    for len in &sizes[1..] {
        lab.record(&padded(*len));
    }
    let counters = &lab.counters().records[record];
    assert_eq!(counters.packets.get(), 4);
    assert_eq!(
        counters.ip_bytes.get(),
        sizes.iter().map(|len| 40 + *len as u64).sum::<u64>(),
        "without padding"
    );
}

#[test]
fn lookups_are_hits_or_not() {
    let mut lab = Lab::new();
    for (sample, lookups, hits) in [
        (web(3, SYN), 1, 0),
        (web(3, ACK), 2, 1),
        // A SYN may not use the entry that it finds.
        (web(3, SYN), 3, 1),
        (web(3, ACK), 4, 2),
        (Sample::tcp("198.51.100.7:1", "203.0.113.10:22", SYN), 5, 2),
        (web(3, ACK).with(|one| one.ttl = 0), 6, 3),
    ] {
        lab.send(&sample);
        assert_eq!((lab.counters().lookups.get(), lab.counters().hits.get()), (lookups, hits), "{sample:?}");
    }
    assert_eq!((lab.counters().insertions.get(), lab.counters().entries.get()), (1, 1));
}

/// Flows whose lines are full get their entries after the others of a burst; nobody may see a difference.
#[test]
fn in_a_small_table_every_flow_has_one_entry_at_most_and_every_entry_is_counted() {
    let (mut lab, mut numbers) = (Lab::at_level(spec(), 48, Level::detect()), Numbers(11));
    let keys: Vec<_> = (0..400).map(|index| parse(&web(index, SYN).frame(), OURS).unwrap().1).collect();
    for _ in 0..2_000 {
        let fresh = numbers.below(keys.len() - 40);
        let drawn: Vec<u32> =
            (0..1 + numbers.below(64)).map(|_| (fresh + numbers.below(40)) as u32).collect();
        let frames: Vec<_> = drawn.iter().map(|index| web(*index, ACK).frame()).collect();
        let evicted_before = lab.counters().evictions.get();
        for (index, (verdict, _)) in drawn.iter().zip(lab.burst(&frames)) {
            assert_eq!(Verdict::Forward(lab.maglev(&web(*index, ACK), 0).unwrap()), verdict);
        }
        let entries: Vec<_> =
            keys.iter().map(|key| lab.pipeline.find_flow(&lab.tables, key, lab.now)).collect();
        let counters = lab.counters();
        let len = lab.pipeline.connections().len();
        assert_eq!(entries.iter().flatten().count(), len, "an entry that nobody finds, or a second one");
        assert_eq!(counters.entries.get(), len as u64);
        let gone = counters.evictions.get() + counters.expirations.get();
        assert_eq!(counters.insertions.get() - gone, len as u64);
        let active: u64 = counters.records.iter().map(|record| record.active.get()).sum();
        assert_eq!(active, len as u64);
        let times = |index: usize| drawn.iter().filter(|one| **one == index as u32).count();
        for (index, entry) in entries.iter().enumerate() {
            // Unless its first entry was pushed out.
            let is_whole = counters.evictions.get() == evicted_before && times(index) > 1;
            if let Some(entry) = entry.as_ref().filter(|_| is_whole) {
                assert_eq!(entry.class, Class::Established, "flow {index} has sent twice and more");
            }
        }
        if numbers.once_in(20) {
            lab.wait(400);
        }
    }
    let counters = lab.counters();
    assert!(counters.evictions.get() > 1_000 && counters.insertions.get() > 10_000, "{counters:?}");
}
