//! Series of health checks: counts per backend and probe, durations per pool and probe.
//!
//! Causes that never came up have no series: fifteen of them for every backend would be most of a scrape.

use super::catalogue::Metric;
use super::families::{Distribution, Families};
use super::selection::{Group, Selection};
use super::sources::Sources;
use crate::health::{Histogram, Row, Timings};
use std::collections::BTreeMap;
use std::time::SystemTime;

pub(super) fn collect(sources: &Sources, selection: Selection, families: &mut Families) {
    let (wants_health, wants_backends) = (selection.has(Group::Health), selection.has(Group::Backends));
    let Some(engine) = sources.health().filter(|_| wants_health || wants_backends) else { return };
    let snapshot = engine.snapshot();
    if sources.settings.per_backend && wants_backends {
        collect_changes(&snapshot.rows, families);
    }
    if !wants_health {
        return;
    }
    if sources.settings.per_backend {
        snapshot.rows.iter().for_each(|row| collect_row(row, families));
    }
    for timings in &snapshot.timings {
        let labels = [timings.pool.as_str(), timings.probe];
        families.distribution(Metric::HealthCheckDuration, &labels, &distribution(timings));
    }
    families.count(Metric::HealthCheckLate, &[], snapshot.late);
}

fn collect_row(row: &Row, families: &mut Families) {
    families.count(Metric::HealthChecks, &[&row.pool, &row.backend, row.probe], row.checks);
    for (cause, count) in &row.failures {
        let labels = [row.pool.as_str(), &row.backend, row.probe, cause.word()];
        families.count(Metric::HealthCheckFailures, &labels, *count);
    }
}

/// One series per backend, over its probe and its agent.
fn collect_changes(rows: &[Row], families: &mut Families) {
    let mut backends: BTreeMap<(&str, &str), (u64, Option<SystemTime>)> = BTreeMap::new();
    for row in rows {
        let (changes, last) = backends.entry((&row.pool, &row.backend)).or_default();
        *changes += row.changes;
        *last = (*last).max(row.since);
    }
    for ((pool, backend), (changes, last)) in backends {
        families.count(Metric::BackendStateChanges, &[pool, backend], changes);
        if let Some(at) = last.and_then(|last| last.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            families.put(Metric::BackendLastStateChange, &[pool, backend], at.as_secs_f64());
        }
    }
}

fn distribution(timings: &Timings) -> Distribution {
    let histogram = &timings.histogram;
    let mut seen = 0;
    let bucket = |(bound, count): (f64, &u64)| {
        seen += count;
        (bound, seen)
    };
    Distribution {
        buckets: Histogram::bounds_seconds().into_iter().zip(&histogram.counts).map(bucket).collect(),
        count: histogram.count(),
        sum: histogram.sum.as_secs_f64(),
    }
}
