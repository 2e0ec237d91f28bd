//! PCI devices: there, bound to a driver that DPDK can use, and what that driver needs of the IOMMU.
//!
//! Nothing here is asked of virtual devices.

use super::{Device, Findings, Host};

/// Drivers through which DPDK owns a device.
const USER_SPACE: [&str; 3] = ["vfio-pci", "igb_uio", "uio_pci_generic"];
/// Drivers that share the device with DPDK: it stays a kernel interface as well.
const BIFURCATED: [&str; 4] = ["mlx5_core", "mlx4_core", "mana", "gve"];

pub(super) fn check(devices: &[Device], host: &Host, findings: &mut Findings) {
    let mut needs_vfio = false;
    for device in devices {
        if let Some(address) = device.pci() {
            needs_vfio |= driver(&device.port, address, host, findings);
        }
    }
    if needs_vfio {
        iommu(host, findings);
    }
}

/// Checks one device; true if it is, or should be, bound to vfio-pci.
fn driver(port: &str, address: &str, host: &Host, findings: &mut Findings) -> bool {
    let folder = format!("sys/bus/pci/devices/{address}");
    if !host.has(&folder) {
        findings.error(
            "device.present",
            format!("port {port}: there is no PCI device {address}"),
            "the EAL would start without this port",
            "lspci -D | grep -i -e ethernet -e network   # then correct `device:`",
        );
        return false;
    }
    let bind = format!("modprobe vfio-pci && dpdk-devbind.py -b vfio-pci {address}");
    match host.link(&format!("{folder}/driver")).as_deref() {
        Some(driver) if BIFURCATED.contains(&driver) => {
            findings.ok("device.driver", format!("port {port}: {address} is shared by {driver}"));
            false
        }
        Some(driver) if USER_SPACE.contains(&driver) => {
            findings.ok("device.driver", format!("port {port}: {address} is bound to {driver}"));
            driver == "vfio-pci"
        }
        Some(driver) => {
            let interfaces = host.names(&format!("{folder}/net"));
            let as_interface =
                if interfaces.is_empty() { String::new() } else { format!(" as {}", interfaces.join(", ")) };
            findings.error(
                "device.driver",
                format!("port {port}: {address} belongs to the kernel's {driver}{as_interface}"),
                "DPDK can only use a device that is bound to vfio-pci; binding takes it from the kernel: not the one you log in by",
                bind,
            );
            true
        }
        None => {
            let why = "DPDK can only use a device that is bound to vfio-pci";
            findings.error("device.driver", format!("port {port}: {address} has no driver"), why, bind);
            true
        }
    }
}

fn iommu(host: &Host, findings: &mut Findings) {
    if !host.names("sys/kernel/iommu_groups").is_empty() {
        return findings.ok("device.iommu", "the IOMMU is on");
    }
    let unsafe_mode = host.text("sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
    if unsafe_mode.is_some_and(|mode| matches!(mode.as_str(), "Y" | "1")) {
        findings.warning(
            "device.iommu",
            "vfio runs without IOMMU",
            "the NIC can write to any memory of this host",
            "add `intel_iommu=on iommu=pt` (AMD: `iommu=pt`) to GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub && reboot",
        );
    } else {
        findings.error(
            "device.iommu",
            "there is no IOMMU",
            "vfio-pci refuses devices without one",
            "turn on VT-d or AMD-Vi in the firmware and boot with `intel_iommu=on iommu=pt`; in a VM without one: echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
        );
    }
}
