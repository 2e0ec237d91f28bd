//! `guideway run`: the daemon, in the foreground.
//!
//! Exit codes: 0 after SIGTERM or SIGINT, 1 if something could not be opened, 3 if the configuration is invalid.

use crate::config;
use crate::control::{self, Boot, Store};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Open files that health checks and clients of a large installation take.
const OPEN_FILES: u64 = 65_536;

/// Arguments of `guideway run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = config::FILE_DEFAULT)]
    pub config: PathBuf,
    /// Where the last good configuration and persistent overrides are kept
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY", default_value = control::STATE_DIRECTORY_DEFAULT)]
    pub state_dir: PathBuf,
    /// Admin socket, instead of the one that the configuration names
    #[arg(long, value_name = "PATH", env = "GUIDEWAY_SOCKET")]
    pub admin_socket: Option<PathBuf>,
}

/// Runs the balancer until a signal.
pub fn run(arguments: &RunArgs) -> ExitCode {
    // Says everything about the file, whether or not there is an older one to go on with.
    let _ = super::load_config(&arguments.config);
    crate::health::raise_open_files(OPEN_FILES);
    let store = Store::new(arguments.state_dir.clone());
    let boot = match Boot::load(&arguments.config, &store) {
        Ok(boot) => boot,
        // The report on the file is on standard error already.
        Err(no_boot) => {
            if let Some(complaint) = no_boot.last_good {
                eprintln!("guideway: {complaint}");
            }
            return ExitCode::from(super::EXIT_CONFIG);
        }
    };
    if let Some(complaint) = &boot.complaint {
        eprintln!("guideway: {complaint}");
    }
    if let Err(finding) = boot.loaded.config.require_dataplane() {
        eprintln!("guideway: {}: {}", arguments.config.display(), finding);
        return ExitCode::from(super::EXIT_CONFIG);
    }
    let result = crate::logging::start(&boot.loaded.config.logging)
        .map_err(anyhow::Error::from)
        .and_then(|()| forward(boot, arguments));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guideway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "dpdk")]
fn forward(boot: Boot, arguments: &RunArgs) -> anyhow::Result<()> {
    let settings = crate::runtime::Settings {
        path: arguments.config.clone(),
        state_directory: arguments.state_dir.clone(),
        admin_socket: arguments.admin_socket.clone(),
    };
    crate::runtime::run(boot, settings)
}

#[cfg(not(feature = "dpdk"))]
fn forward(_boot: Boot, _arguments: &RunArgs) -> anyhow::Result<()> {
    anyhow::bail!(
        "this build has no packet I/O: build it with the cargo feature `dpdk`, or use `guideway replay`"
    )
}
