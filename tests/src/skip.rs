//! Why a test cannot run on this machine.
//!
//! A skip is always spoken: one line on stderr that begins with `skipped:`, which `scripts/test` counts. Where
//! `GUIDEWAY_NO_SKIP` is set (a machine that is meant to run everything) a skip is a failure.

use std::fmt;

/// The reason, in words for whoever reads the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Unwraps what a test needs, or says why the test does not run.
///
/// # Panics
/// When `GUIDEWAY_NO_SKIP` is set and the need is not met.
pub fn unless<T>(needed: Result<T, Skip>) -> Option<T> {
    match needed {
        Ok(value) => Some(value),
        Err(why) => {
            assert!(std::env::var_os("GUIDEWAY_NO_SKIP").is_none(), "must not be skipped here: {why}");
            // One write: lines of tests that run side by side must not mix.
            let line = format!("skipped: {why}\n");
            eprint!("{line}");
            None
        }
    }
}

/// Is this program on the path (as an administrator's path, with the sbin directories)?
///
/// # Errors
/// `Skip` naming the program and the Debian package that has it.
pub fn require_program(program: &str, package: &str) -> Result<(), Skip> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/local/sbin", "/usr/sbin", "/sbin"]);
    if folders.any(|folder| std::path::Path::new(folder).join(program).is_file()) {
        return Ok(());
    }
    Err(Skip(format!("{program} is not installed (apt-get install {package})")))
}
