//! `guideway run`: the daemon, in the foreground.
//!
//! Exit codes: 0 after SIGTERM or SIGINT, 1 if something could not be opened, 3 if the configuration is invalid.

use crate::config;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `guideway run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = config::FILE_DEFAULT)]
    pub config: PathBuf,
}

/// Runs the balancer until a signal.
pub fn run(arguments: &RunArgs) -> ExitCode {
    let Some(config) = super::load_config(&arguments.config) else {
        return ExitCode::from(super::EXIT_CONFIG);
    };
    if let Err(finding) = config.require_dataplane() {
        eprintln!("guideway: {}: {}", arguments.config.display(), finding);
        return ExitCode::from(super::EXIT_CONFIG);
    }
    let result =
        crate::logging::start(&config.logging).map_err(anyhow::Error::from).and_then(|()| forward(&config));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guideway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "dpdk")]
fn forward(config: &config::model::Config) -> anyhow::Result<()> {
    crate::runtime::run(config)
}

#[cfg(not(feature = "dpdk"))]
fn forward(_config: &config::model::Config) -> anyhow::Result<()> {
    anyhow::bail!(
        "this build has no packet I/O: build it with the cargo feature `dpdk`, or use `guideway replay`"
    )
}
