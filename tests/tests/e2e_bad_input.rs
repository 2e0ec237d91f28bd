//! What an operator can get wrong: one message that names the thing and the mend, a failing exit code, nothing left behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lb_tests::lab::{Encap, Lab, Outer, Pmd, config_text};
use lb_tests::process::{Finished, run};
use lb_tests::program::{guideway, guideway_path};
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(20);

/// What a failed start could leave on the machine: hugepage files, DPDK's runtime files, network devices, namespaces.
fn traces() -> BTreeSet<String> {
    let runtime =
        std::fs::read_dir("/var/run/dpdk").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = BTreeSet::new();
    for folder in
        runtime.chain(["/dev/hugepages", "/mnt/huge", "/run/netns", "/sys/class/net"].map(PathBuf::from))
    {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        // Other tests make and remove their own labs meanwhile.
        let names =
            names.map(|entry| entry.path().display().to_string()).filter(|name| !name.contains("gwlab-"));
        found.extend(names);
    }
    found
}

/// Runs with a configuration that must be refused; every word must be in the message.
fn refused(mut command: Command, config: &str, words: &[&str]) -> Finished {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("guideway.yaml");
    std::fs::write(&file, config).expect("write the configuration");
    // One at a time: what one start has open for a moment is not what another has left behind.
    let lock = File::create(std::env::temp_dir().join("gwlab-traces.lock")).expect("lock file");
    lock.lock().expect("lock");
    let before = traces();
    let finished = run(command.args(["run", "-c"]).arg(&file), LIMIT);
    assert!(!finished.timed_out, "it must end by itself:\n{}", finished.stderr);
    assert!(
        finished.status.code().is_some_and(|code| code != 0),
        "exit: {}\n{}",
        finished.status,
        finished.stderr
    );
    for word in words {
        assert!(finished.stderr.contains(word), "`{word}` is not in the message:\n{}", finished.stderr);
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    assert_eq!(traces(), before, "something is left behind");
    let runtime =
        std::fs::read_dir("/var/run/dpdk").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let own = runtime.filter(|name| name.to_string_lossy().ends_with(&format!("-{}", finished.pid)));
    assert_eq!(own.count(), 0, "its runtime folder is left in /var/run/dpdk");
    finished
}

/// The lab's configuration on a device that needs no namespace.
fn config_on(device: &str) -> String {
    config_text(Encap::Ipip, Pmd::AfPacket).replace("net_af_packet0,iface=nic0,framecnt=2048", device)
}

fn absent_interface(driver: &str) -> Result<(), Skip> {
    refused(guideway()?, &config_on(&format!("{driver},iface=absent0")), &["absent0"]);
    Ok(())
}

#[test]
fn an_absent_interface_is_named() {
    unless(absent_interface("net_af_packet0"));
}

#[test]
fn an_absent_interface_is_named_by_af_xdp() {
    unless(absent_interface("net_af_xdp0"));
}

#[test]
fn an_absent_pci_device_is_named() {
    let attempt = || -> Result<(), Skip> {
        refused(guideway()?, &config_on("0000:7f:1f.7"), &["0000:7f:1f.7"]);
        Ok(())
    };
    unless(attempt());
}

#[test]
fn missing_hugepages_are_named_with_the_mend() {
    let attempt = || -> Result<(), Skip> {
        let reserved = std::fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
        if reserved.trim() != "0" {
            return Err(Skip(format!("this machine has {} hugepages reserved", reserved.trim())));
        }
        let config = config_on("net_null0").replace("hugepages: false", "hugepages: true");
        refused(guideway()?, &config, &["hugepages", "hugepages: false"]);
        Ok(())
    };
    unless(attempt());
}

#[test]
fn a_missing_capability_is_named() {
    let attempt = || -> Result<(), Skip> {
        require_program("setpriv", "util-linux")?;
        let program = guideway_path()?;
        let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
        let mut command = lab.namespace("lb").command("setpriv");
        // Root without capabilities: what a container gives by default, only stricter.
        command.args(["--inh-caps=-all", "--bounding-set=-all"]).arg(program);
        let config = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
        refused(command, &config, &["nic0", "CAP_NET_"]);
        Ok(())
    };
    unless(attempt());
}

#[test]
fn a_port_that_cannot_start_is_named() {
    let attempt = || -> Result<(), Skip> {
        let program = guideway_path()?;
        let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfXdp)?;
        // veth carries XDP only when its peer's MTU leaves a frame in one page.
        let config = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
        let mut command = lab.namespace("lb").command(&program.to_string_lossy());
        command.env("NO_COLOR", "1");
        refused(command, &config.replace("mtu: 1600", "mtu: 9000"), &["uplink0", "9000"]);
        Ok(())
    };
    unless(attempt());
}

#[test]
fn a_busy_metrics_port_is_named() {
    let attempt = || -> Result<(), Skip> {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = taken.local_addr().expect("address").to_string();
        refused(guideway()?, &config_on("net_null0").replace("127.0.0.1:9843", &address), &[&address]);
        Ok(())
    };
    unless(attempt());
}

#[test]
fn an_invalid_configuration_is_status_3_and_an_absent_one_says_where() {
    let attempt = || -> Result<(), Skip> {
        let config = config_on("net_null0").replace("table_size: 65537", "table_size: 65536");
        let finished = refused(guideway()?, &config, &["table_size", "65537"]);
        assert_eq!(finished.status.code(), Some(3));
        let absent = PathBuf::from("no-such-folder").join("guideway.yaml");
        let finished = run(guideway()?.args(["run", "-c"]).arg(&absent), LIMIT);
        assert!(
            !finished.status.success() && finished.stderr.contains("no-such-folder"),
            "{}",
            finished.stderr
        );
        Ok(())
    };
    unless(attempt());
}

#[test]
fn wrong_usage_is_status_2() {
    let attempt = || -> Result<(), Skip> {
        let finished = run(guideway()?.arg("--no-such-option"), LIMIT);
        assert_eq!(finished.status.code(), Some(2), "{}", finished.stderr);
        Ok(())
    };
    unless(attempt());
}
