//! The task of one target: wait, probe, tell, for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::plan::Part;
use super::super::probe::{self, Subject};
use super::super::steps::Steps;
use super::Common;
use super::cell::Cell;
use crate::config::model::Probe;

/// What counts as late, ns.
const LATE_NS: u64 = 100_000_000;

pub(super) async fn watch(cell: Arc<Cell>, common: Arc<Common>) {
    loop {
        let due = common.at(cell.due_ns());
        tokio::select! {
            () = tokio::time::sleep_until(due) => probe(&cell, &common).await,
            () = cell.nudge.notified() => {}
        }
        while cell.has_news() {
            // First the place, then the event: if this task ends while it waits, the news stays untold and is told by
            // the target that follows. Nobody listens any more only when the program ends.
            let Ok(place) = common.events.reserve().await else { return };
            if let Some(event) = cell.news() {
                place.send(event);
            }
        }
    }
}

async fn probe(cell: &Cell, common: &Common) {
    let is_command = cell.key.part == Part::Probe && matches!(cell.key.check.probe, Probe::Command { .. });
    // Never closed; were it, probing without a permit would be the lesser evil.
    let semaphore = if is_command { &common.commands } else { &common.probes };
    let _permit = semaphore.acquire().await;
    let start = cell.start(common.now_ns());
    if start.late_ns > LATE_NS {
        common.late.fetch_add(1, Ordering::Relaxed);
        cell.count_late();
    }
    // Only commands and tunnels look at the subscriber, and they have exactly one.
    let Some(subscriber) = cell.key.owner.clone().or_else(|| cell.first_subscriber()) else { return };
    let subject = Subject { address: cell.key.address, subscriber: &subscriber, tunnels: &common.tunnels };
    let outcome = probe::run(&cell.prepared, cell.key.part, &subject, &mut Steps::quiet()).await;
    // Whether it was in time the probe has judged; that this task was woken late is not the backend's fault.
    let now = if outcome.ok() { common.now_ns().min(start.deadline_ns) } else { common.now_ns() };
    cell.finish(now, outcome);
}
