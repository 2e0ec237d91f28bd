//! Health checks through the tunnel against real nginx: they see what `via: direct` cannot see, a lost decapsulation.
//!
//! Promises kept here: every encapsulation and both families carry a probe to its own backend, there and back; a
//! backend that no longer decapsulates is out in time and back in time, while a direct check of it stays up; what the
//! kernel was told for it is taken back; and every packet is accounted for.

use std::time::{Duration, Instant};

use lb_tests::client::get;
use lb_tests::lab::{BALANCER_SOURCES, Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
use lb_tests::skip::{Skip, unless};

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(400);
const FALL: u32 = 3;
const RISE: u32 = 2;
/// For two busy cores, the look at the state, and the workers' turn.
const SLACK: Duration = Duration::from_secs(2);
const REQUESTS: usize = 60;
const TAP: &str = "gw-uplink0";
const COMMAND: Duration = Duration::from_secs(5);
const NAMES: [&str; 3] = ["web-1", "web-2", "web-3"];

/// The lab's configuration with a punt interface, a tunnelled check of pool `web`, and pool `direct` of the same
/// backends with a direct one.
fn text(lab: &Lab, vips: &str) -> String {
    let frame = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
    let check = |via: &str| {
        format!(
            "    health_check:\n      http: {{port: 80, path: /}}\n      interval: {}ms\n      timeout: {}ms\n      \
             fall: {FALL}\n      rise: {RISE}\n      via: {via}\n",
            INTERVAL.as_millis(),
            TIMEOUT.as_millis()
        )
    };
    let (head, rest) = frame.split_once("pools:\n").expect("pools");
    let (pools, rest) = rest.split_once("vips:\n").expect("VIPs");
    let (_, tail) = rest.split_once("metrics:\n").expect("metrics");
    let head = head.replace("      mtu: 1600\n", &format!("      mtu: 1600\n      punt: {TAP}\n"));
    assert!(head.contains(TAP), "{head}");
    let own = |via: &str, name: &str| {
        let named = pools.replacen("  - name: web\n", &format!("  - name: {name}\n{}", check(via)), 1);
        assert!(named.contains("via:"), "{named}");
        named
    };
    let (tunnelled, direct) = (own("tunnel", "web"), own("direct", "direct"));
    format!(
        "{head}pools:\n{tunnelled}{direct}vips:\n  - {{name: web, addresses: [{vips}], ports: [80], protocol: tcp, \
         pool: web}}\n  - {{name: direct, addresses: [{VIP4}], ports: [81], protocol: tcp, pool: direct}}\n\
         metrics:\n{tail}"
    )
}

fn start(lab: &Lab, vips: &str) -> Result<Operator, Skip> {
    // The lab's balancer has no IPv6 on interfaces to come: its kernel takes no part without a punt interface.
    let keys = ["net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.all.disable_ipv6=0"];
    for key in keys {
        lab.namespace("lb").run("sysctl", &["-q", "-w", key], COMMAND).expect_success("sysctl");
    }
    Operator::start_text(lab, &text(lab, vips))
}

fn state(operator: &Operator, pool: &str, backend: &str) -> String {
    let document = operator.ask(&["backend", "show", &format!("{pool}/{backend}")]);
    document["health"]["state"].as_str().unwrap_or_default().to_owned()
}

fn all_up(operator: &Operator) {
    let is_up = |pool: &str| NAMES.iter().all(|name| state(operator, pool, name) == "up");
    let come = wait_until(Duration::from_secs(15), || is_up("web") && is_up("direct"));
    assert!(
        come,
        "{:?}\n{}\n{}",
        operator.events(),
        operator.ask(&["backend", "show", "web/web-1"]),
        operator.balancer.process().stderr_so_far()
    );
}

/// What `health probe` tells, as one text.
fn probe(operator: &Operator, backend: &str) -> (bool, String) {
    let finished = operator.command(&["health", "probe", &format!("web/{backend}"), "-o", "json"]);
    (finished.status.success(), finished.stdout + &finished.stderr)
}

/// Probes go on, so a scrape may come between a packet and what became of it; what is lost stays lost.
fn balanced(operator: &Operator) {
    let mut balance = operator.metrics().balance();
    let holds = wait_until(Duration::from_secs(5), || {
        balance = operator.metrics().balance();
        balance.holds()
    });
    assert!(holds, "received = sent + answered + punted + dropped: {balance:?}");
    assert!(operator.metrics().sum("guideway_port_injected_packets_total") > 0.0, "probes are injected");
}

/// Every request for a probe came in at the VIP, from the port's own address: it has gone through the tunnel.
fn probes_came_by_the_vip(lab: &Lab, vip: &str) {
    for backend in lab.backends() {
        let own = || {
            let requests = backend.requests();
            let probes = requests.iter().filter(|request| request.server == vip && request.status == 200);
            probes.filter(|request| BALANCER_SOURCES.contains(&request.client.as_str())).count()
        };
        // The first decides; more must follow.
        let more = wait_until(Duration::from_secs(10), || own() >= 3);
        assert!(more, "{}: {} probes at {vip}: {:?}", backend.name(), own(), backend.requests());
    }
}

fn ip(lab: &Lab, arguments: &[&str]) -> String {
    lab.namespace("lb").run("ip", arguments, COMMAND).stdout
}

fn healthy(encap: Encap, outer: Outer, vips: [&str; 2]) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(encap, outer, Pmd::AfPacket)?;
    let quoted = vips.map(|vip| format!("\"{vip}\""));
    let operator = start(&lab, &quoted.join(", "))?;
    all_up(&operator);
    let (is_good, steps) = probe(&operator, "web-2");
    assert!(is_good, "{steps}");
    for word in ["tunnel", "record ", TAP, "connect", "request", vips[0]] {
        assert!(steps.contains(word), "no `{word}` in {steps}");
    }
    probes_came_by_the_vip(&lab, vips[0]);
    for vip in vips {
        let answers = get(&lab, vip, REQUESTS);
        assert_eq!(answers.good(), REQUESTS, "{vip}: {:?}", answers.failures);
    }
    balanced(&operator);

    let family = if vips[0].contains(':') { "-6" } else { "-4" };
    assert!(ip(&lab, &[family, "rule"]).contains(TAP), "the rule is there while it runs");
    let finished = operator.balancer.stop("TERM");
    assert!(finished.status.success(), "SIGTERM: {}\n{}", finished.status, finished.stderr);
    let rules = ip(&lab, &[family, "rule"]);
    assert!(!rules.contains(TAP) && !rules.contains("17737"), "and gone when it has stopped: {rules}");
    Ok(())
}

/// Takes the decapsulation off a backend, or puts it back.
fn decapsulation(lab: &Lab, number: u8, is_on: bool) {
    let namespace = lab.namespace(&format!("web{number}"));
    if lab.receiver(&format!("web{number}")).as_deref() == Some("kernel") {
        let state = if is_on { "up" } else { "down" };
        for device in namespace.devices().iter().filter(|device| device.starts_with("tunnel")) {
            namespace.run("ip", &["link", "set", device, state], COMMAND).expect_success("ip");
        }
        return;
    }
    let object = lab.folder().join("decap.bpf.o").to_string_lossy().into_owned();
    let arguments: &[&str] = match is_on {
        true => &["filter", "add", "dev", "eth0", "ingress", "bpf", "da", "obj", &object, "sec", "tc"],
        false => &["filter", "del", "dev", "eth0", "ingress"],
    };
    namespace.run("tc", arguments, COMMAND).expect_success("tc");
}

fn lost_and_found(encap: Encap, vip: &str) -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(encap, Outer::V4, Pmd::AfPacket)?;
    let operator = start(&lab, &format!("\"{vip}\""))?;
    all_up(&operator);

    decapsulation(&lab, 2, false);
    let start = Instant::now();
    let limit = FALL * INTERVAL + TIMEOUT + SLACK;
    let is_out = wait_until(limit, || state(&operator, "web", "web-2") == "down");
    eprintln!("{encap:?}: out after {:.2?}; fall x interval + timeout: {:?}", start.elapsed(), limit - SLACK);
    assert!(is_out, "{}", operator.ask(&["backend", "show", "web/web-2"]));
    // Three more intervals: long enough for a direct check to fall.
    std::thread::sleep(FALL * INTERVAL + TIMEOUT);
    assert_eq!(state(&operator, "direct", "web-2"), "up", "nginx answers on its own address");
    assert_eq!(
        (state(&operator, "web", "web-1"), state(&operator, "web", "web-3")),
        ("up".into(), "up".into())
    );
    let (is_good, steps) = probe(&operator, "web-2");
    assert!(!is_good && steps.contains("decapsulate") && steps.contains("timeout"), "{steps}");
    let answers = get(&lab, vip, REQUESTS);
    assert_eq!(answers.good(), REQUESTS, "{:?}", answers.failures);
    assert!(!answers.by_backend.contains_key("web-2"), "{:?}", answers.by_backend);

    decapsulation(&lab, 2, true);
    let start = Instant::now();
    let limit = RISE * INTERVAL + TIMEOUT + SLACK;
    let is_back = wait_until(limit, || state(&operator, "web", "web-2") == "up");
    eprintln!(
        "{encap:?}: back after {:.2?}; rise x interval + timeout: {:?}",
        start.elapsed(),
        limit - SLACK
    );
    assert!(is_back, "its record is dead, and yet it is probed: {}", probe(&operator, "web-2").1);
    let answers = get(&lab, vip, REQUESTS);
    assert_eq!(answers.good(), REQUESTS, "{:?}", answers.failures);
    assert!(answers.by_backend.contains_key("web-2"), "{:?}", answers.by_backend);
    balanced(&operator);
    Ok(())
}

/// The balancer's own host holds the VIP, as hosts do that announce it.
fn with_the_vip_on_the_loopback() -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let operator = start(&lab, &format!("{VIP4}, \"{VIP6}\""))?;
    ip(&lab, &["address", "add", &format!("{VIP4}/32"), "dev", "lo"]);
    all_up(&operator);
    // Found out within a look.
    let is_well = wait_until(Duration::from_secs(12), || probe(&operator, "web-1").0);
    assert!(is_well, "{}", probe(&operator, "web-1").1);
    std::thread::sleep(FALL * INTERVAL + TIMEOUT);
    assert!(probe(&operator, "web-1").0);
    assert_eq!(NAMES.map(|name| state(&operator, "web", name)), ["up", "up", "up"]);
    balanced(&operator);
    Ok(())
}

#[test]
fn probes_go_through_ipip_to_an_ipv4_vip() {
    unless(healthy(Encap::Ipip, Outer::V4, [VIP4, VIP6]));
}

#[test]
fn probes_go_through_ipip_over_ipv6_to_an_ipv6_vip() {
    unless(healthy(Encap::Ipip, Outer::V6, [VIP6, VIP4]));
}

#[test]
fn probes_go_through_gue_to_an_ipv6_vip() {
    unless(healthy(Encap::Gue, Outer::V4, [VIP6, VIP4]));
}

#[test]
fn probes_go_by_l2dsr_to_an_ipv4_vip() {
    unless(healthy(Encap::L2dsr, Outer::V4, [VIP4, VIP6]));
}

#[test]
fn a_backend_that_lost_its_ipip_decapsulation_is_out_and_back_in_time() {
    unless(lost_and_found(Encap::Ipip, VIP4));
}

#[test]
fn a_backend_that_lost_its_gue_decapsulation_is_out_and_back_in_time() {
    unless(lost_and_found(Encap::Gue, VIP6));
}

#[test]
fn probes_work_on_a_host_that_holds_the_vip() {
    unless(with_the_vip_on_the_loopback());
}
