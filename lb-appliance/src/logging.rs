//! The log: one pipe for our own lines and for DPDK's.
//!
//! Text for people, JSON lines for machines, always on stderr. State changes are events with stable names
//! in the field `event`.

use crate::config::model::{LogFormat, Logging};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

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
    let (filter, reloading) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_span_events(FmtSpan::NONE)
        .with_ansi(has_colour)
        .with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if is_json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines).try_init()
    };
    // A logger that is there already (tests) stays.
    if started.is_ok() {
        let _ = FILTER.set(reloading);
    }
    Ok(())
}

/// The filter of the running logger.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// The filter in force; `off` if no logger was started here.
pub fn filter() -> String {
    FILTER
        .get()
        .and_then(|handle| handle.with_current(EnvFilter::to_string).ok())
        .unwrap_or_else(|| "off".into())
}

/// Puts another filter into force.
///
/// # Errors
/// It is not one, or no logger was started here.
pub fn set_filter(level: &str) -> Result<(), BadFilter> {
    let bad = |reason: String| BadFilter { level: level.into(), reason };
    let filter = EnvFilter::try_new(level).map_err(|error| bad(error.to_string()))?;
    let handle = FILTER.get().ok_or_else(|| bad("this process has no logger".into()))?;
    handle.reload(filter).map_err(|error| bad(error.to_string()))
}

/// `wanted` as a whole filter: one that names targets only comes on top of what is in force, or nothing else would
/// be logged any more.
pub fn on_top(current: &str, wanted: &str) -> String {
    let is_whole = wanted.split(',').any(|directive| !directive.contains('='));
    if is_whole { wanted.to_owned() } else { format!("{current},{wanted}") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_comes_on_top_and_a_level_replaces() {
        assert_eq!(on_top("info", "guideway::health=debug"), "info,guideway::health=debug");
        assert_eq!(on_top("info", "debug"), "debug");
        assert_eq!(on_top("info", "warn,guideway::health=debug"), "warn,guideway::health=debug");
    }
}
