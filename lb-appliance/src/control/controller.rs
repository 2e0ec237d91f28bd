//! The controller: the one owner of what is in force.
//!
//! Every change goes the same way: what it would make is built as a [`Candidate`] off this thread, looked at,
//! and either published as a whole or dropped as a whole.

use super::action::{Action, BackendChange, ConfigSource};
use super::candidate::{Candidate, Ground};
use super::diff;
use super::effective::{self, Knowledge};
use super::events::{EventLog, Kind, now_seconds};
use super::factors::Movers;
use super::facts;
use super::loaded::Loaded;
use super::overrides::Overrides;
use super::problem::{ProblemCode, problem};
use super::report;
use super::running::{Running, Vitals};
use super::store::Store;
use super::view::{Applied, Change, DiffReport, Problem, ReloadStatus};
use super::vital_signs;
use super::watch::Watch;
use super::{AdminState, Lasting};
use crate::health::{HealthEvent, Snapshot};
use crate::metrics::{self, Sources};
use crate::plan::PortFacts;
use lb_core::publish::Publisher;
use lb_core::tables::Tables;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Earlier configurations that `rollback` can go back to.
const HISTORY_MAX: usize = 8;

/// All that the controller owns.
pub(super) struct Controller {
    /// The file that the process was started with.
    pub(super) path: PathBuf,
    pub(super) ports: Arc<[PortFacts]>,
    pub(super) numbers: super::numbers::Numbers,
    pub(super) known: Knowledge,
    /// Earlier configurations, the latest last.
    pub(super) history: Vec<Loaded>,
    pub(super) publisher: Publisher<Tables>,
    pub(super) running: watch::Sender<Arc<Running>>,
    pub(super) events: Arc<EventLog>,
    pub(super) store: Option<Store>,
    /// The scrape's view, if there is one.
    pub(super) metrics: Option<Arc<Sources>>,
    pub(super) watch: Watch,
    /// What changes weights by itself; away while it decides on another thread.
    pub(super) movers: Movers,
    pub(super) started: Instant,
}

impl Controller {
    /// What is in force.
    pub(super) fn current(&self) -> Arc<Running> {
        self.running.borrow().clone()
    }

    /// Makes a change. On an error nothing has changed.
    pub(super) async fn act(&mut self, action: Action) -> Result<Applied, Problem> {
        match action {
            Action::Apply { source, confirm_within, force } => {
                let result = self.apply(&source, confirm_within, force).await;
                self.note_reload(&result);
                result
            }
            Action::Confirm => self.confirm().await,
            Action::Rollback => self.roll_back("operator").await,
            Action::ChangeBackend { pool, backend, change } => {
                self.change_backend(pool, backend, change).await
            }
        }
    }

    /// What a configuration would change.
    pub(super) async fn diff(&self, source: ConfigSource) -> Result<DiffReport, Problem> {
        let loaded = self.read(source).await?;
        let running = self.current();
        let warnings = loaded.warnings.clone();
        let changes = facts::changes(&running.loaded.config, &loaded.config);
        let candidate = self.build(loaded, Arc::clone(&running.overrides)).await?;
        Ok(DiffReport {
            changes,
            impact: diff::impact(&running, &candidate),
            overrides: report::overrides(&running),
            needs_force: diff::needs_force(&running, &candidate),
            warnings,
        })
    }

    async fn apply(
        &mut self,
        source: &ConfigSource,
        confirm_within: Option<Duration>,
        force: bool,
    ) -> Result<Applied, Problem> {
        let running = self.current();
        if running.confirm_by.is_some() {
            let detail = "the configuration in force waits for a confirmation: `guideway confirm` or `guideway \
                          rollback` first; nothing was changed";
            return Err(problem(ProblemCode::OnTrial, detail));
        }
        let loaded = self.read(source.clone()).await?;
        let changes = facts::changes(&running.loaded.config, &loaded.config);
        let warnings = loaded.warnings.clone();
        let candidate = self.build(loaded, Arc::clone(&running.overrides)).await?;
        if let (Some(why), false) = (diff::needs_force(&running, &candidate), force) {
            let detail = format!("{why}; give --force if that is wanted");
            return Err(problem(ProblemCode::NeedsForce, detail));
        }
        self.remember(running.loaded.clone());
        self.publish(candidate, Arc::clone(&running.overrides), |next| {
            next.confirm_by = confirm_within.map(|time| Instant::now() + time);
        });
        let message = summary(&changes);
        self.events.note(Kind::Reloaded, "config", &message);
        if let Some(time) = confirm_within {
            let message = format!("rolls back in {time:?} unless `guideway confirm` comes first");
            self.events.note(Kind::ConfirmationPending, "config", &message);
        } else {
            self.keep_last_good().await;
        }
        let mut applied = self.applied(message, changes, Some("guideway rollback".into()));
        applied.confirm_within_seconds = confirm_within.map(|time| time.as_secs_f64());
        applied.warnings = warnings;
        Ok(applied)
    }

    async fn confirm(&mut self) -> Result<Applied, Problem> {
        let running = self.current();
        if running.confirm_by.is_none() {
            return Err(problem(
                ProblemCode::NothingToConfirm,
                "no configuration is on trial; nothing was changed",
            ));
        }
        self.update(|next| next.confirm_by = None);
        self.events.note(Kind::Confirmed, "config", "the configuration on trial stays");
        self.keep_last_good().await;
        Ok(self.applied(
            "the configuration on trial stays".into(),
            Vec::new(),
            Some("guideway rollback".into()),
        ))
    }

    /// Goes back to the configuration before; `by` says who wants it.
    pub(super) async fn roll_back(&mut self, by: &str) -> Result<Applied, Problem> {
        let Some(earlier) = self.history.last().cloned() else {
            let detail = "this process has had one configuration only; nothing was changed";
            return Err(problem(ProblemCode::NothingToRollBack, detail));
        };
        let running = self.current();
        let changes = facts::changes(&running.loaded.config, &earlier.config);
        let candidate = self.build(earlier, Arc::clone(&running.overrides)).await?;
        self.history.pop();
        self.publish(candidate, Arc::clone(&running.overrides), |next| next.confirm_by = None);
        let message = format!("{} (by {by}); the file on disk was not changed", summary(&changes));
        self.events.note(Kind::RolledBack, "config", &message);
        self.keep_last_good().await;
        Ok(self.applied(message, changes, Some("guideway reload".into())))
    }

    async fn change_backend(
        &mut self,
        pool: String,
        backend: String,
        change: BackendChange,
    ) -> Result<Applied, Problem> {
        let running = self.current();
        let Some((at, ordinal)) = running.backend(&pool, &backend) else {
            return Err(report::no_backend(&running, &pool, &backend));
        };
        let name = (pool.clone(), backend.clone());
        let before = running.overrides.get(&name).copied();
        let mut overrides = Overrides::clone(&running.overrides);
        overrides.change(name.clone(), &change, Instant::now());
        let configured = &running.config.pools[at].backends[ordinal];
        overrides.drop_needless(&name, AdminState::from(configured.state), configured.weight);
        let overrides = Arc::new(overrides);
        let candidate = self.build(running.loaded.clone(), Arc::clone(&overrides)).await?;
        let was_kept = before.is_some_and(|word| word.persistent);
        if change.lasting == Lasting::Persistent || was_kept {
            // Last of what can fail, so that the disk never holds what was refused.
            self.keep_overrides(Overrides::clone(&overrides)).await?;
        }
        self.publish(candidate, Arc::clone(&overrides), |_| {});
        let after = overrides.get(&name).copied();
        let changes = report::override_changes(&running, &self.current(), (at, ordinal));
        let mut message = report::backend_message(&self.current(), (at, ordinal), after);
        if self.current().pools[at].serving() == 0 {
            message += "; the pool now has no backend for new connections";
        }
        let object = format!("backend {pool}/{backend}");
        self.events.note(Kind::BackendChanged, &object, &message);
        Ok(self.applied(message, changes, Some(report::undo_backend(&pool, &backend, before))))
    }

    /// Builds again from what is known now: health, agents, weights, words that have run out.
    pub(super) async fn refresh(&mut self, overrides: Option<Overrides>) {
        let running = self.current();
        let overrides = overrides.map_or_else(|| Arc::clone(&running.overrides), Arc::new);
        match self.build(running.loaded.clone(), Arc::clone(&overrides)).await {
            Ok(candidate) if effective::are_alike(&candidate.pools, &running.pools) => {
                // What the tables are made of has not changed, only what is said about it.
                self.update(|next| {
                    next.pools = candidate.pools.into();
                    next.overrides = overrides;
                });
                self.retarget(&running, &self.current());
            }
            Ok(candidate) => self.publish(candidate, overrides, |_| {}),
            Err(problem) => tracing::error!(event = "refresh_failed", detail = problem.detail, "tables stay"),
        }
    }

    /// Makes what would be in force, on a thread of its own.
    async fn build(&self, loaded: Loaded, overrides: Arc<Overrides>) -> Result<Candidate, Problem> {
        let running = self.current();
        let ground = Ground {
            in_force: Some(Arc::clone(&running.config)),
            ports: Arc::clone(&self.ports),
            numbers: self.numbers.clone(),
            ledger: Clone::clone(&running.ledger),
            tables: Some(Arc::clone(&running.tables)),
            workers: running.vitals.workers.clone(),
            served: self.movers.served(),
        };
        let mut known = self.known.clone();
        // A backend that has just got a check is unknown until its first result.
        known.expect_checks(&loaded.config);
        off_thread(move || Candidate::build(ground, loaded, &overrides, known)).await?
    }

    async fn read(&self, source: ConfigSource) -> Result<Loaded, Problem> {
        let path = self.path.clone();
        off_thread(move || Loaded::read(&source, &path)).await?
    }

    /// Puts a candidate into force.
    fn publish(&mut self, candidate: Candidate, overrides: Arc<Overrides>, more: impl FnOnce(&mut Running)) {
        let before = self.current();
        let generation = self.publisher.publish(Arc::clone(&candidate.tables));
        self.numbers = candidate.numbers;
        self.known.factors = candidate.factors;
        self.update(|next| {
            next.generation = generation;
            next.loaded = candidate.loaded;
            next.config = candidate.config;
            next.plan = Arc::new(candidate.plan);
            next.tables = candidate.tables;
            next.forwarding_hash = candidate.forwarding_hash;
            next.pools = candidate.pools.into();
            next.overrides = overrides;
            next.ledger = Arc::new(candidate.ledger);
            more(next);
        });
        self.publisher.reclaim();
        let after = self.current();
        self.watch.note_transitions(&before, &after, &self.events);
        self.movers.note(&after, self.started.elapsed());
        self.retarget(&before, &after);
    }

    /// Probes what is to be probed now.
    pub(super) fn retarget(&mut self, before: &Running, after: &Running) {
        let operators = |running: &Running| -> Vec<Vec<AdminState>> {
            let pools = running.pools.iter();
            pools.map(|pool| pool.backends.iter().map(|one| one.operator).collect()).collect()
        };
        if Arc::ptr_eq(&before.loaded.config, &after.loaded.config) && operators(before) == operators(after) {
            return;
        }
        vital_signs::retarget(&after.vitals.health, after);
    }

    /// Takes up what health checks have found since the last time.
    pub(super) async fn take_health(&mut self, events: Vec<HealthEvent>) {
        for event in &events {
            vital_signs::note(&self.events, event);
        }
        self.learn(&self.current().vitals.health.snapshot());
        self.refresh(None).await;
    }

    fn learn(&mut self, snapshot: &Snapshot) {
        self.known.health = vital_signs::vitality(snapshot);
        self.known.agents = vital_signs::agents(snapshot);
    }

    /// Goes on with slow starts and adaptive weights.
    pub(super) async fn move_weights(&mut self) {
        let (running, now) = (self.current(), self.started.elapsed());
        let is_needed =
            |pool: &crate::config::model::Pool| pool.slow_start.is_some() || pool.adaptive_weights.is_some();
        if !running.config.pools.iter().any(is_needed) {
            return;
        }
        let mut movers = std::mem::take(&mut self.movers);
        let snapshot = running.vitals.health.snapshot();
        let step = off_thread(move || {
            let factors = movers.step(&running, &snapshot, now);
            (movers, factors)
        });
        let Ok((movers, factors)) = step.await else { return };
        self.movers = movers;
        if factors != self.known.factors {
            self.known.factors = factors;
            self.refresh(None).await;
        }
    }

    /// Replaces what everybody sees.
    fn update(&mut self, change: impl FnOnce(&mut Running)) {
        let mut next = Running::clone(&self.running.borrow());
        change(&mut next);
        let next = Arc::new(next);
        if let Some(sources) = &self.metrics {
            sources.publish(Arc::new(metrics::Generation::of(&next)));
        }
        self.running.send_replace(next);
    }

    fn remember(&mut self, loaded: Loaded) {
        if self.history.len() == HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(loaded);
    }

    fn note_reload(&mut self, result: &Result<Applied, Problem>) {
        let (successful, message) = match result {
            Ok(applied) => (true, applied.message.clone()),
            Err(problem) => (false, format!("{}: {}", problem.code, problem.detail)),
        };
        if let Err(problem) = result {
            let first =
                problem.findings.first().map_or_else(String::new, |finding| format!(": {}", finding.message));
            let message = format!("{} ({}){first}", problem.detail, problem.code);
            self.events.note(Kind::ReloadRefused, "config", &message);
        }
        let status = ReloadStatus { at_seconds: now_seconds(), successful, message };
        if let Some(sources) = &self.metrics {
            sources.note_reload(status.at_seconds, successful);
        }
        self.update(|next| next.reload = Some(status));
    }

    fn applied(&self, message: String, changes: Vec<Change>, undo: Option<String>) -> Applied {
        let running = self.current();
        Applied {
            generation: running.generation,
            // Whoever answers waits for the workers and fills this in.
            seen: 0,
            workers: running.vitals.workers.len(),
            message,
            changes,
            undo,
            confirm_within_seconds: None,
            warnings: Vec::new(),
        }
    }

    /// Keeps what is in force for a start with a broken file.
    pub(super) async fn keep_last_good(&self) {
        let running = self.current();
        let Some(store) = self.store.clone() else { return };
        let path = self.path.clone();
        let kept = off_thread(move || store.keep_last_good(&path, &running.loaded.files)).await;
        if let Ok(Err(error)) = kept {
            self.events.note(Kind::NotKept, "state directory", &format!("{error:#}"));
        }
    }

    async fn keep_overrides(&self, overrides: Overrides) -> Result<(), Problem> {
        let Some(store) = self.store.clone() else {
            return Err(problem(
                ProblemCode::NotKept,
                "this process has no state directory; nothing was changed",
            ));
        };
        off_thread(move || store.keep_overrides(&overrides))
            .await?
            .map_err(|error| problem(ProblemCode::NotKept, format!("{error:#}; nothing was changed")))
    }
}

/// One line about what changed.
fn summary(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changed".into();
    }
    let count = |kind: &str| changes.iter().filter(|change| change.kind == kind).count();
    let mut parts: Vec<String> = ["added", "changed", "removed"]
        .iter()
        .map(|kind| (count(kind), kind))
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect();
    let later = changes.iter().filter(|change| change.restart).count();
    if later > 0 {
        parts.push(format!("{later} of these take effect at the next restart"));
    }
    parts.join(", ")
}

/// Runs something that takes its time where it holds up nobody.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| problem(ProblemCode::Internal, format!("a task of the controller failed: {error}")))
}

/// What the first value of [`Running`] needs.
pub(super) fn first_running(
    candidate: &Candidate,
    overrides: Arc<Overrides>,
    vitals: Arc<Vitals>,
) -> Running {
    Running {
        generation: 1,
        loaded: candidate.loaded.clone(),
        config: Arc::clone(&candidate.config),
        plan: Arc::new(candidate.plan.clone()),
        tables: Arc::clone(&candidate.tables),
        forwarding_hash: candidate.forwarding_hash.clone(),
        pools: candidate.pools.clone().into(),
        overrides,
        ledger: Arc::new(candidate.ledger.clone()),
        reload: None,
        confirm_by: None,
        vitals,
    }
}
