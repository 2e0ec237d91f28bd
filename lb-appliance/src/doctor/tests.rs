//! Fixture hosts: a server as it should be, and every way to spoil it; virtual devices must not complain.

use std::path::Path;

use super::*;
use crate::config::parse;

const LAB: &str = "version: 1
dataplane:
  memory: {hugepages: false, per_numa_node: 128MiB, mbufs_per_numa_node: 16383}
  ports: [{name: lab0, device: \"net_af_packet0,iface=gw0\", gateways: [{address: 10.0.0.1, mac: \"02:00:00:00:00:01\"}]}]
forwarding: {encapsulation: {source: {ipv4: 10.0.0.2}}}
pools: [{name: web, encap: {ipip: {}}, backends: [{name: a, address: 10.0.1.1}]}]
vips: [{name: web, addresses: [203.0.113.10], protocol: tcp, ports: [80], pool: web}]
metrics: {listen: \"127.0.0.1:0\"}
";

/// A tree of files.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| tree.put(path, text));
        tree
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(Path::new(target), path).unwrap();
    }

    fn examine(&self, config: &str) -> Report {
        let config = parse("t.yaml", config).unwrap();
        examine(Some(&config), &Host::at(self.0.path()))
    }
}

/// A server with one NIC on node 1, four CPUs, everything as it should be.
fn server() -> Tree {
    let tree = Tree::new(&[
        ("proc/self/status", "Uid:\t0\t0\t0\t0\nCapPrm:\t000001ffffffffff\nCpus_allowed_list:\t0-3\n"),
        (
            "proc/self/limits",
            "Max open files            20000                20000                files\nMax locked memory         unlimited            unlimited            bytes\n",
        ),
        ("proc/sys/vm/nr_hugepages", "1024\n"),
        ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu constant_tsc nonstop_tsc\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("sys/devices/system/cpu/isolated", "2-3\n"),
        ("sys/devices/system/cpu/nohz_full", "2-3\n"),
        ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2\n"),
        ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3\n"),
        ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n"),
        ("sys/devices/system/node/node0/cpulist", "0-1\n"),
        ("sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "512\n"),
        ("sys/devices/system/node/node1/cpulist", "2-3\n"),
        ("sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "512\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ("sys/kernel/iommu_groups/0/type", "DMA\n"),
        ("sys/bus/pci/devices/0000:3b:00.0/numa_node", "1\n"),
        ("run/guideway/.keep", ""),
    ]);
    tree.link("sys/bus/pci/devices/0000:3b:00.0/driver", "../../../bus/pci/drivers/vfio-pci");
    tree
}

fn server_config() -> String {
    let ports = "workers: [2, 3]\n  ports: [{name: up0, mtu: 1600, device: \"0000:3b:00.0\", gateways: [{address: 10.0.0.1, mac: \"02:00:00:00:00:01\"}]}]\n";
    let (before, after) = LAB.split_once("  memory: ").unwrap();
    let (_, after) = after.split_once("forwarding").unwrap();
    format!("{before}  {ports}forwarding{after}")
}

fn found(report: &Report, id: &str) -> Option<Severity> {
    report.findings.iter().filter(|finding| finding.id == id).map(|finding| finding.severity).max()
}

#[track_caller]
fn expect(tree: &Tree, config: &str, id: &str, severity: Severity) {
    let report = tree.examine(config);
    assert_eq!(found(&report, id), Some(severity), "{id}: {report:#?}");
    for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Ok) {
        assert!(
            finding.why.is_some() && finding.fix.as_ref().is_some_and(|fix| !fix.is_empty()),
            "{finding:?}"
        );
    }
}

#[test]
fn a_server_as_it_should_be_has_no_complaint() {
    let report = server().examine(&server_config());
    let bad: Vec<_> = report.findings.iter().filter(|finding| finding.severity != Severity::Ok).collect();
    let by_this_cpu = |finding: &&&Finding| finding.id != "cpu.instruction_set";
    assert_eq!(bad.iter().filter(by_this_cpu).collect::<Vec<_>>(), Vec::<&&Finding>::new());
    for id in [
        "memory.hugepages",
        "cpu.present",
        "cpu.numa",
        "cpu.isolation",
        "device.driver",
        "device.iommu",
        "network.mtu",
    ] {
        assert_eq!(found(&report, id), Some(Severity::Ok), "{id}");
    }
}

#[test]
fn every_spoilt_file_of_the_server_is_found() {
    for (path, text, id, severity) in [
        (
            "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages",
            "0",
            "memory.hugepages_node",
            Severity::Warning,
        ),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "always madvise [never]",
            "memory.transparent_hugepages",
            Severity::Warning,
        ),
        ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu\n", "cpu.clock", Severity::Warning),
        ("sys/devices/system/cpu/online", "0-2", "cpu.present", Severity::Error),
        (
            "proc/self/status",
            "CapPrm:\t000001ffffffffff\nCpus_allowed_list:\t0-1\n",
            "cpu.present",
            Severity::Error,
        ),
        ("sys/devices/system/cpu/isolated", "", "cpu.isolation", Severity::Warning),
        ("sys/devices/system/cpu/nohz_full", "(null)", "cpu.isolation", Severity::Warning),
        (
            "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
            "2-3",
            "cpu.siblings",
            Severity::Warning,
        ),
        (
            "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
            "powersave",
            "cpu.governor",
            Severity::Warning,
        ),
        ("sys/bus/pci/devices/0000:3b:00.0/numa_node", "0", "cpu.numa", Severity::Warning),
        ("proc/self/status", "CapPrm:\t0000000000000000\n", "process.capabilities", Severity::Error),
        (
            "proc/self/limits",
            "Max open files            64   64   files\n",
            "process.open_files",
            Severity::Warning,
        ),
        (
            "proc/net/fib_trie",
            "Local:\n     |-- 203.0.113.10\n        /32 host LOCAL\n",
            "network.vip_is_local",
            Severity::Warning,
        ),
    ] {
        let tree = server();
        tree.put(path, text);
        expect(&tree, &server_config(), id, severity);
    }
}

#[test]
fn hugepages_that_do_not_suffice_are_an_error_with_the_number_to_set() {
    let tree = server();
    for node in ["node0", "node1"] {
        tree.put(&format!("sys/devices/system/node/{node}/hugepages/hugepages-2048kB/free_hugepages"), "16");
    }
    expect(&tree, &server_config(), "memory.hugepages", Severity::Error);
    let report = tree.examine(&server_config());
    let fix =
        report.findings.iter().find(|finding| finding.id == "memory.hugepages").and_then(|it| it.fix.clone());
    // 1024 reserved, 64 MiB free of 256: 96 pages more.
    assert!(fix.as_ref().is_some_and(|fix| fix.contains("vm.nr_hugepages=1120")), "{fix:?}");
}

#[test]
fn a_device_needs_to_be_there_and_bound() {
    let tree = server();
    let driver = tree.0.path().join("sys/bus/pci/devices/0000:3b:00.0/driver");
    std::fs::remove_file(&driver).unwrap();
    expect(&tree, &server_config(), "device.driver", Severity::Error);
    tree.link("sys/bus/pci/devices/0000:3b:00.0/driver", "../drivers/ixgbe");
    tree.put("sys/bus/pci/devices/0000:3b:00.0/net/eth7/mtu", "1500");
    expect(&tree, &server_config(), "device.driver", Severity::Error);
    std::fs::remove_file(&driver).unwrap();
    tree.link("sys/bus/pci/devices/0000:3b:00.0/driver", "../drivers/mlx5_core");
    expect(&tree, &server_config(), "device.driver", Severity::Ok);
    expect(&tree, &server_config().replace("3b:00.0", "3c:00.0"), "device.present", Severity::Error);
}

#[test]
fn vfio_wants_an_iommu_or_the_unsafe_mode() {
    let tree = server();
    std::fs::remove_dir_all(tree.0.path().join("sys/kernel/iommu_groups")).unwrap();
    expect(&tree, &server_config(), "device.iommu", Severity::Error);
    tree.put("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    expect(&tree, &server_config(), "device.iommu", Severity::Warning);
}

/// A namespace with one veth end, nothing else.
fn lab() -> Tree {
    Tree::new(&[
        ("proc/self/status", "Uid:\t0\t0\t0\t0\nCapPrm:\t000001ffffffffff\nCpus_allowed_list:\t0-1\n"),
        ("proc/sys/net/ipv4/ip_forward", "0\n"),
        ("proc/sys/net/ipv6/conf/gw0/disable_ipv6", "1\n"),
        ("sys/class/net/gw0/flags", "0x1003\n"),
        ("sys/class/net/gw0/carrier", "1\n"),
        ("sys/class/net/gw0/mtu", "1500\n"),
        ("run/guideway/.keep", ""),
    ])
}

#[test]
fn a_lab_of_virtual_devices_hears_nothing_of_vfio_hugepages_or_isolation() {
    let report = lab().examine(LAB);
    let bad: Vec<&str> =
        report.findings.iter().filter(|it| it.severity != Severity::Ok).map(|it| it.id).collect();
    // 1500 bytes of MTU minus an IP header: the one thing that is true of every such lab.
    assert_eq!(bad.iter().filter(|id| **id != "cpu.instruction_set").collect::<Vec<_>>(), [&"network.mtu"]);
    for id in ["device.iommu", "device.driver", "cpu.isolation", "process.locked_memory"] {
        assert_eq!(found(&report, id), None, "{id}");
    }
}

#[test]
fn pitfalls_of_af_packet_are_found() {
    for (path, text, id, severity) in [
        ("sys/class/net/gw0/flags", "0x1002", "device.link", Severity::Error),
        ("sys/class/net/gw0/carrier", "0", "device.link", Severity::Warning),
        ("sys/class/net/gw0/mtu", "1400", "device.mtu", Severity::Error),
        ("proc/sys/net/ipv6/conf/gw0/disable_ipv6", "0", "network.kernel_ipv6", Severity::Warning),
        ("proc/sys/net/ipv4/ip_forward", "1", "network.ip_forward", Severity::Warning),
        (
            "proc/net/route",
            "Iface\tDestination\ngw0\t0000000A\n",
            "network.kernel_address",
            Severity::Warning,
        ),
        ("proc/self/status", "CapPrm:\t0000000000002000\n", "process.capabilities", Severity::Error),
    ] {
        let tree = lab();
        tree.put(path, text);
        expect(&tree, LAB, id, severity);
    }
    expect(&lab(), &LAB.replace("iface=gw0", "iface=gw9"), "device.present", Severity::Error);
    expect(&lab(), &LAB.replace("net_af_packet0,iface=gw0", "net_tap0"), "device.tun", Severity::Error);
    let punt = LAB.replace("iface=gw0\"", "iface=gw0\", punt: gw-lab0");
    expect(&lab(), &punt, "device.tun", Severity::Error);
    let tree = lab();
    tree.put("dev/net/tun", "");
    assert_eq!(found(&tree.examine(&punt), "device.tun"), None);
    tree.put("proc/self/status", "CapPrm:\t0000000000002000\n");
    expect(&tree, &punt, "process.capabilities", Severity::Error);
}

#[test]
fn containers_need_a_capability_for_hugepages() {
    let tree = server();
    tree.put(".dockerenv", "");
    tree.put("proc/self/status", "CapPrm:\t0000000000005000\nCpus_allowed_list:\t0-3\n");
    expect(&tree, &server_config(), "process.container_memory", Severity::Error);
}

#[test]
fn a_metrics_address_that_is_taken_or_foreign_is_found() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    expect(&lab(), &LAB.replace("127.0.0.1:0", &address), "listen.metrics", Severity::Warning);
    expect(&lab(), &LAB.replace("127.0.0.1:0", "192.0.2.77:9843"), "listen.metrics", Severity::Error);
}

#[test]
fn a_folder_of_somebody_else_is_no_place_for_the_socket() {
    let tree = lab();
    tree.put("proc/self/status", "Uid:\t4242\t4242\t4242\t4242\nCapPrm:\t000001ffffffffff\n");
    let folder = std::fs::metadata(tree.0.path().join("run/guideway")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    if folder.permissions().mode() & 0o022 == 0 {
        expect(&tree, LAB, "listen.admin_socket", Severity::Warning);
    }
}

#[test]
fn this_very_host_can_be_examined() {
    let report = examine(None, &Host::default());
    assert!(report.findings.iter().any(|finding| finding.id == "memory.hugepages"));
    assert_eq!(report.errors, 0, "without a configuration nothing is needed: {report:#?}");
    let _ = examine(Some(&parse("t.yaml", LAB).unwrap()), &Host::default());
}
