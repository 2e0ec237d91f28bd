//! Messages of our own, read by pnet_packet.

use super::*;
use crate::packet::Frame;
use crate::sample::{OUR_MAC, ROUTER_MAC, SYN, Sample, Transport, any_sample};
use pnet_packet::Packet as _;
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use proptest::prelude::*;
use std::net::IpAddr;

fn place(sample: &Sample) -> Place {
    let l3_offset = 14 + 4 * sample.tags.len();
    Place { l3_offset, len: sample.datagram().len(), is_v6: sample.is_v6() }
}

/// The IP datagram of a frame as pnet reads it, checksums verified: source, destination, TTL, ICMP message.
fn read(frame: &[u8], l3: usize, is_v6: bool) -> (IpAddr, IpAddr, u8, Vec<u8>) {
    assert_eq!((&frame[..6], &frame[6..12]), (&ROUTER_MAC[..], &OUR_MAC[..]));
    if is_v6 {
        let ip = Ipv6Packet::new(&frame[l3..]).unwrap();
        assert_eq!(
            (ip.get_next_header().0, l3 + 40 + usize::from(ip.get_payload_length())),
            (58, frame.len())
        );
        let icmp = Icmpv6Packet::new(ip.payload()).unwrap();
        let (source, destination) = (ip.get_source(), ip.get_destination());
        assert_eq!(icmp.get_checksum(), pnet_packet::icmpv6::checksum(&icmp, &source, &destination));
        (source.into(), destination.into(), ip.get_hop_limit(), ip.payload().to_vec())
    } else {
        let ip = Ipv4Packet::new(&frame[l3..]).unwrap();
        assert_eq!(
            (ip.get_next_level_protocol().0, l3 + usize::from(ip.get_total_length())),
            (1, frame.len())
        );
        assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip));
        let icmp = IcmpPacket::new(ip.payload()).unwrap();
        assert_eq!(icmp.get_checksum(), pnet_packet::icmp::checksum(&icmp));
        (ip.get_source().into(), ip.get_destination().into(), ip.get_ttl(), ip.payload().to_vec())
    }
}

fn echo(from: &str, to: &str, payload: usize) -> Sample {
    let is_v6 = from.starts_with('[');
    let mut message = vec![if is_v6 { 128 } else { 8 }, 0, 0, 0, 0x12, 0x34, 0, 1];
    message.extend((0..payload).map(|n| n as u8));
    let mut sample = Sample::udp(from, to);
    sample.transport = Transport::Other(if is_v6 { 58 } else { 1 });
    let sum = match (sample.from.ip(), sample.to.ip()) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            pnet_packet::icmpv6::checksum(&Icmpv6Packet::new(&message).unwrap(), &from, &to)
        }
        _ => pnet_packet::icmp::checksum(&IcmpPacket::new(&message).unwrap()),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    sample.payload = message;
    sample
}

#[test]
fn an_echo_reply_has_the_data_of_its_request_and_a_fresh_ttl() {
    for (from, to) in [("198.51.100.7:0", "203.0.113.10:0"), ("[2001:db8::7]:0", "[2001:db8:cafe::10]:0")] {
        for payload in [0, 1, 56, 1400] {
            for options in [0, 8] {
                let mut request = echo(from, to, payload).with(|one| (one.ttl = 3, one.padding = 5).0);
                if !request.is_v6() {
                    request.options = vec![1; options];
                } else if options > 0 {
                    request.extensions = vec![crate::sample::Extension::HopByHop(0)];
                }
                request.tags = if payload == 1 { vec![(0x8100, 7)] } else { vec![] };
                let at = place(&request);
                let l4 = at.l3_offset + at.len - request.payload.len();
                let mut packet = Frame::new(&request.frame());
                echo_reply(&mut packet, at, l4, true).unwrap();
                let (source, destination, ttl, message) = read(packet.frame(), at.l3_offset, at.is_v6);
                assert_eq!((source, destination, ttl), (request.to.ip(), request.from.ip(), 64));
                assert_eq!(message[0], if at.is_v6 { 129 } else { 0 });
                assert_eq!(message[4..], request.payload[4..], "identifier, sequence and data");
            }
        }
    }
}

#[test]
fn a_packet_without_headroom_is_left_alone() {
    let sample = Sample::tcp("198.51.100.7:1", "203.0.113.10:443", SYN);
    let mut packet = Frame::new(&sample.frame());
    packet.reframe(120, sample.frame().len() + 120).unwrap();
    packet.frame_mut()[..sample.frame().len()].copy_from_slice(&sample.frame());
    let before = packet.frame().to_vec();
    assert_eq!(error(&mut packet, place(&sample), Error::TimeExceeded), None);
    assert_eq!(packet.frame(), before);
}

proptest! {
    /// An error about any datagram quotes as much of it as it may, and pnet reads it as meant.
    #[test]
    fn errors_are_read_as_meant(sample in any_sample(), more in 0usize..1300, mtu: u16, is_ttl: bool) {
        let sample = sample.with(|one| one.payload.resize(one.payload.len() + more, 0x42));
        let (datagram, at) = (sample.datagram(), place(&sample));
        let mut packet = Frame::new(&sample.frame());
        let wanted = if is_ttl { Error::TimeExceeded } else { Error::TooBig { mtu } };
        error(&mut packet, at, wanted).unwrap();
        let frame = packet.frame();
        prop_assert_eq!(&frame[12..at.l3_offset], &sample.frame()[12..at.l3_offset], "tags and ethertype");
        let (source, destination, ttl, message) = read(frame, at.l3_offset, at.is_v6);
        prop_assert_eq!((source, destination, ttl), (sample.to.ip(), sample.from.ip(), 64));
        let (kind, code) = match (at.is_v6, is_ttl) {
            (false, false) => (3, 4),
            (false, true) => (11, 0),
            (true, false) => (2, 0),
            (true, true) => (3, 0),
        };
        let stated = if is_ttl { 0 } else { mtu };
        prop_assert_eq!(&message[..2], &[kind, code]);
        prop_assert_eq!(&message[4..8], &u32::from(stated).to_be_bytes());
        let longest = if at.is_v6 { 1280 - 48 } else { 576 - 28 };
        prop_assert_eq!(&message[8..], &datagram[..datagram.len().min(longest)]);
    }

    #[test]
    fn nothing_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        l3_offset in 0usize..40,
        len in 0usize..140,
        l4_offset in 0usize..140,
        is_v6: bool,
        is_first: bool,
    ) {
        let at = Place { l3_offset, len, is_v6 };
        let _ = echo_reply(&mut Frame::new(&bytes), at, l4_offset, is_first);
        if l3_offset + len <= bytes.len() {
            let _ = error(&mut Frame::new(&bytes), at, Error::TooBig { mtu: 1400 });
            let _ = relayed_error(&mut Frame::new(&bytes), 14, at, Error::TooBig { mtu: 1400 });
        }
    }
}
