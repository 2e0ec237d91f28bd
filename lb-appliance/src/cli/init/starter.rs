//! The text of a starter configuration.
//!
//! Lines that only the operator can know are marked CHANGE; everything else is what the host says.

use std::fmt::Write;
use std::net::IpAddr;

use crate::config;
use crate::doctor::{Host, Nic, nics};

/// Placeholder where no neighbour is known; a MAC address that nobody has.
const MAC_UNKNOWN: &str = "02:00:00:00:00:01";
/// Free hugepages from which on they are used, MiB: what the configuration asks for by default.
const HUGEPAGES_MIB: u64 = 256;

/// The configuration for these devices, or for the best one of the host.
pub(super) fn text(devices: &[String], host: &Host) -> String {
    let found = nics(host);
    let ports: Vec<(String, Nic)> = if devices.is_empty() {
        vec![best(&found)]
    } else {
        devices.iter().map(|device| chosen(device, &found)).collect()
    };
    let source = ports.iter().flat_map(|(_, nic)| &nic.addresses);
    let four = source.clone().find_map(|(address, _)| Some(address).filter(|address| address.is_ipv4()));
    let six = source.clone().find_map(|(address, _)| Some(address).filter(|address| address.is_ipv6()));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut out)
        .and_then(|()| dataplane(&mut out, &ports, &found, host))
        .and_then(|()| services(&mut out, four, six));
    out
}

/// The device that disturbs least: one that DPDK has already, then one without the default route.
fn best(found: &[Nic]) -> (String, Nic) {
    let Some(nic) = found.first() else {
        // Nothing found: a vdev that works anywhere, to be replaced.
        return ("net_tap0".to_owned(), Nic::default());
    };
    (device_of(nic), nic.clone())
}

/// The vdev for a NIC of the kernel, the address for one that DPDK has.
fn device_of(nic: &Nic) -> String {
    match (&nic.interface, &nic.pci) {
        (Some(interface), _) => format!("net_af_packet0,iface={interface}"),
        (None, Some(pci)) => pci.clone(),
        (None, None) => "net_tap0".to_owned(),
    }
}

fn chosen(device: &str, found: &[Nic]) -> (String, Nic) {
    let named = |nic: &&Nic| {
        let interface = nic.interface.as_deref();
        interface.is_some_and(|name| name == device || device.ends_with(&format!("iface={name}")))
            || nic.pci.as_deref() == Some(device)
    };
    let nic = found.iter().find(named).cloned();
    let is_interface = nic.as_ref().is_some_and(|nic| nic.interface.as_deref() == Some(device));
    // A bare word that is no vdev is an interface that is not there yet.
    let is_word =
        !device.starts_with("net_") && !device.contains([':', ',', '/']) && !device.contains("_pci_");
    let text =
        if is_interface || is_word { format!("net_af_packet0,iface={device}") } else { device.to_owned() };
    (text, nic.unwrap_or_default())
}

fn head(out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", config::modeline())?;
    out.write_str(
        "# Guideway: a starter configuration, written by `guideway init` from what this host has.
#   1. edit the lines marked CHANGE
#   2. guideway check FILE            exit 0 = valid; prints file:line:column
#   3. guideway doctor -c FILE        what this host still needs, with the commands
#   4. guideway run -c FILE
# Every key and every message: docs/configuration.md
version: 1

",
    )
}

fn dataplane(out: &mut String, ports: &[(String, Nic)], found: &[Nic], host: &Host) -> std::fmt::Result {
    let cpus = host.cpus("sys/devices/system/cpu/online").map_or(1, |cpus| cpus.len());
    writeln!(out, "dataplane:                        # read at start only")?;
    writeln!(
        out,
        "  # This host has {cpus} CPUs. Without `workers` one worker runs anywhere and sleeps when idle;"
    )?;
    writeln!(out, "  # for a server, give workers CPUs of their own, on the NUMA node of the NIC:")?;
    writeln!(out, "  # workers: [2, 3]")?;
    writeln!(out, "  # control_cpus: [0, 1]")?;
    let free_mib = free_hugepages_mib(host);
    let use_hugepages = free_mib >= HUGEPAGES_MIB;
    writeln!(out, "  memory:")?;
    writeln!(
        out,
        "    hugepages: {use_hugepages:<5}              # {free_mib} MiB of hugepages are free now"
    )?;
    writeln!(out, "    per_numa_node: 256MiB")?;
    writeln!(out, "  ports:")?;
    for (index, (device, nic)) in ports.iter().enumerate() {
        port(out, index, &numbered(device, index), nic)?;
    }
    let others: Vec<&Nic> = found.iter().filter(|nic| ports.iter().all(|(_, used)| used != *nic)).collect();
    if !others.is_empty() {
        writeln!(out, "  # Also found:")?;
        for nic in others.iter().take(16) {
            writeln!(out, "  #   {}", described(nic))?;
        }
    }
    writeln!(out)
}

/// vdevs of one kind are told apart by their number.
fn numbered(device: &str, index: usize) -> String {
    match device.split_once("0,") {
        Some((driver, rest)) if driver.starts_with("net_") => format!("{driver}{index},{rest}"),
        _ => device.to_owned(),
    }
}

fn described(nic: &Nic) -> String {
    let name = nic.interface.as_deref().unwrap_or("no interface");
    let pci = nic.pci.as_deref().unwrap_or("not PCI");
    let driver = nic.driver.as_deref().unwrap_or("no driver");
    let default = if nic.gateway.is_some() { ", has the default route" } else { "" };
    format!("{name} ({pci}, {driver}{default})")
}

fn port(out: &mut String, index: usize, device: &str, nic: &Nic) -> std::fmt::Result {
    writeln!(out, "    - name: uplink{index}")?;
    if nic.gateway.is_some() && nic.interface.is_some() {
        writeln!(
            out,
            "      # CHANGE: this interface has the default route; do not take the one you log in by"
        )?;
    }
    writeln!(out, "      device: \"{device}\"")?;
    if let (Some(_), Some(pci)) = (&nic.interface, &nic.pci) {
        writeln!(out, "      # faster, once bound to vfio-pci: device: \"{pci}\"")?;
    }
    writeln!(out, "      mtu: {}", nic.mtu.filter(|mtu| (576..=9600).contains(mtu)).unwrap_or(1500))?;
    let addresses: Vec<String> =
        nic.addresses.iter().take(16).map(|(address, len)| format!("\"{address}/{len}\"")).collect();
    writeln!(out, "      addresses: [{}]", addresses.join(", "))?;
    writeln!(out, "      gateways:                   # routers towards the backends")?;
    let (address, mac) = nic.gateway.clone().map_or((None, None), |(address, mac)| (Some(address), mac));
    let address = address.or_else(|| first_of_network(nic));
    let (address, guessed) =
        address.map_or_else(|| ("192.0.2.1".to_owned(), true), |it| (it.to_string(), nic.gateway.is_none()));
    let change = if mac.is_some() && !guessed { "" } else { "   # CHANGE: `ip neigh` shows MAC addresses" };
    writeln!(
        out,
        "        - {{address: {address}, mac: \"{}\"}}{change}",
        mac.as_deref().unwrap_or(MAC_UNKNOWN)
    )
}

/// Where routers usually are.
fn first_of_network(nic: &Nic) -> Option<std::net::Ipv4Addr> {
    nic.addresses.iter().find_map(|(address, len)| match address {
        IpAddr::V4(four) if (8..=30).contains(len) => {
            let mask = u32::MAX << (32 - u32::from(*len));
            Some(((u32::from(*four) & mask) + 1).into()).filter(|first| first != four)
        }
        _ => None,
    })
}

fn free_hugepages_mib(host: &Host) -> u64 {
    let folder = "sys/kernel/mm/hugepages";
    let of = |name: String| {
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some(kib * host.number(&format!("{folder}/{name}/free_hugepages"))? / 1024)
    };
    host.names(folder).into_iter().filter_map(of).sum()
}

fn services(out: &mut String, four: Option<&IpAddr>, six: Option<&IpAddr>) -> std::fmt::Result {
    let change = if four.is_none() { "   # CHANGE: an address of this host" } else { "" };
    let four = four.map_or_else(|| "192.0.2.11".to_owned(), IpAddr::to_string);
    let six = six.map(|six| format!(", ipv6: \"{six}\"")).unwrap_or_default();
    write!(
        out,
        "forwarding:
  encapsulation:
    source: {{ipv4: {four}{six}}}{change}
  # On all nodes behind one ECMP address, the same secret: `openssl rand -hex 16`
  # maglev: {{seed: \"0x...\"}}

# include: [conf.d/*.yaml]        # more pools and VIPs, one file per service

pools:
  - name: web
    encap: {{ipip: {{}}}}             # or gue, gre, vxlan, geneve, l2dsr
    backends:                     # CHANGE: your servers
      - {{name: web-1, address: 10.0.1.11}}
      - {{name: web-2, address: 10.0.1.12}}

vips:
  - name: web
    addresses: [203.0.113.10]     # CHANGE: the address that clients use, routed to this host
    ports: [80, 443]
    protocol: tcp
    pool: web

metrics:
  listen: \"127.0.0.1:9843\"        # /metrics, /livez, /readyz
"
    )
}
