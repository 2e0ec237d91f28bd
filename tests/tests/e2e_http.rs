//! The main job, judged from outside: real HTTP through a DPDK port to real nginx, for every encapsulation and driver.
//!
//! Promises kept here: of a thousand requests per family and a POST of 1 MB none fails; nginx sees the client's own address;
//! the frames on a backend's wire are what the configuration says, with nothing for tshark to complain about; no kernel at
//! either end counts a wrong checksum; and every packet received is accounted for.

use lb_tests::balancer::Balancer;
use lb_tests::capture::{Capture, Frame};
use lb_tests::client::{Answers, get, post};
use lb_tests::kernel::wrong_checksums;
use lb_tests::lab::{BALANCER_MAC, BALANCER_SOURCES, CLIENT4, CLIENT6, Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::skip::{Skip, unless};
use std::collections::BTreeMap;

const REQUESTS: usize = 1_000;
/// Hundreds of full-size segments: proves that a 1500-byte packet fits once it is encapsulated.
const POST_BYTES: usize = 1_000_000;

/// What tshark must see between the outer Ethernet header and TCP, the family of the inner packet last.
fn protocols(encap: Encap, outer: Outer, inner: &str) -> String {
    let outer = if outer == Outer::V6 { "ipv6" } else { "ip" };
    match encap {
        Encap::Ipip => format!("eth:ethertype:{outer}:{inner}:tcp"),
        Encap::Gue | Encap::Gue1 => format!("eth:ethertype:{outer}:udp:gue:{inner}:tcp"),
        Encap::Gre | Encap::GreKey => format!("eth:ethertype:{outer}:gre:{inner}:tcp"),
        Encap::Vxlan => format!("eth:ethertype:{outer}:udp:vxlan:eth:ethertype:{inner}:tcp"),
        Encap::Geneve => format!("eth:ethertype:{outer}:udp:geneve:eth:ethertype:{inner}:tcp"),
        Encap::GeneveIp => format!("eth:ethertype:{outer}:udp:geneve:{inner}:tcp"),
        Encap::L2dsr => format!("eth:ethertype:{inner}:tcp"),
    }
}

fn all_answered(answers: &Answers, what: &str) {
    assert_eq!(answers.good(), answers.sent, "{what}: {:?}", answers.failures);
}

fn backends_saw_the_client(lab: &Lab, per_family: usize) {
    let requests: Vec<_> = lab.backends().iter().flat_map(|backend| backend.requests()).collect();
    for (client, server) in [(CLIENT4, VIP4), (CLIENT6, VIP6)] {
        let of_family: Vec<_> = requests.iter().filter(|request| request.server == server).collect();
        assert_eq!(of_family.len(), per_family, "requests that nginx logged for {server}");
        let foreign = of_family.iter().find(|request| request.client != client || request.status != 200);
        assert_eq!(foreign, None, "every request comes from the client's own address");
        let posts = of_family.iter().filter(|request| request.length > POST_BYTES).count();
        assert_eq!(posts, 1, "requests with a body of {POST_BYTES} bytes for {server}");
    }
}

fn frames_are_as_configured(frames: &[Frame], encap: Encap, outer: Outer) {
    for (inner, vip) in [("ip", VIP4), ("ipv6", VIP6)] {
        let expected = protocols(encap, outer, inner);
        let seen = frames.iter().filter(|frame| frame.destinations.last().is_some_and(|last| last == vip));
        let mut count = 0;
        for frame in seen {
            count += 1;
            // What TCP carries is not ours to judge.
            let stack = frame.protocols.split(":data").next().unwrap_or_default();
            assert_eq!(stack, expected, "{frame:?}");
            if encap != Encap::L2dsr {
                assert!(BALANCER_SOURCES.contains(&frame.sources[0].as_str()), "outer source: {frame:?}");
            }
        }
        assert!(count > 10, "only {count} frames for {vip} on the backend's wire");
    }
    let complaint = frames.iter().find(|frame| !frame.complaints.is_empty());
    assert_eq!(complaint, None, "tshark complains");
}

/// Requests of an IPv4 and an IPv6 client at the same time, all of which must be answered; how many by each backend.
fn requests_of_both_families(lab: &Lab) -> BTreeMap<String, usize> {
    let answers = std::thread::scope(|scope| {
        let threads = [VIP4, VIP6].map(|address| scope.spawn(move || (address, get(lab, address, REQUESTS))));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    let mut by_backend = BTreeMap::new();
    for (address, answers) in answers {
        all_answered(&answers, address);
        for (backend, count) in answers.by_backend {
            *by_backend.entry(backend).or_insert(0) += count;
        }
    }
    by_backend
}

fn serve(encap: Encap, outer: Outer, pmd: Pmd) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(encap, outer, pmd)?;
    let balancer = Balancer::start(&lab)?;
    let capture = Capture::start(&lab, "web1")?;
    eprintln!("{encap:?} over {outer:?}: {}", lab.receiver("web1").unwrap_or_else(|| "no tunnel".into()));
    let by_backend = requests_of_both_families(&lab);
    for address in [VIP4, VIP6] {
        all_answered(&post(&lab, address, POST_BYTES), "POST");
    }
    // Equal weights: each of three gets about 667 of 2,000; 333 is fifteen standard deviations away.
    assert!(
        by_backend.len() == 3 && by_backend.values().all(|count| *count > REQUESTS / 3),
        "{by_backend:?}"
    );
    assert_eq!(wrong_checksums(&lab), Vec::<String>::new());
    frames_are_as_configured(&capture.frames_from(BALANCER_MAC), encap, outer);
    backends_saw_the_client(&lab, REQUESTS + 1);

    let scrape = balancer.metrics_at_rest();
    let balance = scrape.balance();
    assert!(balance.holds(), "received = sent + answered + punted + dropped: {balance:?}");
    assert!(balance.sent as usize > REQUESTS * 8, "every request takes at least four packets: {balance:?}");
    for backend in scrape.named("guideway_backend_transmit_packets_total") {
        assert!(backend.value > 0.0, "{backend:?}");
    }
    let finished = balancer.stop("TERM");
    assert!(finished.status.success(), "SIGTERM: {}\n{}", finished.status, finished.stderr);
    Ok(())
}

macro_rules! served {
    ($($name:ident: $encap:ident over $outer:ident by $pmd:ident;)*) => {$(
        #[test]
        fn $name() {
            unless(serve(Encap::$encap, Outer::$outer, Pmd::$pmd));
        }
    )*};
}

served! {
    ipip_over_ipv4_by_af_packet: Ipip over V4 by AfPacket;
    ipip_over_ipv6_by_af_packet: Ipip over V6 by AfPacket;
    gue_over_ipv4_by_af_packet: Gue over V4 by AfPacket;
    gue_over_ipv6_by_af_packet: Gue over V6 by AfPacket;
    gue_variant_1_over_ipv4_by_af_packet: Gue1 over V4 by AfPacket;
    gue_variant_1_over_ipv6_by_af_packet: Gue1 over V6 by AfPacket;
    gre_over_ipv4_by_af_packet: Gre over V4 by AfPacket;
    gre_over_ipv6_by_af_packet: Gre over V6 by AfPacket;
    gre_with_key_over_ipv4_by_af_packet: GreKey over V4 by AfPacket;
    gre_with_key_over_ipv6_by_af_packet: GreKey over V6 by AfPacket;
    geneve_over_ipv4_by_af_packet: Geneve over V4 by AfPacket;
    geneve_over_ipv6_by_af_packet: Geneve over V6 by AfPacket;
    geneve_without_ethernet_over_ipv4_by_af_packet: GeneveIp over V4 by AfPacket;
    geneve_without_ethernet_over_ipv6_by_af_packet: GeneveIp over V6 by AfPacket;
    vxlan_over_ipv4_by_af_packet: Vxlan over V4 by AfPacket;
    vxlan_over_ipv6_by_af_packet: Vxlan over V6 by AfPacket;
    l2dsr_by_af_packet: L2dsr over V4 by AfPacket;
    ipip_over_ipv4_by_af_xdp: Ipip over V4 by AfXdp;
    ipip_over_ipv6_by_af_xdp: Ipip over V6 by AfXdp;
    gue_over_ipv4_by_af_xdp: Gue over V4 by AfXdp;
    gue_over_ipv6_by_af_xdp: Gue over V6 by AfXdp;
    gue_variant_1_over_ipv4_by_af_xdp: Gue1 over V4 by AfXdp;
    gue_variant_1_over_ipv6_by_af_xdp: Gue1 over V6 by AfXdp;
    gre_over_ipv6_by_af_xdp: Gre over V6 by AfXdp;
    geneve_over_ipv4_by_af_xdp: Geneve over V4 by AfXdp;
    vxlan_over_ipv4_by_af_xdp: Vxlan over V4 by AfXdp;
    vxlan_over_ipv6_by_af_xdp: Vxlan over V6 by AfXdp;
    l2dsr_by_af_xdp: L2dsr over V4 by AfXdp;
}
