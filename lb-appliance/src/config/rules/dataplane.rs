//! What CPUs, ports and packet buffers ask of each other.
//!
//! A queue that holds all buffers starves every other one, so the buffers must outnumber the descriptors.

use std::collections::HashMap;

use super::super::code::Code;
use super::super::finding::{Findings, Place};
use super::super::read::Located;
use super::super::section::dataplane::{DataplaneDraft, PortDraft};

/// Bytes of one packet buffer: `rte_mbuf` 128, headroom 128, room 2048, mempool header and trailer 64.
const MBUF_BYTES: u64 = 2368;

pub(super) fn check(dataplane: &DataplaneDraft, findings: &Findings<'_>) {
    cpus(dataplane, findings);
    devices(&dataplane.ports, findings);
    punts(&dataplane.ports, findings);
    for port in &dataplane.ports {
        addresses(port, findings);
        for descriptors in [&port.rx_descriptors, &port.tx_descriptors].into_iter().flatten() {
            power_of_two(descriptors, findings);
        }
    }
    buffers(dataplane, findings);
}

fn cpus(dataplane: &DataplaneDraft, findings: &Findings<'_>) {
    let mut workers = HashMap::new();
    for (list, seen) in [(&dataplane.workers, &mut workers), (&dataplane.control_cpus, &mut HashMap::new())] {
        for cpu in list {
            if let Some(first) = seen.get(&cpu.value) {
                let first: &&Place = first;
                let message = format!("CPU {} is listed twice", cpu.value);
                let note = (*first, "already here".to_owned());
                findings.add_pair(
                    Code::DuplicateCpu,
                    &cpu.place,
                    message,
                    "one CPU runs one worker: remove it",
                    note,
                );
            } else {
                seen.insert(cpu.value, &cpu.place);
            }
        }
    }
    for cpu in &dataplane.control_cpus {
        if let Some(worker) = workers.get(&cpu.value) {
            let message = format!("CPU {} also runs a worker", cpu.value);
            let hint = "give control a CPU of its own: a worker that polls leaves no time for health checks";
            findings.add_pair(Code::SharedCpu, &cpu.place, message, hint, (worker, "the worker".to_owned()));
        }
    }
}

/// A vdev is named by what stands before the first comma; the EAL makes one of each name.
fn devices(ports: &[PortDraft], findings: &Findings<'_>) {
    let mut seen = HashMap::new();
    for device in ports.iter().filter_map(|port| port.device.as_ref()) {
        let name = device.value.split(',').next().unwrap_or_default();
        if let Some(first) = seen.get(name) {
            let first: &&Located<String> = first;
            let message = format!("device `{name}` is used by two ports");
            let hint = "name another device; for a second vdev of the same kind, count up: net_af_packet1";
            findings.add_pair(
                Code::DuplicateDevice,
                &device.place,
                message,
                hint,
                (&first.place, "already here".into()),
            );
        } else {
            seen.insert(name, device);
        }
    }
}

/// A punt interface is made, so its name must be nobody else's: neither another one's nor that of an interface which a
/// device works on.
fn punts(ports: &[PortDraft], findings: &Findings<'_>) {
    let mut seen: HashMap<&str, (&Place, &str)> = HashMap::new();
    for device in ports.iter().filter_map(|port| port.device.as_ref()) {
        let interface = device.value.split(',').find_map(|argument| argument.strip_prefix("iface="));
        if let Some(interface) = interface {
            seen.entry(interface).or_insert((&device.place, "a device works on it"));
        }
    }
    for punt in ports.iter().filter_map(|port| port.punt.as_ref()) {
        if let Some((first, what)) = seen.get(punt.value.as_str()) {
            let message = format!("interface `{}` cannot be made: its name is taken", punt.value);
            let hint = "the punt interface is a new one: give it a name of its own, as in gw-uplink0";
            findings.add_pair(Code::TakenInterface, &punt.place, message, hint, (*first, (*what).to_owned()));
        } else {
            seen.insert(&punt.value, (&punt.place, "already here"));
        }
    }
}

fn addresses(port: &PortDraft, findings: &Findings<'_>) {
    for (index, address) in port.addresses.iter().enumerate() {
        let same = |other: &&Located<ipnet::IpNet>| other.value.addr() == address.value.addr();
        if let Some(first) = port.addresses[..index].iter().find(same) {
            let message = format!("{} is given to this port twice", address.value.addr());
            let note = (&first.place, "already here".to_owned());
            findings.add_pair(Code::DuplicateAddress, &address.place, message, "remove one of the two", note);
        }
        if let Some(kind) = super::super::values::unusable(address.value.addr()) {
            let message = format!("{} is {kind}: no port can have it", address.value.addr());
            let hint = "write the port's own unicast address";
            findings.add_hint(Code::UnusableAddress, &address.place, message, hint);
        }
    }
    for gateway in port.gateways.iter().filter_map(|gateway| gateway.address.as_ref()) {
        let mut family =
            port.addresses.iter().filter(|own| own.value.addr().is_ipv6() == gateway.value.is_ipv6());
        let link_local = matches!(gateway.value, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
        let off_link =
            family.clone().next().is_some() && !family.any(|own| own.value.contains(&gateway.value));
        if off_link && !link_local {
            let message = format!("{} is in no prefix of this port", gateway.value);
            let hint = "check the gateway and the prefix lengths under `addresses`";
            findings.add_hint(Code::GatewayOffLink, &gateway.place, message, hint);
        }
    }
}

fn power_of_two(descriptors: &Located<u16>, findings: &Findings<'_>) {
    if !descriptors.value.is_power_of_two() {
        let above = u32::from(descriptors.value).next_power_of_two();
        let message = format!("{} is not a power of two; drivers round it or refuse it", descriptors.value);
        findings.add_hint(
            Code::OddDescriptors,
            &descriptors.place,
            message,
            format!("write {} or {above}", above / 2),
        );
    }
}

fn buffers(dataplane: &DataplaneDraft, findings: &Findings<'_>) {
    let workers = dataplane.workers.len().max(1) as u64;
    let per_worker = |port: &PortDraft| u64::from(port.rx_descriptors()) + u64::from(port.tx_descriptors());
    let held: u64 = dataplane.ports.iter().map(per_worker).sum::<u64>() * workers;
    let mbufs = u64::from(dataplane.memory.mbufs_per_numa_node);
    let place =
        |key: &str| Place { field: format!("dataplane.memory.{key}"), offset: dataplane.memory_place.offset };
    if held >= mbufs {
        let message = format!("the queues can hold {held} packets, but there are {mbufs} buffers");
        let enough = (held * 2).next_power_of_two() - 1;
        let hint = format!("set `mbufs_per_numa_node: {enough}`, or lower the descriptors");
        findings.add_hint(Code::TooFewMbufs, &place("mbufs_per_numa_node"), message, hint);
    }
    let needed = mbufs * MBUF_BYTES;
    if needed > dataplane.memory.per_numa_node_bytes {
        let message = format!("{mbufs} packet buffers take about {} MiB", needed.div_ceil(1 << 20));
        let hint = format!("set `per_numa_node: {}MiB` or more", (needed + needed / 4).div_ceil(1 << 20));
        findings.add_hint(Code::LittleMemory, &place("per_numa_node"), message, hint);
    }
}
