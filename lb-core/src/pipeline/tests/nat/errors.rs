//! ICMP errors from either side arrive at the other as if there were no translation.

use super::*;
use pnet_packet::Packet as _;
use pnet_packet::icmp::{self, IcmpPacket};
use pnet_packet::icmpv6::{self, Icmpv6Packet};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

/// An ICMP error of `router` to who sent `datagram`, by pnet.
pub(in crate::pipeline::tests) fn error(
    router: &str,
    datagram: &[u8],
    head: [u8; 8],
    quote_len: usize,
) -> Vec<u8> {
    let is_v6 = datagram[0] >> 4 == 6;
    let quote = &datagram[..quote_len.min(datagram.len())];
    let to = if is_v6 { address_at(datagram, 8, 16) } else { address_at(datagram, 12, 4) };
    let end = |ip: IpAddr| SocketAddr::new(ip, 0).to_string();
    let protocol = if is_v6 { 58 } else { 1 };
    let mut frame = Sample::tcp(&end(address(router)), &end(to), 0)
        .with(|one| {
            one.transport = Transport::Other(protocol);
            one.payload = [&head[..], quote].concat();
            one.ttl = 33;
            one.tos = 0xc0;
        })
        .frame();
    let l4 = if is_v6 { 54 } else { 34 };
    let sum = match (address(router), to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            icmpv6::checksum(&Icmpv6Packet::new(&frame[l4..]).unwrap(), &from, &to)
        }
        _ => icmp::checksum(&IcmpPacket::new(&frame[l4..]).unwrap()),
    };
    frame[l4 + 2..l4 + 4].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn address_at(bytes: &[u8], at: usize, len: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets[..len].copy_from_slice(&bytes[at..at + len]);
    crate::nat::tuple::address(&octets, len == 16)
}

/// An error as pnet reads it, its checksums proved: source, destination, the first eight bytes without the checksum,
/// TTL, quote.
pub(in crate::pipeline::tests) fn opened(frame: &[u8]) -> (IpAddr, IpAddr, [u8; 6], u8, Vec<u8>) {
    let ip = &frame[14..];
    let head = |message: &[u8]| [message[0], message[1], message[4], message[5], message[6], message[7]];
    if ip[0] >> 4 == 6 {
        let ip = Ipv6Packet::new(ip).unwrap();
        let message = Icmpv6Packet::new(ip.payload()).unwrap();
        let (from, to) = (ip.get_source(), ip.get_destination());
        assert_eq!(message.get_checksum(), icmpv6::checksum(&message, &from, &to));
        let bytes = message.packet();
        return (from.into(), to.into(), head(bytes), ip.get_hop_limit(), bytes[8..].to_vec());
    }
    let ip = Ipv4Packet::new(ip).unwrap();
    assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip));
    let message = IcmpPacket::new(ip.payload()).unwrap();
    assert_eq!(message.get_checksum(), icmp::checksum(&message));
    let bytes = message.packet();
    (ip.get_source().into(), ip.get_destination().into(), head(bytes), ip.get_ttl(), bytes[8..].to_vec())
}

/// The quote of a whole packet, proved as a packet; with its TTL.
pub(in crate::pipeline::tests) fn proved_quote(quote: &[u8]) -> Read {
    let ethertype = if quote[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
    read(&[&[0; 12][..], &ethertype, quote].concat(), 14)
}

fn sent(lab: &mut Lab, frame: &[u8]) -> (Verdict, Vec<u8>) {
    lab.burst(&[frame.to_vec()]).remove(0)
}

#[test]
fn errors_of_the_backends_side_reach_the_client_about_its_own_packet() {
    for (mode, vip, network, backends, _) in cases() {
        let mut lab = nat_lab(&[vip], backends, mode, PORTS, 64);
        let client = format!("{network}7");
        let sample = Sample::tcp(&text(&client, 40_000), &text(vip, 80), SYN);
        let (verdict, there) = lab.send(&sample);
        assert!(matches!(verdict, Verdict::Forward(_)));
        let to_v4 = there[12] == 8;
        let from_v4 = address(vip).is_ipv4();
        // Unreachable port, quoted in whole: everything in the quote can be proved.
        let head = if to_v4 { [3, 3, 0, 0, 0, 0, 0, 0] } else { [1, 4, 0, 0, 0, 0, 0, 0] };
        let router = if to_v4 { "10.9.9.9" } else { "2001:db8:99::9" };
        let (verdict, frame) = sent(&mut lab, &error(router, &there[14..], head, 2000));
        assert_eq!(verdict, Verdict::Return(CLIENT_PORT));
        assert_eq!(frame[..6], crate::sample::ROUTER_MAC);
        let (from, to, head, ttl, quote) = opened(&frame);
        assert_eq!((from, to, ttl), (address(vip), address(&client), 32));
        assert_eq!(head[..2], if from_v4 { [3, 3] } else { [1, 4] });
        let quoted = proved_quote(&quote);
        let original = read(&sample.frame(), 14);
        assert_eq!((quoted.tuple, quoted.segment), (original.tuple, original.segment));
        // The least quote: eight bytes behind the header.
        let least = if to_v4 { 28 } else { 48 };
        let too_big = if to_v4 { [3, 4, 0, 0, 0, 0, 0x05, 0x78] } else { [2, 0, 0, 0, 0, 0, 0x05, 0x78] };
        let (verdict, frame) = sent(&mut lab, &error(router, &there[14..], too_big, least));
        assert_eq!(verdict, Verdict::Return(CLIENT_PORT));
        let (.., head, _, quote) = opened(&frame);
        let mtu = u16::from_be_bytes([head[4], head[5]]);
        // 1,400 bytes of IPv4 carry what 1,420 bytes of IPv6 do.
        assert_eq!(mtu, if to_v4 && !from_v4 { 1_420 } else { 1_400 });
        assert_eq!(quote.len(), if from_v4 { 28 } else { 48 });
        // Errors neither keep a session alive nor end it (RFC 5508 section 4).
        assert_eq!(lab.counters().nat.returned.get(), 0);
    }
}

#[test]
fn errors_of_the_clients_side_reach_the_backend_about_its_own_packet() {
    for (mode, vip, network, backends, local) in cases() {
        let mut lab = nat_lab(&[vip], backends, mode, PORTS, 64);
        let client = format!("{network}7");
        let (record, seen) = forwarded(&mut lab, &Sample::udp(&text(&client, 40_000), &text(vip, 53)));
        let reply = answer(&seen, Transport::Udp, 60);
        let (_, back) = lab.send(&reply);
        let is_v4 = back[12] == 8;
        let router = if is_v4 { "198.18.0.1" } else { "2001:db8:98::1" };
        let head = if is_v4 { [11, 0, 0, 0, 0, 0, 0, 0] } else { [3, 0, 0, 0, 0, 0, 0, 0] };
        let (verdict, frame) = sent(&mut lab, &error(router, &back[14..], head, 2000));
        assert_eq!(verdict, Verdict::Forward(record));
        assert_eq!(lab.counters().icmp_errors.get(), 1);
        assert_eq!(lab.counters().records.at(record).packets.get(), 2, "the flow's packet and this");
        let backend = backend_of(&lab.spec, record).address;
        let (from, to, head, _, quote) = opened(&frame);
        assert_eq!((from, to), (local.map_or(address(router), address), backend));
        assert_eq!(head[..2], if backend.is_ipv4() { [11, 0] } else { [3, 0] });
        let quoted = proved_quote(&quote);
        assert_eq!(quoted.tuple, seen.tuple.reversed());
        assert!(quoted.segment.ends_with(b"200 OK"));
    }
}

/// RFC 768: a UDP checksum that comes to zero is sent as all ones, and that is how its sender knows it.
#[test]
fn a_quoted_udp_checksum_of_zero_is_all_ones() {
    for (mode, vip, network, backends, _) in cases() {
        let mut lab = nat_lab(&[vip], backends, mode, PORTS, 64);
        let with = |word: u16| {
            Sample::udp(&text(&format!("{network}7"), 40_000), &text(vip, 53))
                .with(|one| one.payload = word.to_be_bytes().to_vec())
        };
        // The word that makes up for all others.
        let missing = read(&with(0).frame(), 14).segment;
        let sample = with(u16::from_be_bytes([missing[6], missing[7]]));
        let segment = read(&sample.frame(), 14).segment;
        assert_eq!(segment[6..8], [0xff; 2]);
        let (_, there) = lab.send(&sample);
        let head = if there[12] == 8 { [3, 1, 0, 0, 0, 0, 0, 0] } else { [1, 0, 0, 0, 0, 0, 0, 0] };
        let router = if there[12] == 8 { "10.9.9.9" } else { "2001:db8:99::9" };
        let (verdict, frame) = sent(&mut lab, &error(router, &there[14..], head, 2000));
        assert_eq!(verdict, Verdict::Return(CLIENT_PORT));
        assert_eq!(proved_quote(&opened(&frame).4).segment, segment);
    }
}

#[test]
fn what_is_no_error_of_ours_is_not_touched() {
    let (vip, client) = ("203.0.113.10", "198.51.100.7");
    let mut lab = nat_lab(&[vip], "10.0.0.1", full(ClientAddress::None), PORTS, 64);
    let (_, there) = lab.send(&Sample::tcp(&text(client, 40_000), &text(vip, 80), SYN));
    let unreachable = [3, 3, 0, 0, 0, 0, 0, 0];
    let good = error("10.9.9.9", &there[14..], unreachable, 28);
    // About nobody's flow.
    let mut other = there.clone();
    other[36] ^= 1;
    let foreign = error("10.9.9.9", &other[14..], unreachable, 28);
    // With a wrong checksum, which must not become right.
    let mut broken = good.clone();
    broken[40] ^= 1;
    // Too short to say whose it was.
    let short = error("10.9.9.9", &there[14..], unreachable, 23);
    for frame in [&foreign, &broken, &short] {
        assert_eq!(sent(&mut lab, frame), (Verdict::Punt(PuntReason::NoVip), frame.clone()));
    }
    assert_eq!(sent(&mut lab, &good).0, Verdict::Return(CLIENT_PORT));
    let mut last = good;
    last[22] = 1;
    let sum = !crate::checksum::fold(crate::checksum::sum(&[&last[14..24], &last[26..34]].concat()));
    last[24..26].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(sent(&mut lab, &last).0, Verdict::Drop(DropReason::TtlExceeded));
}

#[test]
fn a_sequence_number_behind_a_proxy_header_is_counted_back() {
    let (vip, client) = ("203.0.113.10", "198.51.100.7");
    let mut lab = nat_lab(&[vip], "10.0.0.1", full(ClientAddress::ProxyV2), PORTS, 64);
    let bare =
        |flags| Sample::tcp(&text(client, 40_000), &text(vip, 80), flags).with(|one| one.payload.clear());
    lab.send(&bare(SYN));
    // One behind the SYN's number, so that the segment after it is not the first.
    let mut later = bare(ACK).frame();
    later[41] += 2;
    finish_tcp(&mut later);
    let (_, there) = lab.burst(&[later.clone()]).remove(0);
    assert_eq!(u32::from_be_bytes(there[38..42].try_into().unwrap()), 0x0102_0304 + 2 + 28);
    let (_, frame) = sent(&mut lab, &error("10.9.9.9", &there[14..], [3, 1, 0, 0, 0, 0, 0, 0], 28));
    let (.., quote) = opened(&frame);
    assert_eq!(quote[24..28], (0x0102_0304u32 + 2).to_be_bytes());
}

/// Not even about a session that there is: the router that it claims to be from is nobody's.
#[test]
fn errors_that_no_host_can_have_sent_end_here() {
    for (mode, vip, network, backends, _) in cases() {
        let mut lab = nat_lab(&[vip], backends, mode, PORTS, 64);
        let sample = Sample::tcp(&text(&format!("{network}7"), 40_000), &text(vip, 80), SYN);
        let there = lab.send(&sample).1;
        let to_v4 = there[12] == 8;
        let head = if to_v4 { [3, 3, 0, 0, 0, 0, 0, 0] } else { [1, 4, 0, 0, 0, 0, 0, 0] };
        let routers = if to_v4 { ["127.0.0.1", "224.0.0.9"] } else { ["::1", "ff02::1"] };
        for router in routers {
            let frame = error(router, &there[14..], head, 2000);
            let outcome = sent(&mut lab, &frame);
            assert_eq!(outcome, (Verdict::Drop(DropReason::MartianSource), frame), "{router}");
        }
        let router = if to_v4 { "10.9.9.9" } else { "2001:db8:99::9" };
        let (verdict, _) = sent(&mut lab, &error(router, &there[14..], head, 2000));
        assert_eq!(verdict, Verdict::Return(CLIENT_PORT), "a real one goes on");
        assert_eq!(lab.counters().service_drops[0].packets[DropReason::MartianSource as usize].get(), 2);
    }
}
