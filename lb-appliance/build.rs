//! Notes the compiler's version and, in release builds inside a repository, the revision.
//!
//! `GUIDEWAY_REVISION` in the environment wins (`option_env!` is tracked by Cargo itself). Debug builds are not told
//! the revision: every commit would compile the crate anew. Without git, or outside a repository, it stays unknown.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // `rustc 1.95.0 (59807616e 2026-04-14)`: the second word. Cargo always sets RUSTC for build scripts.
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=GUIDEWAY_RUSTC_VERSION={version}");
    println!("cargo::rerun-if-env-changed=GUIDEWAY_REVISION");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release && std::env::var_os("GUIDEWAY_REVISION").is_none() {
        note_revision();
    }
}

fn note_revision() {
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    println!("cargo::rustc-env=GUIDEWAY_REVISION={revision}");
    // Grows with every commit and checkout; a path that is not there would have this run for ever.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&log).is_file()
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
