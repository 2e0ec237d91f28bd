//! What does not fit its way out, by the policy of its pool: the sender is told, nobody is told, or it leaves in pieces that
//! the backend puts together to what the client sent.

use super::*;
use crate::hash::FlowHash;
use crate::headers::NoFlow;
use crate::sample::{ACK, SYN, Transport};
use crate::spec::{Echo, Oversize, Portless};
use proptest::prelude::*;

const ALL: [&str; 4] = ["203.0.113.10:443", "203.0.113.20:7", "203.0.113.53:53", "203.0.113.10:80"];

fn lab(oversize: Oversize) -> Lab {
    let mut lab = Lab::new();
    lab.change(|spec| spec.pools.iter_mut().for_each(|pool| pool.oversize = oversize));
    lab
}

/// The frames that a packet leaves as.
pub(super) fn pieces_of(lab: &mut Lab, place: (usize, RecordIndex, u8), packet: &Frame) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let buffer = || Some(Frame::new(&[0xee; 1600]));
    let made = |piece: Frame| pieces.push(piece.frame().to_vec());
    lab.pipeline.split(&lab.tables, place, packet, buffer, made).expect("there are buffers");
    pieces
}

/// What becomes of a frame: the frames that leave, and the record.
fn send(lab: &mut Lab, frame: &[u8], buffers: usize) -> Result<(RecordIndex, Vec<Vec<u8>>), Verdict> {
    let mut packets = [Frame::new(frame)];
    match lab.pipeline.process(&lab.tables, &OURS, lab.now, &mut packets)[0] {
        Verdict::Forward(record) => Ok((record, vec![packets[0].frame().to_vec()])),
        Verdict::Split(record, l3) => {
            assert_eq!(packets[0].frame(), frame, "as it came");
            let (mut left, mut pieces) = (buffers, Vec::new());
            let buffer = || {
                left = left.checked_sub(1)?;
                // What was in it before must not leave.
                Some(Frame::new(&[0xee; 1600]))
            };
            let made = |piece: Frame| pieces.push(piece.frame().to_vec());
            let place = (0, record, l3);
            let done = lab.pipeline.split(&lab.tables, place, &packets[0], buffer, made);
            done.map(|()| (record, pieces)).map_err(Verdict::Drop)
        }
        other => Err(other),
    }
}

/// The datagram that a backend takes out of the tunnel, with the hop that it has lost given back.
fn taken_out(frame: &[u8], backend: &BackendSpec) -> Vec<u8> {
    let ip = &frame[naive::l3_of(frame)..];
    let outer_len = match ip[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([ip[2], ip[3]])),
        _ => 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]])),
    };
    assert!(outer_len <= usize::from(MTU), "{outer_len} bytes leave");
    assert!(frame.len() >= 60, "an Ethernet frame");
    let mut inner = ip[naive::overhead(backend)..].to_vec();
    let len = usize::from(u16::from_be_bytes([inner[2], inner[3]]));
    assert!(inner[len..].iter().all(|byte| *byte == 0), "padded with zeroes");
    inner.truncate(len);
    inner[8] += naive::ttl_spent(backend);
    let header_len = usize::from(inner[0] & 15) * 4;
    inner[10..12].fill(0);
    let sum = pnet_packet::util::checksum(&inner[..header_len], 5);
    inner[10..12].copy_from_slice(&sum.to_be_bytes());
    inner
}

/// Pieces in any order to the bytes of the data, by a map of bytes.
fn reassembled(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = std::collections::BTreeMap::new();
    let mut end = None;
    for piece in pieces {
        let header_len = usize::from(piece[0] & 15) * 4;
        let word = u16::from_be_bytes([piece[6], piece[7]]);
        let start = usize::from(word & 0x1fff) * 8;
        for (at, byte) in (start..).zip(&piece[header_len..]) {
            assert_eq!(bytes.insert(at, *byte), None, "byte {at} twice");
        }
        if word & 0x2000 == 0 {
            assert_eq!(end.replace(start + piece.len() - header_len), None, "two ends");
        }
    }
    assert_eq!(Some(bytes.len()), end, "no holes");
    bytes.into_values().collect()
}

/// The frames that leave are what `naive` makes of the pieces, and those are the client's datagram.
fn check_pieces(lab: &Lab, sample: &Sample, record: RecordIndex, left: &[Vec<u8>]) {
    let (_, key) = parse(&sample.frame(), OURS).unwrap();
    let hash = lab.tables.hash(Level::Portable, &key);
    check_frames(&sample.frame(), (backend_of(&lab.spec, record), hash), left);
}

/// The same, for a frame of a flow with this hash.
pub(super) fn check_frames(frame: &[u8], (backend, hash): (&BackendSpec, FlowHash), left: &[Vec<u8>]) {
    let l3 = naive::l3_of(frame);
    let inner: Vec<Vec<u8>> = left.iter().map(|frame| taken_out(frame, backend)).collect();
    for (piece, left) in inner.iter().zip(left) {
        let plain = [&frame[..l3], piece].concat();
        let Err(NoFlow::Fragment(fragment)) = parse(&plain, OURS) else { panic!("{plain:02x?}") };
        let mut expected = naive::encapsulated(&plain, &fragment.datagram.headers, hash, backend);
        expected.resize(expected.len().max(60), 0);
        assert_eq!(*left, expected, "{backend:?}");
    }
    let datagram = &frame[l3..];
    let (header_len, len) =
        (usize::from(datagram[0] & 15) * 4, u16::from_be_bytes([datagram[2], datagram[3]]));
    assert_eq!(reassembled(&inner), datagram[header_len..usize::from(len)], "the client's bytes");
    assert!(inner.iter().all(|piece| piece[4..6] == [0x12, 0x34]), "under the client's id");
}

/// Every encapsulation, TCP and UDP, with options and tags, as many bytes too long as can be.
#[test]
fn pieces_are_the_datagram_for_every_backend() {
    let mut seen = std::collections::HashSet::new();
    for client in 0..600u32 {
        let mut lab = lab(Oversize::Fragment);
        let sample = web(client, ACK).with(|one| {
            one.to = ALL[client as usize % 4].parse().unwrap();
            let is_udp = one.to.port() == 53 || client % 8 == 0;
            one.transport = if is_udp { Transport::Udp } else { Transport::Tcp(ACK) };
            one.fragment = 0;
            one.payload = (0..1461 + client as usize % 800).map(|n| (n as u8).wrapping_mul(7)).collect();
            one.options = vec![1; 4 * (client as usize % 3)];
            one.tags = if client % 5 == 0 { vec![(0x8100, 9)] } else { vec![] };
        });
        let before = lab.counters().fragments_made.get();
        let Ok((record, left)) = send(&mut lab, &sample.frame(), 64) else { panic!("{sample:?}") };
        assert!(left.len() >= 2);
        check_pieces(&lab, &sample, record, &left);
        seen.insert(record);
        let counters = lab.counters();
        assert_eq!(
            (before, counters.fragmented.get(), counters.fragments_made.get()),
            (0, 1, left.len() as u64)
        );
        assert_eq!(counters.records[usize::from(record)].packets.get(), left.len() as u64);
        assert_eq!(counters.drops.total() + counters.answers.iter().map(|one| one.get()).sum::<u64>(), 0);
        // As the worker counts what it has sent.
        counters.sent.add(left.len() as u64);
        assert_eq!((counters.received.get(), counters.accounted()), (1, 1));
    }
    assert!(seen.len() > 20, "backends seen: {}", seen.len());
}

/// Fragments that are too long themselves: each comes apart, all go to one backend, and the whole is the client's.
#[test]
fn fragments_come_apart_again() {
    for client in 0..40u32 {
        let mut lab = lab(Oversize::Fragment);
        let sample = web(client, 0).with(|one| {
            one.transport = Transport::Udp;
            one.payload = (0..6_000).map(|n| n as u8).collect();
        });
        let (mut records, mut inner, mut frames) = (vec![], vec![], 0);
        for frame in traffic::cut(&sample, 1480, 0x1234) {
            let (record, left) = send(&mut lab, &frame, 64).unwrap();
            inner.extend(left.iter().map(|frame| taken_out(frame, backend_of(&lab.spec, record))));
            records.push(record);
            frames += 1;
        }
        assert!(frames >= 4 && records.iter().all(|one| *one == records[0]));
        assert_eq!(reassembled(&inner), sample.datagram()[20..]);
    }
}

#[test]
fn what_may_not_come_apart_is_told_as_before() {
    for client in 0..60 {
        let too_long = |one: &mut Sample| one.payload = vec![7; 1490];
        let df = web(client, ACK).with(too_long);
        let from = format!("[2001:db8::{client:x}]:9");
        let six = Sample::tcp(&from, "[2001:db8:cafe::10]:443", SYN).with(too_long);
        for (sample, answer) in [(df, AnswerReason::FragmentationNeeded), (six, AnswerReason::PacketTooBig)] {
            let mut lab = lab(Oversize::Fragment);
            assert_eq!(send(&mut lab, &sample.frame(), 64), Err(Verdict::Answer(answer)));
            assert_eq!(lab.counters().fragmented.get(), 0);
        }
        // A last hop ends here, whatever its length.
        let late = web(client, ACK).with(|one| (one.ttl, one.fragment, one.payload) = (1, 0, vec![7; 1490]));
        let verdict = send(&mut lab(Oversize::Fragment), &late.frame(), 64);
        assert_eq!(verdict, Err(Verdict::Answer(AnswerReason::TimeExceeded)));
    }
}

#[test]
fn what_fits_leaves_whole() {
    let mut lab = lab(Oversize::Fragment);
    for client in 0..200 {
        let sample = web(client, ACK).with(|one| (one.fragment, one.payload) = (0, vec![7; 1380]));
        let (_, left) = send(&mut lab, &sample.frame(), 0).unwrap();
        assert_eq!(left.len(), 1);
    }
    assert_eq!(lab.counters().fragments_made.get(), 0);
}

#[test]
fn with_drop_nobody_is_told() {
    for fragment in [0, 0x4000] {
        let four = web(1, ACK).with(|one| (one.fragment, one.payload) = (fragment, vec![7; 1490]));
        let six = Sample::tcp("[2001:db8::7]:9", "[2001:db8:cafe::10]:443", SYN)
            .with(|one| one.payload = vec![7; 1490]);
        for sample in [four, six] {
            let mut lab = lab(Oversize::Drop);
            let verdict = send(&mut lab, &sample.frame(), 64);
            assert_eq!(verdict, Err(Verdict::Drop(DropReason::MtuExceeded)));
            let at = DropReason::MtuExceeded as usize;
            assert_eq!(lab.counters().service_drops[WEB].packets[at].get(), 1);
            assert!(lab.counters().answers.iter().all(|one| one.get() == 0));
            // A last hop is still told: the policy is about length.
            let late = send(&mut lab, &sample.with(|one| one.ttl = 1).frame(), 64);
            assert_eq!(late, Err(Verdict::Answer(AnswerReason::TimeExceeded)));
        }
    }
}

/// All pieces or none: half a datagram helps nobody.
#[test]
fn without_buffers_the_packet_is_dropped_by_name() {
    let sample = web(1, ACK).with(|one| (one.fragment, one.payload) = (0, vec![7; 1490]));
    for buffers in [0, 1] {
        let mut lab = lab(Oversize::Fragment);
        let verdict = send(&mut lab, &sample.frame(), buffers);
        assert_eq!(verdict, Err(Verdict::Drop(DropReason::NoBuffer)));
        let (counters, at) = (lab.counters(), DropReason::NoBuffer as usize);
        assert_eq!((counters.drops.packets[at].get(), counters.drops.total()), (1, 1));
        assert_eq!(counters.drops.bytes[at].get(), sample.frame().len() as u64);
        assert_eq!(counters.service_drops[WEB].packets[at].get(), 1);
        assert_eq!((counters.fragmented.get(), counters.fragments_made.get()), (0, 0));
        assert!(counters.records.iter().all(|one| one.packets.get() == 0));
        assert_eq!((counters.received.get(), counters.accounted()), (1, 1));
    }
}

/// `ping -M dont -s 1472` with `icmp_echo: forward`, and an ICMP error that is too long.
#[test]
fn messages_come_apart_too() {
    let mut lab = lab(Oversize::Fragment);
    lab.change(|spec| {
        spec.services[WEB].portless = Portless { echo: Echo::Forward, ..Portless::default() };
        // Fewer bytes for all, L2 DSR among them.
        spec.signals.inner_mtu = 1400;
    });
    let ping = Sample::udp("198.51.100.7:0", "203.0.113.10:0").with(|one| {
        one.transport = Transport::Other(1);
        one.fragment = 0;
        one.payload = [&[8, 0, 0, 0, 1, 2, 3, 4][..], &[0x61; 1472]].concat();
    });
    let quoted = web(7, ACK).with(|one| (one.from, one.to) = (one.to, one.from)).datagram();
    let error = ping.clone().with(|one| {
        one.payload = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
        one.payload.resize(1472, 0);
    });
    for sample in [ping, error] {
        let (record, left) = send(&mut lab, &sample.frame(), 64).unwrap();
        let backend = backend_of(&lab.spec, record);
        let inner: Vec<_> = left.iter().map(|frame| taken_out(frame, backend)).collect();
        assert_eq!((left.len(), reassembled(&inner)), (2, sample.datagram()[20..].to_vec()));
    }
    assert_eq!(lab.counters().icmp_errors.get(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the limit and whatever comes: forwarded whole, in pieces that are it, told or dropped, and counted once.
    #[test]
    fn any_length_and_limit(
        inner_mtu in 60u16..1_600,
        lens in prop::collection::vec(0usize..1_480, 1..12),
        words in prop::collection::vec(prop_oneof![Just(0u16), Just(0x4000)], 12),
        client: u16,
    ) {
        let mut lab = lab(Oversize::Fragment);
        lab.change(|spec| spec.signals.inner_mtu = inner_mtu);
        for (number, len) in lens.iter().enumerate() {
            let index = u32::from(client) + number as u32;
            let sample = web(index % 60_000, ACK)
                .with(|one| (one.fragment, one.payload) = (words[number], vec![number as u8; *len]));
            match send(&mut lab, &sample.frame(), 64) {
                Ok((record, left)) if left.len() > 1 => check_pieces(&lab, &sample, record, &left),
                Ok((_, left)) => prop_assert_eq!(left.len(), 1),
                Err(Verdict::Answer(answer)) => {
                    prop_assert_eq!(answer, AnswerReason::FragmentationNeeded);
                    let room = usize::from(inner_mtu).saturating_sub(20) & !7;
                    prop_assert!(words[number] == 0x4000 || (20 + len).div_ceil(room) > 32);
                }
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
        let counters = lab.counters();
        let answers: u64 = counters.answers.iter().map(|one| one.get()).sum();
        let forwarded: u64 = counters.records.iter().map(|one| one.packets.get()).sum();
        let left = forwarded + answers + counters.drops.total() + counters.fragmented.get();
        prop_assert_eq!(counters.received.get() + counters.fragments_made.get(), left);
    }
}
