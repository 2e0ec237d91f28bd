//! Finds DPDK, compiles the shim, generates the bindings and says how to link.
//!
//! Every failure is one sentence that names the missing thing and the package that mends it.
//! `GW_DPDK_STATIC=1` (or `full`) links DPDK's archives instead of its shared objects (see `build/link.rs`);
//! `GW_DPDK_MARCH` overrides the instruction-set baseline of the shim.

use std::env;
use std::path::{Path, PathBuf};

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/link.rs"]
mod link;

/// The oldest DPDK whose headers the bindings were tried with (Debian 12).
const DPDK_VERSION_MIN: &str = "22.11";

fn main() {
    for file in ["shim/shim.h", "shim/shim.c", "build/bindings.rs", "build/link.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=GW_DPDK_STATIC");
    println!("cargo::rerun-if-env-changed=GW_DPDK_MARCH");
    if let Err(message) = build() {
        // cargo prints this as the error of this package and fails the build: no panic, no backtrace.
        println!("cargo::error={message}");
    }
}

fn build() -> Result<(), String> {
    let linkage = link::Linkage::from_env()?;
    let dpdk = probe(linkage)?;
    let flags = shim_flags(&dpdk.include_paths);
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?);

    bindings::generate(Path::new("shim/shim.h"), &flags, &out_dir.join("bindings.rs"))?;

    let mut shim = cc::Build::new();
    shim.file("shim/shim.c").opt_level(3).warnings(true).warnings_into_errors(false);
    for flag in &flags {
        shim.flag(flag);
    }
    shim.try_compile("gw_dpdk_shim")
        .map_err(|error| format!("the DPDK shim did not compile: {error}; a C compiler comes with `apt-get install build-essential`"))?;
    // After the shim: the linker resolves the shim's references from what follows it.
    link::emit(linkage);
    Ok(())
}

/// Asks pkg-config for libdpdk; in shared mode this also emits the link lines.
fn probe(linkage: link::Linkage) -> Result<pkg_config::Library, String> {
    pkg_config::Config::new()
        .atleast_version(DPDK_VERSION_MIN)
        .cargo_metadata(linkage == link::Linkage::Shared)
        .probe("libdpdk")
        .map_err(|error| match error {
            pkg_config::Error::Command { .. } => {
                "pkg-config not found: install it with `apt-get install pkg-config libdpdk-dev`".to_owned()
            }
            pkg_config::Error::ProbeFailure { .. } => format!(
                "libdpdk {DPDK_VERSION_MIN} or newer not found: install it with `apt-get install libdpdk-dev`, \
                 or point PKG_CONFIG_PATH at the folder that holds its libdpdk.pc"
            ),
            other => format!(
                "libdpdk {DPDK_VERSION_MIN} or newer not usable: {}; `apt-get install libdpdk-dev` gives a fitting one",
                other.to_string().replace('\n', " ")
            ),
        })
}

/// The flags both compilers see. pkg-config's crate drops `-include rte_config.h` and `-march`, so they are
/// ours: without the first the headers do not compile, without the second the vector inlines disagree.
fn shim_flags(include_paths: &[PathBuf]) -> Vec<String> {
    let mut flags: Vec<String> = include_paths.iter().map(|path| format!("-I{}", path.display())).collect();
    flags.extend(["-include".to_owned(), "rte_config.h".to_owned()]);
    let baseline = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => Some("corei7"),
        Ok("aarch64") => Some("armv8-a+crc"),
        _ => None,
    };
    if let Some(march) = env::var("GW_DPDK_MARCH").ok().or_else(|| baseline.map(str::to_owned)) {
        flags.push(format!("-march={march}"));
    }
    flags
}
