//! The invariants of docs/SPEC.md over random packets, each said by itself and not by comparison with a twin.
//!
//! 1 where a flow goes is a function of tables and 5-tuple alone, on any worker with an empty table; 3 what comes
//! out of the tunnel is what the client sent, one hop on; 4 nothing longer than the MTU of its way out leaves;
//! 5 every packet received has one verdict and one counter. `scripts/test-invariants` runs it for ten million.

use super::twin::{noise, packets_of_client, setting};
use super::*;
use crate::headers::{Headers, NoFlow};
use crate::sample::Numbers;

/// Packets of a run, unless `INVARIANT_PACKETS` says otherwise.
const PACKETS: u64 = 200_000;
const CLIENTS: usize = 1_000;

/// What the backend takes out of the tunnel: (outer IP length, the client's datagram and what follows it).
fn decapsulated<'f>(frame: &'f [u8], l3: usize, backend: &BackendSpec) -> (usize, &'f [u8]) {
    let ip = &frame[l3..];
    let len = match ip[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([ip[2], ip[3]])),
        _ => 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]])),
    };
    (len, &ip[naive::overhead(backend)..])
}

/// A forwarded frame against invariants 3 and 4.
fn check_forwarded(backend: &BackendSpec, headers: &Headers, sent: &[u8], left: &[u8]) {
    let l3 = usize::from(headers.l3_offset);
    // A policy may have taken tags off or put one on.
    let (len, inner) = decapsulated(left, naive::l3_of(left), backend);
    assert!(len <= usize::from(backend.egress.mtu), "{len} bytes leave: {sent:02x?}");
    let mut expected = sent[l3..l3 + usize::from(headers.ip_len)].to_vec();
    let ttl = if headers.is_v6 { 7 } else { 8 };
    expected[ttl] -= naive::ttl_spent(backend);
    if !headers.is_v6 {
        let header_len = usize::from(expected[0] & 15) * 4;
        let sum = |bytes: &[u8]| crate::checksum::fold(crate::checksum::sum(bytes));
        assert_eq!(sum(&inner[..header_len]), 0xffff, "the inner header's checksum");
        expected[10..12].copy_from_slice(&inner[10..12]);
    }
    assert_eq!(&inner[..expected.len()], &expected[..], "the client's datagram");
}

/// Invariant 1 for the packets of a burst that were forwarded: each alone, on a worker that knows no flow.
fn check_alone(spec: &Spec, tables: &Tables, frames: &[Vec<u8>], verdicts: &[Verdict], level: Level) {
    for (frame, verdict) in frames.iter().zip(verdicts) {
        let Verdict::Forward(record) = *verdict else { continue };
        // Fragments and ICMP have no flow of their own, and tests of their own.
        let Ok((_, key)) = parse(frame, OURS) else { continue };
        let service = tables.service(key.destination, key.destination_port, key.protocol);
        let service = service.expect("it was forwarded");
        let expected = tables.select(service, tables.hash(level, &key));
        assert_eq!(expected, Some(record), "{key:?} of {}", spec.services[usize::from(service)].protocol);
    }
}

#[test]
fn the_invariants_hold_over_random_packets() {
    let (seed, wanted) = (setting("INVARIANT_SEED", 1), setting("INVARIANT_PACKETS", PACKETS));
    let mut numbers = Numbers(seed);
    let packets: Vec<_> = (0..CLIENTS).flat_map(|index| packets_of_client(index, &mut numbers)).collect();
    let mut lab = Lab::at_level(spec(), 20_000, Level::detect());
    let (mut received, mut counted, mut forwarded) = (0, 0, 0);
    while received < wanted {
        let frames: Vec<Vec<u8>> = (0..1 + numbers.below(64))
            .map(|_| match numbers.once_in(20) {
                true => noise(&packets, &mut numbers),
                false => packets[numbers.below(packets.len())].frame.clone(),
            })
            .collect();
        let outcomes = lab.burst(&frames);
        assert_eq!(outcomes.len(), frames.len(), "one verdict each");
        for (frame, (verdict, left)) in frames.iter().zip(&outcomes) {
            received += 1;
            match *verdict {
                Verdict::Forward(record) => {
                    let headers = match parse(frame, OURS) {
                        Ok((headers, _)) => headers,
                        Err(NoFlow::Fragment(fragment)) => fragment.datagram.headers,
                        Err(NoFlow::Icmp(message)) => message.headers,
                        Err(other) => panic!("{other:?} was forwarded"),
                    };
                    check_forwarded(backend_of(&lab.spec, record), &headers, frame, left);
                    forwarded += 1;
                }
                Verdict::Return(_) | Verdict::Answer(_) | Verdict::Hold(_) | Verdict::Punt(_) => counted += 1,
                Verdict::Drop(_) => {}
                Verdict::Split(..) => panic!("no pool of this laboratory wants pieces"),
            }
        }
        if numbers.once_in(16) {
            let verdicts: Vec<Verdict> = outcomes.iter().map(|(verdict, _)| *verdict).collect();
            let level = Level::all().nth(numbers.below(Level::all().count())).expect("below the count");
            check_alone(&lab.spec, &lab.tables, &frames, &verdicts, level);
        }
    }
    let counters = lab.counters();
    assert_eq!(counters.received.get(), received, "seed {seed}");
    assert_eq!(received, forwarded + counted + counters.drops.total(), "seed {seed}");
    let of_records: u64 = counters.records.iter().map(|record| record.packets.get()).sum();
    assert_eq!(of_records, forwarded, "seed {seed}");
    assert!(forwarded > received / 4, "only {forwarded} of {received} were forwarded");
    println!("seed {seed}: {received} packets, {forwarded} forwarded, {} dropped", counters.drops.total());
}
