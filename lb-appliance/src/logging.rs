//! The log: one pipe for our own lines and for DPDK's.
//!
//! Text for people, JSON lines for machines, always on stderr. State changes are events with stable names
//! in the field `event`.

use crate::config::model::{LogFormat, Logging};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// The configured filter is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "logging.level `{level}` is not a filter: {reason}; write e.g. `info` or `info,guideway::dpdk=debug`"
)]
pub struct BadFilter {
    level: String,
    reason: String,
}

/// Starts logging for the process. A second call changes nothing.
pub fn start(settings: &Logging) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| BadFilter { level: settings.level.clone(), reason: error.to_string() })?;
    let is_terminal = std::io::stderr().is_terminal();
    let is_json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !is_terminal,
    };
    let has_colour = is_terminal && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(has_colour)
        .with_writer(std::io::stderr);
    // A logger that is there already (tests) stays.
    let _ = if is_json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    Ok(())
}

/// Takes one line of DPDK's own log.
#[cfg(feature = "dpdk")]
pub fn dpdk_line(level: dpdk::log::Level, line: &str) {
    use dpdk::log::Level;
    match level {
        Level::Error => tracing::error!(target: "guideway::dpdk", "{line}"),
        Level::Warning => tracing::warn!(target: "guideway::dpdk", "{line}"),
        Level::Notice | Level::Info => tracing::info!(target: "guideway::dpdk", "{line}"),
        Level::Debug => tracing::debug!(target: "guideway::dpdk", "{line}"),
    }
}
