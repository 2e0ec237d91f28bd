//! `dataplane`: CPUs, memory and ports.
//!
//! The whole section may be missing, as `check` and `replay` need no port; then the defaults hold.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::mac::MacAddr;
use super::super::model::{Idle, Memory};
use super::super::read::{Complaint, Item, Located, Section};

/// Highest CPU number plus one; Linux' `cpu_set_t` has 1024.
pub(in super::super) const CPUS_MAX: u32 = 1024;
/// Packets per burst unless configured, and at most.
pub(in super::super) const BURST_MAX: u16 = 64;
/// Bytes of an IP packet on a port.
pub(in super::super) const MTU_MIN: u16 = 576;
/// See [`MTU_MIN`].
pub(in super::super) const MTU_MAX: u16 = 9600;
/// Descriptors per queue unless configured.
pub(in super::super) const DESCRIPTORS_DEFAULT: u16 = 1024;
const DESCRIPTORS_MIN: u16 = 64;
const DESCRIPTORS_MAX: u16 = 32_768;
/// Ports at most; DPDK's RTE_MAX_ETHPORTS.
pub(in super::super) const PORTS_MAX: usize = 32;
/// Workers at most; DPDK's RTE_MAX_LCORE less the main one.
pub(in super::super) const WORKERS_MAX: usize = 127;

/// Bytes of an interface's name at most; the kernel's IFNAMSIZ less its NUL.
pub(in super::super) const INTERFACE_BYTES_MAX: usize = 15;

pub(in super::super) struct DataplaneDraft {
    pub(in super::super) workers: Vec<Located<u32>>,
    pub(in super::super) control_cpus: Vec<Located<u32>>,
    pub(in super::super) burst: u16,
    pub(in super::super) idle: Option<Idle>,
    pub(in super::super) memory: Memory,
    pub(in super::super) memory_place: Place,
    pub(in super::super) ports: Vec<PortDraft>,
    pub(in super::super) eal_extra_args: Vec<String>,
}

pub(in super::super) struct PortDraft {
    pub(in super::super) name: Option<Located<String>>,
    pub(in super::super) device: Option<Located<String>>,
    pub(in super::super) mtu: u16,
    pub(in super::super) rx_descriptors: Option<Located<u16>>,
    pub(in super::super) tx_descriptors: Option<Located<u16>>,
    pub(in super::super) addresses: Vec<Located<IpNet>>,
    pub(in super::super) gateways: Vec<GatewayDraft>,
    pub(in super::super) promiscuous: bool,
    pub(in super::super) punt: Option<Located<String>>,
    pub(in super::super) punt_given: bool,
}

impl PortDraft {
    /// Receive descriptors per queue.
    pub(in super::super) fn rx_descriptors(&self) -> u16 {
        self.rx_descriptors.as_ref().map_or(DESCRIPTORS_DEFAULT, |given| given.value)
    }

    /// Transmit descriptors per queue.
    pub(in super::super) fn tx_descriptors(&self) -> u16 {
        self.tx_descriptors.as_ref().map_or(DESCRIPTORS_DEFAULT, |given| given.value)
    }
}

pub(in super::super) struct GatewayDraft {
    pub(in super::super) address: Option<Located<IpAddr>>,
    pub(in super::super) mac: Option<MacAddr>,
}

pub(in super::super) fn read(root: &Section<'_>) -> DataplaneDraft {
    let section = root.get("dataplane").and_then(|item| item.section(&keys::DATAPLANE));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let memory_item = get("memory");
    let ports = get("ports").map(|item| bounded(&item, PORTS_MAX)).unwrap_or_default();
    DataplaneDraft {
        workers: get("workers").map(cpus).unwrap_or_default(),
        control_cpus: get("control_cpus").map(cpus).unwrap_or_default(),
        burst: get("burst").and_then(|item| item.number(1..=BURST_MAX)).unwrap_or(BURST_MAX),
        idle: get("idle").and_then(|item| {
            item.choice(&[("busy_poll", Idle::BusyPoll), ("adaptive", Idle::Adaptive)], &[])
        }),
        memory_place: memory_item.as_ref().map_or_else(|| root.place.clone(), |item| item.place.clone()),
        memory: memory(memory_item),
        ports: ports.iter().filter_map(port).collect(),
        eal_extra_args: get("eal_extra_args").map(words).unwrap_or_default(),
    }
}

fn cpus(item: Item<'_>) -> Vec<Located<u32>> {
    let cpu =
        |item: &Item<'_>| Some(Located { value: item.number(0..=CPUS_MAX - 1)?, place: item.place.clone() });
    bounded(&item, WORKERS_MAX).iter().filter_map(cpu).collect()
}

fn bounded<'n>(item: &Item<'n>, max: usize) -> Vec<Item<'n>> {
    let items = item.list().unwrap_or_default();
    if items.len() > max {
        let message = format!("{} items are too many", items.len());
        item.findings.add_hint(Code::OutOfRange, &item.place, message, format!("at most {max} are allowed"));
    }
    items
}

fn words(item: Item<'_>) -> Vec<String> {
    let word = |item: &Item<'_>| Some(item.text("an EAL argument")?.value.to_owned());
    item.list().unwrap_or_default().iter().filter_map(word).collect()
}

fn memory(item: Option<Item<'_>>) -> Memory {
    let section = item.and_then(|item| item.section(&keys::MEMORY));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let size = |item: Item<'_>| item.size((64 << 20, "64MiB"), (1024 << 30, "1024GiB"));
    Memory {
        hugepages: get("hugepages").and_then(|item| item.boolean()).unwrap_or(true),
        per_numa_node_bytes: get("per_numa_node").and_then(size).map_or(256 << 20, |size| size.value),
        mbufs_per_numa_node: get("mbufs_per_numa_node")
            .and_then(|item| item.number(1023..=16_777_215))
            .unwrap_or(32_767),
    }
}

fn port(item: &Item<'_>) -> Option<PortDraft> {
    let section = item.section(&keys::PORT)?;
    let descriptors = |key: &str| {
        let item = section.get(key)?;
        Some(Located { value: item.number(DESCRIPTORS_MIN..=DESCRIPTORS_MAX)?, place: item.place })
    };
    let list = |key: &str| section.get(key).and_then(|item| item.list()).unwrap_or_default();
    Some(PortDraft {
        name: section.require("name", "uplink0").and_then(|item| item.name()),
        device: section.require("device", "\"0000:3b:00.0\"").and_then(|item| device(&item)),
        mtu: section.get("mtu").and_then(|item| item.number(MTU_MIN..=MTU_MAX)).unwrap_or(1500),
        rx_descriptors: descriptors("rx_descriptors"),
        tx_descriptors: descriptors("tx_descriptors"),
        addresses: list("addresses").iter().filter_map(Item::prefix).collect(),
        gateways: list("gateways").iter().filter_map(gateway).collect(),
        promiscuous: section.get("promiscuous").and_then(|item| item.boolean()).unwrap_or(false),
        punt_given: section.get("punt").is_some(),
        punt: section.get("punt").and_then(|item| interface(&item)),
    })
}

fn device(item: &Item<'_>) -> Option<Located<String>> {
    let text = item.text("a PCI address or a DPDK vdev string")?;
    let Some(complaint) = super::super::device::complaint(text.value) else {
        return Some(Located { value: text.value.to_owned(), place: text.place });
    };
    item.findings.add_hint(Code::BadDevice, &item.place, complaint.message, complaint.hint);
    None
}

/// A name that the kernel takes, and that neither the arguments of a vdev nor paths below `/proc/sys` break.
fn interface(item: &Item<'_>) -> Option<Located<String>> {
    item.parse(Code::BadInterface, "the name of an interface", |text| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_taken = matches!(text, "." | ".." | "lo" | "all" | "default");
        if !text.is_empty() && text.len() <= INTERFACE_BYTES_MAX && text.chars().all(is_plain) && !is_taken {
            return Ok(text.to_owned());
        }
        let message = match text.len() {
            len if len > INTERFACE_BYTES_MAX => {
                format!("`{text}` has {len} bytes, more than {INTERFACE_BYTES_MAX}")
            }
            _ => format!("`{text}` cannot be the name of a new interface"),
        };
        Err(Complaint::new(message, "write 1 to 15 letters, digits, `.`, `_` or `-`, as in gw-uplink0"))
    })
}

fn gateway(item: &Item<'_>) -> Option<GatewayDraft> {
    let section = item.section(&keys::GATEWAY)?;
    let address = section.require("address", "198.51.100.1").and_then(|item| item.ip());
    let mac = section.get("mac");
    if mac.is_none() {
        let place = Place { field: format!("{}.mac", item.place.field), offset: item.place.offset };
        let hint = "give the gateway its `mac:`; asking the kernel for it comes later";
        item.findings.add_hint(
            Code::NotSupportedYet,
            &place,
            "a gateway without `mac` is not supported yet",
            hint,
        );
    }
    Some(GatewayDraft { address, mac: mac.and_then(|item| item.mac()).map(|mac| mac.value) })
}
