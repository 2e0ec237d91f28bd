//! Pieces, put together again by a reassembler that knows nothing of how they were made.

use super::*;
use pnet_packet::Packet as _;
use pnet_packet::ipv4::Ipv4Packet;
use proptest::prelude::*;

/// A datagram with these options and this word of flags and offset.
fn datagram(options: &[u8], word: u16, data: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut bytes = vec![0; 20];
    bytes[0] = 0x40 | (header_len / 4) as u8;
    bytes[1] = 0x2e;
    bytes[2..4].copy_from_slice(&((header_len + data.len()) as u16).to_be_bytes());
    bytes[4..6].copy_from_slice(&0xbeef_u16.to_be_bytes());
    bytes[6..8].copy_from_slice(&word.to_be_bytes());
    bytes[8..10].copy_from_slice(&[57, 17]);
    bytes[12..20].copy_from_slice(&[198, 51, 100, 7, 203, 0, 113, 10]);
    bytes.extend(options);
    let sum = pnet_packet::util::checksum(&bytes, 5);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(data);
    bytes
}

fn pieces(datagram: &[u8], max: u16) -> Option<Vec<Vec<u8>>> {
    let split = Split::new(datagram, max)?;
    let write = |part| {
        let mut bytes = vec![0xee; split.len_of(part)];
        split.write(part, &mut bytes).unwrap();
        bytes
    };
    Some(split.parts().map(write).collect())
}

/// RFC 791's own procedure in slow words: a hole for every byte that has not come.
fn reassembled(pieces: &[Vec<u8>]) -> (Vec<u8>, Vec<Option<u8>>, bool) {
    let (mut bytes, mut header, mut has_more) = (Vec::<Option<u8>>::new(), Vec::new(), true);
    for piece in pieces {
        let ip = Ipv4Packet::new(piece).unwrap();
        assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip), "{piece:02x?}");
        assert_eq!(usize::from(ip.get_total_length()), piece.len());
        let header_len = usize::from(ip.get_header_length()) * 4;
        let at = usize::from(ip.get_fragment_offset()) * 8;
        let data = &piece[header_len..];
        bytes.resize(bytes.len().max(at + data.len()), None);
        for (place, byte) in bytes[at..].iter_mut().zip(data) {
            assert_eq!(place.replace(*byte), None, "twice");
        }
        if ip.get_flags() & 1 == 0 {
            has_more = false;
        }
        if header.is_empty() {
            header = piece[..header_len].to_vec();
        }
    }
    (header, bytes, has_more)
}

/// Options of all sorts, padded: (to be copied, bytes).
fn any_options() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let one = prop_oneof![
        Just((false, vec![1])),
        prop::collection::vec(any::<u8>(), 0..7).prop_map(|data| (false, option(7, &data))),
        prop::collection::vec(any::<u8>(), 0..7).prop_map(|data| (true, option(0x83, &data))),
        Just((true, vec![0x94, 4, 0, 0])),
    ];
    prop::collection::vec(one, 0..5)
}

fn option(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind, data.len() as u8 + 2], data].concat()
}

fn padded(mut options: Vec<u8>) -> Vec<u8> {
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_comes_apart_comes_together(
        options in any_options(),
        (offset, more) in (0u16..4000, any::<bool>()),
        len in 1usize..3_000,
        max in 60u16..1_500,
        seed: u8,
    ) {
        let len = if more { len.next_multiple_of(8) } else { len };
        let data: Vec<u8> = (0..len).map(|n| (n as u8).wrapping_mul(31) ^ seed).collect();
        let wire = padded(options.iter().flat_map(|(_, bytes)| bytes.clone()).collect());
        let whole = datagram(&wire, offset | if more { 0x2000 } else { 0 }, &data);
        let Some(pieces) = pieces(&whole, max) else {
            let room = usize::from(max).saturating_sub(20 + wire.len());
            prop_assert!(room < 8 || len.div_ceil(room & !7) > PARTS_MAX - 8, "{} bytes for {}", max, len);
            return Ok(());
        };
        let (header, bytes, has_more) = reassembled(&pieces);
        let start = usize::from(offset) * 8;
        prop_assert!(bytes[..start].iter().all(Option::is_none));
        prop_assert_eq!(bytes[start..].iter().copied().collect::<Option<Vec<u8>>>(), Some(data));
        prop_assert_eq!(has_more, more, "the last one says what the datagram said");
        // The first header is the datagram's but for length, word and checksum.
        let but = |bytes: &[u8]| [&bytes[..2], &bytes[4..6], &bytes[8..10], &bytes[12..]].concat();
        prop_assert_eq!(but(&header), but(&whole[..20 + wire.len()]));
        let copied = padded(options.iter().filter(|one| one.0).flat_map(|(_, bytes)| bytes.clone()).collect());
        for (number, piece) in pieces.iter().enumerate() {
            prop_assert!(piece.len() <= usize::from(max));
            let ip = Ipv4Packet::new(piece).unwrap();
            prop_assert_eq!(ip.get_identification(), 0xbeef);
            prop_assert_eq!((ip.get_ttl(), piece[1], piece[9]), (57, 0x2e, 17));
            if number + 1 < pieces.len() {
                prop_assert_eq!((piece.len() - 4 * usize::from(ip.get_header_length())) % 8, 0);
                prop_assert_eq!(ip.get_flags(), 1);
                prop_assert!(piece.len() + 8 > usize::from(max), "no more pieces than need be");
            }
            if number > 0 {
                prop_assert_eq!(ip.packet()[20..4 * usize::from(ip.get_header_length())].to_vec(), copied.clone());
            }
        }
    }

    #[test]
    fn bytes_at_random_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200), max: u16) {
        let mut bytes = bytes;
        for shape in 0..2 {
            if let (1, [first, _, high, low, ..]) = (shape, &mut bytes[..]) {
                *first = 0x40 | (*first & 15);
                (*high, *low) = (0, 0);
                let len = bytes.len() as u16;
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
            }
            if let Some(pieces) = pieces(&bytes, max) {
                prop_assert!(!pieces.is_empty() || bytes.len() == 4 * usize::from(bytes[0] & 15));
                prop_assert!(pieces.iter().all(|piece| piece.len() <= usize::from(max).max(bytes.len())));
            }
        }
    }
}

#[test]
fn what_may_not_come_apart_does_not() {
    let data = [7; 100];
    assert!(pieces(&datagram(&[], 0, &data), 68).is_some());
    assert!(pieces(&datagram(&[], 0x4000, &data), 68).is_none(), "DF");
    assert!(pieces(&datagram(&[], 0x2000, &data), 68).is_none(), "an uneven fragment that is not the last");
    assert!(pieces(&datagram(&[], 0x1fff, &data), 68).is_none(), "beyond 65,535 bytes");
    assert!(pieces(&datagram(&[], 0, &data), 27).is_none(), "no room for eight bytes");
    assert!(pieces(&datagram(&[7, 9, 4, 0], 0, &data), 68).is_none(), "an option beyond the header");
    assert!(pieces(&datagram(&[], 0, &[7; 2_000]), 28).is_none(), "too many pieces");
    let mut six = datagram(&[], 0, &data);
    six[0] = 0x65;
    assert!(pieces(&six, 68).is_none(), "IPv6");
    assert!(pieces(&datagram(&[], 0, &data)[..119], 68).is_none(), "cut short");
}

#[test]
fn a_full_datagram_over_ipip_is_two_pieces() {
    let sizes = |datagram: &[u8]| pieces(datagram, 1480).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&datagram(&[], 0, &[1; 1480])), [1476, 44]);
    // 1,460 bytes of room are no multiple of eight, but the last piece need not be one.
    assert_eq!(sizes(&datagram(&[], 0, &[1; 1456 + 1460])), [1476, 1480]);
}
