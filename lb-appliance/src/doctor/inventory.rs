//! The network hardware and addresses of a host, as far as its files tell: what a starter configuration is made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Host;

/// A NIC or a kernel interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    /// Kernel interface; none if a driver of DPDK has the device.
    pub interface: Option<String>,
    /// PCI address.
    pub pci: Option<String>,
    /// Kernel driver.
    pub driver: Option<String>,
    /// It is up.
    pub is_up: bool,
    /// Largest IP packet.
    pub mtu: Option<u16>,
    /// Addresses with prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// IPv4 default gateway, with its MAC address if the kernel knows it.
    pub gateway: Option<(Ipv4Addr, Option<String>)>,
}

/// All NICs, the one that is best taken first: what DPDK has already, then what is up, real, and without the default
/// route.
pub fn nics(host: &Host) -> Vec<Nic> {
    let locals = local_ipv4(host);
    let routes = routes(host);
    let mut found: Vec<Nic> = host
        .names("sys/class/net")
        .into_iter()
        .filter(|name| {
            name != "lo" && host.text(&format!("sys/class/net/{name}/type")).as_deref() == Some("1")
        })
        .map(|name| interface(name, &locals, &routes, host))
        .collect();
    for address in host.names("sys/bus/pci/devices") {
        let folder = format!("sys/bus/pci/devices/{address}");
        // Class 0x0200: Ethernet controller.
        let is_nic = host.text(&format!("{folder}/class")).is_some_and(|class| class.starts_with("0x0200"));
        let driver = host.link(&format!("{folder}/driver"));
        if is_nic && matches!(driver.as_deref(), Some("vfio-pci" | "igb_uio" | "uio_pci_generic")) {
            found.push(Nic { pci: Some(address), driver, ..Nic::default() });
        }
    }
    let is_virtual = |nic: &Nic| nic.pci.is_none() && nic.driver.is_none();
    found.sort_by_key(|nic| (nic.interface.is_some(), !nic.is_up, is_virtual(nic), nic.gateway.is_some()));
    found
}

fn interface(name: String, locals: &[Ipv4Addr], routes: &[Route], host: &Host) -> Nic {
    let folder = format!("sys/class/net/{name}");
    let flags = host.text(&format!("{folder}/flags")).unwrap_or_default();
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
    let own = |route: &&Route| route.interface == name;
    let connected =
        routes.iter().filter(own).filter(|route| route.gateway.is_unspecified() && route.mask != 0);
    let mut addresses: Vec<(IpAddr, u8)> = connected
        .flat_map(|route| {
            let inside = |address: &&Ipv4Addr| u32::from(**address) & route.mask == u32::from(route.target);
            let len = route.mask.count_ones() as u8;
            locals.iter().filter(inside).map(move |address| (IpAddr::V4(*address), len))
        })
        .collect();
    addresses.extend(global_ipv6(&name, host));
    addresses.dedup();
    let default = routes.iter().filter(own).find(|route| route.mask == 0 && !route.gateway.is_unspecified());
    Nic {
        pci: pci_of(&folder, host),
        // IFF_UP.
        is_up: flags & 1 == 1,
        driver: host.link(&format!("{folder}/device/driver")),
        mtu: host.number(&format!("{folder}/mtu")).and_then(|mtu| u16::try_from(mtu).ok()),
        addresses,
        gateway: default.map(|route| (route.gateway, neighbour(route.gateway, host))),
        interface: Some(name),
    }
}

/// The PCI function of an interface: its device, or what that hangs on (virtio).
fn pci_of(folder: &str, host: &Host) -> Option<String> {
    let device = host.path(&format!("{folder}/device"));
    let real = device.canonicalize().or_else(|_| std::fs::read_link(device)).ok()?;
    let mut names = real.ancestors().filter_map(|path| path.file_name()?.to_str());
    names.find_map(crate::config::pci_address)
}

/// A row of `/proc/net/route`.
struct Route {
    interface: String,
    target: Ipv4Addr,
    gateway: Ipv4Addr,
    mask: u32,
}

fn routes(host: &Host) -> Vec<Route> {
    // Addresses are the bytes in network order, printed as a number of this machine.
    let number = |text: &str| Some(u32::from_be_bytes(u32::from_str_radix(text, 16).ok()?.to_ne_bytes()));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [interface, target, gateway, _, _, _, _, mask, ..] = cells.as_slice() else { return None };
        Some(Route {
            interface: (*interface).to_owned(),
            target: number(target)?.into(),
            gateway: number(gateway)?.into(),
            mask: number(mask)?,
        })
    };
    host.text("proc/net/route").unwrap_or_default().lines().skip(1).filter_map(row).collect()
}

fn local_ipv4(host: &Host) -> Vec<Ipv4Addr> {
    let all = super::network::local_addresses(host);
    let four = all.into_iter().filter_map(|address| match address {
        IpAddr::V4(four) if !four.is_loopback() => Some(four),
        _ => None,
    });
    four.collect()
}

fn global_ipv6(name: &str, host: &Host) -> Vec<(IpAddr, u8)> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [address, _, len, scope, _, interface] = cells.as_slice() else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let len = u8::from_str_radix(len, 16).ok()?;
        (*interface == name && *scope == "00").then_some((IpAddr::V6(address), len))
    };
    host.text("proc/net/if_inet6").unwrap_or_default().lines().filter_map(row).collect()
}

fn neighbour(address: Ipv4Addr, host: &Host) -> Option<String> {
    let wanted = address.to_string();
    let table = host.text("proc/net/arp")?;
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mac = row
        .filter(|cells| cells.first() == Some(&wanted.as_str()))
        .find_map(|cells| cells.get(3).copied())?;
    (mac != "00:00:00:00:00:00").then(|| mac.to_owned())
}
