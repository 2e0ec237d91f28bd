//! From what DPDK logged, and what the system shows, to what the operator should do.
//!
//! Hints are looked up on the failing path only and never decide anything. The patterns are texts of DPDK 22.11;
//! when a later one words them differently the hint is missing, not wrong.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use crate::device::DeviceSpec;
use crate::eal::{EalConfig, Memory};
use crate::error::Errno;
use crate::fds;

/// Capabilities the software drivers need: bit number and name (capabilities(7)).
const NET_ADMIN: (u32, &str) = (12, "NET_ADMIN");
const NET_RAW: (u32, &str) = (13, "NET_RAW");
const IPC_LOCK: (u32, &str) = (14, "IPC_LOCK");
const SYS_ADMIN: (u32, &str) = (21, "SYS_ADMIN");

/// How to mend a failed start.
pub(crate) fn for_init(lines: &[String], config: &EalConfig) -> Option<String> {
    let says = |pattern: &str| lines.iter().any(|line| line.contains(pattern));
    if says("failed to parse device") || says("Unable to parse device") {
        let known = "the driver's package is missing or its name is misspelt: `apt-get install dpdk` brings the \
                     common ones, `apt-cache search librte-net` lists all";
        return Some(known.to_owned());
    }
    if says("Is another primary process running") {
        return Some(format!(
            "another DPDK process uses file prefix `{}`: stop it or choose another",
            config.file_prefix
        ));
    }
    if says("set_mempolicy") || says("mbind") {
        return Some("the kernel refused NUMA memory policy: in Docker add `--cap-add SYS_NICE`".to_owned());
    }
    match config.memory {
        Memory::Hugepages { mib } => {
            let short = says("hugepage") || says("Cannot init memory") || says("Not enough memory");
            short.then(|| hugepages_hint(mib))
        }
        Memory::NoHuge { mib } => (says("Cannot init memory") || says("Cannot allocate memory"))
            .then(|| format!("{mib} MiB of memory could not be had: lower the amount or free memory")),
    }
}

/// How to reserve `mib` MiB, given the pages of the running kernel.
fn hugepages_hint(mib: u32) -> String {
    let page_kib = meminfo("Hugepagesize:").unwrap_or(2048);
    let free = meminfo("HugePages_Free:").unwrap_or(0);
    let needed = (u64::from(mib) * 1024).div_ceil(page_kib.max(1));
    format!(
        "{mib} MiB of hugepages are asked for, {needed} pages of {page_kib} kB, and {free} are free: reserve them with \
         `sysctl vm.nr_hugepages={needed}`, or set `hugepages: false`"
    )
}

fn meminfo(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

/// Why a probed device is no port, and how to mend it.
pub(crate) fn for_missing_device(device: &DeviceSpec, problems: &[String]) -> (String, Option<String>) {
    let logged = || {
        // The driver's own line says more than the bus's summary ("failed to initialize X device"), which follows it.
        let specific =
            problems.iter().rfind(|line| !line.contains("failed to initialize") && !line.contains("Bus ("));
        specific.or(problems.last()).cloned().unwrap_or_else(|| "its driver gave no reason".to_owned())
    };
    let DeviceSpec::Vdev { .. } = device else {
        return missing_pci(device).unwrap_or_else(|| (logged(), None));
    };
    let on_interface = matches!(device.driver(), Some("net_af_packet" | "net_af_xdp"));
    match device.interface() {
        None if on_interface => {
            let driver = device.driver().unwrap_or_default();
            return (
                format!("{driver} works on a kernel interface and none is given"),
                Some("add `iface=NAME`".to_owned()),
            );
        }
        Some(interface) if on_interface && !interface_exists(interface) => {
            return (
                format!("interface `{interface}` does not exist in this network namespace"),
                Some("`ip link` lists those that do: correct `iface=` or create it".to_owned()),
            );
        }
        _ => {}
    }
    if device.driver() == Some("net_tap") && !Path::new("/dev/net/tun").exists() {
        return (
            "/dev/net/tun does not exist".to_owned(),
            Some("`modprobe tun`; in Docker add `--device /dev/net/tun`".to_owned()),
        );
    }
    (logged(), capability_hint(device))
}

/// Why a new kernel interface cannot have the name that it is to have, and what to do about it.
pub(crate) fn for_taken_name(device: &DeviceSpec) -> Option<(String, String)> {
    let name = device.interface().filter(|_| device.driver() == Some("net_tap"))?;
    interface_exists(name).then(|| {
        (
            format!("there is an interface `{name}` already in this network namespace"),
            format!("choose another name, or end what made it: `ip -d link show {name}` says what it is"),
        )
    })
}

fn missing_pci(device: &DeviceSpec) -> Option<(String, Option<String>)> {
    let address = device.name();
    let folder = Path::new("/sys/bus/pci/devices").join(address);
    if !folder.exists() {
        return Some((
            "there is no such PCI device".to_owned(),
            Some("`dpdk-devbind.py --status-dev net` lists those there are".to_owned()),
        ));
    }
    let bind = Some(format!("bind it to vfio: `modprobe vfio-pci && dpdk-devbind.py -b vfio-pci {address}`"));
    let Ok(driver) = fs::read_link(folder.join("driver")) else {
        return Some(("no kernel driver is bound to it".to_owned(), bind));
    };
    let driver = driver.file_name()?.to_string_lossy().into_owned();
    // The Mellanox drivers share the device with the kernel.
    let fitting = ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core", "mlx4_core"];
    (!fitting.contains(&driver.as_str())).then(|| (format!("it belongs to the kernel driver {driver}"), bind))
}

/// How to mend a failing call on an existing port.
pub(crate) fn for_port(device: &DeviceSpec, errno: Errno, lines: &[String]) -> Option<String> {
    let says = |pattern: &str| lines.iter().any(|line| line.contains(pattern));
    if says("Peer MTU is too large") {
        return Some("XDP on veth needs an MTU of at most 3498 at both ends".to_owned());
    }
    let refused =
        matches!(errno.0, libc::EPERM | libc::EACCES) || says("not permitted") || says("ermission denied");
    // The XDP driver hides the cause of a refused UMEM behind EINVAL or ENOMEM.
    if (refused || device.driver() == Some("net_af_xdp"))
        && let Some(hint) = capability_hint(device)
    {
        return Some(hint);
    }
    if errno.0 == libc::EBUSY || says("resource busy") {
        let interface = device.interface().unwrap_or("the device");
        return Some(format!(
            "{interface} is in use: another process or XDP program holds it (`ip link show` tells)"
        ));
    }
    (errno.0 == libc::ENOMEM)
        .then(|| "packet memory is used up: give more memory or fewer buffers".to_owned())
}

/// How to get an MTU accepted that the device refused.
pub(crate) fn for_mtu(device: &DeviceSpec, errno: Errno, lines: &[String]) -> Option<String> {
    match (errno.0, device.interface()) {
        (libc::EINVAL, Some(name)) => {
            Some(format!("interface {name} takes less: see `ip -d link show {name}`"))
        }
        _ => for_port(device, errno, lines),
    }
}

/// Which MTUs the driver takes, and how to widen that.
pub(crate) fn for_mtu_range(device: &DeviceSpec, min: u16, max: u16) -> Option<String> {
    let wider = match device.driver() {
        Some("net_af_packet") => ", more with `,framesz=BYTES` on the device and a pool to match",
        _ => "",
    };
    Some(format!("this device takes {min} to {max}{wider}"))
}

/// How to get more queues.
pub(crate) fn for_queues(device: &DeviceSpec, asked: u16) -> Option<String> {
    match (device.driver(), asked) {
        (_, 0) => Some("a port needs at least one queue each way".to_owned()),
        (Some("net_af_packet"), _) => {
            Some(format!("add `,qpairs={asked}` to the device, or use fewer workers"))
        }
        (Some("net_af_xdp"), _) => {
            Some(format!("add `,queue_count={asked}` to the device, or use fewer workers"))
        }
        _ => Some("use fewer workers".to_owned()),
    }
}

/// How to get the memory for a pool.
pub(crate) fn for_pool(errno: Errno, mib: u64) -> Option<String> {
    match errno.0 {
        libc::ENOMEM => Some(format!("packet memory must exceed {mib} MiB: raise it, or use fewer buffers")),
        libc::EEXIST => Some("the name is taken: give each pool its own".to_owned()),
        _ => None,
    }
}

/// The capabilities the driver needs and the process lacks, in words; none when it lacks none.
fn capability_hint(device: &DeviceSpec) -> Option<String> {
    let needed: &[(u32, &str)] = match device.driver()? {
        "net_af_packet" => &[NET_RAW, NET_ADMIN],
        "net_af_xdp" => &[NET_ADMIN, NET_RAW, SYS_ADMIN, IPC_LOCK],
        "net_tap" => &[NET_ADMIN],
        _ => return None,
    };
    let held = effective_capabilities()?;
    let lacking: Vec<&str> =
        needed.iter().filter(|(bit, _)| held & (1 << bit) == 0).map(|&(_, name)| name).collect();
    if lacking.is_empty() {
        return None;
    }
    let files =
        lacking.iter().map(|name| format!("cap_{}", name.to_lowercase())).collect::<Vec<_>>().join(",");
    let docker = lacking.iter().map(|name| format!("--cap-add {name}")).collect::<Vec<_>>().join(" ");
    Some(format!(
        "the process lacks {}: run as root, `setcap {files}+ep` on the program, or in Docker `{docker}`",
        lacking.iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(", ")
    ))
}

fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim(), 16).ok()
}

fn interface_exists(name: &str) -> bool {
    CString::new(name).is_ok_and(|name| fds::interface_index(&name).is_some())
}
