//! Where the `guideway` program is, and how it is called.
//!
//! The tests live in another package than the binary, so cargo does not tell them its path: `GUIDEWAY_BIN` does, or it
//! lies two folders above the test's own executable, where `cargo build -p lb-appliance` puts it.

use std::path::PathBuf;
use std::process::Command;

use crate::skip::Skip;

/// The path of the binary.
///
/// # Errors
/// `Skip` when it has not been built.
pub fn guideway_path() -> Result<PathBuf, Skip> {
    let beside =
        std::env::current_exe().ok().and_then(|test| Some(test.parent()?.parent()?.join("guideway")));
    let path = std::env::var_os("GUIDEWAY_BIN").map(PathBuf::from).or(beside);
    path.filter(|path| path.is_file()).ok_or_else(|| {
        Skip("guideway is not built: cargo build -p lb-appliance, or set GUIDEWAY_BIN".to_owned())
    })
}

/// A command that calls the binary.
///
/// # Errors
/// `Skip` when it has not been built.
pub fn guideway() -> Result<Command, Skip> {
    Ok(Command::new(guideway_path()?))
}

/// The root of the workspace, from where this crate was compiled.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}
