//! Sentence, packet, verdict, packet: one packet at a time through an empty table.

use super::*;
use crate::sample::{ACK, Extension, FIN, RST, SYN, Transport};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// To the backend of this service that Maglev picks, edited as `naive` does it.
    Served(usize),
    Punted(PuntReason),
    /// Dropped, and counted on the service if that is known.
    Dropped(DropReason, Option<usize>),
    /// The sender is told why its packet for a service cannot go on.
    Told(DropReason, usize),
}

fn check(sentence: &str, sample: &Sample, fate: Fate) {
    let frame = sample.frame();
    let mut lab = Lab::new();
    let (verdict, left) = lab.send(sample);
    let counters = lab.counters();
    assert_eq!(counters.received.get(), 1, "{sentence}");
    match fate {
        Fate::Served(service) => {
            let record = lab.maglev(sample, service).unwrap();
            assert_eq!(verdict, Verdict::Forward(record), "{sentence}");
            assert!(records_of(&lab.spec, service).contains(&usize::from(record)), "{sentence}");
            let (headers, key) = parse(&frame, OURS).unwrap();
            let hash = lab.tables.hash(Level::Portable, &key);
            let expected = naive::encapsulated(&frame, &headers, hash, backend_of(&lab.spec, record));
            assert_eq!(left, expected, "{sentence}");
            assert_eq!(lab.pipeline.connections().len(), usize::from(lab.spec.services[service].is_tracked));
            assert_eq!(counters.drops.total(), 0, "{sentence}");
            assert_eq!(counters.records[usize::from(record)].packets.get(), 1, "{sentence}");
        }
        Fate::Punted(reason) => {
            assert_eq!((verdict, &left), (Verdict::Punt(reason), &frame), "{sentence}");
            assert_eq!(counters.drops.total(), 0, "{sentence}");
        }
        Fate::Told(reason, service) => {
            let (headers, _) = parse(&frame, OURS).unwrap();
            let backend = backend_of(&lab.spec, lab.maglev(sample, service).unwrap());
            let (answer, expected) = naive::told(&frame, &headers, reason, backend).unwrap();
            assert_eq!((verdict, left), (Verdict::Answer(answer), expected), "{sentence}");
            assert_eq!(counters.answers[answer as usize].get(), 1, "{sentence}");
            assert_eq!(counters.drops.total(), 0, "{sentence}");
        }
        Fate::Dropped(reason, service) => {
            assert_eq!((verdict, &left), (Verdict::Drop(reason), &frame), "{sentence}");
            assert_eq!(counters.drops.packets[reason as usize].get(), 1, "{sentence}");
            assert_eq!(counters.drops.bytes[reason as usize].get(), frame.len() as u64, "{sentence}");
            for (index, drops) in counters.service_drops.iter().enumerate() {
                assert_eq!(drops.total(), u64::from(service == Some(index)), "{sentence}: service {index}");
            }
        }
    }
}

#[test]
fn packets_for_a_vip() {
    use Fate::Served;
    let udp = Sample::udp;
    let tcp = |to: &str| Sample::tcp("198.51.100.7:40000", to, SYN);
    let six = || Sample::tcp("[2001:db8::7]:40000", "[2001:db8:cafe::10]:443", SYN);
    let table: &[(&str, Sample, Fate)] = &[
        ("a SYN to the web", web(1, SYN), Served(WEB)),
        ("its other port", tcp("203.0.113.10:80"), Served(WEB)),
        ("over IPv6", six(), Served(WEB)),
        ("data of a connection that nobody remembers", web(1, ACK), Served(WEB)),
        ("even its end", web(1, FIN | ACK), Served(WEB)),
        ("or a reset", web(1, RST), Served(WEB)),
        ("a question to the name servers", udp("198.51.100.7:53", "203.0.113.53:53"), Served(DNS)),
        ("over IPv6", udp("[2001:db8::7]:0", "[2001:db8:cafe::53]:53"), Served(DNS)),
        ("QUIC on the web's address", udp("198.51.100.7:9", "203.0.113.10:443"), Served(QUIC)),
        ("any port of a service with all", tcp("203.0.113.20:8"), Served(ANY_PORT)),
        ("and port 0 of it", tcp("203.0.113.20:0"), Served(ANY_PORT)),
        ("from port 0", Sample::tcp("198.51.100.7:0", "203.0.113.10:443", SYN), Served(WEB)),
        ("in a VLAN", web(1, SYN).with(|one| one.tags = vec![(0x8100, 5)]), Served(WEB)),
        ("in two", six().with(|one| one.tags = vec![(0x88a8, 5), (0x8100, 6)]), Served(WEB)),
        ("with IPv4 options", web(1, SYN).with(|one| one.options = vec![1; 8]), Served(WEB)),
        (
            "with extension headers",
            six().with(|one| one.extensions = vec![Extension::HopByHop(0); 2]),
            Served(WEB),
        ),
        (
            "an atomic fragment",
            six().with(|one| one.extensions = vec![Extension::Fragment(0, false)]),
            Served(WEB),
        ),
        (
            "the padding of a short frame",
            web(1, ACK).with(|one| (one.payload.clear(), one.padding = 6).1),
            Served(WEB),
        ),
        ("the last hop but one", web(1, ACK).with(|one| one.ttl = 2), Served(WEB)),
        ("with a congestion mark", web(1, ACK).with(|one| one.tos = 3), Served(WEB)),
        ("without DF", web(1, ACK).with(|one| one.fragment = 0), Served(WEB)),
        (
            "UDP without checksum",
            udp("198.51.100.7:9", "203.0.113.10:443").with(|one| one.transport = Transport::UdpUnchecked),
            Served(QUIC),
        ),
    ];
    for (sentence, sample, fate) in table {
        check(sentence, sample, *fate);
    }
}

#[test]
fn packets_for_the_kernel() {
    use Fate::Punted;
    let to = |to: &str| Sample::tcp("198.51.100.7:40000", to, SYN);
    let other = |protocol| to("203.0.113.10:443").with(|one| one.transport = Transport::Other(protocol));
    let fragment_elsewhere = to("203.0.113.11:443").with(|one| one.fragment = 0x2000);
    let table: &[(&str, Sample, Fate)] = &[
        ("ssh to the VIP", to("203.0.113.10:22"), Punted(PuntReason::NoVip)),
        (
            "the VIP's port by another protocol",
            Sample::udp("198.51.100.7:9", "203.0.113.10:80"),
            Punted(PuntReason::NoVip),
        ),
        ("port 0 of a VIP with ports", to("203.0.113.10:0"), Punted(PuntReason::NoVip)),
        ("the VIP's port on our own address", to("203.0.113.11:443"), Punted(PuntReason::NoVip)),
        ("a fragment for our own address", fragment_elsewhere, Punted(PuntReason::NoVip)),
        ("a ping", other(1), Punted(PuntReason::NoVip)),
        ("BGP over another protocol number", other(200), Punted(PuntReason::NoVip)),
        (
            "a neighbour solicitation's MAC",
            web(1, SYN).with(|one| one.destination_mac[0] = 0x33),
            Punted(PuntReason::NotUnicast),
        ),
        ("three tags", web(1, SYN).with(|one| one.tags = vec![(0x8100, 1); 3]), Punted(PuntReason::NotIp)),
    ];
    for (sentence, sample, fate) in table {
        check(sentence, sample, *fate);
    }
}

#[test]
fn packets_that_end_here() {
    use Fate::Dropped;
    let six = |extension| {
        Sample::tcp("[2001:db8::7]:4000", "[2001:db8:cafe::10]:443", SYN)
            .with(|one| one.extensions = vec![extension])
    };
    let table: &[(&str, Sample, Fate)] = &[
        (
            "no backend is left",
            Sample::tcp("198.51.100.7:40000", "203.0.113.66:80", SYN),
            Dropped(DropReason::NoBackend, Some(DARK)),
        ),
        ("its last hop", web(1, ACK).with(|one| one.ttl = 1), Fate::Told(DropReason::TtlExceeded, WEB)),
        ("a hop too far", web(1, ACK).with(|one| one.ttl = 0), Fate::Told(DropReason::TtlExceeded, WEB)),
        (
            "its last hop in a VLAN over IPv6",
            six(Extension::HopByHop(0)).with(|one| (one.ttl, one.tags) = (1, vec![(0x8100, 9)])),
            Fate::Told(DropReason::TtlExceeded, WEB),
        ),
        (
            "the last hop of a packet that nobody may be told about",
            Sample::tcp("127.0.0.1:5", "203.0.113.10:443", ACK).with(|one| one.ttl = 1),
            Dropped(DropReason::MartianSource, Some(WEB)),
        ),
        ("a type 0 routing header", six(Extension::Routing(0, 3)), Dropped(DropReason::Unsupported, None)),
        (
            "somebody else's frame",
            web(1, ACK).with(|one| one.destination_mac[4] = 7),
            Dropped(DropReason::WrongMac, None),
        ),
    ];
    for (sentence, sample, fate) in table {
        check(sentence, sample, *fate);
    }
}

#[test]
fn broken_frames_end_here() {
    let (whole, mut lab) = (web(1, ACK).frame(), Lab::new());
    let mut damaged = whole.clone();
    damaged[26] ^= 1;
    for (sentence, frame, reason) in [
        ("nothing", vec![], DropReason::Malformed),
        ("a runt", whole[..20].to_vec(), DropReason::Malformed),
        ("a cut one", whole[..53].to_vec(), DropReason::Malformed),
        ("a flipped bit of an address", damaged, DropReason::Checksum),
    ] {
        assert_eq!(lab.burst(std::slice::from_ref(&frame)), [(Verdict::Drop(reason), frame)], "{sentence}");
    }
}

/// Nothing longer than the MTU leaves, and what just fits does.
#[test]
fn the_mtu_is_reached_and_never_passed() {
    let lab = Lab::new();
    let mut seen = std::collections::HashSet::new();
    for index in 0..200 {
        let services = [
            (WEB, web(index, ACK)),
            (ANY_PORT, web(index, ACK).with(|one| one.to = "203.0.113.20:99".parse().unwrap())),
            (QUIC, web(index, 0).with(|one| one.transport = Transport::Udp)),
        ];
        for (service, sample) in services {
            let record = lab.maglev(&sample, service).unwrap();
            let room = usize::from(MTU) - naive::overhead(backend_of(&lab.spec, record));
            let header_len = sample.datagram().len() - sample.payload.len();
            let sized = |len: usize| sample.clone().with(|one| one.payload = vec![7; len - header_len]);
            let (verdict, frame) = Lab::new().send(&sized(room));
            assert_eq!(verdict, Verdict::Forward(record), "{room} bytes fit");
            assert_eq!(frame.len(), usize::from(MTU) + 14);
            check("one byte too many", &sized(room + 1), Fate::Told(DropReason::MtuExceeded, service));
            seen.insert(record);
        }
    }
    assert_eq!(seen.len(), 24, "backends seen");
}
