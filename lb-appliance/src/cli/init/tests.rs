//! Whatever the host, the starter file is valid without a warning; nothing is overwritten unasked.

use super::*;
use crate::config::examine;

fn host(files: &[(&str, &str)], links: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let folder = tempfile::tempdir().unwrap();
    let place = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    files.iter().for_each(|(path, text)| std::fs::write(place(path), text).unwrap());
    links.iter().for_each(|(path, target)| std::os::unix::fs::symlink(target, place(path)).unwrap());
    let host = Host::at(folder.path());
    (folder, host)
}

#[track_caller]
fn valid(text: &str) -> crate::config::Config {
    let examination = examine("starter", text);
    assert_eq!(examination.diagnostics.list, [], "{}\n{text}", examination.diagnostics);
    examination.config.unwrap()
}

/// eth0 with the default route, eth1 without, and a NIC that vfio-pci has.
fn server() -> (tempfile::TempDir, Host) {
    host(
        &[
            ("sys/class/net/lo/type", "772\n"),
            ("sys/class/net/eth0/type", "1\n"),
            ("sys/class/net/dummy0/type", "1\n"),
            ("sys/class/net/dummy0/flags", "0x82\n"),
            ("sys/class/net/eth0/flags", "0x1003\n"),
            ("sys/class/net/eth1/flags", "0x1003\n"),
            ("sys/class/net/eth0/mtu", "9000\n"),
            ("sys/class/net/eth1/type", "1\n"),
            ("sys/class/net/eth1/mtu", "1500\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/class", "0x020000\n"),
            ("sys/bus/pci/devices/0000:00:1f.0/class", "0x060100\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n"),
            ("sys/devices/system/cpu/online", "0-7\n"),
            (
                "proc/net/route",
                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                 eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                 eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                 eth1\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
            ),
            (
                "proc/net/fib_trie",
                "Local:\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 192.168.0.5\n        /32 host LOCAL\n",
            ),
            (
                "proc/net/arp",
                "IP address HW type Flags HW address Mask Device\n192.168.0.1 0x1 0x2 52:54:00:00:00:99 * eth0\n",
            ),
            (
                "proc/net/if_inet6",
                "20010db8000000000000000000000007 03 40 00 80     eth1\nfe800000000000000000000000000001 03 40 20 80     eth1\n",
            ),
        ],
        &[("sys/bus/pci/devices/0000:3b:00.0/driver", "../../drivers/vfio-pci")],
    )
}

#[test]
fn a_nic_that_dpdk_has_is_taken_first() {
    let (_folder, host) = server();
    let config = valid(&starter::text(&[], &host));
    assert_eq!(config.dataplane.ports[0].device, "0000:3b:00.0");
    assert!(config.dataplane.memory.hugepages);
}

#[test]
fn without_one_an_interface_that_is_up_and_has_no_default_route_is_taken() {
    let (folder, host) = server();
    std::fs::remove_dir_all(folder.path().join("sys/bus/pci")).unwrap();
    let text = starter::text(&[], &host);
    assert_eq!(valid(&text).dataplane.ports[0].device, "net_af_packet0,iface=eth1");
    assert!(text.contains("#   dummy0 ("), "{text}");
}

#[test]
fn an_interface_brings_its_addresses_mtu_and_gateway() {
    let (_folder, host) = server();
    let text = starter::text(&["eth0".into(), "eth1".into()], &host);
    let config = valid(&text);
    let [first, second] = config.dataplane.ports.as_slice() else { panic!("{text}") };
    assert_eq!(first.device, "net_af_packet0,iface=eth0");
    assert_eq!(second.device, "net_af_packet1,iface=eth1");
    assert_eq!((first.mtu, second.mtu), (9000, 1500));
    assert_eq!(first.addresses[0].to_string(), "192.168.0.5/24");
    assert_eq!(first.gateways[0].address.to_string(), "192.168.0.1");
    assert_eq!(first.gateways[0].mac.to_string(), "52:54:00:00:00:99");
    assert_eq!(second.addresses.len(), 2, "no link-local address: {text}");
    assert_eq!(second.gateways[0].address.to_string(), "10.0.0.1", "a guess, marked CHANGE");
    assert_eq!(config.forwarding.encapsulation.source_ipv4.unwrap().to_string(), "192.168.0.5");
    assert!(text.contains("has the default route"), "{text}");
}

#[test]
fn a_host_without_anything_gets_a_valid_file_too() {
    let (_folder, host) = host(&[], &[]);
    let config = valid(&starter::text(&[], &host));
    assert!(!config.dataplane.memory.hugepages);
    for device in ["net_tap0", "0000:3b:00.0", "eth9", "net_af_xdp0,iface=eth9"] {
        let config = valid(&starter::text(&[device.into()], &host));
        assert!(config.dataplane.ports[0].device.contains(device), "{device}");
    }
}

#[test]
fn the_starter_of_this_very_host_is_valid() {
    valid(&starter::text(&[], &Host::default()));
}

#[test]
fn nothing_is_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.yaml");
    write(&path, false, "one").unwrap();
    assert_eq!(write(&path, false, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    write(&path, true, "2").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "2");
}

#[test]
fn devices_that_would_break_the_text_are_refused() {
    for text in ["", "a b", "x\"", "x\\", "é", &"x".repeat(256)] {
        assert!(device(text).is_err(), "{text}");
    }
    assert!(device("net_af_packet0,iface=eth1").is_ok());
}
