//! Kernel interfaces that ports take over, MTUs against encapsulation, and VIPs that the kernel would answer itself.
//!
//! The pitfalls are those that were met in labs: a kernel that forwards or answers what the balancer forwards too.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Device, Findings, Host};
use crate::config::model::{Config, Encap, GueVariant, Pool};

/// MTU that nearly every client assumes.
const MTU_COMMON: u16 = 1500;

pub(super) fn check(config: Option<&Config>, devices: &[Device], host: &Host, findings: &mut Findings) {
    for device in devices {
        if let Some(interface) = device.interface() {
            link(device, interface, host, findings);
        }
    }
    if devices.iter().any(|device| device.is("net_af_packet")) {
        forwarding(host, findings);
    }
    if let Some(config) = config {
        tunnels(config, devices, findings);
        own_vips(config, host, findings);
    }
}

/// What interfaces are made through.
pub(super) fn taps<'d>(devices: impl Iterator<Item = &'d Device>, host: &Host, findings: &mut Findings) {
    for device in devices {
        if device.is("net_tap") && !host.has("dev/net/tun") {
            findings.error(
                "device.tun",
                format!("port {}: there is no /dev/net/tun", device.port),
                "net_tap makes its interface through it",
                "modprobe tun   # in Docker: --device /dev/net/tun",
            );
        }
    }
}

fn link(device: &Device, interface: &str, host: &Host, findings: &mut Findings) {
    let folder = format!("sys/class/net/{interface}");
    if !host.has(&folder) {
        return findings.error(
            "device.present",
            format!("port {}: there is no interface {interface}", device.port),
            "the EAL would start without this port",
            "ip -br link   # then correct `device:`, or run in the network namespace that has it",
        );
    }
    let flags = host
        .text(&format!("{folder}/flags"))
        .and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    if flags.is_some_and(|flags| flags & 1 == 0) {
        findings.error(
            "device.link",
            format!("port {}: {interface} is down", device.port),
            "nothing is received or sent",
            format!("ip link set {interface} up"),
        );
    } else if host.text(&format!("{folder}/carrier")).as_deref() == Some("0") {
        findings.warning(
            "device.link",
            format!("port {}: {interface} has no carrier", device.port),
            "nothing is received or sent until the other end is up",
            format!("ethtool {interface}   # cable, switch port, or the other end of the veth"),
        );
    } else {
        findings.ok("device.link", format!("port {}: {interface} is up", device.port));
    }
    if let Some(mtu) = host.number(&format!("{folder}/mtu")).filter(|mtu| *mtu < u64::from(device.mtu)) {
        findings.error(
            "device.mtu",
            format!("port {}: {interface} has MTU {mtu}, the configuration says {}", device.port, device.mtu),
            "larger packets are lost without a trace",
            format!("ip link set {interface} mtu {}", device.mtu),
        );
    }
    if device.is("net_af_packet") {
        silence(device, interface, host, findings);
    }
    if host.text(&format!("{folder}/type")).as_deref() == Some("1") && is_veth(&folder, host) {
        findings.ok(
            "device.offloads",
            format!(
                "port {}: {interface} is a virtual link; if TCP stalls while ping works: `ethtool -K IF tx off tso off gso \
                 off gro off` on the other end, where packets leave without checksum",
                device.port
            ),
        );
    }
}

fn is_veth(folder: &str, host: &Host) -> bool {
    let (own, peer) = (host.number(&format!("{folder}/ifindex")), host.number(&format!("{folder}/iflink")));
    own.is_some() && peer.is_some() && own != peer
}

/// With net_af_packet the kernel sees every frame as well.
fn silence(device: &Device, interface: &str, host: &Host, findings: &mut Findings) {
    let disabled = host.text(&format!("proc/sys/net/ipv6/conf/{interface}/disable_ipv6"));
    if disabled.as_deref() == Some("0") {
        findings.warning(
            "network.kernel_ipv6",
            format!("port {}: the kernel speaks IPv6 on {interface}", device.port),
            "it answers packets to VIPs with ICMPv6 errors, and its own frames reach the workers: random resets",
            format!("sysctl -w net.ipv6.conf.{interface}.disable_ipv6=1"),
        );
    }
    let routes = host.text("proc/net/route").unwrap_or_default();
    if routes.lines().any(|line| line.split_whitespace().next() == Some(interface)) {
        findings.warning(
            "network.kernel_address",
            format!("port {}: the kernel has addresses or routes on {interface}", device.port),
            "net_af_packet gives every frame to the kernel, too: it answers twice, or with errors",
            format!("ip addr flush dev {interface}   # not if you log in through it; or use net_af_xdp, which takes the frames away"),
        );
    }
}

fn forwarding(host: &Host, findings: &mut Findings) {
    let on = |path: &str| host.text(path).is_some_and(|text| text != "0");
    if on("proc/sys/net/ipv4/ip_forward") {
        findings.warning(
            "network.ip_forward",
            "the kernel forwards IPv4",
            "with net_af_packet it sees every frame as well, and forwards a copy or answers with ICMP errors",
            "sysctl -w net.ipv4.ip_forward=0   # Docker sets it: docker run --sysctl net.ipv4.ip_forward=0",
        );
    }
    if on("proc/sys/net/ipv6/conf/all/forwarding") {
        findings.warning(
            "network.ip_forward",
            "the kernel forwards IPv6",
            "with net_af_packet it sees every frame as well, and forwards a copy or answers with ICMPv6 errors",
            "sysctl -w net.ipv6.conf.all.forwarding=0",
        );
    }
}

/// Bytes that an encapsulation adds between the outer Ethernet header and the client's packet.
pub(crate) fn overhead(encap: Encap, outer_is_ipv6: bool, has_inner_frame: bool) -> u16 {
    let ip = if outer_is_ipv6 { 40 } else { 20 };
    match encap {
        Encap::L2Dsr => 0,
        Encap::Ipip => ip,
        Encap::Gue { variant: GueVariant::Zero, .. } => ip + 8 + 4,
        Encap::Gue { variant: GueVariant::One, .. } => ip + 8,
        // UDP, VXLAN, inner Ethernet.
        Encap::Vxlan { .. } => ip + 8 + 8 + 14,
        Encap::Gre { key } => ip + if key.is_some() { 8 } else { 4 },
        // UDP, Geneve, inner Ethernet for the backends that have an inner MAC address.
        Encap::Geneve { .. } => ip + 8 + 8 + if has_inner_frame { 14 } else { 0 },
    }
}

fn tunnels(config: &Config, devices: &[Device], findings: &mut Findings) {
    for pool in &config.pools {
        let Some((mtu, port)) = egress(config, pool, devices) else { continue };
        let is_ipv6 = pool.backends.iter().any(|backend| backend.address.is_ipv6());
        let has_inner_frame = pool.backends.iter().any(|backend| backend.inner_mac.is_some());
        let overhead = overhead(pool.encap, is_ipv6, has_inner_frame);
        let inner = mtu.saturating_sub(overhead);
        if inner >= MTU_COMMON {
            findings
                .ok("network.mtu", format!("pool {}: packets of {inner} bytes fit the tunnel", pool.name));
            continue;
        }
        let wanted = MTU_COMMON + overhead;
        findings.warning(
            "network.mtu",
            format!("pool {}: the tunnel leaves {inner} of the {mtu} bytes of port {port}", pool.name),
            "larger packets of clients are dropped and answered with ICMP; clients behind broken firewalls stall",
            format!(
                "mtu {wanted} on the network to the backends and on port {port} (`mtu: {wanted}`); or on every backend: ip \
                 route change default via GATEWAY advmss {}",
                inner.saturating_sub(if is_ipv6 { 60 } else { 40 })
            ),
        );
    }
}

/// The smallest MTU among the ports that lead to a pool.
fn egress<'d>(config: &Config, pool: &Pool, devices: &'d [Device]) -> Option<(u16, &'d str)> {
    let ports: BTreeSet<usize> =
        pool.backends.iter().filter_map(|backend| backend.next_hop).map(|hop| hop.port).collect();
    debug_assert_eq!(config.dataplane.ports.len(), devices.len());
    let devices = ports.into_iter().filter_map(|port| devices.get(port));
    devices.map(|device| (device.mtu, device.port.as_str())).min()
}

/// Addresses that the kernel of this host has.
pub(super) fn local_addresses(host: &Host) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    // An address is a leaf, the line behind it says what it is: `|-- 10.0.0.1` and `/32 host LOCAL`.
    let trie = host.text("proc/net/fib_trie").unwrap_or_default();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            leaf = address.trim().parse().ok();
        } else if line.contains("host LOCAL") {
            found.extend(leaf.map(IpAddr::V4));
        }
    }
    let six = host.text("proc/net/if_inet6").unwrap_or_default();
    let addresses = six.lines().filter_map(|line| u128::from_str_radix(line.split(' ').next()?, 16).ok());
    found.extend(addresses.map(|bits| IpAddr::V6(Ipv6Addr::from(bits))));
    found
}

fn own_vips(config: &Config, host: &Host, findings: &mut Findings) {
    let local = local_addresses(host);
    let mut clean = true;
    for vip in &config.vips {
        for address in local.iter().filter(|local| vip.addresses.iter().any(|vip| vip.contains(**local))) {
            clean = false;
            let prefix = if address.is_ipv6() { 128 } else { 32 };
            findings.warning(
                "network.vip_is_local",
                format!("VIP {}: the kernel of this host has {address} itself", vip.name),
                "it answers ARP and connections for the VIP beside the balancer",
                format!("ip -br addr show to {address}; ip addr del {address}/{prefix} dev DEVICE"),
            );
        }
    }
    if clean && !config.vips.is_empty() {
        findings.ok("network.vip_is_local", "no VIP is an address of this host's kernel");
    }
}
