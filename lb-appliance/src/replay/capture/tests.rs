//! Captures of both formats, written here byte by byte, and what becomes of damaged ones.

use super::*;
use proptest::prelude::*;

const FRAME: [u8; 5] = [1, 2, 3, 4, 5];

/// Stamp, captured bytes, length on the wire.
type Seen = (u64, Vec<u8>, u32);

/// Every frame, and the error that ended it, if any.
fn read(bytes: &[u8]) -> (Vec<Seen>, Option<CaptureError>) {
    let mut capture = match Capture::open(bytes) {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut frames = Vec::new();
    loop {
        match capture.next_frame() {
            Ok(Some(frame)) => frames.push((frame.nanos, frame.bytes.to_vec(), frame.wire_len)),
            Ok(None) => return (frames, None),
            Err(error) => {
                assert!(matches!(capture.next_frame(), Ok(None)), "nothing comes after damage");
                return (frames, Some(error));
            }
        }
    }
}

fn word(is_big: bool, value: u32) -> [u8; 4] {
    if is_big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn half(is_big: bool, value: u16) -> [u8; 2] {
    if is_big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn classic(is_big: bool, magic: u32, link_type: u32, records: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut out = word(is_big, magic).to_vec();
    out.extend([half(is_big, 2), half(is_big, 4)].concat());
    out.extend([0, 0, 96, link_type].map(|field| word(is_big, field)).concat());
    for (seconds, fraction, bytes, wire_len) in records {
        let fields = [*seconds, *fraction, bytes.len() as u32, *wire_len];
        out.extend(fields.map(|field| word(is_big, field)).concat());
        out.extend(*bytes);
    }
    out
}

fn block(is_big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let len = word(is_big, (12 + body.len().next_multiple_of(4)) as u32);
    let mut out = [word(is_big, kind), len].concat();
    out.extend(body);
    out.resize(8 + body.len().next_multiple_of(4), 0xee);
    out.extend(len);
    out
}

fn section(is_big: bool) -> Vec<u8> {
    let mut body = word(is_big, 0x1a2b_3c4d).to_vec();
    body.extend([half(is_big, 1), half(is_big, 0)].concat());
    body.extend([0xff; 8]);
    block(is_big, 0x0a0d_0d0a, &body)
}

fn interface(is_big: bool, link_type: u16, snap_len: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = [half(is_big, link_type), half(is_big, 0)].concat();
    body.extend(word(is_big, snap_len));
    for (code, value) in options {
        body.extend([half(is_big, *code), half(is_big, value.len() as u16)].concat());
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(is_big, 1, &body)
}

fn enhanced(is_big: bool, interface: u32, ticks: u64, bytes: &[u8], wire_len: u32) -> Vec<u8> {
    let fields = [interface, (ticks >> 32) as u32, ticks as u32, bytes.len() as u32, wire_len];
    let mut body = fields.map(|field| word(is_big, field)).concat();
    body.extend(bytes);
    block(is_big, 6, &body)
}

fn simple(is_big: bool, bytes: &[u8], wire_len: u32) -> Vec<u8> {
    let mut body = word(is_big, wire_len).to_vec();
    body.extend(bytes);
    block(is_big, 3, &body)
}

#[test]
fn classic_pcap_of_either_unit_and_order() {
    for is_big in [false, true] {
        for (magic, unit, resolution) in
            [(0xa1b2_c3d4, 1_000, Resolution::Micros), (0xa1b2_3c4d, 1, Resolution::Nanos)]
        {
            let bytes = classic(is_big, magic, 1, &[(7, 9, &FRAME, 5), (8, 0, &[], 0), (9, 1, &FRAME, 1500)]);
            assert_eq!(Capture::open(bytes.as_slice()).unwrap().resolution(), resolution);
            let (frames, error) = read(&bytes);
            assert!(error.is_none(), "{error:?}");
            let expected = [
                (7_000_000_000 + 9 * unit, FRAME.to_vec(), 5),
                (8_000_000_000, Vec::new(), 0),
                // Longer on the wire than the snap length of the header: what `pcap-file` alone refuses.
                (9_000_000_000 + unit, FRAME.to_vec(), 1500),
            ];
            assert_eq!(frames, expected);
        }
    }
}

#[test]
fn pcapng_with_interfaces_of_several_units_and_all_packet_blocks() {
    for is_big in [false, true] {
        let offset = if is_big { 10i64.to_be_bytes() } else { 10i64.to_le_bytes() };
        let comment = [0xff, 0xfe, 0xfd];
        let obsolete = [
            [half(is_big, 1), half(is_big, 0xffff)].concat(),
            [0, 80, 5, 5].map(|field| word(is_big, field)).concat(),
            FRAME.to_vec(),
        ];
        let bytes = [
            section(is_big),
            // A comment that is not UTF-8, a time zone, no end of options: all legal or seen in the wild.
            interface(is_big, 1, 4, &[(1, &comment), (10, &[0; 4])]),
            interface(is_big, 1, 0, &[(9, &[9]), (14, &offset), (0, &[])]),
            interface(is_big, 1, 0, &[(9, &[0x80 | 4])]),
            interface(is_big, 113, 0, &[]),
            block(is_big, 0x0bad_cafe, &[1, 2, 3]),
            enhanced(is_big, 0, 1_000_001, &FRAME, 5),
            enhanced(is_big, 1, 77, &FRAME, 9),
            enhanced(is_big, 2, 24, &FRAME, 5),
            block(is_big, 2, &obsolete.concat()),
            simple(is_big, &FRAME[..4], 5),
            simple(is_big, &FRAME[..3], 3),
        ]
        .concat();
        let (frames, error) = read(&bytes);
        assert!(error.is_none(), "{error:?}");
        let expected = [
            (1_000_001_000, FRAME.to_vec(), 5),
            (10_000_000_077, FRAME.to_vec(), 9),
            (1_500_000_000, FRAME.to_vec(), 5),
            (10_000_000_080, FRAME.to_vec(), 5),
            (10_000_000_080, FRAME[..4].to_vec(), 5),
            (10_000_000_080, FRAME[..3].to_vec(), 3),
        ];
        assert_eq!(frames, expected);
    }
}

#[test]
fn a_new_section_forgets_interfaces_and_may_change_the_byte_order() {
    let one = [section(false), interface(false, 1, 0, &[]), enhanced(false, 0, 1, &FRAME, 5)].concat();
    let two = [section(true), interface(true, 1, 0, &[(9, &[9])]), enhanced(true, 0, 1, &FRAME, 5)].concat();
    let (frames, error) = read(&[one.clone(), two].concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(frames, [(1_000, FRAME.to_vec(), 5), (1, FRAME.to_vec(), 5)]);

    let (frames, error) = read(&[one, section(false), enhanced(false, 0, 1, &FRAME, 5)].concat());
    assert_eq!(frames.len(), 1);
    assert!(matches!(
        error.unwrap().flaw,
        CaptureFlaw::Damaged("a packet of an interface that is not described")
    ));
}

#[test]
fn an_error_says_which_frame_and_where() {
    let whole = classic(false, 0xa1b2_c3d4, 1, &[(0, 0, &FRAME, 5), (0, 0, &FRAME, 5)]);
    for (len, place) in [
        (
            whole.len() - 1,
            "frame 1 (counted from 0), at byte 45: the file ends within a record: 20 of 21 bytes",
        ),
        (
            24 + 21 + 9,
            "frame 1 (counted from 0), at byte 45: the file ends within a record header: 9 of 16 bytes",
        ),
        (23, "frame 0 (counted from 0), at byte 0: the file ends within the file header: 23 of 24 bytes"),
    ] {
        let (frames, error) = read(&whole[..len]);
        assert_eq!(frames.len(), usize::from(len > 24));
        let text = error.unwrap().to_string();
        assert!(text.starts_with(place), "{text}");
    }
    let three = [section(false), interface(false, 1, 0, &[]), enhanced(false, 7, 0, &FRAME, 5)];
    let place = format!("frame 0 (counted from 0), at byte {}: damaged", three[0].len() + three[1].len());
    let text = read(&three.concat()).1.unwrap().to_string();
    assert!(text.starts_with(&place), "{text}");
    let (_, error) = read(b"");
    assert!(error.unwrap().to_string().starts_with("the file is empty"));
    let (_, error) = read(b"GET / HTTP/1.1\r\nHost: example.org\r\n");
    assert!(error.unwrap().to_string().starts_with("neither pcap nor pcapng"));
}

#[test]
fn other_link_types_are_refused_by_number() {
    let text = |bytes: &[u8]| read(bytes).1.map(|error| error.to_string()).unwrap_or_default();
    let cooked = classic(false, 0xa1b2_c3d4, 113, &[]);
    assert!(text(&cooked).contains("link type is 113, not Ethernet"), "{}", text(&cooked));
    let with_fcs = classic(false, 0xa1b2_c3d4, 0x2400_0001, &[(0, 0, &FRAME, 5)]);
    assert_eq!(text(&with_fcs), "", "the upper half of the field is about the FCS");
    let unused = [section(false), interface(false, 113, 0, &[])].concat();
    assert_eq!(text(&unused), "", "no frame comes from it");
    let used = [unused, enhanced(false, 0, 0, &FRAME, 5)].concat();
    assert!(text(&used).contains("link type is 113, not Ethernet"), "{}", text(&used));
}

#[test]
fn absurd_lengths_are_refused_before_anything_is_read_for_them() {
    let mut long = classic(false, 0xa1b2_c3d4, 1, &[(0, 0, &FRAME, 5)]);
    long[32..36].copy_from_slice(&(FRAME_BYTES_MAX + 1).to_le_bytes());
    let mut odd = [section(false), interface(false, 1, 0, &[])].concat();
    let at = odd.len() - 16;
    odd[at..at + 4].copy_from_slice(&[21, 0, 0, 0]);
    let huge = [section(false), [1, 0, 0, 0, 0, 0, 0, 0x40].to_vec(), vec![0; 64]].concat();
    let more_than_there_is = [section(false), interface(false, 1, 0, &[]), enhanced(false, 0, 0, &FRAME, 5)];
    let mut more_than_there_is = more_than_there_is.concat();
    let at = more_than_there_is.len() - 20;
    more_than_there_is[at..at + 4].copy_from_slice(&[13, 0, 0, 0]);
    for bytes in [long, odd, huge, more_than_there_is] {
        let (frames, error) = read(&bytes);
        assert!(frames.is_empty());
        let error = error.expect("refused");
        assert!(matches!(error.flaw, CaptureFlaw::Length { .. }), "{error}");
    }
}

#[test]
fn both_lengths_of_a_block_must_agree() {
    let mut bytes = section(false);
    let last = bytes.len() - 4;
    bytes[last] ^= 4;
    let (_, error) = read(&bytes);
    assert!(error.unwrap().to_string().contains("the two lengths of a block differ"));
}

/// A capture with a bit of everything.
fn rich(is_big: bool) -> Vec<u8> {
    [
        section(is_big),
        interface(is_big, 1, 0, &[(9, &[9]), (14, &[0; 8])]),
        enhanced(is_big, 0, 1, &[7; 60], 60),
        simple(is_big, &[8; 60], 60),
        enhanced(is_big, 0, 1 << 40, &[9; 61], 99),
    ]
    .concat()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn mutated_captures_never_panic_and_never_give_more_than_they_hold(
        format in 0..4usize,
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = match format {
            0 => rich(false),
            1 => rich(true),
            2 => classic(false, 0xa1b2_c3d4, 1, &[(1, 2, &[7; 60], 60), (1, 3, &[8; 61], 61)]),
            _ => classic(true, 0xa1b2_3c4d, 1, &[(1, 2, &[7; 60], 60), (1, 3, &[8; 61], 61)]),
        };
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let (frames, error) = read(&bytes);
        let held: usize = frames.iter().map(|(_, bytes, _)| bytes.len()).sum();
        prop_assert!(held <= bytes.len());
        if let Some(error) = error {
            prop_assert!(error.offset <= bytes.len() as u64, "{}", error);
            prop_assert_eq!(error.frame, frames.len() as u64);
        }
    }
}
