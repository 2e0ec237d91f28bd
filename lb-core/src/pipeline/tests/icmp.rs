//! ICMP through the packet path: errors reach the backend of their flow, echo requests get what is configured, errors
//! from the tunnels reach the client, and nobody is told what he must not be.

use super::traffic::{ERRORS, ROUTER4, ROUTER6, answer_to, echo, error, from_tunnel, message};
use super::*;
use crate::headers::NoFlow;
use crate::icmp::Kind;
use crate::sample::{ACK, Extension, SYN, Transport, any_sample};
use crate::spec::{Echo, HashFields};
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use proptest::prelude::*;

fn drops(lab: &Lab, reason: DropReason) -> u64 {
    lab.counters().drops.packets[reason as usize].get()
}

#[test]
fn an_error_goes_to_the_backend_that_the_flow_has_even_when_maglev_has_moved_on() {
    for client in 0..50 {
        let mut lab = Lab::new();
        let packet = web(client, SYN);
        let record = lab.record(&packet);
        lab.record(&web(client, ACK));
        lab.set_state(record, BackendState::Drain);
        assert_ne!(lab.maglev(&packet, WEB), Some(record), "others take new flows");
        let quote = answer_to(&packet).datagram();
        let about = error(packet.to.ip(), 3, 4, [0, 0, 0x05, 0x14], &quote[..28]);
        let (verdict, left) = lab.send(&about);
        assert_eq!(verdict, Verdict::Forward(record));
        let (headers, key) = parse(&packet.frame(), OURS).unwrap();
        let hash = lab.tables.hash(Level::Portable, &key);
        let whole = Headers { ip_len: about.datagram().len() as u16, protocol: 1, ..headers };
        let expected = naive::encapsulated(&about.frame(), &whole, hash, backend_of(&lab.spec, record));
        assert_eq!(left, expected, "untouched but for the TTL, with the entropy of the flow");
        assert_eq!(lab.counters().icmp_errors.get(), 1);
    }
}

#[test]
fn errors_about_nothing_of_ours_end_here() {
    use DropReason::{IcmpIgnored, IcmpUnmatched};
    let (vip, packet) = (address("203.0.113.10"), web(1, ACK));
    let quote = answer_to(&packet).datagram();
    let other_port = answer_to(&packet.clone().with(|one| one.to.set_port(22))).datagram();
    let other_vip = answer_to(&Sample::tcp("198.51.100.7:1", "203.0.113.20:443", ACK)).datagram();
    let later = answer_to(&packet).with(|one| one.fragment = 0x00b9).datagram();
    for (sentence, sample, reason) in [
        ("a quote of 23 bytes", error(vip, 3, 4, [0; 4], &quote[..23]), IcmpUnmatched),
        ("no quote", error(vip, 11, 0, [0; 4], &[]), IcmpUnmatched),
        ("a port that nobody serves", error(vip, 3, 1, [0; 4], &other_port), IcmpUnmatched),
        ("another VIP's packet", error(vip, 3, 1, [0; 4], &other_vip), IcmpUnmatched),
        ("the client's own packet", error(vip, 3, 1, [0; 4], &packet.datagram()), IcmpUnmatched),
        ("a later fragment", error(vip, 3, 1, [0; 4], &later), IcmpUnmatched),
        ("a source quench", error(vip, 4, 0, [0; 4], &quote), IcmpIgnored),
        ("a redirect", error(vip, 5, 1, [192, 0, 2, 1], &quote), IcmpIgnored),
    ] {
        let mut lab = Lab::new();
        let (verdict, left) = lab.send(&sample);
        assert_eq!((verdict, left), (Verdict::Drop(reason), sample.frame()), "{sentence}");
        assert_eq!(drops(&lab, reason), 1, "{sentence}");
        assert_eq!(lab.pipeline.connections().len(), 0, "{sentence}: no entry");
    }
    let elsewhere = error(address("203.0.113.11"), 3, 1, [0; 4], &quote);
    assert_eq!(Lab::new().send(&elsewhere).0, Verdict::Punt(PuntReason::NoVip));
}

#[test]
fn an_error_that_cannot_go_on_is_never_answered() {
    let packet = web(1, ACK);
    let quote = answer_to(&packet).with(|one| one.payload = vec![0; 1400]).datagram();
    let large = error(packet.to.ip(), 11, 0, [0; 4], &quote);
    let reasons: Vec<Verdict> = vec![
        Lab::new().send(&large.clone().with(|one| one.payload.resize(1478, 0))).0,
        Lab::new().send(&large.with(|one| one.ttl = 1)).0,
    ];
    assert_eq!(reasons[1], Verdict::Drop(DropReason::TtlExceeded));
    // L2 DSR takes the large one.
    assert!(
        matches!(reasons[0], Verdict::Drop(DropReason::MtuExceeded) | Verdict::Forward(_)),
        "{reasons:?}"
    );
}

#[test]
fn echo_requests_get_what_is_configured() {
    for (from, to) in [("198.51.100.7:0", "203.0.113.10:0"), ("[2001:db8::7]:0", "[2001:db8:cafe::10]:0")] {
        let request = echo(from, to, 56);
        let mut lab = Lab::new();
        let (verdict, left) = lab.send(&request);
        assert_eq!(verdict, Verdict::Answer(AnswerReason::EchoReply));
        assert_eq!(left.len(), request.frame().len());
        lab.change(|spec| spec.services[WEB].portless.echo = Echo::Ignore);
        assert_eq!(lab.send(&request).0, Verdict::Drop(DropReason::IcmpIgnored));
        lab.change(|spec| spec.services[WEB].portless.echo = Echo::Forward);
        let Verdict::Forward(record) = lab.send(&request).0 else { panic!() };
        assert!(records_of(&lab.spec, WEB).contains(&usize::from(record)));
        assert_eq!(lab.pipeline.connections().len(), 0, "no entry");
        let again = echo(from, to, 900);
        assert_eq!(lab.send(&again).0, Verdict::Forward(record), "by addresses alone");
        lab.change(|spec| {
            for backend in &mut spec.pools[0].backends {
                backend.state = BackendState::Down;
            }
        });
        assert_eq!(lab.send(&request).0, Verdict::Drop(DropReason::NoBackend));
        lab.change(|spec| spec.services[WEB].portless.echo = Echo::Answer);
        assert_eq!(lab.send(&request).0, Verdict::Drop(DropReason::NoBackend), "a dead VIP is silent");
    }
}

/// A ping that a backend answers has a backend, and so have the errors about the reply, whatever Maglev sees of flows.
#[test]
fn an_error_about_a_backends_echo_reply_goes_to_that_backend() {
    for hash in [HashFields::FiveTuple, HashFields::Source { ipv4: 24, ipv6: 56 }] {
        for client in 0..60 {
            let mut lab = Lab::new();
            lab.change(|spec| {
                spec.services[WEB].portless.echo = Echo::Forward;
                spec.services[WEB].selection.hash = hash;
            });
            for (from, to) in [
                (format!("198.51.100.{client}:0"), "203.0.113.10:0"),
                (format!("[2001:db8::{client:x}]:0"), "[2001:db8:cafe::10]:0"),
            ] {
                let request = echo(&from, to, 56);
                let record = lab.record(&request);
                let mut reply = answer_to(&request);
                reply.payload[0] = if reply.is_v6() { 129 } else { 0 };
                let (header_len, kind) = if reply.is_v6() { (40, 3) } else { (20, 11) };
                let about = |reply: &Sample| {
                    error(request.to.ip(), kind, 0, [0; 4], &reply.datagram()[..header_len + 8])
                };
                assert_eq!(lab.send(&about(&reply)).0, Verdict::Forward(record), "{request:?}");
                reply.payload[0] = 3;
                let unmatched = Verdict::Drop(DropReason::IcmpUnmatched);
                assert_eq!(lab.send(&about(&reply)).0, unmatched, "another message");
                reply.payload[0] = if reply.is_v6() { 129 } else { 0 };
                lab.change(|spec| spec.services[WEB].portless.echo = Echo::Answer);
                assert_eq!(lab.send(&about(&reply)).0, unmatched, "our own reply");
                lab.change(|spec| spec.services[WEB].portless.echo = Echo::Forward);
            }
        }
    }
}

#[test]
fn replies_and_errors_are_paid_from_budgets() {
    let mut lab = Lab::new();
    lab.change(|spec| {
        spec.signals.echoes = Budget { total: 5, per_source: 3 };
        spec.signals.errors = Budget { total: 2, per_source: 2 };
    });
    let ping =
        |lab: &mut Lab, host: u8| lab.send(&echo(&format!("198.51.100.{host}:0"), "203.0.113.10:0", 8)).0;
    let answered = |verdicts: Vec<Verdict>| {
        verdicts.iter().filter(|one| **one == Verdict::Answer(AnswerReason::EchoReply)).count()
    };
    let first = (0..10).map(|_| ping(&mut lab, 7)).collect();
    let second = (0..10).map(|_| ping(&mut lab, 8)).collect();
    assert_eq!((answered(first), answered(second)), (3, 2));
    assert_eq!(drops(&lab, DropReason::IcmpRateLimited), 15);
    let late = |lab: &mut Lab| lab.send(&web(1, ACK).with(|one| one.ttl = 1)).0;
    let told: Vec<Verdict> = (0..4).map(|_| late(&mut lab)).collect();
    assert_eq!(told[1], Verdict::Answer(AnswerReason::TimeExceeded));
    assert_eq!(told[2], Verdict::Drop(DropReason::TtlExceeded));
    lab.wait(1);
    assert_eq!(ping(&mut lab, 7), Verdict::Answer(AnswerReason::EchoReply), "a new second");
}

#[test]
fn nobody_but_one_host_gets_a_reply() {
    for from in ["0.0.0.0:0", "127.0.0.1:0", "224.0.0.5:0", "255.255.255.255:0", "203.0.113.10:0"] {
        let verdict = Lab::new().send(&echo(from, "203.0.113.10:0", 8)).0;
        assert_eq!(verdict, Verdict::Drop(DropReason::MartianSource), "{from}");
    }
    let mut frame = echo("198.51.100.7:0", "203.0.113.10:0", 8).frame();
    frame[6] |= 1;
    assert_eq!(
        Lab::new().burst(&[frame])[0].0,
        Verdict::Drop(DropReason::IcmpIgnored),
        "a group of stations"
    );
}

/// For every edit with an outer header and both inner families: the client learns the MTU of the tunnel.
#[test]
fn too_big_from_the_tunnel_reaches_the_client() {
    let mut kinds = std::collections::HashSet::new();
    for client in 0..400u32 {
        let mut lab = Lab::new();
        let samples = [
            web(client, ACK),
            web(client, 0).with(|one| one.transport = Transport::Udp),
            Sample::tcp(&format!("[2001:db8::{client:x}]:{client}"), "[2001:db8:cafe::20]:9", ACK),
            Sample::udp(&format!("[2001:db8::{client:x}]:{client}"), "[2001:db8:cafe::53]:53"),
        ];
        let sample = samples[client as usize % 4].clone().with(|one| one.payload = vec![7; 1340]);
        let (Verdict::Forward(record), outer) = lab.send(&sample) else { panic!() };
        let backend = backend_of(&lab.spec, record).clone();
        if naive::overhead(&backend) == 0 {
            continue;
        }
        kinds.insert((lab.tables.records()[usize::from(record)].kind() as u8, sample.is_v6()));
        let (verdict, left) = lab.send(&from_tunnel(&outer, 1380, 520));
        let expected_mtu = 1380 - naive::overhead(&backend) as u16;
        let (answer, mtu_at, kind) = match sample.is_v6() {
            true => (AnswerReason::PacketTooBig, 14 + 40 + 6, 2),
            false => (AnswerReason::FragmentationNeeded, 14 + 20 + 6, 3),
        };
        assert_eq!(verdict, Verdict::Answer(answer), "{backend:?}");
        let mtu = u16::from_be_bytes([left[mtu_at], left[mtu_at + 1]]);
        assert_eq!(mtu, if sample.is_v6() { expected_mtu.max(1280) } else { expected_mtu });
        let (quoted, message) = (mtu_at + 2, mtu_at - 6);
        assert_eq!(left[message], kind);
        // The client's own datagram, as it left: one hop later.
        let sent = outer.len() - sample.datagram().len();
        let len = left.len() - quoted;
        assert_eq!(left[quoted..], outer[sent..sent + len]);
        let filter = PortFilter::ANY;
        let Err(NoFlow::Icmp(read)) = parse(&left, filter) else { panic!("{left:02x?}") };
        assert_eq!((read.source, read.destination), (sample.to.ip(), sample.from.ip()));
        let sum = match (read.source, read.destination) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let icmp = Icmpv6Packet::new(&left[message..]).unwrap();
                icmp.get_checksum() == pnet_packet::icmpv6::checksum(&icmp, &from, &to)
            }
            _ => {
                let icmp = IcmpPacket::new(&left[message..]).unwrap();
                icmp.get_checksum() == pnet_packet::icmp::checksum(&icmp)
            }
        };
        assert!(sum, "the checksum");
    }
    assert!(kinds.len() >= 10, "{kinds:?}");
}

#[test]
fn what_else_comes_from_the_tunnel_is_counted_or_the_kernels() {
    let sample = |index| web(index, ACK).with(|one| one.payload = vec![7; 1380]);
    let (index, outer) = (0..)
        .map(|index| (index, Lab::new().send(&sample(index)).1))
        .find(|(_, frame)| frame[12] == 0x08 && frame[23] == 4)
        .unwrap();
    let good = || from_tunnel(&outer, 1400, 520);
    let drop = |sample: &Sample| Lab::new().send(sample).0;
    assert_eq!(drop(&good()), Verdict::Answer(AnswerReason::FragmentationNeeded), "client {index}");
    let lost = Verdict::Drop(DropReason::IcmpTunnel);
    assert_eq!(drop(&from_tunnel(&outer, 1400, 28)), lost, "the quote ends before the client");
    assert_eq!(drop(&from_tunnel(&outer, 1440, 520)), lost, "it would have fitted");
    let reply = error(good().to.ip(), 3, 1, [0; 4], &outer[14..200]);
    assert_eq!(drop(&reply), lost, "unreachable: health checks are for that");
    let damaged = good().with(|one| one.payload[30] ^= 1);
    assert_eq!(drop(&damaged), lost, "a wrong checksum");
    assert_eq!(drop(&from_tunnel(&outer, 0, 520)), Verdict::Answer(AnswerReason::FragmentationNeeded));
    let mut lab = Lab::new();
    let plateau = lab.send(&from_tunnel(&outer, 0, 520)).1;
    assert_eq!(plateau[40..42], 986u16.to_be_bytes(), "1006 less 20");
    let floor = lab.send(&from_tunnel(&outer, 300, 520)).1;
    assert_eq!(floor[40..42], 552u16.to_be_bytes(), "nobody is told less");
    let own = Sample::tcp("192.0.2.1:5000", "198.51.100.99:22", ACK).datagram();
    let kernels = error(good().to.ip(), 3, 4, [0, 0, 5, 0], &own);
    assert_eq!(drop(&kernels), Verdict::Punt(PuntReason::NoVip), "about the kernel's own traffic");
    let ping = echo("198.51.100.7:0", "192.0.2.1:0", 8);
    assert_eq!(drop(&ping), Verdict::Punt(PuntReason::NoVip));
}

/// `inner_mtu` holds where the port would take more.
#[test]
fn a_configured_limit_below_the_ports_is_told() {
    let mut lab = Lab::new();
    lab.change(|spec| spec.signals.inner_mtu = 1300);
    let sized = |len: usize| web(3, ACK).with(|one| one.payload = vec![0; len - 40]);
    assert!(matches!(lab.send(&sized(1300)).0, Verdict::Forward(_)));
    let (verdict, left) = lab.send(&sized(1301));
    assert_eq!(verdict, Verdict::Answer(AnswerReason::FragmentationNeeded));
    assert_eq!(left[40..42], 1300u16.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Invariant 2: backend(icmp_error(packet)) == backend(packet), whatever the shape of either.
    #[test]
    fn an_error_has_the_backend_of_its_packet(
        samples in prop::collection::vec(any_sample(), 1..20),
        to in 0usize..8,
        kind in 0usize..4,
        more in 0usize..100,
        is_known: bool,
    ) {
        let vips = ["203.0.113.10:443", "203.0.113.10:80", "203.0.113.53:53", "203.0.113.20:7"];
        let vips6 = ["[2001:db8:cafe::10]:443", "[2001:db8:cafe::53]:53", "[2001:db8:cafe::20]:9", "[2001:db8:cafe::10]:80"];
        for mut sample in samples {
            sample.to = if sample.is_v6() { vips6[to % 4] } else { vips[to % 4] }.parse().unwrap();
            let mut lab = Lab::new();
            let Verdict::Forward(record) = lab.send(&sample).0 else { continue };
            if !is_known {
                lab = Lab::new();
            }
            let datagram = answer_to(&sample).datagram();
            // Whatever else it has: up to eight bytes of the transport header, and more.
            let start = datagram.len() - sample.payload.len() - match sample.transport {
                Transport::Tcp(_) => 20,
                Transport::UdpSurplus(surplus) => 8 + usize::from(surplus),
                _ => 8,
            };
            let quote = &datagram[..(start + 8 + more).min(datagram.len())];
            let (_, kind, code) = ERRORS[kind + if sample.is_v6() { 4 } else { 0 }];
            let mut about = error(sample.to.ip(), kind, code, [0; 4], quote);
            if sample.is_v6() && more % 3 == 0 {
                about.extensions = vec![Extension::Destination(0)];
            }
            let (verdict, _) = lab.send(&about);
            prop_assert_eq!(verdict, Verdict::Forward(record));
            prop_assert!(Kind::of(sample.is_v6(), kind, code).is_error());
        }
    }

    /// Any message at all: one verdict, counted once, and nothing panics.
    #[test]
    fn any_message_is_accounted_for(
        bytes in prop::collection::vec(any::<u8>(), 4..120),
        kind in prop_oneof![0u8..15, 126u8..140, any::<u8>()],
        code in 0u8..6,
        to in 0usize..6,
        outer in any_sample(),
    ) {
        let targets = ["203.0.113.10", "203.0.113.66", "192.0.2.1", "2001:db8:cafe::10", "2001:db8:aa::1", "203.0.113.9"];
        let to = address(targets[to]);
        let mut lab = Lab::new();
        let quote = [&bytes[..], &outer.datagram()].concat();
        let router = if to.is_ipv6() { ROUTER6 } else { ROUTER4 };
        let head = [kind, code, 0, 0, bytes[0], bytes[1], bytes[2], bytes[3]];
        for body in [&bytes[..], &outer.datagram(), &quote] {
            lab.send(&message(router, to, [&head[..], body].concat()));
        }
        let counters = lab.counters();
        let answers: u64 = counters.answers.iter().map(|one| one.get()).sum();
        let forwarded: u64 = counters.records.iter().map(|one| one.packets.get()).sum();
        prop_assert!(answers + forwarded + counters.drops.total() <= 3);
    }
}
