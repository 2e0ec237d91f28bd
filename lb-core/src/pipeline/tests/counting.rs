//! Counters: every packet in exactly one place, and the refusals that only odd buffers cause.

use super::*;
use crate::sample::{ACK, SYN};

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
    let verdict = lab.pipeline.process(&lab.tables, OURS, lab.now, &mut packets)[0];
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
