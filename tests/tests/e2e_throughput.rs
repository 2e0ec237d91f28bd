//! iperf3 through the balancer: a control connection and a data stream that need the same backend, of TCP and UDP.
//!
//! Promises kept here: by the client's address both meet one backend, in DSR and in NAT modes, there both ways; what TCP
//! sends arrives, in segments of full and of small size, but for what iperf3 leaves unread when it stops; the datagrams of
//! UDP arrive; no kernel at either end counts a wrong checksum; and every packet is forwarded and accounted for. Nothing
//! here is about speed: this machine decides it.

use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::kernel::wrong_checksums;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::process::{Process, wait_until};
use lb_tests::skip::{Skip, require_program, unless};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
const PORT: &str = "5201";
/// Sent at the least by each run over TCP, bytes.
const TCP_BYTES: u64 = 20_000_000;
/// Sent at the least by each run over UDP, bytes: at 20 Mbit/s not a second.
const UDP_BYTES: u64 = 1_800_000;
/// iperf3 ends a run by its control connection and then reads no more: what still lies in the two socket buffers counts
/// as not arrived. Linux doubles the 128 KiB that are asked for, and there are two of them; the rest is the program's.
const UNREAD_MAX: u64 = 1_000_000;

/// Servers by backend and address: only one backend, to which the client's address is hashed, is ever asked.
fn servers(lab: &Lab, places: &[(u8, &str)]) -> Vec<Process> {
    let start = |(number, address): &(u8, &str)| {
        let namespace = lab.namespace(&format!("web{number}"));
        let mut server = namespace.start("iperf3", &["--server", "--port", PORT, "--bind", address]);
        let is_up = wait_until(LIMIT, || {
            let listening = namespace.run("ss", &["-Hltn", "src", &format!("[{address}]:{PORT}")], LIMIT);
            listening.stdout.contains(PORT) || server.ended().is_some()
        });
        assert!(is_up && server.ended().is_none(), "{}", server.stderr_so_far());
        server
    };
    places.iter().map(start).collect()
}

/// One run of the client, in its own words.
fn run(lab: &Lab, address: &str, options: &[&str]) -> Value {
    let mut arguments = vec!["--client", address, "--port", PORT, "--json"];
    arguments.extend(options);
    let said = lab.namespace("client").run("iperf3", &arguments, LIMIT).expect_success("iperf3");
    let told: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(told.get("error"), None, "{address} {options:?}: {said}");
    told
}

fn number(told: &Value, path: &str) -> u64 {
    let found = told.pointer(path).unwrap_or_else(|| panic!("{path} is not in {told}"));
    found.as_f64().expect("a number") as u64
}

/// A run over TCP, as it is or with more options.
fn tcp(lab: &Lab, address: &str, more: &[&str]) {
    let bytes = TCP_BYTES.to_string();
    let options = [&["--bytes", &bytes, "--window", "128K"], more].concat();
    let told = run(lab, address, &options);
    let (sent, received) = (number(&told, "/end/sum_sent/bytes"), number(&told, "/end/sum_received/bytes"));
    assert!(sent >= TCP_BYTES, "{sent} bytes sent to {address}");
    assert!(received <= sent && received + UNREAD_MAX >= sent, "{received} of {sent} bytes to {address}");
}

/// A run over UDP; the datagrams that were sent.
fn udp(lab: &Lab, address: &str, more: &[&str]) -> u64 {
    let bytes = UDP_BYTES.to_string();
    let options = [&["--udp", "--bitrate", "20M", "--length", "1200", "--bytes", &bytes], more].concat();
    let told = run(lab, address, &options);
    let (sent, lost) = (number(&told, "/end/sum/packets"), number(&told, "/end/sum/lost_packets"));
    assert!(sent >= UDP_BYTES / 1200, "{sent} datagrams to {address}");
    // A server that is not scheduled for a while loses what its socket has no room for: that is not ours to judge.
    assert!(lost < sent / 2, "{lost} of {sent} datagrams to {address} are lost");
    sent
}

fn transfers(encap: Encap, outer: Outer, pmd: Pmd) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("iperf3", "iperf3")?;
    require_program("nstat", "iproute2")?;
    let lab = Lab::up(encap, outer, pmd)?;
    let service = format!("    ports: [{PORT}]\n    protocol: any\n    hash: source_address\n");
    let config = lab.edited_config(&[("    ports: [80]\n    protocol: tcp\n", &service)]);
    let balancer = Balancer::start_with(&lab, &config)?;
    let places = [(1, VIP4), (1, VIP6), (2, VIP4), (2, VIP6), (3, VIP4), (3, VIP6)];
    let _servers = servers(&lab, &places);
    let mut datagrams = 0;
    for address in [VIP4, VIP6] {
        tcp(&lab, address, &[]);
        // Many more packets for as many bytes.
        tcp(&lab, address, &["--set-mss", "536"]);
        datagrams += udp(&lab, address, &[]);
    }
    assert_eq!(wrong_checksums(&lab), Vec::<String>::new());
    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    let received = scrape.sum("guideway_vip_receive_packets_total");
    // A segment that is not sent again carries 1460 bytes at the most.
    let segments = 2 * (TCP_BYTES / 1460 + TCP_BYTES / 536);
    assert!(received >= (segments + datagrams) as f64, "{received} packets for the VIP");
    let sent: Vec<f64> =
        scrape.named("guideway_backend_transmit_packets_total").map(|backend| backend.value).collect();
    assert_eq!(sent.iter().sum::<f64>(), received, "all of it went on");
    let asked = sent.iter().filter(|packets| **packets > 0.0).count();
    assert!(
        (1..=2).contains(&asked),
        "one backend for the IPv4 source and one for the IPv6 source: {sent:?}"
    );
    Ok(())
}

#[test]
fn tcp_and_udp_of_both_families_through_ipip_by_af_packet() {
    unless(transfers(Encap::Ipip, Outer::V4, Pmd::AfPacket));
}

#[test]
fn tcp_and_udp_of_both_families_through_gue_by_af_xdp() {
    unless(transfers(Encap::Gue, Outer::V6, Pmd::AfXdp));
}

const REVERSE: &[&str] = &["--reverse"];

/// Both directions, all of which come through the balancer when it translates addresses.
fn translated(encap: &str, vip: &str) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("iperf3", "iperf3")?;
    require_program("nstat", "iproute2")?;
    let lab = Lab::up(Encap::L2dsr, Outer::V4, Pmd::AfPacket)?;
    lab.reply_by_balancer(encap == NAT);
    let vips = format!(
        "vips:\n  - {{name: tcp, addresses: [\"{vip}\"], ports: [{PORT}], protocol: tcp, pool: web, hash: source_address}}\n  \
         - {{name: udp, addresses: [\"{vip}\"], ports: [{PORT}], protocol: udp, pool: web, hash: source_address}}\n"
    );
    let own = format!(
        "vips:\n  - name: web\n    addresses: [{VIP4}, \"{VIP6}\"]\n    ports: [80]\n    protocol: tcp\n    pool: web\n"
    );
    let config = lab.edited_config(&[("l2dsr: {}", encap), (&own, &vips)]);
    let balancer = Balancer::start_with(&lab, &config)?;
    let _servers = servers(&lab, &[(1, "198.51.100.21"), (2, "198.51.100.22"), (3, "198.51.100.23")]);
    for direction in [&[], REVERSE] {
        tcp(&lab, vip, direction);
        udp(&lab, vip, direction);
    }
    assert_eq!(wrong_checksums(&lab), Vec::<String>::new());
    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    // Of four runs each has a control connection and a flow of data.
    assert_eq!(scrape.sum("guideway_nat_sessions_opened_total"), 8.0);
    Ok(())
}

const NAT: &str = "nat: {}";
const FULL: &str = "full_nat: {local_addresses: [198.51.100.11]}";

#[test]
fn tcp_and_udp_both_ways_through_nat() {
    unless(translated(NAT, VIP4));
}

#[test]
fn tcp_and_udp_both_ways_through_nat64() {
    unless(translated(FULL, VIP6));
}
