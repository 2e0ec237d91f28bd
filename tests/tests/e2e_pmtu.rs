//! Path MTU discovery by real clients: Linux TCP and tracepath, against our own limit and against a router behind us.
//!
//! Promises kept here: with 1500 bytes everywhere a POST of full-size segments arrives, because the client's kernel takes our
//! Fragmentation Needed or Packet Too Big and remembers the MTU; where a link behind the balancer is narrower than its
//! port, the router's word to the tunnel's source becomes a word to the client, with the room that is inside the
//! tunnel; tracepath finds the same MTU and reaches the VIP; where a link on the backends' way to the client is narrower, the
//! router's word to the VIP reaches the very backend that has the connection; in NAT modes errors are translated, between
//! the families, too; and every packet is accounted for.

use std::path::PathBuf;
use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::client::post;
use lb_tests::kernel::{learned_mtu, learned_mtu_of_backend, wrong_checksums};
use lb_tests::lab::{BALANCER_SOURCES, CLIENT4, CLIENT6, Encap, Lab, Outer, Pmd, ROUTER, VIP4, VIP6};
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(30);
const POST_BYTES: usize = 200_000;
/// Downloads per family: by their source ports every backend has some of them.
const DOWNLOADS: usize = 24;
/// What the narrow link behind the router takes.
const NARROW: u32 = 1400;
/// A second service: tracepath sends UDP to port 44444 and the 63 above it, where no backend listens.
const TRACED: &str = "  - {name: trace, addresses: [203.0.113.10, \"2001:db8:cafe::10\"], ports: [44444-44507], \
                      protocol: udp, pool: web}\nmetrics:\n";

/// What the outer headers take, bytes.
fn overhead(encap: Encap, outer: Outer) -> u32 {
    let ip = if outer == Outer::V6 { 40 } else { 20 };
    match encap {
        Encap::Ipip => ip,
        Encap::Gue => ip + 8 + 4,
        other => panic!("not looked at here: {other:?}"),
    }
}

/// The client's kernel forgets what it has learned of paths.
fn forget(lab: &Lab) {
    for family in ["-4", "-6"] {
        let flush = [family, "route", "flush", "cache"];
        lab.namespace("client").run("ip", &flush, LIMIT).expect_success("forget");
    }
    for address in [VIP4, VIP6] {
        assert_eq!(learned_mtu(lab, address), None, "{address}: forgotten");
    }
}

/// Both ways to find out, from nothing known, give `mtu`; tracepath also the number of `hops`.
fn is_found(lab: &Lab, addresses: &[&str], mtu: u32, hops: u32) {
    for address in addresses {
        assert_eq!(learned_mtu(lab, address), None, "{address}: not yet");
        let family = if address.contains(':') { "-6" } else { "-4" };
        let traced = lab.namespace("client").run("tracepath", &[family, "-n", "-m", "8", address], LIMIT);
        let traced = traced.expect_success("tracepath");
        let resumed = format!("Resume: pmtu {mtu} hops {hops}");
        assert!(
            traced.contains(&resumed) && traced.contains("reached"),
            "{resumed:?} of {address}: {traced}"
        );
    }
    forget(lab);
    for address in addresses {
        let answers = post(lab, address, POST_BYTES);
        assert_eq!(answers.good(), 1, "POST to {address}: {:?}", answers.failures);
        assert_eq!(learned_mtu(lab, address), Some(mtu), "{address}: learned by the client");
    }
    assert_eq!(wrong_checksums(lab), Vec::<String>::new());
}

/// Each of the two ways has had an answer per family, and all is accounted for. What a window of full-size segments asks
/// beyond the budget of one source is dropped: the sender has been told.
fn is_told(balancer: &Balancer) {
    let scrape = balancer.metrics_at_rest();
    let sent = |kind: &str| -> f64 {
        let of_kind = scrape.named("guideway_icmp_sent_total").filter(|one| one.labels["kind"] == kind);
        of_kind.map(|one| one.value).sum()
    };
    assert!(sent("fragmentation_needed") >= 2.0 && sent("packet_too_big") >= 2.0);
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
}

fn required() -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("nstat", "iproute2")?;
    require_program("tracepath", "iputils-tracepath")
}

/// The balancer's port has no more room than the client: 1500 bytes everywhere.
fn own_limit(encap: Encap, outer: Outer, pmd: Pmd) -> Result<(), Skip> {
    required()?;
    let lab = Lab::up(encap, outer, pmd)?;
    let config = lab.edited_config(&[("mtu: 1600", "mtu: 1500"), ("metrics:\n", TRACED)]);
    let balancer = Balancer::start_with(&lab, &config)?;
    is_found(&lab, &[VIP4, VIP6], 1500 - overhead(encap, outer), 2);
    is_told(&balancer);
    Ok(())
}

/// The configuration with web-1 alone, behind the router, and more edits.
fn behind_router(lab: &Lab, more: &[(&str, &str)]) -> PathBuf {
    let [address4, address6, mac] = ROUTER;
    let port = "      addresses: [198.51.100.11/24, \"2001:db8:100::11/64\"]\n";
    let gateways = format!(
        "{port}      gateways: [{{address: {address4}, mac: \"{mac}\"}}, {{address: \"{address6}\", mac: \"{mac}\"}}]\n"
    );
    let edits = [
        (port, &*gateways),
        ("metrics:\n", TRACED),
        (", mac: \"02:67:77:00:00:21\"", ""),
        ("- {name: web-2", "# - {name: web-2"),
        ("- {name: web-3", "# - {name: web-3"),
    ];
    lab.edited_config(&[&edits, more].concat())
}

/// The balancer's port has room, a link between its gateway and the backend has not.
fn routers_limit(encap: Encap, outer: Outer, pmd: Pmd) -> Result<(), Skip> {
    required()?;
    let lab = Lab::up(encap, outer, pmd)?;
    lab.route("web1", NARROW);
    let config = behind_router(&lab, &[]);
    let balancer = Balancer::start_with(&lab, &config)?;
    is_found(&lab, &[VIP4, VIP6], NARROW - overhead(encap, outer), 2);
    is_told(&balancer);
    Ok(())
}

/// As before, with translated addresses: the router is a hop that the client sees, and its errors are translated.
fn routers_limit_of_nat(encap: &str, outer: Outer, vip: &str, mtu: u32) -> Result<(), Skip> {
    required()?;
    let lab = Lab::up(Encap::L2dsr, outer, Pmd::AfPacket)?;
    lab.route("web1", NARROW);
    lab.reply_by_balancer(encap == NAT);
    if encap == NAT {
        // What is for clients goes through the balancer, as from the backends.
        for (client, balancer) in [CLIENT4, CLIENT6].into_iter().zip(BALANCER_SOURCES) {
            let route = ["route", "add", client, "via", balancer, "dev", "eth0"];
            lab.namespace("router").run("ip", &route, LIMIT).expect_success("the router's way to the client");
        }
    }
    let addresses = format!("addresses: [{VIP4}, \"{VIP6}\"]");
    let only = format!("addresses: [\"{vip}\"]");
    let config = behind_router(&lab, &[("l2dsr: {}", encap), (&addresses, &only)]);
    let balancer = Balancer::start_with(&lab, &config)?;
    is_found(&lab, &[vip], mtu, 3);
    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    Ok(())
}

const NAT: &str = "nat: {}";
const FULL_NAT: &str = "full_nat: {local_addresses: [198.51.100.11, \"2001:db8:100::11\"]}";

#[test]
fn a_client_learns_a_routers_limit_through_nat() {
    unless(routers_limit_of_nat(NAT, Outer::V4, VIP4, NARROW));
}

#[test]
fn a_client_learns_a_routers_limit_through_nat_of_ipv6() {
    unless(routers_limit_of_nat(NAT, Outer::V6, VIP6, NARROW));
}

#[test]
fn a_client_learns_a_routers_limit_through_full_nat() {
    unless(routers_limit_of_nat(FULL_NAT, Outer::V4, VIP4, NARROW));
}

#[test]
fn a_client_learns_a_routers_limit_through_nat64() {
    // RFC 7915 section 4.2: an IPv6 packet is 20 bytes longer than its translation.
    unless(routers_limit_of_nat(FULL_NAT, Outer::V4, VIP6, NARROW + 20));
}

#[test]
fn a_client_learns_a_routers_limit_through_full_nat_of_ipv6() {
    unless(routers_limit_of_nat(FULL_NAT, Outer::V6, VIP6, NARROW));
}

/// Downloads of 200 kB at a time; how many came whole.
fn downloads(lab: &Lab, vip: &str) -> usize {
    let origin = if vip.contains(':') { format!("http://[{vip}]") } else { format!("http://{vip}") };
    let url = format!("{origin}/big?[1-{DOWNLOADS}]");
    let options =
        ["--silent", "--max-time", "20", "--parallel", "--no-progress-meter", "--output", "/dev/null"];
    let rest = ["--header", "Connection: close", "--write-out", "%{http_code} %{size_download}\\n", &url];
    let said = lab.namespace("client").run("curl", &[&options[..], &rest[..]].concat(), LIMIT).stdout;
    said.lines().filter(|line| *line == "200 200000").count()
}

/// A router on the backends' way to the client says to the VIP that a reply is too big. Of all backends the one whose
/// reply it was must hear of it: it would send it again, as long as it was, until the client gives up.
///
/// `vip` is put into the VIP's section.
fn backends_limit(encap: Encap, outer: Outer, pmd: Pmd, vip: &str) -> Result<(), Skip> {
    required()?;
    let lab = Lab::up(encap, outer, pmd)?;
    lab.route("client", NARROW);
    let ports = "    ports: [80]\n";
    let config = lab.edited_config(&[(ports, &format!("{ports}{vip}"))]);
    let balancer = Balancer::start_with(&lab, &config)?;
    for (client, vip) in [(CLIENT4, VIP4), (CLIENT6, VIP6)] {
        let before = balancer.metrics_at_rest().sum("guideway_icmp_errors_forwarded_total");
        assert_eq!(downloads(&lab, vip), DOWNLOADS, "{vip}");
        let after = balancer.metrics_at_rest().sum("guideway_icmp_errors_forwarded_total");
        assert!(after >= before + 3.0, "{vip}: at least one error to each of three backends");
        for role in ["web1", "web2", "web3"] {
            assert_eq!(learned_mtu_of_backend(&lab, role, client, vip), Some(NARROW), "{role} {vip}");
        }
    }
    let scrape = balancer.metrics_at_rest();
    let unmatched =
        scrape.named("guideway_dropped_packets_total").filter(|one| one.labels["reason"] == "icmp_unmatched");
    assert_eq!(unmatched.map(|one| one.value).sum::<f64>(), 0.0);
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    assert_eq!(wrong_checksums(&lab), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_backend_learns_the_limit_of_its_way_back() {
    unless(backends_limit(Encap::Ipip, Outer::V4, Pmd::AfPacket, ""));
}

/// As from another balancer of a fleet, which has no entry of the connection.
#[test]
fn a_backend_learns_the_limit_of_its_way_back_without_sessions() {
    unless(backends_limit(Encap::Gue, Outer::V6, Pmd::AfXdp, "    sessions: none\n"));
}

#[test]
fn a_client_learns_our_limit_with_ipip_over_ipv4_by_af_packet() {
    unless(own_limit(Encap::Ipip, Outer::V4, Pmd::AfPacket));
}

#[test]
fn a_client_learns_our_limit_with_ipip_over_ipv4_by_af_xdp() {
    unless(own_limit(Encap::Ipip, Outer::V4, Pmd::AfXdp));
}

#[test]
fn a_client_learns_our_limit_with_ipip_over_ipv6_by_af_xdp() {
    unless(own_limit(Encap::Ipip, Outer::V6, Pmd::AfXdp));
}

#[test]
fn a_client_learns_our_limit_with_gue_over_ipv4_by_af_packet() {
    unless(own_limit(Encap::Gue, Outer::V4, Pmd::AfPacket));
}

#[test]
fn a_client_learns_our_limit_with_gue_over_ipv6_by_af_packet() {
    unless(own_limit(Encap::Gue, Outer::V6, Pmd::AfPacket));
}

#[test]
fn a_client_learns_our_limit_with_gue_over_ipv6_by_af_xdp() {
    unless(own_limit(Encap::Gue, Outer::V6, Pmd::AfXdp));
}

#[test]
fn a_client_learns_a_routers_limit_with_ipip_over_ipv4() {
    unless(routers_limit(Encap::Ipip, Outer::V4, Pmd::AfPacket));
}

#[test]
fn a_client_learns_a_routers_limit_with_ipip_over_ipv6() {
    unless(routers_limit(Encap::Ipip, Outer::V6, Pmd::AfXdp));
}

#[test]
fn a_client_learns_a_routers_limit_with_gue_over_ipv4() {
    unless(routers_limit(Encap::Gue, Outer::V4, Pmd::AfXdp));
}

#[test]
fn a_client_learns_a_routers_limit_with_gue_over_ipv6() {
    unless(routers_limit(Encap::Gue, Outer::V6, Pmd::AfPacket));
}
