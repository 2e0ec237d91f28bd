//! A device that does not become a port: EAL says success with no ports, we say which, why and what to do.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use dpdk::{Mempool, MempoolConfig, Port, PortConfig, PortError};
use support::{device, eal};

#[test]
fn an_absent_interface_is_named_with_its_mend() {
    let absent = "net_af_packet0,iface=gwabsent0";
    let eal = eal(&[absent, "net_null0"]);
    assert_eq!(eal.port_count(), 1, "the other device is a port");
    assert!(eal.port_by_device(&device("net_null0")).is_ok());

    let error = eal.port_by_device(&device(absent)).unwrap_err();
    assert!(matches!(error, PortError::NotFound { .. }));
    let text = error.to_string();
    assert!(text.contains("gwabsent0") && text.contains("does not exist"), "{text}");
    assert!(error.hint().is_some_and(|hint| hint.contains("ip link")), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let pci = eal.port_by_device(&device("0000:ff:1f.7")).unwrap_err().to_string();
    assert!(pci.contains("0000:ff:1f.7") && pci.contains("no such PCI device"), "{pci}");

    let pool = Mempool::new(&eal, &MempoolConfig { mbufs: 1023, ..MempoolConfig::default() }).unwrap();
    refusals_of_a_present_port(&eal, &pool);
}

/// What a port cannot do is refused with numbers, before it is configured.
fn refusals_of_a_present_port(eal: &dpdk::Eal, pool: &Mempool) {
    let null = device("net_null0");
    let jumbo = PortConfig { mtu: Some(9000), ..PortConfig::default() };
    let text = Port::configure(eal, &null, &jumbo, pool).err().unwrap().to_string();
    assert!(
        text.contains("mtu 9000") && text.contains("2048") && text.contains("lower the mtu to 2026"),
        "{text}"
    );
}
