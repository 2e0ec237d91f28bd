//! What is about flows and not of them: ICMP errors from all over the network, echo requests, and whether the answers
//! that we give ourselves are right, as pnet reads them.

use super::clients::{Client, Flow};
use super::tally::Kind;
use super::world::Wire;
use super::*;
use crate::sample::{Extension, Numbers, Transport};
use pnet_packet::Packet as _;
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use traffic::{ERRORS, answer_to, echo, error};

/// An extension structure with one object: a label stack entry (RFC 4950).
const EXTENSION: [u8; 12] = [0x20, 0, 0xfd, 0xc5, 0, 8, 1, 1, 0, 0, 0x11, 0xff];

/// An error of a router about what the backend has answered in the client's flow.
pub(super) fn error_about(client: &Client, numbers: &mut Numbers) -> (Kind, Vec<u8>, Flow) {
    let len = numbers.below(200);
    let (sample, flow) = client.packet(len, numbers);
    let mut reply = answer_to(&sample);
    if client.wire == Wire::Sctp {
        reply.payload[..4].rotate_left(2);
    }
    if reply.is_v6() && numbers.once_in(4) {
        reply.extensions = vec![Extension::Destination(0)];
    } else if !reply.is_v6() && numbers.once_in(4) {
        reply.options = vec![1; 8];
    }
    let is_fragment = numbers.once_in(6);
    if is_fragment && reply.is_v6() {
        reply.extensions.push(Extension::Fragment(0, true));
    } else if is_fragment {
        reply.fragment = 0x2000;
    }
    let datagram = reply.datagram();
    let header_len = if reply.is_v6() { 40 + 8 * reply.extensions.len() } else { 20 + reply.options.len() };
    let is_short = numbers.once_in(3);
    let more = if is_short { 8 } else { 8 + numbers.below(200) };
    let mut quote = datagram[..(header_len + more).min(datagram.len())].to_vec();
    let (is_v6, kind, code) = ERRORS[numbers.below(4) + if sample.is_v6() { 4 } else { 0 }];
    // RFC 4884: those that may have extensions say how long the quote is, which has 128 bytes at least.
    let may_extend = matches!((is_v6, kind), (false, 3 | 11 | 12) | (true, 1 | 3));
    let mut rest = [0; 4];
    let is_extended = may_extend && numbers.once_in(3);
    if is_extended {
        let len = quote.len().max(128).next_multiple_of(if is_v6 { 8 } else { 4 });
        quote.resize(len, 0);
        if is_v6 {
            rest[0] = (len / 8) as u8
        } else {
            rest[1] = (len / 4) as u8
        }
        quote.extend(EXTENSION);
    }
    if (is_v6, kind) == (true, 2) {
        rest = 1_300u32.to_be_bytes();
    } else if (is_v6, kind, code) == (false, 3, 4) {
        rest[2..].copy_from_slice(&1_300u16.to_be_bytes());
    }
    let mut about = error(sample.to.ip(), kind, code, rest, &quote);
    if is_v6 && numbers.once_in(8) {
        about.extensions = vec![Extension::Destination(0)];
    } else if numbers.once_in(8) {
        about.tags = vec![(0x8100, 7)];
    }
    let kind = match (is_fragment, is_extended, is_short, is_v6) {
        (true, ..) => Kind::ErrorOfFragment,
        (_, true, ..) => Kind::ErrorExtended,
        (.., true, _) => Kind::ErrorShort,
        (.., true) => Kind::ErrorV6,
        _ => Kind::ErrorV4,
    };
    (kind, about.frame(), Flow { opens: false, named: None, ..flow })
}

/// The key of what has no ports, as echo requests are told apart by it.
pub(super) fn echo_flow(client: &Client) -> Flow {
    let mut flow = client.flow();
    (flow.key.source_port, flow.key.destination_port) = (0, 0);
    flow.key.protocol = if client.sample.is_v6() { 58 } else { 1 };
    flow
}

/// An echo request of a client.
pub(super) fn ping(client: &Client, numbers: &mut Numbers) -> Sample {
    let (from, to) = (client.sample.from.to_string(), client.sample.to.to_string());
    let mut request = echo(&from, &to, numbers.below(300));
    if numbers.once_in(6) {
        request.tags = vec![(0x8100, numbers.next() as u16)];
    }
    request
}

/// An error about a backend's echo reply.
pub(super) fn error_about_reply(client: &Client, numbers: &mut Numbers) -> Vec<u8> {
    let mut reply = answer_to(&ping(client, numbers));
    (reply.tags, reply.payload[0]) = (vec![], if reply.is_v6() { 129 } else { 0 });
    let datagram = reply.datagram();
    let header_len = if reply.is_v6() { 40 } else { 20 };
    let (_, kind, code) = ERRORS[numbers.below(4) + if reply.is_v6() { 4 } else { 0 }];
    error(client.sample.to.ip(), kind, code, [0; 4], &datagram[..header_len + 8]).frame()
}

/// The fragments of an echo request.
pub(super) fn long_ping(client: &Client, id: u16) -> Vec<Vec<u8>> {
    let (from, to) = (client.sample.from.to_string(), client.sample.to.to_string());
    let request = echo(&from, &to, 900);
    debug_assert!(matches!(request.transport, Transport::Other(1 | 58)));
    traffic::cut(&request, 400, id)
}

/// A message of ours is one that its receiver accepts, goes back to who sent the packet, and is no longer than it may be.
pub(super) fn check_answer(sent: &[u8], left: &[u8], reason: AnswerReason) {
    let (from_l3, l3) = (naive::l3_of(sent), naive::l3_of(left));
    assert_eq!(
        (&left[..6], &left[6..12]),
        (&sent[6..12], &sent[..6]),
        "back to the station that it came from"
    );
    let (old, ip) = (&sent[from_l3..], &left[l3..]);
    let is_echo = reason == AnswerReason::EchoReply;
    let is_part = is_echo && (if ip[0] >> 4 == 6 { ip[6] == 44 } else { be16(ip, 6) & 0x3fff != 0 });
    let message = if ip[0] >> 4 == 6 {
        let ip = Ipv6Packet::new(ip).unwrap();
        assert!(is_echo || ip.packet().len() <= 1280, "RFC 4443 section 2.4 (c)");
        if is_part {
            return;
        }
        let message = ip.payload().to_vec();
        let icmp = Icmpv6Packet::new(&message).unwrap();
        let sum = pnet_packet::icmpv6::checksum(&icmp, &ip.get_source(), &ip.get_destination());
        assert_eq!(icmp.get_checksum(), sum);
        message
    } else {
        let ip = Ipv4Packet::new(ip).unwrap();
        assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip));
        assert!(is_echo || ip.get_total_length() <= 576, "RFC 1812 section 4.3.2.3");
        if is_part {
            return;
        }
        let message = ip.packet()[20..usize::from(ip.get_total_length())].to_vec();
        let icmp = IcmpPacket::new(&message).unwrap();
        assert_eq!(icmp.get_checksum(), pnet_packet::icmp::checksum(&icmp));
        message
    };
    if is_echo {
        assert_eq!(message[0], if ip[0] >> 4 == 6 { 129 } else { 0 });
        let end = old.len().min(from_ip_len(old));
        assert!(old[..end].ends_with(&message[4..]), "identifier, number and data come back");
    }
}

pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Length of a datagram as its header says it, bytes.
pub(super) fn from_ip_len(ip: &[u8]) -> usize {
    match ip[0] >> 4 {
        4 => be16(ip, 2).into(),
        _ => 40 + usize::from(be16(ip, 4)),
    }
}
