//! What is worth an event: changes of state between two generations, and drains that have come to their end.

use super::events::{EventLog, Kind};
use super::numbers::active;
use super::running::Running;
use lb_core::spec::BackendState;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// What has been said already.
#[derive(Debug, Default)]
pub(super) struct Watch {
    drained: HashSet<(String, String)>,
    lateness: Lateness,
}

/// How long a worker may sleep and then take over tables, with much to spare.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// Since when some worker is behind, and whether that has been said.
#[derive(Debug, Default)]
struct Lateness {
    since: Option<Instant>,
    is_said: bool,
}

impl Lateness {
    /// Takes note of a look at `now`; true if it is to be said, once per occasion.
    fn look(&mut self, is_behind: bool, now: Instant) -> bool {
        if !is_behind {
            *self = Self::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_news = !self.is_said && now.duration_since(since) >= LATE_AFTER;
        self.is_said |= is_news;
        is_news
    }
}

impl Watch {
    /// Notes what is another state in `after` than it was in `before`.
    pub(super) fn note_transitions(&mut self, before: &Running, after: &Running, events: &EventLog) {
        for (at, names) in after.plan.names.pools.iter().enumerate() {
            let pool = &after.pools[at];
            let was = before.plan.names.pools.iter().position(|old| old.name == names.name);
            let was_panicking = was.is_some_and(|was| before.pools[was].is_panicking);
            note_panic(events, &names.name, was_panicking, pool.is_panicking);
            for (backend, name) in pool.backends.iter().zip(&names.backends) {
                let key = (names.name.clone(), name.clone());
                if backend.state == BackendState::Active {
                    self.drained.remove(&key);
                }
            }
        }
        note_vips(before, after, events);
    }

    /// Notes drains that are over.
    pub(super) fn note_drained(&mut self, running: &Running, events: &EventLog) {
        let workers = &running.vitals.workers;
        let mut flows: HashMap<(usize, usize), u64> = HashMap::new();
        for (record, owner) in running.tables.owners() {
            if running.pools[owner.pool].backends[owner.backend].state == BackendState::Drain {
                *flows.entry((owner.pool, owner.backend)).or_default() += active(workers, record);
            }
        }
        for ((pool, backend), _) in flows.into_iter().filter(|(_, flows)| *flows == 0) {
            let names = &running.plan.names.pools[pool];
            let key = (names.name.clone(), names.backends[backend].clone());
            let object = format!("backend {}/{}", key.0, key.1);
            if self.drained.insert(key) {
                events.note(
                    Kind::BackendDrained,
                    &object,
                    "it has no connections left and can be taken away",
                );
            }
        }
    }

    /// Notes workers that have not taken over the tables in force, once per occasion.
    pub(super) fn note_late(&mut self, running: &Running, events: &EventLog) {
        let seen = running.vitals.acknowledgements.each();
        let late: Vec<&str> = running
            .vitals
            .workers
            .iter()
            .zip(&seen)
            .filter(|(_, seen)| **seen < running.generation)
            .map(|(worker, _)| worker.label.as_str())
            .collect();
        if self.lateness.look(!late.is_empty(), Instant::now()) {
            let message =
                format!("worker {} still goes by older tables than {}", late.join(", "), running.generation);
            events.note(Kind::WorkerLate, "workers", &message);
        }
    }
}

fn note_panic(events: &EventLog, pool: &str, before: bool, after: bool) {
    let object = format!("pool {pool}");
    match (before, after) {
        (false, true) => {
            events.note(Kind::PoolPanic, &object, "too few backends are healthy: health does not count now");
        }
        (true, false) => events.note(Kind::PoolRecovered, &object, "enough backends are healthy again"),
        _ => {}
    }
}

fn note_vips(before: &Running, after: &Running, events: &EventLog) {
    let serving = |running: &Running| -> HashMap<String, bool> {
        let names = running.plan.names.vips.iter();
        names
            .zip(&running.plan.spec.services)
            .map(|(name, service)| (name.clone(), running.pools[service.pool].is_serving()))
            .collect()
    };
    let old = serving(before);
    for (name, is_serving) in serving(after) {
        let object = format!("vip {name}");
        match (old.get(&name).copied().unwrap_or(true), is_serving) {
            (true, false) => events.note(Kind::VipDown, &object, "no backend takes its new connections"),
            (false, true) => events.note(Kind::VipUp, &object, "backends take its new connections again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_worker_is_not_late_and_a_stuck_one_is_said_once() {
        let (mut lateness, start) = (Lateness::default(), Instant::now());
        assert!(!lateness.look(true, start), "it may be asleep");
        assert!(!lateness.look(false, start + LATE_AFTER), "it was");
        assert!(!lateness.look(true, start + LATE_AFTER * 2));
        assert!(lateness.look(true, start + LATE_AFTER * 3));
        assert!(!lateness.look(true, start + LATE_AFTER * 4), "once is enough");
        assert!(!lateness.look(false, start + LATE_AFTER * 5));
    }
}
