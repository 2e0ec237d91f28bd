//! The punt interface over real kernels: what is not VIP traffic reaches the balancer's own Linux, and its answers leave.
//!
//! Promises kept here: neighbour discovery, ping and TCP work both ways through the DPDK port for IPv4 and IPv6, VIP
//! traffic goes on meanwhile, the counters add up, an idle balancer still sleeps, and the interface goes with the process.

use std::fs;
use std::time::{Duration, Instant};

use lb_tests::balancer::Balancer;
use lb_tests::client::get;
use lb_tests::lab::{BALANCER_MAC, BALANCER_SOURCES, Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::process::wait_until;
use lb_tests::skip::{Skip, require_program, unless};

const TAP: &str = "gw-uplink0";
const LIMIT: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(3);
const SHARE_MAX: f64 = 0.05;

/// The lab and its balancer with a punt interface; `workers` is the line of the configuration, if any.
fn started(workers: &str) -> Result<(Lab, Balancer), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("ping", "iputils-ping")?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let text = fs::read_to_string(lab.config()).expect("the lab's configuration");
    let text = text.replace("      addresses: [", &format!("      punt: {TAP}\n      addresses: ["));
    let text = text.replace("idle: adaptive", &format!("idle: adaptive{workers}"));
    assert!(text.contains(TAP), "{text}");
    let config = lab.folder().join("punt.yaml");
    fs::write(&config, text).expect("written");
    let balancer = Balancer::start_with(&lab, &config)?;
    // The lab has told the client by hand what it must now find out itself.
    for address in BALANCER_SOURCES {
        let arguments = ["neigh", "del", address, "dev", "eth0"];
        lab.namespace("client").run("ip", &arguments, LIMIT).expect_success("forget the balancer");
    }
    Ok((lab, balancer))
}

fn ping(lab: &Lab, address: &str) -> bool {
    let arguments = ["-n", "-c", "3", "-i", "0.2", "-W", "2", address];
    let finished = lab.namespace("client").run("ping", &arguments, LIMIT);
    finished.status.success()
        && finished.stdout.contains(" 0% packet loss")
        && !finished.stdout.contains("DUP")
}

/// Downloads a file over TCP from the balancer's own address: from a server on its kernel.
fn fetch(lab: &Lab, address: &str, bytes: usize) -> usize {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let url = format!("http://{host}:8088/body");
    let arguments = ["--silent", "--show-error", "--fail", "--max-time", "10", "--output", "/dev/null"];
    let arguments = [&arguments[..], &["--write-out", "%{size_download}", &url]].concat();
    let finished = lab.namespace("client").run("curl", &arguments, LIMIT);
    assert!(finished.status.success(), "{url}: {} (of {bytes} bytes)", finished.stderr);
    finished.stdout.trim().parse().expect("a number")
}

fn works(workers: &str) -> Result<(), Skip> {
    const BYTES: usize = 300_000;
    let (lab, balancer) = started(workers)?;
    let shown = lab.namespace("lb").run("ip", &["address", "show", "dev", TAP], LIMIT).expect_success(TAP);
    for part in [BALANCER_MAC, "198.51.100.11/24", "2001:db8:100::11/64", "UP"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    assert!(hears_all_multicast(&lab), "only the kernel knows its groups");
    // Duplicate address detection takes its second before the first answer over IPv6.
    for address in BALANCER_SOURCES {
        assert!(wait_until(LIMIT, || ping(&lab, address)), "{address} answers a ping");
    }
    let neighbours =
        lab.namespace("client").run("ip", &["neigh", "show"], LIMIT).expect_success("neighbours");
    for address in BALANCER_SOURCES {
        let found = neighbours.lines().find(|line| line.starts_with(&format!("{address} ")));
        assert!(found.is_some_and(|line| line.contains(BALANCER_MAC)), "{address}: {neighbours}");
    }
    fs::write(lab.folder().join("body"), vec![b'x'; BYTES]).expect("a file to serve");
    let folder = lab.folder().to_string_lossy();
    let server = ["-m", "http.server", "8088", "--bind", "::", "--directory", &folder];
    let server = lab.namespace("lb").start("/usr/bin/python3", &server);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| (get(&lab, VIP4, 200), get(&lab, VIP6, 200)));
        for address in BALANCER_SOURCES {
            assert!(wait_until(LIMIT, || is_open(&lab, address)), "the server listens on {address}");
            assert_eq!(fetch(&lab, address, BYTES), BYTES, "{address}");
        }
        let (v4, v6) = traffic.join().expect("the client of the VIPs");
        assert_eq!((v4.good(), v6.good()), (200, 200), "{:?} {:?}", v4.failures, v6.failures);
    });
    server.signal("TERM");
    server.finish(LIMIT);

    let scrape = balancer.metrics_at_rest();
    assert!(
        scrape.balance().holds(),
        "received = sent + answered + punted + dropped: {:?}",
        scrape.balance()
    );
    let (punted, injected) = (
        scrape.sum("guideway_port_punted_packets_total"),
        scrape.sum("guideway_port_injected_packets_total"),
    );
    assert!(punted > 50.0 && injected > 50.0, "punted {punted}, injected {injected}");
    assert_eq!(scrape.sum("guideway_port_injected_refused_packets_total"), 0.0);
    sleeps(&balancer);
    assert!(ping(&lab, BALANCER_SOURCES[0]), "it wakes up for the kernel's frames");

    let finished = balancer.stop("TERM");
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    assert!(finished.stderr.contains("all packets accounted for"), "{}", finished.stderr);
    assert!(!hears_all_multicast(&lab), "the NIC is left as it was found");
    let devices = lab.namespace("lb").devices();
    assert!(!devices.iter().any(|device| device == TAP), "the interface goes with the process: {devices:?}");
    Ok(())
}

/// Whether the balancer's NIC takes frames for every multicast address.
fn hears_all_multicast(lab: &Lab) -> bool {
    lab.namespace("lb")
        .run("ip", &["link", "show", "nic0"], LIMIT)
        .expect_success("the NIC")
        .contains("ALLMULTI")
}

fn is_open(lab: &Lab, address: &str) -> bool {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let arguments = ["--silent", "--max-time", "2", "--output", "/dev/null", &format!("http://{host}:8088/")];
    lab.namespace("client").run("curl", &arguments, LIMIT).status.success()
}

fn sleeps(balancer: &Balancer) {
    let (used_before, began) = (balancer.process().cpu_time().expect("running"), Instant::now());
    std::thread::sleep(WATCHED);
    let used = balancer.process().cpu_time().expect("still running").saturating_sub(used_before);
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < SHARE_MAX, "an idle balancer uses {:.1} % of a core", share * 100.0);
}

#[test]
fn linux_works_beside_the_balancer() {
    unless(works(""));
}

#[test]
fn linux_works_beside_two_workers_on_one_queue() {
    unless(works("\n  workers: [0, 1]"));
}

fn taken_name() -> Result<(), Skip> {
    let program = lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let text = fs::read_to_string(lab.config()).expect("the lab's configuration");
    let config = lab.folder().join("taken.yaml");
    fs::write(&config, text.replace("      addresses: [", "      punt: dummy0\n      addresses: ["))
        .expect("written");
    let namespace = lab.namespace("lb");
    // Of whatever kind: a cable is what every kernel has.
    let made = ["link", "add", "dummy0", "type", "veth", "peer", "name", "dummy1"];
    namespace.run("ip", &made, LIMIT).expect_success("an interface of that name");
    let (config, state) = (config.to_string_lossy(), lab.folder().join("state"));
    let (socket, state) = (lab.folder().join("a.sock"), state.to_string_lossy().into_owned());
    let socket = socket.to_string_lossy();
    let arguments = ["run", "-c", &config, "--state-dir", &state, "--admin-socket", &socket];
    let finished = namespace.run(&program.to_string_lossy(), &arguments, LIMIT);
    assert!(!finished.status.success());
    for part in [
        "port `uplink0`",
        "punt interface `dummy0`",
        "there is an interface `dummy0` already",
        "choose another name",
    ] {
        assert!(finished.stderr.contains(part), "{part} is not in\n{}", finished.stderr);
    }
    Ok(())
}

#[test]
fn a_name_that_is_taken_is_refused_with_the_mend() {
    unless(taken_name());
}
