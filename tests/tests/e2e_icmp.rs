//! ICMP and fragments, judged by kernels: pings and datagrams of every size, and a last hop.
//!
//! Promises kept here: a ping to the VIP is answered, of 56 and of 4,000 bytes, by us and by a backend; a packet with no hop
//! left is answered; fragments that come last first come back whole; a datagram of 4,000 bytes reaches a server, and its echo
//! the client; what no host can have sent ends here; with `oversize: fragment` a kernel puts together what came apart; and every
//! packet is accounted for. Path MTU discovery has a file of its own, `e2e_pmtu.rs`.

use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::client::post;
use lb_tests::kernel::{learned_mtu, wrong_checksums};
use lb_tests::lab::{BALANCER_MAC, Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::process::{Process, wait_until};
use lb_tests::program::repository;
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(20);
const POST_BYTES: usize = 200_000;

/// A lab whose balancer has no more room than the client: 1500 bytes. `vip` is put into the VIP's section.
///
/// Over AF_XDP: DPDK's AF_PACKET driver asks the kernel for PACKET_FANOUT_FLAG_DEFRAG, so it never sees an IPv4 fragment.
fn started(vip: &str) -> Result<(Lab, Balancer), Skip> {
    let lab = narrow_lab()?;
    let vip = format!("    ports: [80]\n{vip}");
    let config = lab.edited_config(&[("mtu: 1600", "mtu: 1500"), ("    ports: [80]\n", &vip)]);
    let balancer = Balancer::start_with(&lab, &config)?;
    Ok((lab, balancer))
}

fn narrow_lab() -> Result<Lab, Skip> {
    lb_tests::program::guideway_path()?;
    require_program("ping", "iputils-ping")?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfXdp)?;
    lab.narrow_replies();
    Ok(lab)
}

/// Three pings, all answered once.
fn ping(lab: &Lab, address: &str, bytes: u32) {
    let bytes = bytes.to_string();
    let arguments = ["-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", &bytes, address];
    let finished = lab.namespace("client").run("ping", &arguments, LIMIT);
    let is_good = finished.stdout.contains("3 received") && !finished.stdout.contains("DUP");
    assert!(is_good, "ping -s {bytes} {address}: {}{}", finished.stdout, finished.stderr);
}

fn balance_holds(balancer: &Balancer) {
    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    assert_eq!(scrape.sum("guideway_fragments_held"), 0.0);
}

fn answered_pings() -> Result<(), Skip> {
    let (lab, balancer) = started("")?;
    for address in [VIP4, VIP6] {
        ping(&lab, address, 56);
        ping(&lab, address, 4000);
    }
    let scrape = balancer.metrics_at_rest();
    let replies = scrape.named("guideway_icmp_sent_total").filter(|one| one.labels["kind"] == "echo_reply");
    // Three pings of one packet and three of three fragments, over both families.
    assert_eq!(replies.map(|one| one.value).sum::<f64>(), 24.0);
    balance_holds(&balancer);
    Ok(())
}

#[test]
fn the_balancer_answers_pings_of_every_size() {
    unless(answered_pings());
}

fn forwarded_pings() -> Result<(), Skip> {
    let (lab, balancer) = started("    icmp_echo: forward\n")?;
    for address in [VIP4, VIP6] {
        // The client learns the path's MTU first, so that no fragment of a ping is too long for the tunnel.
        let answers = post(&lab, address, POST_BYTES);
        assert_eq!(answers.good(), 1, "POST to {address}: {:?}", answers.failures);
        assert_eq!(learned_mtu(&lab, address), Some(1480), "{address}: learned by the client");
    }
    let told = balancer.metrics_at_rest().sum("guideway_icmp_sent_total");
    for address in [VIP4, VIP6] {
        ping(&lab, address, 56);
        ping(&lab, address, 4000);
    }
    let scrape = balancer.metrics_at_rest();
    assert_eq!(scrape.sum("guideway_icmp_sent_total"), told, "a backend replies, and nothing was too long");
    assert_eq!(scrape.sum("guideway_fragments_forwarded_total"), 18.0);
    balance_holds(&balancer);
    Ok(())
}

#[test]
fn a_backend_answers_pings_of_every_size() {
    unless(forwarded_pings());
}

/// Runs scapy in the client's namespace.
fn scapy(lab: &Lab, script: &str) -> String {
    let script = format!("from scapy.all import *\nconf.verb = 0\n{script}");
    lab.namespace("client").run("/usr/bin/python3", &["-c", &script], LIMIT).expect_success("scapy")
}

fn require_scapy() -> Result<(), Skip> {
    let found = std::process::Command::new("/usr/bin/python3").args(["-c", "import scapy"]).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Skip("scapy is not there: install it (Debian: apt-get install python3-scapy)".into())),
    }
}

fn last_hop_and_last_first() -> Result<(), Skip> {
    require_scapy()?;
    let (lab, balancer) = started("")?;
    let told = scapy(
        &lab,
        &format!(
            "mac = Ether(dst='{BALANCER_MAC}')\n\
             a = srp1(mac/IP(dst='{VIP4}', ttl=1)/TCP(sport=5001, dport=80, flags='S'), iface='eth0', timeout=5)\n\
             b = srp1(mac/IPv6(dst='{VIP6}', hlim=1)/TCP(sport=5001, dport=80, flags='S'), iface='eth0', timeout=5)\n\
             print(a[IP].src, a[ICMP].type, a[TCPerror].sport, b[IPv6].src, b[ICMPv6TimeExceeded].code, b[TCPerror].sport)"
        ),
    );
    assert_eq!(told.trim(), format!("{VIP4} 11 5001 {VIP6} 0 5001"));
    // A ping in three fragments, the last one first: we turn each round, and the client's kernel puts them together.
    let seen = scapy(
        &lab,
        &format!(
            "import threading, time\n\
             ping = IP(dst='{VIP4}', id=4711)/ICMP(id=99, seq=1)/Raw(bytes(range(250)) * 12)\n\
             parts = fragment(ping, fragsize=1000)\n\
             parts.reverse()\n\
             sniffer = AsyncSniffer(iface='eth0', filter='icmp and src {VIP4}', count=len(parts), timeout=6)\n\
             sniffer.start()\n\
             time.sleep(1)\n\
             [sendp(Ether(dst='{BALANCER_MAC}')/part, iface='eth0') for part in parts]\n\
             sniffer.join()\n\
             print(len(parts), len(sniffer.results), sorted(set(one[IP].id for one in sniffer.results)))"
        ),
    );
    let mut words = seen.split_whitespace();
    assert_eq!(words.next(), words.next(), "as many fragments come back as were sent: {seen}");
    assert!(seen.contains("[4711]"), "{seen}");
    assert!(wait_until(LIMIT, || balancer.metrics_at_rest().sum("guideway_fragments_held") == 0.0));
    balance_holds(&balancer);
    Ok(())
}

#[test]
fn a_last_hop_is_told_and_fragments_may_come_last_first() {
    unless(last_hop_and_last_first());
}

/// Echo servers on every backend, bound to the address.
fn echo_servers(lab: &Lab, address: &str) -> Vec<Process> {
    let peer = peer();
    let start = |number: u8| {
        let ready = lab.folder().join(format!("echo-{number}-{}", address.len()));
        let arguments = [&*peer, "echo", &ready.to_string_lossy(), address, "9000"];
        let mut server = lab.namespace(&format!("web{number}")).start("python3", &arguments);
        let is_up = wait_until(LIMIT, || ready.exists() || server.ended().is_some());
        assert!(is_up && server.ended().is_none(), "{}", server.stderr_so_far());
        server
    };
    (1..=3).map(start).collect()
}

fn peer() -> String {
    repository().join("tests/fixtures/vip_peer.py").display().to_string()
}

/// Sockets of the client, each of which sends one datagram: by 5-tuple, so that every backend has some of them.
const SOCKETS: usize = 12;

fn large_datagrams(pmd: Pmd, addresses: &[&str]) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("python3", "python3")?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, pmd)?;
    lab.narrow_replies();
    let config = lab
        .edited_config(&[("    ports: [80]\n    protocol: tcp\n", "    ports: [9000]\n    protocol: udp\n")]);
    let balancer = Balancer::start_with(&lab, &config)?;
    for address in addresses {
        let _servers = echo_servers(&lab, address);
        let words = [&*peer(), "ask-echo", address, "9000", "4000", &SOCKETS.to_string()];
        let said =
            lab.namespace("client").run("python3", &words, Duration::from_secs(60)).expect_success("echo");
        assert_eq!(said.lines().filter(|line| *line == "4000").count(), SOCKETS, "{address}: {said}");
    }
    let scrape = balancer.metrics_at_rest();
    // A datagram of 4,008 bytes is three fragments at an MTU of 1500.
    let fragments = (3 * SOCKETS * addresses.len()) as f64;
    assert!(scrape.sum("guideway_fragments_forwarded_total") >= fragments);
    for backend in scrape.named("guideway_backend_transmit_packets_total") {
        assert!(backend.value > 0.0, "{backend:?}");
    }
    assert_eq!(wrong_checksums(&lab), Vec::<String>::new());
    balance_holds(&balancer);
    Ok(())
}

#[test]
fn a_datagram_of_4000_bytes_arrives_whole_by_af_xdp() {
    unless(large_datagrams(Pmd::AfXdp, &[VIP4, VIP6]));
}

/// IPv6 alone: the kernel puts only fragments of IPv4 together in front of DPDK's AF_PACKET.
#[test]
fn a_datagram_of_4000_bytes_over_ipv6_arrives_whole_by_af_packet() {
    unless(large_datagrams(Pmd::AfPacket, &[VIP6]));
}

/// Packets forged on the client's wire, by scapy: none reaches a backend, and each is counted by name.
fn martians() -> Result<(), Skip> {
    require_scapy()?;
    let (lab, balancer) = started("")?;
    scapy(
        &lab,
        &format!(
            "def send(ip):\n\
             \x20   sendp(Ether(dst='{BALANCER_MAC}')/ip, iface='eth0')\n\
             for source in ['{VIP4}', '0.0.0.0', '127.0.0.1', '224.0.0.9', '240.1.2.3', '255.255.255.255']:\n\
             \x20   send(IP(src=source, dst='{VIP4}')/TCP(sport=80, dport=80, flags='S'))\n\
             for source in ['{VIP6}', '::', '::1', 'ff02::1']:\n\
             \x20   send(IPv6(src=source, dst='{VIP6}')/TCP(sport=80, dport=80, flags='S'))\n\
             send(IP(src='127.0.0.1', dst='{VIP4}')/ICMP(id=1, seq=1))\n\
             send(IP(src='{VIP4}', dst='{VIP4}', flags='MF', id=7)/UDP(sport=80, dport=80)/Raw(bytes(64)))"
        ),
    );
    let dropped = || {
        let scrape = balancer.metrics_at_rest();
        let drops = scrape.named("guideway_dropped_packets_total");
        drops.filter(|one| one.labels["reason"] == "martian_source").map(|one| one.value).sum::<f64>()
    };
    assert!(wait_until(LIMIT, || dropped() >= 12.0), "{} of 12 are counted", dropped());
    let scrape = balancer.metrics_at_rest();
    assert_eq!(dropped(), 12.0);
    assert_eq!(scrape.sum("guideway_backend_transmit_packets_total"), 0.0, "none went to a backend");
    assert_eq!(scrape.sum("guideway_icmp_sent_total"), 0.0, "and nobody was told");
    let answers = post(&lab, VIP4, POST_BYTES);
    assert_eq!(answers.good(), 1, "a real client is served: {:?}", answers.failures);
    balance_holds(&balancer);
    Ok(())
}

#[test]
fn what_no_host_can_have_sent_ends_here() {
    unless(martians());
}

/// With `oversize: fragment` and a client that asks for no path MTU: what it sends without DF comes apart here, and a kernel
/// behind the tunnel puts it together, pings and TCP alike.
fn pieces() -> Result<(), Skip> {
    let lab = narrow_lab()?;
    let config = lab.edited_config(&[
        ("mtu: 1600", "mtu: 1500"),
        ("    ports: [80]\n", "    ports: [80]\n    icmp_echo: forward\n"),
        ("ipip: {}", "ipip: {oversize: fragment}"),
    ]);
    let balancer = Balancer::start_with(&lab, &config)?;
    let client = lab.namespace("client");
    client.run("sysctl", &["-qw", "net.ipv4.ip_no_pmtu_disc=1"], LIMIT).expect_success("sysctl");
    for (bytes, packets) in [("1472", 3.0), ("4000", 9.0)] {
        let before = balancer.metrics_at_rest().sum("guideway_packets_fragmented_total");
        let arguments = ["-n", "-M", "dont", "-c", "3", "-i", "0.2", "-W", "2", "-s", bytes, VIP4];
        let finished = client.run("ping", &arguments, LIMIT);
        assert!(finished.stdout.contains("3 received"), "{}{}", finished.stdout, finished.stderr);
        // Of three fragments the last one fits.
        let cut = balancer.metrics_at_rest().sum("guideway_packets_fragmented_total") - before;
        assert_eq!(cut, if bytes == "1472" { packets } else { packets - 3.0 });
    }
    let answers = post(&lab, VIP4, POST_BYTES);
    assert_eq!(answers.good(), 1, "POST without DF: {:?}", answers.failures);
    let scrape = balancer.metrics_at_rest();
    let cut = scrape.sum("guideway_packets_fragmented_total");
    assert!(cut > 100.0, "the segments of the POST came apart: {cut}");
    assert_eq!(scrape.sum("guideway_fragments_made_total"), 2.0 * cut);
    assert_eq!(scrape.sum("guideway_icmp_sent_total"), 0.0, "nobody is told");
    assert_eq!(learned_mtu(&lab, VIP4), None);
    // With DF and over IPv6 senders are told as ever.
    let answers = post(&lab, VIP6, POST_BYTES);
    assert_eq!(answers.good(), 1, "POST over IPv6: {:?}", answers.failures);
    assert_eq!(learned_mtu(&lab, VIP6), Some(1480));
    balance_holds(&balancer);
    Ok(())
}

#[test]
fn a_kernel_puts_pieces_together() {
    unless(pieces());
}
