//! The subcommands, one file each, and what they share: exit codes and the way to a configuration.

pub mod backend;
pub mod backend_setup;
pub mod bench;
pub mod check;
pub mod completions;
pub mod conn;
pub mod diff;
pub mod doctor;
pub mod drops;
pub mod events;
pub mod explain;
pub mod form;
pub mod health;
pub mod healthcheck;
pub mod init;
pub mod live;
pub mod log_level;
pub mod maglev;
pub mod man;
pub mod output;
pub mod reload;
pub mod replay;
pub mod root;
pub mod run;
pub mod runtime;
pub mod schema;
pub mod status;
pub mod support_bundle;
pub mod top;
pub mod version;
pub mod vip;

#[cfg(test)]
#[path = "../../tests/cli/samples.rs"]
mod samples;

use crate::config::{self, Look, model::Config};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

/// Exit code: something failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: the configuration is invalid.
pub const EXIT_CONFIG: u8 = 3;

/// Reads a configuration for use; says on stderr everything there is to say about it, warnings included.
pub fn load_config(path: &Path) -> Option<Config> {
    let examination = config::examine_file(path);
    let report = examination.diagnostics.render(look(io::stderr().is_terminal()));
    if !report.is_empty() {
        eprintln!("{}", report.trim_end());
    }
    examination.config
}

/// How a report for people looks here: <https://no-color.org>, and plain ASCII off a terminal.
pub fn look(is_terminal: bool) -> Look {
    match (is_terminal, std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())) {
        (false, _) => Look::Plain,
        (true, true) => Look::Drawn,
        (true, false) => Look::Coloured,
    }
}

/// The exit code of something that was to be written to `what`; says on standard error what went wrong. A reader that
/// has gone (`guideway schema | head`) is no failure.
pub fn written(outcome: io::Result<()>, what: &str) -> ExitCode {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("guideway: {what}: {error}");
            ExitCode::from(EXIT_FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}
