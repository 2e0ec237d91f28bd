//! Packets that leave in pieces: all of them or none, in the order of the bursts, and the balance holds.

use super::*;

/// A TCP packet of `len` bytes of datagram, without DF unless said.
fn long(source: u16, len: usize, has_df: bool) -> Frame {
    let mut bytes = frame([203, 0, 113, 10], source).frame()[..54].to_vec();
    bytes.extend((0..len - 40).map(|at| at as u8));
    let mut ip = MutableIpv4Packet::new(&mut bytes[14..]).unwrap();
    ip.set_total_length(len as u16);
    ip.set_identification(source);
    ip.set_flags(if has_df { 2 } else { 0 });
    ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
    Frame::new(&bytes)
}

/// What the data of some frames, which are pieces of one datagram in order, is put together.
fn data(pieces: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let ip = ipv4::Ipv4Packet::new(&piece.frame()[14..]).unwrap();
        assert_eq!(ipv4::checksum(&ip), ip.get_checksum());
        assert_eq!(usize::from(ip.get_fragment_offset()) * 8, bytes.len());
        assert_eq!(ip.get_flags() & 1 == 1, number + 1 < pieces.len(), "more fragments");
        assert_eq!(ip.get_ttl(), 63);
        bytes.extend(&piece.frame()[34..14 + usize::from(ip.get_total_length())]);
    }
    bytes
}

#[test]
fn long_packets_leave_in_pieces_beside_short_ones() {
    let bench = bench_with(tables_with(&[1], Oversize::Fragment), usize::MAX, usize::MAX, 0);
    for source in 1..=32u16 {
        let packet = match source % 4 {
            0 => long(source, 4_000 + usize::from(source), false),
            1 => long(source, 1_501, true),
            _ => frame([203, 0, 113, 10], source),
        };
        bench.input.send(packet).unwrap();
    }
    bench.worker.run(&AtomicBool::new(true));
    let sent: Vec<Frame> = bench.outputs[1].try_iter().collect();
    let packets = &bench.instruments.packets;
    assert_eq!((packets.received.get(), packets.accounted()), (32, 32));
    assert_eq!((packets.fragmented.get(), packets.fragments_made.get()), (8, 24));
    assert_eq!((packets.sent.get(), packets.answered.get()), (16 + 24, 8), "DF is told");
    assert_eq!(bench.instruments.queues[1].sent_packets.get(), 40);
    assert_eq!(packets.drops.total(), 0);
    for source in (4..=32u16).step_by(4) {
        let of_it =
            |frame: &&Frame| frame.frame().len() > 60 && frame.frame()[18..20] == source.to_be_bytes();
        let pieces: Vec<Frame> = sent.iter().filter(of_it).cloned().collect();
        assert!(pieces.iter().all(|piece| piece.frame()[..6] == BACKEND_MAC && piece.frame().len() <= 1514));
        assert_eq!(data(&pieces), long(source, 4_000 + usize::from(source), false).frame()[34..]);
    }
}

#[test]
fn without_buffers_or_room_in_the_ring_each_packet_has_a_reason() {
    // Each wants three buffers, and the ring takes four frames: two packets in pieces, of which the second loses two.
    for (buffers, ring_len, sent, no_buffer, tx_full) in
        [(7, usize::MAX, 6, 3, 0), (usize::MAX, 4, 4, 0, 11), (2, usize::MAX, 0, 5, 0)]
    {
        let bench = bench_with(tables_with(&[1], Oversize::Fragment), buffers, ring_len, 0);
        (1..=5).for_each(|source| bench.input.send(long(source, 4_000, false)).unwrap());
        bench.worker.run(&AtomicBool::new(true));
        let packets = &bench.instruments.packets;
        let dropped = |reason: DropReason| packets.drops.packets[reason as usize].get();
        assert_eq!(packets.sent.get(), sent);
        assert_eq!((dropped(DropReason::NoBuffer), dropped(DropReason::TxFull)), (no_buffer, tx_full));
        assert_eq!((packets.received.get(), packets.accounted()), (5, 5));
        assert_eq!(bench.outputs[1].try_iter().count() as u64, sent);
    }
}

#[test]
fn without_the_policy_nothing_comes_apart() {
    for (oversize, answered) in [(Oversize::Signal, 1), (Oversize::Drop, 0)] {
        let bench = bench_with(tables_with(&[1], oversize), usize::MAX, usize::MAX, 0);
        bench.input.send(long(1, 4_000, false)).unwrap();
        bench.worker.run(&AtomicBool::new(true));
        let packets = &bench.instruments.packets;
        assert_eq!((packets.answered.get(), packets.drops.total()), (answered, 1 - answered));
        assert_eq!((packets.fragments_made.get(), packets.accounted()), (0, 1));
    }
}
