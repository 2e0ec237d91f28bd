//! What this process may do: capabilities per driver, locked memory, open files.
//!
//! The table of capabilities was found by experiment, driver by driver, with everything else taken away.

use super::{Device, Findings, Host};
use crate::config::model::Config;
use crate::confine::{Capability, IPC_LOCK, NET_ADMIN, NET_RAW, SYS_ADMIN, SYS_NICE};

/// Descriptors of the process itself: libraries, EAL, epoll, listeners.
const FILES_OF_PROCESS: u64 = 256;

pub(super) fn check(
    config: Option<&Config>,
    devices: &[Device],
    punts: &[Device],
    host: &Host,
    findings: &mut Findings,
) {
    let Some(held) = capabilities(host) else { return };
    for device in devices.iter().chain(punts) {
        of_device(device, held, findings);
    }
    if let Some(config) = config {
        locked_memory(config, devices, held, host, findings);
        in_container(config, held, host, findings);
        open_files(config, host, findings);
    }
}

/// What it can make effective is as good: `guideway run` does.
fn capabilities(host: &Host) -> Option<u64> {
    u64::from_str_radix(&host.field("proc/self/status", "CapPrm:")?, 16).ok()
}

fn has(held: u64, capability: Capability) -> bool {
    held & (1 << capability.0) != 0
}

fn of_device(device: &Device, held: u64, findings: &mut Findings) {
    let needed: &[Capability] = if device.is("net_af_packet") {
        &[NET_RAW, NET_ADMIN]
    } else if device.is("net_af_xdp") {
        &[NET_ADMIN, NET_RAW, SYS_ADMIN, IPC_LOCK]
    } else if device.is("net_tap") {
        &[NET_ADMIN]
    } else if device.pci().is_some() {
        &[IPC_LOCK]
    } else {
        &[]
    };
    let missing: Vec<&str> =
        needed.iter().filter(|capability| !has(held, **capability)).map(|(_, name)| *name).collect();
    let all: Vec<&str> = needed.iter().map(|(_, name)| *name).collect();
    let port = &device.port;
    if missing.is_empty() {
        let what = if all.is_empty() {
            "no capability is needed".to_owned()
        } else {
            format!("has {}", all.join(", "))
        };
        return findings.ok("process.capabilities", format!("port {port}: {what}"));
    }
    let fix = format!(
        "run as the service does (root, or AmbientCapabilities= of the unit), or: setcap {}+ep \"$(command -v guideway)\"",
        all.join(",")
    );
    findings.error(
        "process.capabilities",
        format!("port {port}: this process lacks {}", missing.join(", ")),
        "the driver cannot open its device without",
        fix,
    );
}

/// The soft limit of a row of `/proc/self/limits`; none for "unlimited".
fn limit(host: &Host, name: &str) -> Option<u64> {
    host.field("proc/self/limits", name)?.split_whitespace().next()?.parse().ok()
}

fn locked_memory(config: &Config, devices: &[Device], held: u64, host: &Host, findings: &mut Findings) {
    let locks = devices.iter().any(|device| device.pci().is_some() || device.is("net_af_xdp"));
    let Some(limit) = limit(host, "Max locked memory").filter(|_| locks && !has(held, IPC_LOCK)) else {
        return;
    };
    let needed = config.dataplane.memory.per_numa_node_bytes;
    if limit < needed {
        findings.error(
            "process.locked_memory",
            format!("this process may lock {} MiB, and needs {} MiB", limit >> 20, needed >> 20),
            "the device reads and writes that memory: it must stay where it is",
            "ulimit -l unlimited   # systemd: LimitMEMLOCK=infinity; Docker: --ulimit memlock=-1",
        );
    }
}

fn in_container(config: &Config, held: u64, host: &Host, findings: &mut Findings) {
    let is_container = host.has(".dockerenv") || host.has("run/.containerenv");
    if is_container && config.dataplane.memory.hugepages && !has(held, SYS_NICE) {
        findings.error(
            "process.container_memory",
            "hugepages in a container without cap_sys_nice",
            "its seccomp profile refuses set_mempolicy: the EAL ends with `Cannot init memory`",
            "docker run --cap-add SYS_NICE ...   # or `dataplane: {memory: {hugepages: false}}`",
        );
    }
}

fn open_files(config: &Config, host: &Host, findings: &mut Findings) {
    let Some(limit) = limit(host, "Max open files") else { return };
    let workers = config.dataplane.workers.len().max(1) * config.dataplane.ports.len().max(1);
    let backends: usize = config.pools.iter().map(|pool| pool.backends.len()).sum();
    // A probe holds a socket, and the one before may still be closing.
    let needed = FILES_OF_PROCESS + 8 * workers as u64 + 2 * backends as u64;
    if limit < needed {
        findings.warning(
            "process.open_files",
            format!("this process may open {limit} files, and may need {needed}"),
            "health checks of many backends would fail for want of sockets",
            "ulimit -n 1048576   # systemd: LimitNOFILE=1048576",
        );
    } else {
        findings.ok(
            "process.open_files",
            format!("{limit} open files are allowed, about {needed} may be needed"),
        );
    }
}
