//! Packets that no host can have sent: dropped by name wherever they are for a VIP, and nowhere else.

use super::*;
use crate::nat::{ClientAddress, Nat};
use crate::sample::{ACK, Extension, SYN, Transport};
use crate::spec::{ANY_PROTOCOL, Echo, HashFields, Portless};

const V4: [&str; 9] = [
    "0.0.0.0",
    "0.255.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
];
const V6: [&str; 4] = ["::", "::1", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
/// Neighbours of the sets, another VIP among them: not ours to judge.
const HOSTS_V4: [&str; 6] =
    ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "10.0.0.1", "203.0.113.20"];
const HOSTS_V6: [&str; 5] = ["::2", "0:0:0:1::", "fe80::1", "feff::1", "2001:db8:cafe::20"];

/// The sources that a packet to `vip` cannot have.
fn martians(vip: IpAddr) -> Vec<IpAddr> {
    let sets = if vip.is_ipv6() { &V6[..] } else { &V4[..] };
    sets.iter().map(|one| address(one)).chain([vip]).collect()
}

fn hosts(vip: IpAddr) -> Vec<IpAddr> {
    let hosts = if vip.is_ipv6() { &HOSTS_V6[..] } else { &HOSTS_V4[..] };
    hosts.iter().map(|one| address(one)).filter(|one| *one != vip).collect()
}

fn from(sample: &Sample, source: IpAddr) -> Sample {
    sample.clone().with(|one| one.from.set_ip(source))
}

/// Every shape of `sample` from every such source ends as `martian_source`, unedited, counted once and on its service, and
/// leaves no entry; from a host it does not.
fn check(sentence: &str, lab: impl Fn() -> Lab, sample: &Sample, service: usize) {
    for source in martians(sample.to.ip()) {
        let (mut lab, packet) = (lab(), from(sample, source));
        let (verdict, left) = lab.send(&packet);
        assert_eq!(verdict, Verdict::Drop(DropReason::MartianSource), "{sentence} from {source}");
        assert_eq!(left, packet.frame(), "{sentence} from {source}");
        let at = DropReason::MartianSource as usize;
        let counters = lab.counters();
        assert_eq!((counters.drops.packets[at].get(), counters.drops.total()), (1, 1));
        assert_eq!(counters.service_drops[service].packets[at].get(), 1, "{sentence}");
        assert_eq!((lab.pipeline.connections().len(), lab.pipeline.nat().sessions.len()), (0, 0));
    }
    for source in hosts(sample.to.ip()) {
        let (verdict, _) = lab().send(&from(sample, source));
        let may_be = matches!(verdict, Verdict::Forward(_) | Verdict::Answer(_) | Verdict::Hold(_));
        assert!(may_be, "{sentence} from {source}: {verdict:?}");
    }
}

/// TCP and UDP, plain and not, tracked and not.
#[test]
fn to_ordinary_services() {
    let web = || Sample::tcp("198.51.100.7:443", "203.0.113.10:443", SYN);
    let six = || Sample::tcp("[2001:db8::7]:443", "[2001:db8:cafe::10]:443", SYN);
    for (sentence, sample, service) in [
        ("a SYN", web(), WEB),
        ("a SYN over IPv6", six(), WEB),
        ("data", web().with(|one| one.transport = Transport::Tcp(ACK)), WEB),
        ("QUIC", web().with(|one| one.transport = Transport::Udp), QUIC),
        ("QUIC over IPv6", six().with(|one| one.transport = Transport::Udp), QUIC),
        ("without sessions", Sample::udp("198.51.100.7:53", "203.0.113.53:53"), DNS),
        ("without sessions over IPv6", Sample::udp("[2001:db8::7]:53", "[2001:db8:cafe::53]:53"), DNS),
        ("any port", Sample::tcp("198.51.100.7:9", "203.0.113.20:9", SYN), ANY_PORT),
        ("in a VLAN", web().with(|one| one.tags = vec![(0x8100, 5)]), WEB),
        ("with options", web().with(|one| one.options = vec![1; 8]), WEB),
        ("with extension headers", six().with(|one| one.extensions = vec![Extension::HopByHop(0)]), WEB),
    ] {
        check(sentence, Lab::new, &sample, service);
    }
}

/// A TTL that ends here comes after it: nobody is told.
#[test]
fn before_time_to_live_and_size() {
    let last = |to: &str| Sample::tcp("198.51.100.7:9", to, SYN).with(|one| one.ttl = 1);
    check("the last hop", Lab::new, &last("203.0.113.10:443"), WEB);
    let large = last("203.0.113.20:9").with(|one| (one.ttl, one.payload) = (9, vec![0; 1_460]));
    check("a large one", Lab::new, &large, ANY_PORT);
}

#[test]
fn fragments_first_and_later_and_whatever_becomes_of_echoes() {
    let udp = |fragment| {
        Sample::udp("198.51.100.7:443", "203.0.113.10:443")
            .with(|one| (one.fragment, one.payload) = (fragment, vec![7; 64]))
    };
    check("the first fragment", Lab::new, &udp(0x2000), WEB);
    check("a later one", Lab::new, &udp(0x0009), WEB);
    let six = |fragment: Extension| {
        Sample::udp("[2001:db8::7]:443", "[2001:db8:cafe::10]:443")
            .with(|one| (one.extensions, one.payload) = (vec![fragment], vec![7; 64]))
    };
    check("the first fragment over IPv6", Lab::new, &six(Extension::Fragment(0, true)), WEB);
    check("a later one over IPv6", Lab::new, &six(Extension::Fragment(9, false)), WEB);
    for echo in [Echo::Answer, Echo::Forward] {
        let lab = || {
            let mut lab = Lab::new();
            lab.change(|spec| spec.services[WEB].portless = Portless { echo, ..Portless::default() });
            lab
        };
        let ping = udp(0x4000).with(|one| one.transport = Transport::Other(1));
        let ping = ping.with(|one| one.payload = vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        check("a ping", lab, &ping, WEB);
    }
}

/// Services that are served one by one: any protocol, SCTP, choice by the source, and translation.
#[test]
fn to_special_services() {
    let with = |change: fn(&mut ServiceSpec)| {
        move || {
            let mut spec = spec();
            spec.services.truncate(1);
            change(&mut spec.services[0]);
            Lab::at_level(spec, 4_096, Level::detect())
        }
    };
    let sample = |transport| {
        Sample::tcp("198.51.100.7:443", "203.0.113.10:443", SYN).with(|one| one.transport = transport)
    };
    let any = with(|service| (service.protocol, service.ports) = (ANY_PROTOCOL, vec![]));
    check("GRE to a VIP of every protocol", any, &sample(Transport::Other(47)), WEB);
    check("ESP to a VIP of every protocol", any, &sample(Transport::Other(50)), WEB);
    check("TCP to a VIP of every protocol", any, &sample(Transport::Tcp(SYN)), WEB);
    let sctp =
        sample(Transport::Other(132)).with(|one| one.payload = [&[1, 187, 1, 187][..], &[0; 12]].concat());
    check("SCTP", with(|service| service.protocol = 132), &sctp, WEB);
    let by_source = with(|service| service.selection.hash = HashFields::Source { ipv4: 24, ipv6: 48 });
    check("choice by the source", by_source, &sample(Transport::Tcp(SYN)), WEB);
    let six = Sample::tcp("[2001:db8::7]:443", "[2001:db8:cafe::10]:443", SYN);
    check("choice by the source over IPv6", by_source, &six, WEB);
    let nat = || {
        let mut spec = spec();
        spec.services.truncate(1);
        spec.pools[0] = pool("10.0.0.1", 3, Mode::Nat { port: None });
        let Lab { spec, tables, pipeline, now } = Lab::at_level(spec, 4_096, Level::detect());
        Lab { spec, tables, pipeline: pipeline.with_nat(Nat::new(64, [1, 2], 0, 1)), now }
    };
    check("NAT", nat, &sample(Transport::Tcp(SYN)), WEB);
    let full = || {
        let mut lab = nat();
        lab.change(|spec| {
            let ports = (1024, 65_535);
            let range = crate::nat::LocalRange { addresses: vec![address("192.0.2.1")], ports };
            spec.nat.ranges.push(range);
            let mode = Mode::FullNat { port: None, range: 0, client: ClientAddress::None };
            spec.pools[0] = pool("10.0.0.1", 3, mode);
        });
        lab
    };
    check("full NAT", full, &sample(Transport::Tcp(SYN)), WEB);
}

/// Among others in one burst: each for itself.
#[test]
fn in_a_burst_of_new_flows() {
    let mut lab = Lab::new();
    let frames: Vec<_> = (0..64u32)
        .map(|index| {
            let sample = web(index, SYN);
            if index % 3 == 0 { from(&sample, address("127.0.0.1")) } else { sample }.frame()
        })
        .collect();
    for (index, (verdict, _)) in lab.burst(&frames).into_iter().enumerate() {
        let is_martian = verdict == Verdict::Drop(DropReason::MartianSource);
        assert_eq!(is_martian, index % 3 == 0, "{index}: {verdict:?}");
        assert!(is_martian || matches!(verdict, Verdict::Forward(_)));
    }
    assert_eq!(lab.pipeline.connections().len(), 42);
}

/// What is for nobody here is the kernel's, which has a filter of its own.
#[test]
fn to_no_vip_is_the_kernels() {
    for source in V4 {
        let sample = from(&Sample::tcp("198.51.100.7:9", "203.0.113.10:22", SYN), address(source));
        assert_eq!(Lab::new().send(&sample).0, Verdict::Punt(PuntReason::NoVip), "{source}");
    }
}
