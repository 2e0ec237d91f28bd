//! The memory of one target: its schedule, its last result, its counts, and who has been told what.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lb_core::health::{Schedule, Start, State};
use tokio::sync::Notify;

use super::super::agent::AgentReport;
use super::super::outcome::{Cause, Outcome};
use super::super::plan::{Subscriber, Target, TargetKey};
use super::super::probe::Prepared;
use super::meter::Meter;
use super::snapshot::{Last, Row};
use super::{Common, Identity, identity, lock};

/// A change that the owner of the tables must act on.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthEvent {
    /// The pool.
    pub pool: String,
    /// The backend.
    pub backend: String,
    /// Which check: `http`, `agent`...
    pub probe: &'static str,
    /// What is known now, of this check.
    pub state: State,
    /// What this subscriber had been told before; equal to `state` if only the agent's word is new.
    pub previous: State,
    /// Why the last probe did not pass.
    pub cause: Option<Cause>,
    /// What it saw.
    pub detail: String,
    /// When, by the wall clock.
    pub at: SystemTime,
    /// How long the probe took.
    pub latency: Duration,
    /// The agent's word, if it is new.
    pub agent: Option<AgentReport>,
}

/// One who wants to know, and what he knows.
struct Listener {
    subscriber: Subscriber,
    told: State,
    told_agent: Option<AgentReport>,
    meter: Arc<Meter>,
}

struct Inner {
    schedule: Schedule,
    audience: Vec<Listener>,
    last: Option<Last>,
    agent: Option<AgentReport>,
    since: Option<SystemTime>,
    checks: u64,
    failures: [u64; Cause::ALL.len()],
    late: u64,
    changes: u64,
}

impl Inner {
    /// A listener who knows less than we do.
    fn uninformed(&self) -> Option<usize> {
        let state = self.schedule.state();
        let behind = |one: &Listener| one.told != state || one.told_agent != self.agent;
        self.audience.iter().position(behind)
    }
}

pub(super) struct Cell {
    pub(super) key: TargetKey,
    pub(super) prepared: Arc<Prepared>,
    /// Somebody joined who has to be told.
    pub(super) nudge: Notify,
    kind: &'static str,
    inner: Mutex<Inner>,
}

impl Cell {
    /// `told` is what each subscriber of the target knows already.
    pub(super) fn new(
        target: &Target,
        prepared: Arc<Prepared>,
        schedule: Schedule,
        told: &[State],
        common: &Common,
    ) -> Self {
        let kind = target.key.part.kind(&target.key.check);
        let listener = |(subscriber, told): (&Subscriber, &State)| Listener {
            subscriber: subscriber.clone(),
            told: *told,
            told_agent: None,
            meter: common.meter(&subscriber.pool, kind),
        };
        let inner = Inner {
            audience: target.subscribers.iter().zip(told).map(listener).collect(),
            schedule,
            last: None,
            agent: None,
            since: None,
            checks: 0,
            failures: [0; Cause::ALL.len()],
            late: 0,
            changes: 0,
        };
        let nudge = Notify::new();
        if told.iter().any(|told| *told != inner.schedule.state()) {
            nudge.notify_one();
        }
        Self { key: target.key.clone(), prepared, nudge, kind, inner: Mutex::new(inner) }
    }

    pub(super) fn due_ns(&self) -> u64 {
        lock(&self.inner).schedule.due_ns()
    }

    pub(super) fn start(&self, now_ns: u64) -> Start {
        lock(&self.inner).schedule.start(now_ns)
    }

    pub(super) fn count_late(&self) {
        lock(&self.inner).late += 1;
    }

    pub(super) fn finish(&self, now_ns: u64, outcome: Outcome) {
        let mut inner = lock(&self.inner);
        let at = SystemTime::now();
        if inner.schedule.finish(now_ns, outcome.finish).is_some() {
            inner.since = Some(at);
            inner.changes += 1;
        }
        inner.checks += 1;
        if let Some(cause) = outcome.cause {
            inner.failures[cause as usize] += 1;
        }
        for listener in &inner.audience {
            listener.meter.observe(outcome.latency);
        }
        if outcome.agent.is_some() {
            inner.agent.clone_from(&outcome.agent);
        }
        let Outcome { cause, detail, latency, load, .. } = outcome;
        inner.last = Some(Last { ok: cause.is_none(), cause, detail, latency, at, load });
    }

    /// Whether somebody has to be told something.
    pub(super) fn has_news(&self) -> bool {
        lock(&self.inner).uninformed().is_some()
    }

    /// One thing that has not been told yet; from now on it has.
    pub(super) fn news(&self) -> Option<HealthEvent> {
        let mut inner = lock(&self.inner);
        let (index, state) = (inner.uninformed()?, inner.schedule.state());
        let Inner { audience, last, agent, .. } = &mut *inner;
        let listener = audience.get_mut(index)?;
        let previous = std::mem::replace(&mut listener.told, state);
        let new_word = listener.told_agent != *agent;
        listener.told_agent.clone_from(agent);
        let last = last.as_ref();
        Some(HealthEvent {
            pool: listener.subscriber.pool.clone(),
            backend: listener.subscriber.backend.clone(),
            probe: self.kind,
            state,
            previous,
            cause: last.and_then(|last| last.cause),
            detail: last.map(|last| last.detail.clone()).unwrap_or_default(),
            at: last.map_or_else(SystemTime::now, |last| last.at),
            latency: last.map(|last| last.latency).unwrap_or_default(),
            agent: if new_word { agent.clone() } else { None },
        })
    }

    /// Replaces who listens; who stays knows what he knew, who comes is told, who goes is returned with what he knew.
    pub(super) fn set_audience(&self, subscribers: &[Subscriber], common: &Common) -> Vec<(Identity, State)> {
        let mut inner = lock(&self.inner);
        let same = inner.audience.len() == subscribers.len()
            && inner
                .audience
                .iter()
                .zip(subscribers)
                .all(|(listener, wanted)| listener.subscriber == *wanted);
        if same {
            return Vec::new();
        }
        let mut old = std::mem::take(&mut inner.audience);
        for subscriber in subscribers {
            let stays = old.iter().position(|listener| listener.subscriber == *subscriber);
            let listener = stays.map(|index| old.swap_remove(index)).unwrap_or_else(|| Listener {
                subscriber: subscriber.clone(),
                told: State::Unknown,
                told_agent: None,
                meter: common.meter(&subscriber.pool, self.kind),
            });
            inner.audience.push(listener);
        }
        self.nudge.notify_one();
        old.into_iter().map(|gone| (identity(&self.key, &gone.subscriber), gone.told)).collect()
    }

    pub(super) fn is_heard_by(&self, subscriber: &Subscriber) -> bool {
        lock(&self.inner).audience.iter().any(|listener| listener.subscriber == *subscriber)
    }

    pub(super) fn first_subscriber(&self) -> Option<Subscriber> {
        lock(&self.inner).audience.first().map(|listener| listener.subscriber.clone())
    }

    /// What each listener has been told.
    pub(super) fn states(&self) -> Vec<(Identity, State)> {
        let inner = lock(&self.inner);
        let known = |one: &Listener| (identity(&self.key, &one.subscriber), one.told);
        inner.audience.iter().map(known).collect()
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let inner = lock(&self.inner);
        let failures = Cause::ALL.iter().zip(inner.failures).filter(|(_, count)| *count > 0);
        let failures: Vec<(Cause, u64)> = failures.map(|(cause, count)| (*cause, count)).collect();
        let row = |listener: &Listener| Row {
            pool: listener.subscriber.pool.clone(),
            backend: listener.subscriber.backend.clone(),
            probe: self.kind,
            address: self.key.address,
            state: inner.schedule.state(),
            since: inner.since,
            last: inner.last.clone(),
            agent: inner.agent.clone(),
            checks: inner.checks,
            failures: failures.clone(),
            late: inner.late,
            changes: inner.changes,
        };
        inner.audience.iter().map(row).collect()
    }
}
