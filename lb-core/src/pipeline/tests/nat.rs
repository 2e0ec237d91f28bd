//! Translated services: there and back, what is refused and why, and that sessions are counted as they come and go.

pub(super) mod errors;
mod portless;
mod prefix;

use super::*;
use crate::nat::proved::{Read, read};
use crate::nat::{ClientAddress, LocalRange, Nat, NatSpec};
use crate::reason::DropReason;
use crate::sample::{ACK, FIN, Numbers, RST, SYN, Transport};
use std::collections::HashMap;
use std::net::SocketAddr;

pub(super) const CLIENT_PORT: u8 = 3;

/// Three backends of one family behind a VIP of one or both.
fn nat_lab(vips: &[&str], first_backend: &str, mode: Mode, ports: (u16, u16), sessions: usize) -> Lab {
    let service = |port: u16, protocol: u8| ServiceSpec {
        addresses: vips.iter().map(|one| address(one).into()).collect(),
        ports: vec![port],
        protocol,
        pool: 0,
        is_tracked: true,
        ..ServiceSpec::default()
    };
    let spec = Spec {
        seed: 0x5eed,
        maglev_size: 1021,
        timeouts: Timeouts::default(),
        signals: Default::default(),
        pools: vec![pool(first_backend, 3, mode)],
        services: vec![service(80, 6), service(53, 17)],
        nat: NatSpec {
            ranges: vec![LocalRange {
                addresses: vec![address("192.0.2.1"), address("2001:db8:aa::1")],
                ports,
            }],
            ..NatSpec::default()
        },
    };
    let Lab { spec, tables, pipeline, now } = Lab::at_level(spec, 4_096, Level::detect());
    let mut pipeline = pipeline.with_nat(Nat::new(sessions, [1, 2], 0, 1));
    pipeline.came_by(CLIENT_PORT);
    Lab { spec, tables, pipeline, now }
}

const PORTS: (u16, u16) = (1024, 65_535);
const NAT: Mode = Mode::Nat { port: Some(8080) };

fn full(client: ClientAddress) -> Mode {
    Mode::FullNat { port: Some(8080), range: 0, client }
}

/// Mode, VIP, client network, first backend, local address (none: the client's own).
type Case = (Mode, &'static str, &'static str, &'static str, Option<&'static str>);

fn cases() -> [Case; 5] {
    let (v4, v6) = (("203.0.113.10", "198.51.100."), ("2001:db8:cafe::10", "2001:db8:100::"));
    let none = full(ClientAddress::None);
    [
        (NAT, v4.0, v4.1, "10.0.0.1", None),
        (NAT, v6.0, v6.1, "2001:db8:bb::1", None),
        (none, v4.0, v4.1, "10.0.0.1", Some("192.0.2.1")),
        (none, v6.0, v6.1, "2001:db8:bb::1", Some("2001:db8:aa::1")),
        (none, v6.0, v6.1, "10.0.0.1", Some("192.0.2.1")),
    ]
}

pub(super) fn text(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// The backend's answer to what reached it.
pub(super) fn answer(seen: &Read, transport: Transport, ttl: u8) -> Sample {
    let tuple = seen.tuple.reversed();
    let from = SocketAddr::new(tuple.source_ip(), tuple.source_port).to_string();
    let to = SocketAddr::new(tuple.destination_ip(), tuple.destination_port).to_string();
    Sample::tcp(&from, &to, ACK).with(|sample| {
        sample.transport = transport;
        sample.ttl = ttl;
        sample.payload = b"HTTP/1.1 200 OK".to_vec();
    })
}

fn forwarded(lab: &mut Lab, sample: &Sample) -> (RecordIndex, Read) {
    match lab.send(sample) {
        (Verdict::Forward(record), frame) => {
            let backend = backend_of(&lab.spec, record);
            assert_eq!(frame[..6], backend.egress.next_hop_mac);
            assert_eq!(frame[6..12], OUR_MAC);
            (record, read(&frame, 14))
        }
        (other, _) => panic!("{other:?} for {sample:?}"),
    }
}

fn returned(lab: &mut Lab, sample: &Sample) -> Read {
    match lab.send(sample) {
        (Verdict::Return(port), frame) => {
            assert_eq!(port, CLIENT_PORT, "by the port that the client came by");
            // The MAC addresses of the client's frame, the other way round: no route is asked.
            assert_eq!(frame[..6], crate::sample::ROUTER_MAC);
            assert_eq!(frame[6..12], OUR_MAC);
            read(&frame, 14)
        }
        (other, _) => panic!("{other:?} for {sample:?}"),
    }
}

#[test]
fn there_and_back_in_every_mode_and_family() {
    for (mode, vip, network, backends, local) in cases() {
        for (transport, port) in
            [(Transport::Tcp(SYN), 80), (Transport::Udp, 53), (Transport::UdpUnchecked, 53)]
        {
            if transport == Transport::UdpUnchecked && vip.contains(':') {
                continue;
            }
            let mut lab = nat_lab(&[vip], backends, mode, PORTS, 64);
            let sample = Sample::tcp(&text(&format!("{network}7"), 40_000), &text(vip, port), SYN)
                .with(|sample| sample.transport = transport);
            let sent = read(&sample.frame(), 14);
            let (record, seen) = forwarded(&mut lab, &sample);
            let backend = backend_of(&lab.spec, record);
            assert_eq!((seen.tuple.destination_ip(), seen.tuple.destination_port), (backend.address, 8080));
            match local {
                Some(local) => assert_eq!(seen.tuple.source_ip(), address(local)),
                None => assert_eq!((seen.tuple.source, seen.tuple.source_port), (sent.tuple.source, 40_000)),
            }
            assert_eq!(seen.ttl, sent.ttl - 1);
            let transport = if port == 80 { Transport::Tcp(SYN | ACK) } else { transport };
            let back = returned(&mut lab, &answer(&seen, transport, 60));
            assert_eq!(back.tuple, sent.tuple.reversed(), "the client hears the VIP");
            assert_eq!(back.ttl, 59);
            assert!(back.segment.ends_with(b"200 OK"));
            // The same flow once more: the same session.
            let again = forwarded(&mut lab, &sample.with(|one| one.payload = b"more".to_vec())).1;
            assert_eq!(again.tuple, seen.tuple);
            let nat = &lab.counters().nat;
            assert_eq!((nat.sessions.get(), nat.opened.get(), nat.returned.get()), (1, 1, 1));
            assert_eq!(lab.counters().entries.get(), 0, "no ordinary entry");
        }
    }
}

#[test]
fn tcp_is_rewritten_to_the_backend_that_it_is_sent_to() {
    // A13: vpp lb rewrites and then sends what is not UDP to AS index 0.
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", NAT, PORTS, 1024);
    let mut by_backend: HashMap<IpAddr, usize> = HashMap::new();
    for client in 0..300u16 {
        let sample = web(client.into(), SYN).with(|one| one.to.set_port(80));
        let maglev = lab.maglev(&sample, 0);
        let (record, seen) = forwarded(&mut lab, &sample);
        assert_eq!(Some(record), maglev);
        assert_eq!(seen.tuple.destination_ip(), backend_of(&lab.spec, record).address);
        *by_backend.entry(seen.tuple.destination_ip()).or_default() += 1;
    }
    assert!(by_backend.len() == 3 && by_backend.values().all(|count| *count > 20), "{by_backend:?}");
}

/// Many clients in any order, with answers, waits and sweeps: every answer comes to who asked, no two flows toward a
/// backend look the same, and gauges say what the table holds.
#[test]
fn any_crowd_is_told_apart() {
    for (case, (mode, vip, network, backends, _)) in cases().into_iter().enumerate() {
        let mut lab = nat_lab(&[vip], backends, mode, (2000, 2199), 256);
        let mut numbers = Numbers(case as u64);
        let mut known: HashMap<u16, Read> = HashMap::new();
        for _ in 0..4_000 {
            let client = numbers.below(120) as u16;
            let is_udp = client.is_multiple_of(3);
            let sample = Sample::tcp(
                &text(&format!("{network}{}", 1 + client % 7), 3_000 + client),
                &text(vip, if is_udp { 53 } else { 80 }),
                SYN,
            )
            .with(|one| {
                if is_udp {
                    one.transport = Transport::Udp;
                }
            });
            if numbers.once_in(50) {
                lab.wait(100);
                let sessions = lab.counters().nat.sessions.get();
                assert_eq!(sessions, lab.pipeline.nat().sessions().len() as u64);
                let active: u64 = lab.counters().records.iter().map(|one| one.active.get()).sum();
                assert_eq!(active, sessions, "each session is counted at its backend");
            }
            if numbers.once_in(3) && known.contains_key(&client) {
                let transport = if is_udp { Transport::Udp } else { Transport::Tcp(SYN | ACK) };
                match lab.send(&answer(&known[&client], transport, 9)) {
                    (Verdict::Return(_), frame) => {
                        let sent = read(&sample.frame(), 14).tuple;
                        assert_eq!(read(&frame, 14).tuple, sent.reversed());
                    }
                    // Its time was over; nobody else may have got it.
                    (verdict, _) => assert_eq!(verdict, Verdict::Punt(PuntReason::NoVip)),
                }
            } else {
                let (_, seen) = forwarded(&mut lab, &sample);
                let twin = known.iter().find(|(other, read)| **other != client && read.tuple == seen.tuple);
                if let Some((other, _)) = twin.map(|(other, read)| (*other, read.tuple)) {
                    // A pair that is given out again is nobody's any more.
                    known.remove(&other);
                }
                known.insert(client, seen);
            }
        }
        lab.wait(10_000);
        let nat = &lab.counters().nat;
        assert_eq!((nat.sessions.get(), nat.local_ports.get()), (0, 0));
        assert_eq!(lab.counters().accounted() + forwards(&lab), lab.counters().received.get());
    }
}

/// What the caller would have counted as sent or punted: all but the drops.
fn forwards(lab: &Lab) -> u64 {
    lab.counters().received.get() - lab.counters().drops.total()
}

fn verdict(lab: &mut Lab, sample: &Sample) -> Verdict {
    let frame = sample.frame();
    let (verdict, after) = lab.burst(std::slice::from_ref(&frame)).remove(0);
    if matches!(verdict, Verdict::Drop(_) | Verdict::Punt(_)) {
        assert_eq!(after, frame, "what is not sent is as it came");
    }
    verdict
}

#[test]
fn exhaustion_and_a_full_table_have_names_and_pass() {
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", full(ClientAddress::None), (2000, 2003), 64);
    lab.change(|spec| spec.pools[0].backends.truncate(1));
    let client = |index: u32| web(index, SYN).with(|one| one.to.set_port(80));
    for index in 0..4 {
        forwarded(&mut lab, &client(index));
    }
    assert_eq!(verdict(&mut lab, &client(4)), Verdict::Drop(DropReason::NatPortsExhausted));
    assert_eq!(lab.counters().nat.local_ports.get(), 4);
    assert_eq!(lab.counters().service_drops.at(0).packets[DropReason::NatPortsExhausted as usize].get(), 1);
    lab.wait(240);
    forwarded(&mut lab, &client(4));

    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", NAT, PORTS, 2);
    forwarded(&mut lab, &client(0));
    forwarded(&mut lab, &client(1));
    assert_eq!(verdict(&mut lab, &client(2)), Verdict::Drop(DropReason::NatTableFull));
    forwarded(&mut lab, &client(1));
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", NAT, PORTS, 0);
    assert_eq!(verdict(&mut lab, &client(0)), Verdict::Drop(DropReason::NatTableFull));
}

#[test]
fn segments_without_a_session() {
    let client = |flags: u8| web(1, flags).with(|one| one.to.set_port(80));
    for flags in [ACK, ACK | FIN, RST, SYN | ACK] {
        let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", full(ClientAddress::None), PORTS, 4);
        assert_eq!(verdict(&mut lab, &client(flags)), Verdict::Drop(DropReason::NatNoSession), "{flags:#x}");
        assert!(lab.pipeline.nat().sessions().is_empty());
    }
    // With the client's own port a connection survives a restart of the balancer: Maglev picks the same backend.
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", NAT, PORTS, 4);
    let (record, _) = forwarded(&mut lab, &client(ACK));
    assert_eq!(Some(record), lab.maglev(&client(ACK), 0));
    for flags in [ACK | FIN, RST] {
        let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", NAT, PORTS, 4);
        assert_eq!(verdict(&mut lab, &client(flags)), Verdict::Drop(DropReason::NatNoSession));
    }
    // Answers of nobody are the kernel's.
    let stray = Sample::tcp("10.0.0.1:8080", "198.51.100.7:40000", ACK);
    assert_eq!(verdict(&mut lab, &stray), Verdict::Punt(PuntReason::NoVip));
}

#[test]
fn a_backend_that_fails_loses_its_sessions_and_one_that_drains_keeps_them() {
    let client = |flags: u8| web(1, flags).with(|one| one.to.set_port(80));
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", full(ClientAddress::None), PORTS, 16);
    let (record, seen) = forwarded(&mut lab, &client(SYN));
    lab.set_state(record, BackendState::Drain);
    assert_eq!(forwarded(&mut lab, &client(ACK)).1.tuple, seen.tuple);
    lab.set_state(record, BackendState::Down);
    assert_eq!(verdict(&mut lab, &client(ACK)), Verdict::Drop(DropReason::NatNoSession));
    let (other, _) = forwarded(&mut lab, &client(SYN));
    assert_ne!(other, record);
    assert_eq!(lab.counters().records.at(record).active.get(), 0);
    assert_eq!(lab.counters().nat.sessions.get(), 1);
    // A SYN after the end asks Maglev anew, as elsewhere; one that is sent again does not.
    let before = forwarded(&mut lab, &client(SYN)).1.tuple;
    forwarded(&mut lab, &client(ACK | FIN));
    let after = forwarded(&mut lab, &client(SYN)).1.tuple;
    assert_ne!(before.source_port, after.source_port, "a port rests after its flow");
    assert_eq!(lab.counters().nat.opened.get(), 3);
}

#[test]
fn entries_of_days_before_translation_are_not_followed() {
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", Mode::L2Dsr, PORTS, 16);
    let client = web(1, ACK).with(|one| one.to.set_port(80));
    lab.record(&client);
    lab.record(&client);
    lab.change(|spec| spec.pools[0].backends.iter_mut().for_each(|backend| backend.mode = NAT));
    let (record, seen) = forwarded(&mut lab, &client);
    assert_eq!(seen.tuple.destination_ip(), backend_of(&lab.spec, record).address);
    assert_eq!(lab.counters().nat.sessions.get(), 1);
}

#[test]
fn two_vips_with_the_same_answers_are_not_confused() {
    let mut lab = nat_lab(&["203.0.113.10", "203.0.113.11"], "10.0.0.1", NAT, PORTS, 16);
    lab.change(|spec| spec.pools[0].backends.truncate(1));
    let to = |vip: &str, flags: u8| Sample::tcp("198.51.100.7:40000", &text(vip, 80), flags);
    forwarded(&mut lab, &to("203.0.113.10", SYN));
    let second = to("203.0.113.11", SYN);
    assert_eq!(verdict(&mut lab, &second), Verdict::Drop(DropReason::NatPortsExhausted));
    forwarded(&mut lab, &to("203.0.113.10", RST));
    forwarded(&mut lab, &second);
    assert_eq!(lab.counters().nat.sessions.get(), 1);
}

#[test]
fn the_last_hop_and_the_mtu_count_both_ways() {
    let mut lab = nat_lab(&["2001:db8:cafe::10"], "10.0.0.1", full(ClientAddress::None), PORTS, 16);
    lab.change(|spec| spec.nat.mtus = vec![1500; 4]);
    let client = Sample::tcp("[2001:db8:100::7]:40000", "[2001:db8:cafe::10]:80", SYN);
    assert_eq!(
        verdict(&mut lab, &client.clone().with(|one| one.ttl = 1)),
        Verdict::Drop(DropReason::TtlExceeded)
    );
    let (_, seen) = forwarded(&mut lab, &client);
    let last = answer(&seen, Transport::Tcp(ACK), 1);
    assert_eq!(verdict(&mut lab, &last), Verdict::Drop(DropReason::TtlExceeded));
    let large = |len: usize| answer(&seen, Transport::Tcp(ACK), 60).with(|one| one.payload = vec![7; len]);
    returned(&mut lab, &large(1500 - 40 - 20));
    let (verdict, _) = lab.send(&large(1500 - 40 - 20 + 1));
    assert_eq!(verdict, Verdict::Drop(DropReason::MtuExceeded));
}

#[test]
fn the_option_is_in_the_first_segments_only() {
    for (vip, client, backends, option_len) in [
        ("203.0.113.10", "198.51.100.7", "10.0.0.1", 8),
        ("2001:db8:cafe::10", "2001:db8:100::7", "2001:db8:bb::1", 20),
        ("2001:db8:cafe::10", "2001:db8:100::7", "10.0.0.1", 20),
    ] {
        let mut lab = nat_lab(&[vip], backends, full(ClientAddress::Toa), PORTS, 16);
        let segment = |flags: u8, acknowledged: u32| {
            let mut frame = Sample::tcp(&text(client, 40_000), &text(vip, 80), flags).frame();
            set_numbers(&mut frame, FIRST + u32::from(flags & SYN == 0), acknowledged);
            frame
        };
        let options = |lab: &mut Lab, frame: Vec<u8>| {
            let (verdict, frame) = lab.burst(&[frame]).remove(0);
            assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
            let segment = read(&frame, 14).segment;
            segment[20..usize::from(segment[12] >> 4) * 4].to_vec()
        };
        let mut expected = vec![254, option_len, 0x9c, 0x40];
        match address(client) {
            IpAddr::V4(address) => expected.extend(address.octets()),
            IpAddr::V6(address) => expected.extend(address.octets()),
        }
        assert_eq!(options(&mut lab, segment(SYN, 0)), expected);
        let (_, syn) = lab.burst(&[segment(SYN, 0)]).remove(0);
        let answer = answer(&read(&syn, 14), Transport::Tcp(SYN | ACK), 60);
        returned(&mut lab, &answer);
        let first = FIRST + 1;
        assert_eq!(options(&mut lab, segment(ACK, first)), expected, "until the client has heard a byte");
        assert_eq!(options(&mut lab, segment(ACK, first)), expected, "sent again with what is sent again");
        assert_eq!(options(&mut lab, segment(ACK, first + 1)), [0; 0]);
        let mut second = segment(ACK, first);
        set_numbers(&mut second, FIRST + 2, first);
        assert_eq!(options(&mut lab, second), [0; 0], "only with the first byte");
    }
}

/// Sequence number of all samples.
pub(super) const FIRST: u32 = 0x0102_0304;

/// Sets sequence number and acknowledgement of an untagged TCP frame, and its checksum by pnet.
pub(super) fn set_numbers(frame: &mut [u8], sequence: u32, acknowledged: u32) {
    let l4 = if frame[12] == 8 { 34 } else { 54 };
    frame[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
    frame[l4 + 8..l4 + 12].copy_from_slice(&acknowledged.to_be_bytes());
    finish_tcp(frame);
}

/// The checksum of an untagged TCP frame without padding, by pnet.
fn finish_tcp(frame: &mut [u8]) {
    let (_, key) = parse(frame, OURS).unwrap();
    let l4 = if frame[12] == 8 { 34 } else { 54 };
    let next = pnet_packet::ip::IpNextHeaderProtocol(6);
    let sum = match (key.source, key.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            pnet_packet::util::ipv4_checksum(&frame[l4..], 8, &[], &from, &to, next)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            pnet_packet::util::ipv6_checksum(&frame[l4..], 8, &[], &from, &to, next)
        }
        _ => panic!("addresses of two families"),
    };
    frame[l4 + 16..l4 + 18].copy_from_slice(&sum.to_be_bytes());
}
