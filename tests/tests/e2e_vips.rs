//! VIPs of every kind through a DPDK port to kernels that answer: prefixes, ranges, protocols without ports, slices.
//!
//! No kernel of this machine needs to know SCTP: raw sockets at both ends show that its packets, and those of ESP and
//! GRE, arrive whole at one backend.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::lab::{BALANCER_SOURCES, Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::process::{Process, wait_until};
use lb_tests::program::repository;
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(60);
/// A prefix beside the lab's own VIP.
const PREFIX: &str = "203.0.113.64/26";

/// The lab with a prefix that the backends own and the client sends here, and a balancer of these VIPs.
struct Bench {
    balancer: Balancer,
    servers: Vec<Process>,
    lab: Lab,
}

fn peer() -> String {
    repository().join("tests/fixtures/vip_peer.py").display().to_string()
}

impl Bench {
    fn up(vips: &str) -> Result<Self, Skip> {
        lb_tests::program::guideway_path()?;
        require_program("python3", "python3")?;
        let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
        for number in 1..=3 {
            let route = ["route", "add", "local", PREFIX, "dev", "lo"];
            lab.namespace(&format!("web{number}")).run("ip", &route, LIMIT).expect_success("local prefix");
        }
        let route = ["route", "add", PREFIX, "via", BALANCER_SOURCES[0], "dev", "eth0"];
        lab.namespace("client").run("ip", &route, LIMIT).expect_success("route of the prefix");
        let text = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
        let (head, rest) = text.split_once("vips:\n").expect("vips in it");
        let (_, tail) = rest.split_once("metrics:\n").expect("metrics in it");
        let path = lab.folder().join("vips.yaml");
        std::fs::write(&path, format!("{head}vips:\n{vips}metrics:\n{tail}")).expect("configuration");
        let balancer = Balancer::start_with(&lab, &path)?;
        Ok(Self { balancer, servers: Vec::new(), lab })
    }

    /// Starts a server in every backend; `words` may hold NAME, READY and LOG.
    fn serve(&mut self, words: &[&str]) {
        for number in 1..=3 {
            let ready = self.lab.folder().join(format!("ready-{number}-{}", self.servers.len()));
            let (name, log) = (format!("web-{number}"), self.log(number).display().to_string());
            let ready_text = ready.display().to_string();
            let fill = |word: &&str| match *word {
                "NAME" => name.clone(),
                "READY" => ready_text.clone(),
                "LOG" => log.clone(),
                other => other.to_owned(),
            };
            let arguments: Vec<String> = std::iter::once(peer()).chain(words.iter().map(fill)).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut server = self.lab.namespace(&format!("web{number}")).start("python3", &arguments);
            let is_up = wait_until(LIMIT, || ready.exists() || server.ended().is_some());
            assert!(is_up && server.ended().is_none(), "{words:?}: {}", server.stderr_so_far());
            self.servers.push(server);
        }
    }

    fn log(&self, number: u8) -> PathBuf {
        self.lab.folder().join(format!("packets-{number}.log"))
    }

    fn client(&self, words: &[&str]) -> Vec<String> {
        let peer = peer();
        let arguments: Vec<&str> = std::iter::once(&*peer).chain(words.iter().copied()).collect();
        let finished = self.lab.namespace("client").run("python3", &arguments, LIMIT);
        finished.expect_success("client").lines().map(str::to_owned).collect()
    }

    /// More addresses of the client.
    fn sources(&self, count: u8) -> Vec<String> {
        let add = |at: u8| {
            let source = format!("198.51.100.{}", 100 + at);
            let arguments = ["addr", "add", &format!("{source}/24"), "dev", "eth0"];
            self.lab.namespace("client").run("ip", &arguments, LIMIT).expect_success("another source");
            source
        };
        (0..count).map(add).collect()
    }

    fn end(self) {
        let scrape = self.balancer.metrics_at_rest();
        let balance = scrape.balance();
        assert!(balance.holds(), "received = sent + answered + punted + dropped: {balance:?}");
        let finished = self.balancer.stop("TERM");
        assert!(finished.status.success(), "SIGTERM: {}\n{}", finished.status, finished.stderr);
    }
}

fn prefixes_and_ranges() -> Result<(), Skip> {
    let mut bench = Bench::up(
        "  - {name: prefix, addresses: [203.0.113.64/26], ports: [8000-8009, 9000], protocol: tcp, pool: web}\n  \
         - {name: host, addresses: [203.0.113.70], ports: [8005], protocol: tcp, pool: web, hash: source_address}\n  \
         - {name: any-port, addresses: [203.0.113.80], protocol: tcp, pool: web, sessions: none}\n",
    )?;
    bench.serve(&["tcp", "NAME", "READY", "8000", "8005", "8009", "9000", "12345"]);
    let names = |address: &str, port: &str| {
        let names = bench.client(&["ask-tcp", address, port, "40"]);
        assert_eq!(names.len(), 40);
        names.into_iter().collect::<BTreeSet<_>>()
    };
    // Of forty connections none of three backends is left out but once in ten million.
    for (address, port) in [
        ("203.0.113.65", "8000"),
        ("203.0.113.127", "8009"),
        ("203.0.113.70", "8000"),
        ("203.0.113.65", "9000"),
    ] {
        assert_eq!(names(address, port).len(), 3, "{address}:{port}");
    }
    assert_eq!(names("203.0.113.70", "8005").len(), 1, "by the client's address: one backend");
    assert_eq!(names("203.0.113.80", "12345").len(), 3, "any port of one address");
    let scrape = bench.balancer.metrics_at_rest();
    let of = |name: &str, vip: &str| -> f64 {
        let is_of = |one: &&lb_tests::prom::Sample| one.labels.get("vip").is_some_and(|label| label == vip);
        scrape.named(name).filter(is_of).map(|one| one.value).sum()
    };
    let received = |vip: &str| of("guideway_vip_receive_packets_total", vip);
    let connections = |vip: &str| of("guideway_vip_connections_total", vip);
    assert!(received("prefix") >= 4.0 * 160.0 && received("host") >= 4.0 * 40.0);
    assert!((connections("prefix"), connections("host")) == (160.0, 40.0), "each by the VIP that is nearest");
    assert!(received("any-port") >= 160.0 && connections("any-port") == 0.0, "and without sessions no entry");
    bench.end();
    Ok(())
}

#[test]
fn prefixes_ranges_and_any_port_are_served_by_precedence() {
    unless(prefixes_and_ranges());
}

fn protocols_without_ports() -> Result<(), Skip> {
    const SOURCES: u8 = 20;
    const PROTOCOLS: [&str; 3] = ["50", "47", "132"];
    let mut bench =
        Bench::up(&format!("  - {{name: all, addresses: [{VIP4}], protocol: any, pool: web}}\n"))?;
    bench.serve(&["raw", "READY", "LOG", "50", "47", "132"]);
    let sources = bench.sources(SOURCES);
    // An SCTP INIT from port 5000 to 36412; the others may be anything, and GRE of an unknown protocol is no tunnel.
    let payload = "13888e3c000000005ab1c2d3010000140102030400010000000a000a01020304";
    for protocol in PROTOCOLS {
        for _ in 0..3 {
            let words = ["send", protocol, VIP4, payload];
            let words: Vec<&str> = words.into_iter().chain(sources.iter().map(String::as_str)).collect();
            bench.client(&words);
        }
    }
    let packets = usize::from(SOURCES) * PROTOCOLS.len() * 3;
    let logs = || -> Vec<String> {
        (1..=3).map(|number| std::fs::read_to_string(bench.log(number)).unwrap_or_default()).collect()
    };
    let all = || logs().iter().map(|log| log.lines().count()).sum::<usize>() >= packets;
    assert!(wait_until(Duration::from_secs(20), all), "of {packets} packets: {:#?}", logs());
    let mut flows: BTreeMap<(String, String), BTreeSet<usize>> = BTreeMap::new();
    for (backend, log) in logs().iter().enumerate() {
        for line in log.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[2], payload, "whole and unchanged: {line}");
            flows.entry((words[0].to_owned(), words[1].to_owned())).or_default().insert(backend);
        }
    }
    assert_eq!(flows.len(), usize::from(SOURCES) * PROTOCOLS.len(), "every protocol from every source");
    assert!(flows.values().all(|backends| backends.len() == 1), "a flow has one backend: {flows:?}");
    let used: BTreeSet<usize> = flows.values().flatten().copied().collect();
    assert_eq!(used.len(), 3, "sixty flows use three backends");
    bench.end();
    Ok(())
}

#[test]
fn esp_gre_and_sctp_arrive_whole_at_one_backend() {
    unless(protocols_without_ports());
}

fn port_slices() -> Result<(), Skip> {
    let mut bench = Bench::up(&format!(
        "  - name: sliced\n    addresses: [{VIP4}]\n    protocol: udp\n    pool: web\n    slices:\n      \
         - {{ports: 1024-2047, backend: web-1}}\n      - {{ports: 2048-4095, backend: web-2}}\n      \
         - {{ports: 5000, backend: web-3}}\n"
    ))?;
    let ports = ["1024", "1500", "2047", "2048", "4095", "4096", "5000"];
    let words: Vec<&str> = ["udp", "NAME", "READY", VIP4].into_iter().chain(ports).collect();
    bench.serve(&words);
    let expected =
        ["1024 web-1", "1500 web-1", "2047 web-1", "2048 web-2", "4095 web-2", "4096 -", "5000 web-3"];
    // Whoever asks: the owner of a port is that of the port.
    for source in bench.sources(4) {
        let words: Vec<&str> = ["ask-udp", &source, VIP4].into_iter().chain(ports).collect();
        assert_eq!(bench.client(&words), expected, "from {source}");
    }
    let scrape = bench.balancer.metrics_at_rest();
    assert_eq!(scrape.sum("guideway_connection_table_insertions_total"), 0.0, "no state");
    bench.end();
    Ok(())
}

#[test]
fn every_slice_goes_to_its_owner_without_state() {
    unless(port_slices());
}
