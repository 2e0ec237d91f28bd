//! Explanations agree with what the packet path then does, for packets and connection states at random.

use super::*;
use crate::config;
use lb_core::packet::Frame;
use lb_core::spec::BackendState;
use pnet_packet::ipv4::{self, Ipv4Packet};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::net::{IpAddr, SocketAddr};

const CONFIG: &str = "\
version: 1
forwarding: {encapsulation: {source: {ipv4: 198.51.100.11, ipv6: \"2001:db8::11\"}}}
pools:
  - name: web
    encap: {ipip: {}}
    backends:
      - {name: web-1, address: 10.0.1.11}
      - {name: web-2, address: 10.0.1.12, weight: 30}
      - {name: web-3, address: \"2001:db8:1::13\", state: drain}
      - {name: web-4, address: 10.0.1.14, state: maintenance}
  - name: dns
    encap: {gue: {}}
    backends:
      - {name: dns-1, address: 10.0.2.11}
      - {name: dns-2, address: 10.0.2.12, state: disabled}
  - {name: gone, encap: {ipip: {}}, backends: [{name: one, address: 10.0.3.1, state: disabled}]}
vips:
  - {name: web, addresses: [203.0.113.10, \"2001:db8:cafe::10\"], ports: [80, 443], protocol: tcp, pool: web}
  - {name: dns, addresses: [203.0.113.53], protocol: udp, ports: [53], pool: dns}
  - {name: stateless, addresses: [203.0.113.54], protocol: udp, ports: any, pool: dns, sessions: none, icmp_echo: forward}
  - {name: sticky, addresses: [203.0.113.56], protocol: tcp, pool: web, hash: source_prefix}
  - {name: sliced, addresses: [203.0.113.57], protocol: any, pool: web, slices: [{ports: 80, backend: web-1}, {ports: 400-500, backend: web-4}, {ports: 53, backend: web-3}]}
  - {name: net, addresses: [203.0.113.60/30], ports: [53, 80-90], protocol: any, pool: web}
  - {name: part, addresses: [203.0.113.60/31], ports: [85-90], protocol: sctp, pool: dns}
  - {name: tunnels, addresses: [203.0.113.58, \"2001:db8:cafe::58\"], protocol: any, ports: any, pool: web, icmp_echo: ignore}
  - {name: empty, addresses: [203.0.113.55], protocol: tcp, ports: [80], pool: gone}
";

fn flow(random: &mut SmallRng) -> Flow {
    let is_v6 = random.random_bool(0.3);
    let destination_port = [80, 443, 53, 81][random.random_range(0..4)];
    let (source, destination): (IpAddr, IpAddr) = if is_v6 {
        let last = [0x10, 0x58][random.random_range(0..2)];
        (
            [0x2001, 0xdb8, 9, 9, 0, 0, 0, random.random()].into(),
            [0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, last].into(),
        )
    } else if random.random_bool(0.03) {
        ([127, 0, 0, 1].into(), [203, 0, 113, 10].into())
    } else {
        let last = [10, 53, 54, 55, 56, 57, 58, 60, 62, 99][random.random_range(0..10)];
        ([10, 9, random.random(), random.random()].into(), [203, 0, 113, last].into())
    };
    let ping = if is_v6 { 58 } else { 1 };
    let protocol = IpProtocol([6, 6, 17, 17, 132, ping, 50, 47, 200][random.random_range(0..9)]);
    let port = |port: u16| if protocol.has_ports() { port } else { 0 };
    Flow {
        source: SocketAddr::new(source, port(random.random())),
        destination: SocketAddr::new(destination, port(destination_port)),
        protocol: protocol.0,
        opens: random.random_bool(0.3),
    }
}

/// The oracle is a pipeline that lives through all packets with its own connection table, as a worker's and as
/// `replay`'s do.
#[test]
fn a_hundred_thousand_explanations_agree_with_the_pipeline_that_has_the_entry() {
    let config = config::parse("test", CONFIG).unwrap();
    let plan = Plan::new(&config, &[]);
    let tables = Tables::build(&plan.spec).unwrap();
    let mut explainer = Explainer::new(&tables, &plan.spec, &plan.names);
    let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
    let mut pipeline = Pipeline::new(ConnTable::with_capacity(1 << 18), counters, Level::detect());
    let mut random = SmallRng::seed_from_u64(7);
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..100_000 {
        let flow = flow(&mut random);
        let (key, now) = (flow.key(), Tick::default());
        if random.random_bool(0.5) {
            // A state at random: any record there is, dead ones too, at any stage of its life.
            let record = random.random_range(0..tables.records().len() as u16);
            let classes = [Class::Embryonic, Class::Established, Class::Closing, Class::Datagram];
            pipeline.enter_flow(&tables, &key, (record, classes[random.random_range(0..4)]), now);
        }
        let found = pipeline.find_flow(&tables, &key, now);
        let entry = found.map(|view| Entry { record: view.record, class: view.class });
        let explanation = explainer.explain(flow, entry);
        let mut packets = [Frame::new(&frame::of(flow))];
        let verdict = pipeline.process(&tables, &PortFilter::ANY, now, &mut packets)[0];
        assert_eq!(explanation.verdict, verdict.name(), "{flow:?} {entry:?}");
        assert_eq!(explanation.reason.as_deref(), verdict.reason());
        let backend = match verdict {
            Verdict::Forward(record) => plan.names.backend(tables.owner(record).unwrap()),
            _ => None,
        };
        assert_eq!(explanation.backend.as_deref(), backend, "{flow:?} {entry:?}");
        if let (Verdict::Forward(record), Some(by)) = (verdict, &explanation.by) {
            let may_follow = !opens_tcp(flow) && !IpProtocol(flow.protocol).is_icmp();
            let is_followed = may_follow && entry.is_some_and(|entry| entry.record == record);
            assert_eq!(by == "connection", is_followed, "{flow:?} {entry:?} {explanation:?}");
        }
        *seen.entry(format!("{} {:?}", explanation.verdict, explanation.by)).or_default() += 1;
    }
    // Every outcome was met, so the agreement is not about one case.
    assert!(seen.keys().any(|outcome| outcome.starts_with("answer")), "{seen:?}");
    assert!(seen.len() >= 5 && seen.values().all(|count| *count > 500), "{seen:?}");
}

#[test]
fn slices_and_fields_to_hash_are_named() {
    let config = config::parse("test", CONFIG).unwrap();
    let told = |destination: &str, protocol| {
        let (source, destination) = ("198.51.100.7:40000".parse().unwrap(), destination.parse().unwrap());
        offline(&config, Flow { source, destination, protocol, opens: true }).unwrap()
    };
    let step = |explanation: &Explanation, stage: &str| {
        let found = explanation.steps.iter().find(|step| step.stage == stage);
        found.map(|step| step.result.clone()).unwrap_or_default()
    };
    let sliced = told("203.0.113.57:80", 6);
    assert_eq!(step(&sliced, "slice"), "port 80 belongs to web/web-1");
    assert_eq!((sliced.by.as_deref(), sliced.slot), (Some("slice"), None));
    let dead = told("203.0.113.57:443", 132);
    assert_eq!(step(&dead, "slice"), "the owner of port 443 takes no packets");
    assert_eq!(dead.reason.as_deref(), Some("no_backend"));
    let sticky = told("203.0.113.56:1", 6);
    assert_eq!(step(&sticky, "hash"), "by the source 198.51.100.0/24 alone");
    assert_eq!(told("203.0.113.56:2", 6).slot, sticky.slot);
}

#[test]
fn a_source_that_no_host_has_is_said_to_be_one() {
    let config = config::parse("test", CONFIG).unwrap();
    for (source, destination, sentence) in [
        ("127.0.0.1:9", "203.0.113.10:443", "127.0.0.1 is a loopback address: no host sends from it"),
        ("0.1.2.3:9", "203.0.113.54:9", "0.1.2.3 is of \"this network\": no host"),
        ("250.0.0.1:9", "203.0.113.56:443", "250.0.0.1 is a reserved address: no host"),
        ("[ff02::1]:9", "[2001:db8:cafe::10]:443", "ff02::1 is a multicast address: no host"),
        ("[::]:9", "[2001:db8:cafe::10]:443", ":: is the unspecified address: no host"),
        ("203.0.113.57:80", "203.0.113.57:80", "203.0.113.57 is the VIP itself: a forged packet (LAND)"),
    ] {
        let (source, destination) = (source.parse().unwrap(), destination.parse::<SocketAddr>().unwrap());
        let protocol = if destination.port() == 9 { 17 } else { 6 };
        let told = offline(&config, Flow { source, destination, protocol, opens: true }).unwrap();
        assert_eq!((told.verdict.as_str(), told.reason.as_deref()), ("drop", Some("martian_source")));
        let step = |stage: &str| told.steps.iter().find(|step| step.stage == stage).map(|step| &*step.result);
        assert!(step("source").is_some_and(|text| text.starts_with(sentence)), "{:?}", told.steps);
        assert!(
            step("verdict").is_some_and(|text| text.starts_with("drop (martian_source): A packet to a VIP"))
        );
        assert_eq!((step("maglev"), step("slice"), told.slot), (None, None, None), "nothing is chosen");
        assert!(told.vip.is_some());
    }
}

#[test]
fn pings_and_what_has_no_ports_are_told_of_in_words() {
    let config = config::parse("test", CONFIG).unwrap();
    let told = |destination: &str, protocol| {
        let end = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 0);
        let source = end(if destination.contains(':') { "2001:db8::7" } else { "198.51.100.7" });
        let flow = Flow { source, destination: end(destination), protocol, opens: false };
        let explanation = offline(&config, flow).unwrap();
        let steps =
            explanation.steps.iter().map(|step| format!("{}: {}\n", step.stage, step.result)).collect();
        let verdict = (explanation.verdict, explanation.reason, explanation.backend);
        (verdict, String::leak(steps))
    };
    let has = |steps: &str, words: &str| assert!(steps.contains(words), "{words} in {steps}");
    for (vip, protocol) in [("203.0.113.10", 1), ("2001:db8:cafe::10", 58)] {
        let (verdict, steps) = told(vip, protocol);
        assert_eq!(verdict, ("answer".into(), Some("echo_reply".into()), None));
        has(steps, &format!("vip: `web` has {vip}"));
        has(steps, "connection: none: a ping has no entry");
        has(steps, "echo: `icmp_echo: answer`: we");
    }
    let (verdict, steps) = told("203.0.113.54", 1);
    assert_eq!((verdict.0.as_str(), verdict.2.as_deref()), ("forward", Some("dns-1")));
    has(steps, "echo: `icmp_echo: forward`");
    has(steps, "maglev: slot");
    has(steps, "leaves as 74 bytes");
    let (verdict, steps) = told("203.0.113.58", 1);
    assert_eq!(verdict, ("drop".into(), Some("icmp_ignored".into()), None));
    has(steps, "echo: `icmp_echo: ignore`: nobody");
    assert_eq!(told("203.0.113.55", 1).0.1.as_deref(), Some("no_backend"), "a dead pool is silent");
    assert_eq!(told("203.0.113.99", 1).0.1.as_deref(), Some("no_vip"));
    for (protocol, name) in [(50, "ESP"), (47, "GRE"), (200, "protocol 200")] {
        let (verdict, steps) = told("203.0.113.58", protocol);
        assert_eq!(verdict.0, "forward");
        has(steps, &format!("vip: `tunnels` serves {name} 203.0.113.58"));
        let (verdict, steps) = told("203.0.113.10", protocol);
        assert_eq!(verdict.1.as_deref(), Some("no_vip"));
        has(steps, &format!("no VIP serves {name} 203.0.113.10"));
    }
    assert_eq!(told("2001:db8:cafe::58", 50).0.0, "forward");
}

#[test]
fn every_step_is_named_for_people() {
    let config = config::parse("test", CONFIG).unwrap();
    let flow = Flow {
        source: "198.51.100.7:40000".parse().unwrap(),
        destination: "203.0.113.10:443".parse().unwrap(),
        protocol: 6,
        opens: true,
    };
    let explanation = offline(&config, flow).unwrap();
    let stages: Vec<_> = explanation.steps.iter().map(|step| step.stage.as_str()).collect();
    assert_eq!(
        stages,
        ["vip", "connection", "maglev", "backend", "encapsulation", "size", "next_hop", "verdict"]
    );
    assert_eq!(explanation.steps[0].result, "`web` serves TCP 203.0.113.10:443");
    let unknown = Flow { destination: "203.0.113.99:443".parse().unwrap(), ..flow };
    let explanation = offline(&config, unknown).unwrap();
    assert_eq!((explanation.verdict.as_str(), explanation.reason.as_deref()), ("punt", Some("no_vip")));
    let plan = Plan::new(&config, &[]);
    assert_eq!(plan.spec.pools[1].backends[1].state, BackendState::Down);
}

/// The frame of a UDP flow over IPv4 with a datagram of `len` bytes.
fn datagram(flow: Flow, len: u16) -> Frame {
    let mut bytes = frame::of(flow);
    bytes.resize(14 + usize::from(len), 0);
    bytes[16..18].copy_from_slice(&len.to_be_bytes());
    bytes[38..40].copy_from_slice(&(len - 20).to_be_bytes());
    let sum = ipv4::checksum(&Ipv4Packet::new(&bytes[14..]).unwrap());
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    Frame::new(&bytes)
}

#[test]
fn the_size_that_is_told_fits_and_what_is_told_becomes_of_a_longer_one() {
    let pool = |oversize: &str| {
        format!(
            "version: 1\nforwarding: {{encapsulation: {{source: {{ipv4: 198.51.100.11}}}}}}\n\
             pools: [{{name: dns, encap: {{gue: {{oversize: {oversize}}}}}, backends: [{{name: one, address: 10.0.2.11}}]}}]\n\
             vips: [{{name: dns, addresses: [203.0.113.53], protocol: udp, ports: [53], pool: dns}}]\n"
        )
    };
    let flow = Flow {
        source: "198.51.100.7:40000".parse().unwrap(),
        destination: "203.0.113.53:53".parse().unwrap(),
        protocol: 17,
        opens: true,
    };
    for (oversize, becomes, told) in [
        ("signal", "answer", "the sender of a longer one is told"),
        ("drop", "drop", "a longer one is dropped"),
        ("fragment", "forward", "leaves in pieces"),
    ] {
        let config = config::parse("test", &pool(oversize)).expect(oversize);
        let explanation = offline(&config, flow).unwrap();
        let size = &explanation.steps.iter().find(|step| step.stage == "size").unwrap().result;
        assert!(size.contains(told), "{size}");
        let len = size.split(' ').find_map(|word| word.parse().ok()).unwrap();
        let plan = Plan::new(&config, &[]);
        let tables = Tables::build(&plan.spec).unwrap();
        let mut explainer = Explainer::new(&tables, &plan.spec, &plan.names);
        let mut sent = |len| {
            let mut packets = [datagram(flow, len)];
            explainer.pipeline.process(&tables, &PortFilter::ANY, Tick::default(), &mut packets)[0]
        };
        assert!(matches!(sent(len), Verdict::Forward(_)), "{size}");
        let longer = sent(len + 1);
        assert_eq!(longer.name(), becomes, "{size}");
        assert!(!matches!(longer, Verdict::Forward(_)), "{size}");
    }
}
