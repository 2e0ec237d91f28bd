//! `slow_start` and `adaptive_weights` of a pool.

use std::time::Duration;

use super::super::code::Code;
use super::super::keys;
use super::super::model::{AdaptiveWeights, LoadSource, SlowStart};
use super::super::read::Item;

/// Shortest ramp, and shortest time between decisions.
const SECOND: Duration = Duration::from_secs(1);
/// Longest ramp.
const RAMP_MAX: Duration = Duration::from_secs(3600);
/// Longest time between decisions.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Longest that a report may be trusted.
const STALE_MAX: Duration = Duration::from_secs(600);
/// Smallest factor: two of the 64ths that factors are rounded to, nearly.
const FACTOR_MIN: f64 = 0.02;

/// `30s`, or the keys.
pub(in super::super) fn slow_start(item: &Item<'_>) -> Option<SlowStart> {
    let start = 0.1;
    if !item.is_map() {
        return Some(SlowStart { duration: within(item, SECOND, RAMP_MAX)?, start });
    }
    let section = item.section(&keys::SLOW_START)?;
    let given = section.get("start").map(|item| item.decimal(FACTOR_MIN..=1.0));
    let duration = section.require("duration", "30s").and_then(|item| within(&item, SECOND, RAMP_MAX));
    Some(SlowStart { duration: duration?, start: given.unwrap_or(Some(start))? })
}

/// The keys; only the source has no default.
pub(in super::super) fn adaptive(item: &Item<'_>) -> Option<AdaptiveWeights> {
    let section = item.section(&keys::ADAPTIVE_WEIGHTS)?;
    let sources =
        [("header", LoadSource::Header), ("agent", LoadSource::Agent), ("latency", LoadSource::Latency)];
    let source = section.require("source", "header").and_then(|item| item.choice(&sources, &[]));
    let number = |key: &str, min: f64, max: f64, default: f64| {
        section.get(key).map_or(Some(default), |item| item.decimal(min..=max))
    };
    let seconds = |key: &str, min: Duration, max: Duration, default: Duration| {
        section.get(key).map_or(Some(default), |item| within(&item, min, max))
    };
    let interval = seconds("interval", SECOND, INTERVAL_MAX, Duration::from_secs(5));
    let shortest = interval.unwrap_or(SECOND);
    let stale_after = seconds("stale_after", shortest, STALE_MAX, Duration::from_secs(30).max(shortest * 3));
    let min_factor = number("min_factor", FACTOR_MIN, 1.0, 0.1);
    let max_factor = number("max_factor", 1.0, 8.0, 2.0);
    let max_step = number("max_step", 0.01, 1.0, 0.1);
    let deadband = number("deadband", 0.01, 0.5, 0.05);
    let changes = section.get("max_changes_per_minute").map_or(Some(6), |item| item.number(1..=60_u32));
    let moved = number("max_moved_per_minute", 0.001, 1.0, 0.1);
    Some(AdaptiveWeights {
        source: source?,
        interval: interval?,
        stale_after: stale_after?,
        min_factor: min_factor?,
        max_factor: max_factor?,
        max_step: max_step?,
        deadband: deadband?,
        max_changes_per_minute: changes?,
        max_moved_per_minute: moved?,
    })
}

/// A duration from `min` to `max`.
fn within(item: &Item<'_>, min: Duration, max: Duration) -> Option<Duration> {
    let duration = item.duration(min)?;
    if duration.value <= max {
        return Some(duration.value);
    }
    let message = format!("{:?} is too long", duration.value);
    item.findings.add_hint(
        Code::BadDuration,
        &item.place,
        message,
        format!("allowed are {min:?} to {max:?}"),
    );
    None
}
