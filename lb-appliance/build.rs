//! Notes the compiler's version for `guideway_build_info`.
//!
//! The revision needs no help: `option_env!("GUIDEWAY_REVISION")` is tracked by Cargo itself.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // `rustc 1.95.0 (59807616e 2026-04-14)`: the second word. Cargo always sets RUSTC for build scripts.
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=GUIDEWAY_RUSTC_VERSION={version}");
}
