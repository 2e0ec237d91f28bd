//! How DPDK gets into the binary: shared objects (default), or its archives with `GW_DPDK_STATIC`.
//!
//! Static linking cannot be left to pkg-config: its `--static` list names hundreds of libraries, and Rust's
//! crate emits `--whole-archive` as an empty pair, so the drivers' constructors vanish and EAL knows no
//! device. Here each archive is named once, with `+whole-archive`, and only what the chosen drivers need.

use std::env;

/// The ways to link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// `librte_*.so`, drivers loaded by EAL from the distribution's folder.
    Shared,
    /// `librte_*.a` with the software drivers and those of virtual machines inside the binary.
    Static,
    /// The same with the drivers of common NICs.
    StaticFull,
}

/// DPDK archives of static mode: the base, the buses, the mempool driver, the software network drivers, and those of
/// virtual NICs, which need nothing more of the system.
const ARCHIVES: &[&str] = &[
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
    "rte_timer",
    "rte_pci",
    "rte_bus_pci",
    "rte_bus_vdev",
    "rte_mempool_ring",
    "rte_net_null",
    "rte_net_ring",
    "rte_net_memif",
    "rte_net_af_packet",
    "rte_net_af_xdp",
    "rte_net_tap",
    "rte_net_virtio",
    "rte_net_vmxnet3",
    "rte_net_ena",
    "rte_net_gve",
];

/// Drivers of common NICs and what they are built on; and that of files, whose library brings another ten along.
const FULL_ARCHIVES: &[&str] = &[
    "rte_cryptodev",
    "rte_security",
    "rte_sched",
    "rte_bus_auxiliary",
    "rte_common_iavf",
    "rte_common_mlx5",
    "rte_net_e1000",
    "rte_net_igc",
    "rte_net_ixgbe",
    "rte_net_i40e",
    "rte_net_iavf",
    "rte_net_ice",
    "rte_net_mlx5",
    "rte_net_bnxt",
    "rte_net_bond",
    "rte_net_pcap",
];

/// What those archives need from the system; always shared.
const SYSTEM_LIBRARIES: &[&str] = &["numa", "bsd", "bpf", "xdp", "pthread", "m", "dl"];

/// What those need besides: mlx5 goes through the kernel's verbs.
const FULL_SYSTEM_LIBRARIES: &[&str] = &["ibverbs", "mlx5", "pcap"];

impl Linkage {
    /// Reads `GW_DPDK_STATIC`: unset, empty or `0` is shared, `1` static, `full` static with the drivers of NICs.
    pub(crate) fn from_env() -> Result<Self, String> {
        match env::var("GW_DPDK_STATIC").as_deref() {
            Err(_) | Ok("" | "0") => Ok(Self::Shared),
            Ok("1") => Ok(Self::Static),
            Ok("full") => Ok(Self::StaticFull),
            Ok(other) => Err(format!(
                "GW_DPDK_STATIC is `{other}`: write 1 (software and virtual NICs) or full (also mlx5, ice, i40e, \
                 ixgbe, bnxt), or unset it to link DPDK's shared objects"
            )),
        }
    }
}

/// Emits the link lines of static mode; pkg-config has emitted those of shared mode.
pub(crate) fn emit(linkage: Linkage) {
    let (more_archives, more_libraries): (&[&str], &[&str]) = match linkage {
        Linkage::Shared => return,
        Linkage::Static => (&[], &[]),
        Linkage::StaticFull => (FULL_ARCHIVES, FULL_SYSTEM_LIBRARIES),
    };
    if let Ok(folder) = pkg_config::get_variable("libdpdk", "libdir") {
        println!("cargo::rustc-link-search=native={folder}");
    }
    for archive in ARCHIVES.iter().chain(more_archives) {
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle={archive}");
    }
    for library in SYSTEM_LIBRARIES.iter().chain(more_libraries) {
        println!("cargo::rustc-link-lib={library}");
    }
}
