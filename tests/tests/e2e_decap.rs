//! The decapsulator of agent/decap under a real kernel: scapy sends, a plain UDP socket behind it receives.
//!
//! Promises kept here: every form over and with either family arrives, by its tc and by its XDP program; the ECN field
//! goes inward by the table of RFC 6040 section 4.2, with the inner checksum right; the DSCP inside stays; what must not
//! be taken for a tunnel of ours does not arrive.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lb_tests::netns::Namespace;
use lb_tests::process::{run, wait_until};
use lb_tests::program::repository;
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(60);
const MAC: &str = "02:00:00:00:00:21";

/// RFC 6040 section 4.2, figure 4, by outer and inner field (00 Not-ECT, 01 ECT(1), 10 ECT(0), 11 CE): what arrives;
/// `None`: a drop.
const INWARD: [[Option<u8>; 4]; 4] = [
    [Some(0), Some(1), Some(2), Some(3)],
    [Some(0), Some(1), Some(1), Some(3)],
    [Some(0), Some(1), Some(2), Some(3)],
    [None, Some(3), Some(3), Some(3)],
];

const FORMS: [&str; 9] =
    ["ipip", "gre", "gre-key", "gue0", "gue1", "vxlan", "geneve", "geneve-ip", "geneve-option"];

/// The two ends of a cable; both namespaces go when it does.
struct Pair {
    near: Namespace,
    far: Namespace,
}

impl Pair {
    fn new() -> Result<Self, Skip> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = format!("gwlab-{}-d{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let pair =
            Self { near: Namespace::named(format!("{id}-near")), far: Namespace::named(format!("{id}-far")) };
        for namespace in [&pair.near, &pair.far] {
            let made = run(Command::new("ip").args(["netns", "add", namespace.name()]), LIMIT);
            if !made.status.success() {
                return Err(Skip(format!(
                    "cannot make network namespaces, run as root: {}",
                    made.stderr.trim()
                )));
            }
        }
        let far = pair.far.name();
        let cable = ["link", "add", "eth0", "numrxqueues", "1", "numtxqueues", "1", "type", "veth", "peer"];
        let peer = ["name", "eth0", "address", MAC, "numrxqueues", "1", "numtxqueues", "1", "netns", far];
        in_namespace(&pair.near, "ip", &[&cable[..], &peer].concat());
        in_namespace(&pair.near, "ip", &["link", "set", "eth0", "up"]);
        let filter = ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0"];
        in_namespace(&pair.far, "sysctl", &[&["-q", "-w"][..], &filter].concat());
        // The kernel verifies what arrives, as behind a NIC without that.
        in_namespace(&pair.far, "ethtool", &["-K", "eth0", "rx", "off", "tx", "off", "gro", "off"]);
        in_namespace(&pair.far, "ip", &["link", "set", "lo", "up"]);
        in_namespace(&pair.far, "ip", &["addr", "add", "203.0.113.10/32", "dev", "lo"]);
        in_namespace(&pair.far, "ip", &["addr", "add", "2001:db8:cafe::10/128", "dev", "lo", "nodad"]);
        in_namespace(&pair.far, "ip", &["addr", "add", "198.51.100.21/24", "dev", "eth0"]);
        in_namespace(&pair.far, "ip", &["link", "set", "eth0", "up"]);
        Ok(pair)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            run(Command::new("ip").args(["netns", "del", namespace.name()]), LIMIT);
        }
    }
}

fn in_namespace(namespace: &Namespace, program: &str, arguments: &[&str]) {
    namespace.run(program, arguments, LIMIT).expect_success(program);
}

fn compiled(folder: &Path) -> String {
    let source = repository().join("agent/decap/decap.bpf.c");
    let object = folder.join("decap.bpf.o");
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let mut clang = Command::new("clang");
    clang.args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", &include, "-c"]).arg(source);
    run(clang.arg("-o").arg(&object), LIMIT).expect_success("clang");
    object.to_string_lossy().into_owned()
}

/// What must arrive: the payload, and the ECN field and DSCP that it arrives with.
fn expected() -> BTreeMap<String, String> {
    let mut expected = BTreeMap::new();
    for form in FORMS {
        for (outer, inner) in [(4, 4), (4, 6), (6, 4), (6, 6)] {
            for (outer_ecn, row) in INWARD.iter().enumerate() {
                for (inner_ecn, arrives) in row.iter().enumerate() {
                    let case =
                        format!("{form} over {outer} inside {inner} outer {outer_ecn} inner {inner_ecn}");
                    if let Some(ecn) = arrives {
                        expected.insert(case, format!("{ecn} dscp 46"));
                    }
                }
            }
        }
    }
    expected
}

fn taken_off(program: &str) -> Result<(), Skip> {
    for (program, package) in [("clang", "clang"), ("ethtool", "ethtool"), ("tc", "iproute2")] {
        require_program(program, package)?;
    }
    let scapy = run(Command::new("/usr/bin/python3").args(["-c", "import scapy.contrib.geneve"]), LIMIT);
    if !scapy.status.success() {
        return Err(Skip("scapy is not installed (apt-get install python3-scapy)".to_owned()));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = compiled(folder.path());
    let pair = Pair::new()?;
    if program == "tc" {
        in_namespace(&pair.far, "tc", &["qdisc", "add", "dev", "eth0", "clsact"]);
        let filter = ["filter", "add", "dev", "eth0", "ingress", "bpf", "da", "obj", &object, "sec", "tc"];
        in_namespace(&pair.far, "tc", &filter);
    } else {
        in_namespace(
            &pair.far,
            "ip",
            &["link", "set", "dev", "eth0", "xdpdrv", "obj", &object, "sec", "xdp"],
        );
    }
    let script = repository().join("tests/fixtures/decap.py").to_string_lossy().into_owned();
    let receiver = pair.far.start("/usr/bin/python3", &[&script, "receive"]);
    assert!(wait_until(LIMIT, || receiver.stderr_so_far().contains("ready")), "{}", receiver.stderr_so_far());
    in_namespace(&pair.near, "/usr/bin/python3", &[&script, "send", "eth0", MAC]);
    let arrived = receiver.finish(LIMIT).expect_success("decap.py receive");
    let arrived: BTreeMap<String, String> = arrived
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(case, what)| (case.to_owned(), what.to_owned()))
        .collect();
    let expected = expected();
    for (case, what) in &expected {
        assert_eq!(arrived.get(case), Some(what), "{program}: {case}");
    }
    let too_much: Vec<_> = arrived.keys().filter(|case| !expected.contains_key(*case)).collect();
    assert!(too_much.is_empty(), "{program}: {too_much:?}");
    assert_eq!(arrived.len(), FORMS.len() * 4 * 15, "{program}");
    Ok(())
}

#[test]
fn tc_takes_every_form_off_and_carries_ecn_inward() {
    unless(taken_off("tc"));
}

#[test]
fn xdp_takes_every_form_off_and_carries_ecn_inward() {
    unless(taken_off("xdp"));
}
