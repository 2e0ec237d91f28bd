//! Runs bindgen over `shim.h` with a tight allowlist.
//!
//! Only what the `dpdk` crate calls is generated: whole-header output is twice the size, and DPDK's packed
//! header structs (`rte_arp_*`, `rte_l2tpv2_*`) do not compile in Rust (bindgen issue 2179).

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

/// Functions of DPDK, one regular expression per theme; the shim's own are `gw_.*`.
const FUNCTIONS: &[&str] = &[
    "gw_.*",
    "rte_eal_(init|cleanup|get_runtime_dir|hotplug_add)",
    "rte_strerror",
    "rte_get_tsc_hz",
    "rte_log_set_global_level",
    "rte_thread_(register|unregister)",
    "rte_pktmbuf_(pool_create|free_bulk)",
    "rte_mempool_(free|avail_count|in_use_count)",
    "rte_eth_dev_(info_get|configure|adjust_nb_rx_tx_desc|start|stop|close|socket_id|get_port_by_name)",
    "rte_eth_dev_(count_avail|set_mtu|get_mtu|get_name_by_port|is_valid_port)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_(promiscuous_(enable|disable)|allmulticast_enable|macaddr_get|link_get_nowait|stats_get)",
];

/// Types that no listed function names.
const TYPES: &[&str] = &["gw_.*"];

/// Constants: our typed ones, and the few of DPDK's that libclang evaluates by itself.
const VARIABLES: &[&str] =
    &["gw_.*", "GW_.*", "RTE_MAX_LCORE", "RTE_MEMPOOL_CACHE_MAX_SIZE", "RTE_MBUF_MAX_NB_SEGS"];

/// Writes the bindings of `header` to `output`.
pub(crate) fn generate(header: &Path, clang_flags: &[String], output: &Path) -> Result<(), String> {
    let mut builder = bindgen::Builder::default()
        .header(header.display().to_string())
        .clang_args(clang_flags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .layout_tests(true)
        .derive_default(false)
        // A packed struct holding bitfields cannot derive Debug.
        .derive_debug(false)
        .generate_comments(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        // __thread variables: bindgen emits plain statics, which link and crash.
        .blocklist_var("per_lcore_.*")
        .opaque_type("rte_arp_.*|rte_l2tpv2_.*")
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    for pattern in FUNCTIONS {
        builder = builder.allowlist_function(pattern);
    }
    for pattern in TYPES {
        builder = builder.allowlist_type(pattern);
    }
    for pattern in VARIABLES {
        builder = builder.allowlist_var(pattern);
    }
    let bindings = quiet(move || builder.generate())
        .map_err(|reason| {
            format!("libclang not usable ({reason}): install it with `apt-get install libclang-dev`, or set LIBCLANG_PATH")
        })?
        .map_err(|error| format!("bindgen could not read DPDK's headers: {}", error.to_string().replace('\n', " ")))?;
    bindings.write_to_file(output).map_err(|error| format!("{}: {error}", output.display()))
}

/// bindgen panics when it finds no libclang; this turns the panic into its message, without a backtrace.
fn quiet<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    outcome.map_err(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("unknown reason");
        // The first clause; what follows lists file names.
        text.split([':', '\n']).next().unwrap_or("unknown reason").to_owned()
    })
}
