//! Quotes: of every length, through options and extension headers, and of anything at all.

use super::*;
use crate::headers::{PortFilter, parse};
use crate::icmp::{HEADER_LEN, Kind};
use crate::sample::{Extension, SYN, Sample, Transport, any_sample};
use proptest::prelude::*;

fn header_len(sample: &Sample) -> usize {
    let segment = match sample.transport {
        Transport::Tcp(_) => 20,
        Transport::Udp | Transport::UdpUnchecked => 8,
        Transport::UdpSurplus(surplus) => 8 + usize::from(surplus),
        Transport::Other(_) => 0,
    };
    sample.datagram().len() - segment - sample.payload.len()
}

#[test]
fn four_bytes_behind_the_header_are_enough_and_three_are_not() {
    let samples = [
        Sample::tcp("203.0.113.10:443", "198.51.100.7:40000", SYN),
        Sample::udp("203.0.113.10:443", "198.51.100.7:40000").with(|one| one.options = vec![1; 40]),
        Sample::tcp("[2001:db8:cafe::10]:443", "[2001:db8::7]:40000", SYN),
        Sample::udp("[2001:db8:cafe::10]:443", "[2001:db8::7]:40000").with(|one| {
            one.extensions =
                vec![Extension::HopByHop(1), Extension::Fragment(0, true), Extension::Authentication]
        }),
    ];
    for sample in samples {
        let (datagram, start) = (sample.datagram(), header_len(&sample));
        for len in 0..datagram.len() {
            let quote = Quote::parse(&datagram[..len]);
            assert_eq!(quote.is_some(), len >= start + 4, "{len} bytes of {sample:?}");
            if let Some(quote) = quote {
                assert_eq!((quote.key.source, quote.key.source_port), (sample.from.ip(), sample.from.port()));
                assert_eq!(quote.answered_flow().destination_port, sample.from.port());
                assert_eq!(usize::from(quote.l4_offset), start);
            }
        }
    }
}

#[test]
fn a_later_fragment_tells_nothing() {
    let v4 = Sample::udp("203.0.113.10:443", "198.51.100.7:40000").with(|one| one.fragment = 0x00b9);
    assert_eq!(Quote::parse(&v4.datagram()), None);
    let first = Sample::udp("203.0.113.10:443", "198.51.100.7:40000").with(|one| one.fragment = 0x2000);
    assert!(Quote::parse(&first.datagram()).is_some());
    let v6 = Sample::udp("[2001:db8:cafe::10]:443", "[2001:db8::7]:40000")
        .with(|one| one.extensions = vec![Extension::Fragment(185, false)]);
    assert_eq!(Quote::parse(&v6.datagram()), None);
}

#[test]
fn rfc_4884_extensions_are_no_part_of_the_quote() {
    let mut message = vec![0; HEADER_LEN + 128 + 8];
    message[0] = 3;
    message[5] = 32;
    assert_eq!(quoted(&message, false).map(<[u8]>::len), Some(128));
    message[5] = 200;
    assert_eq!(quoted(&message, false).map(<[u8]>::len), Some(136), "a length beyond the end is none");
    message[..2].copy_from_slice(&[2, 0]);
    assert_eq!(quoted(&message, true).map(<[u8]>::len), Some(136), "the MTU of Packet Too Big is no length");
    assert_eq!(quoted(&message[..7], true), None);
}

#[test]
fn kinds_of_messages() {
    for (is_v6, kind, code, expected) in [
        (false, 3, 1, Kind::Error),
        (false, 3, 4, Kind::TooBig),
        (false, 11, 0, Kind::Error),
        (false, 4, 0, Kind::Obsolete),
        (false, 5, 1, Kind::Obsolete),
        (false, 8, 0, Kind::EchoRequest),
        (false, 0, 0, Kind::Other),
        (true, 1, 4, Kind::Error),
        (true, 2, 0, Kind::TooBig),
        (true, 4, 1, Kind::Error),
        (true, 128, 0, Kind::EchoRequest),
        (true, 129, 0, Kind::Other),
        (true, 135, 0, Kind::Other),
        (true, 137, 0, Kind::Obsolete),
        (true, 8, 0, Kind::Other),
    ] {
        assert_eq!(Kind::of(is_v6, kind, code), expected, "{is_v6} {kind} {code}");
    }
}

#[test]
fn the_inner_datagram_is_found_behind_every_encapsulation() {
    let inner = Sample::tcp("198.51.100.7:40000", "203.0.113.10:443", SYN).datagram();
    let ethernet = [&[2; 12][..], &[0x08, 0x00]].concat();
    let udp = |rest: &[u8]| [&[0xc0, 1, 0x17, 0xc0, 0, 0, 0, 0][..], rest].concat();
    let shims: &[(u8, Vec<u8>)] = &[
        (4, vec![]),
        (47, vec![0, 0, 0x08, 0x00]),
        (47, vec![0x20, 0, 0x08, 0x00, 0, 0, 0, 7]),
        (17, udp(&[])),
        (17, udp(&[0, 4, 0, 0])),
        (17, udp(&[2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        (17, udp(&[&[8, 0, 0, 0, 0, 1, 2, 0][..], &ethernet].concat())),
        (17, udp(&[0, 0, 0x08, 0x00, 0, 1, 2, 0])),
        (17, udp(&[&[1, 0, 0x65, 0x58, 0, 1, 2, 0, 0, 0, 0, 0][..], &ethernet].concat())),
    ];
    for (protocol, shim) in shims {
        for to in ["10.0.1.11:0", "[2001:db8:bb::1]:0"] {
            let from = if to.starts_with('[') { "[2001:db8:aa::1]:0" } else { "192.0.2.1:0" };
            let outer = Sample::udp(from, to).with(|one| {
                one.transport = Transport::Other(*protocol);
                one.payload = [&shim[..], &inner].concat();
            });
            let datagram = outer.datagram();
            let at = inner_offset(&datagram).unwrap_or_else(|| panic!("{protocol} {shim:02x?}"));
            assert_eq!(datagram[at..], inner, "{protocol} {shim:02x?}");
            assert_eq!(inner_offset(&datagram[..at]), None, "cut before the inner datagram");
        }
    }
}

proptest! {
    /// The tuple of a quote is the tuple of the packet, for every shape and length that has it.
    #[test]
    fn a_quote_has_the_tuple_of_its_packet(sample in any_sample(), cut in 4usize..60) {
        let (_, key) = parse(&sample.frame(), PortFilter::ANY).unwrap();
        let datagram = sample.datagram();
        let len = (header_len(&sample) + cut).min(datagram.len());
        let quote = Quote::parse(&datagram[..len]).unwrap();
        prop_assert_eq!(quote.key, key);
        prop_assert_eq!(quote.is_v6, sample.is_v6());
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 4u8..7, is_v6: bool) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | *first & 15;
        }
        let _ = (Quote::parse(&bytes), inner_offset(&bytes), quoted(&bytes, is_v6));
    }
}
