//! How DPDK gets into the binary: shared objects (default), or its archives with `GW_DPDK_STATIC=1`.
//!
//! Static linking cannot be left to pkg-config: its `--static` list names hundreds of libraries, and Rust's
//! crate emits `--whole-archive` as an empty pair, so the drivers' constructors vanish and EAL knows no
//! device. Here each archive is named once, with `+whole-archive`, and only what the software drivers need.

use std::env;

/// The two ways to link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// `librte_*.so`, drivers loaded by EAL from the distribution's folder.
    Shared,
    /// `librte_*.a` with the software drivers inside the binary.
    Static,
}

/// DPDK archives of static mode: the base, the buses, the mempool driver and the software network drivers.
/// NIC drivers are added here (`rte_net_ixgbe`, ...) together with the system libraries they need.
const STATIC_ARCHIVES: &[&str] = &[
    "rte_eal",
    "rte_telemetry",
    "rte_kvargs",
    "rte_ring",
    "rte_rcu",
    "rte_mempool",
    "rte_mbuf",
    "rte_net",
    "rte_meter",
    "rte_ethdev",
    "rte_hash",
    "rte_ip_frag",
    "rte_gso",
    "rte_pci",
    "rte_bus_pci",
    "rte_bus_vdev",
    "rte_mempool_ring",
    "rte_net_null",
    "rte_net_ring",
    "rte_net_pcap",
    "rte_net_af_packet",
    "rte_net_af_xdp",
    "rte_net_tap",
];

/// What those archives need from the system; always shared.
const STATIC_SYSTEM_LIBRARIES: &[&str] = &["numa", "bsd", "pcap", "bpf", "xdp", "pthread", "m", "dl"];

impl Linkage {
    /// Reads `GW_DPDK_STATIC`: unset, empty or `0` is shared.
    pub(crate) fn from_env() -> Self {
        match env::var("GW_DPDK_STATIC").as_deref() {
            Err(_) | Ok("" | "0") => Self::Shared,
            Ok(_) => Self::Static,
        }
    }
}

/// Emits the link lines of static mode; pkg-config has emitted those of shared mode.
pub(crate) fn emit(linkage: Linkage) {
    if linkage == Linkage::Shared {
        return;
    }
    if let Ok(folder) = pkg_config::get_variable("libdpdk", "libdir") {
        println!("cargo::rustc-link-search=native={folder}");
    }
    for archive in STATIC_ARCHIVES {
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle={archive}");
    }
    for library in STATIC_SYSTEM_LIBRARIES {
        println!("cargo::rustc-link-lib={library}");
    }
}
