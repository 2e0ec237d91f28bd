//! The controller's life: prepared before the workers start, since they need its first tables, and then one task.

use super::action::Request;
use super::candidate::{Candidate, Ground};
use super::connections::Errands;
use super::controller::{Controller, first_running};
use super::effective::Knowledge;
use super::events::{EventLog, Kind};
use super::factors::Movers;
use super::handle::{Handle, QUEUE_MAX};
use super::ledger::Ledger;
use super::loaded::Loaded;
use super::numbers::Numbers;
use super::overrides::Overrides;
use super::running::Vitals;
use super::store::Store;
use super::view::{Applied, Confinement, Problem};
use super::vital_signs;
use super::watch::Watch;
use crate::health::{self, Engine, HealthEvent, Tunnels, tunnel};
use crate::instruments::WorkerInstruments;
use crate::metrics::{Generation, Sources};
use crate::plan::PortFacts;
use lb_core::publish::{Acknowledgements, Publisher, Subscriber, publish};
use lb_core::tables::Tables;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};

/// How long an answer waits for the workers. One that sleeps wakes after 0.1 s.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at what time alone changes.
const TICK: Duration = Duration::from_millis(500);

/// Results of health checks that may wait; then probes wait, and none is lost.
const HEALTH_EVENTS_MAX: usize = 1_024;

/// What a control plane starts with.
#[derive(Debug)]
pub struct Start {
    /// The file that `reload` reads again.
    pub path: PathBuf,
    /// What is to be in force first.
    pub loaded: Loaded,
    /// Facts of the open ports, in the order of the configuration.
    pub ports: Vec<PortFacts>,
    /// Number of workers.
    pub workers: usize,
    /// Where state is kept; `None` keeps none.
    pub state_directory: Option<PathBuf>,
}

/// A control plane whose first tables are made.
#[derive(Debug)]
pub struct Prepared {
    path: PathBuf,
    ports: Arc<[PortFacts]>,
    candidate: Candidate,
    overrides: Arc<Overrides>,
    store: Option<Store>,
    publisher: Publisher<Tables>,
    subscribers: Vec<Subscriber<Tables>>,
    events: Arc<EventLog>,
    tunnels: Arc<Tunnels>,
    confinement: Confinement,
}

impl Prepared {
    /// Makes the first tables.
    ///
    /// # Errors
    /// They cannot be made, which validation should have found.
    pub fn new(start: Start) -> Result<Self, Problem> {
        let Start { path, loaded, ports, workers, state_directory } = start;
        let (ports, events) = (Arc::<[PortFacts]>::from(ports), Arc::new(EventLog::default()));
        let store = state_directory.map(Store::new);
        let overrides = match store.as_ref().map(Store::overrides) {
            None => Overrides::default(),
            Some(Ok(overrides)) => overrides,
            Some(Err(error)) => {
                events.note(Kind::NotKept, "state directory", &format!("{error:#}"));
                Overrides::default()
            }
        };
        let ground = Ground {
            in_force: None,
            ports: Arc::clone(&ports),
            numbers: Numbers::default(),
            ledger: Ledger::default(),
            tables: None,
            workers: Vec::new(),
            served: None,
        };
        let mut known = Knowledge::default();
        known.expect_checks(&loaded.config);
        let candidate = Candidate::build(ground, loaded, &overrides, known)?;
        let (publisher, subscribers) = publish(Arc::clone(&candidate.tables), workers);
        Ok(Self {
            path,
            ports,
            candidate,
            overrides: Arc::new(overrides),
            store,
            publisher,
            subscribers,
            events,
            tunnels: Arc::default(),
            confinement: Confinement::default(),
        })
    }

    /// The first tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.candidate.tables
    }

    /// Which probes go through the tunnel, for the workers and for a clean stop.
    pub fn tunnels(&self) -> &Arc<Tunnels> {
        &self.tunnels
    }

    /// By worker: where it takes later tables.
    pub fn take_subscribers(&mut self) -> Vec<Subscriber<Tables>> {
        std::mem::take(&mut self.subscribers)
    }

    /// The history, to note what happens before the controller runs.
    pub fn events(&self) -> &Arc<EventLog> {
        &self.events
    }

    /// What the process has given up, for the status.
    pub fn note_confinement(&mut self, confinement: Confinement) {
        self.confinement = confinement;
    }

    /// Starts the controller on the current tokio runtime, for workers that run. `metrics` is told of every change.
    pub fn start(
        self,
        workers: Vec<Arc<WorkerInstruments>>,
        errands: Errands,
        metrics: impl FnOnce(Generation) -> Option<Arc<Sources>>,
    ) -> Handle {
        let (found, findings) = mpsc::channel(HEALTH_EVENTS_MAX);
        let seed =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let options = health::Options { seed, ..health::Options::default() };
        let vitals = Arc::new(Vitals {
            health: Engine::spawn_with(
                &tokio::runtime::Handle::current(),
                found,
                options,
                Arc::clone(&self.tunnels),
            ),
            started: (SystemTime::now(), Instant::now()),
            workers,
            acknowledgements: self.publisher.acknowledgements(),
            confinement: self.confinement,
        });
        tokio::spawn(tunnel::keep(self.tunnels));
        let running = first_running(&self.candidate, Arc::clone(&self.overrides), vitals);
        let metrics = metrics(Generation::of(&running));
        if let Some(sources) = &metrics {
            sources.set_health(running.vitals.health.clone());
        }
        let (running, seen) = watch::channel(Arc::new(running));
        let (sender, requests) = mpsc::channel(QUEUE_MAX);
        let events = Arc::clone(&self.events);
        let controller = Controller {
            path: self.path,
            ports: self.ports,
            numbers: self.candidate.numbers,
            known: Knowledge::default(),
            history: Vec::new(),
            publisher: self.publisher,
            running,
            events: Arc::clone(&events),
            store: self.store,
            metrics,
            watch: Watch::default(),
            movers: Movers::default(),
            started: Instant::now(),
        };
        tokio::spawn(controller.serve(requests, findings));
        Handle::new(sender, seen, events, errands)
    }
}

impl Controller {
    /// Serves until every handle is gone.
    async fn serve(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut findings: mpsc::Receiver<HealthEvent>,
    ) {
        let first = self.current();
        vital_signs::retarget(&first.vitals.health, &first);
        self.movers.note(&first, self.started.elapsed());
        self.keep_last_good().await;
        let mut batch = Vec::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.answer(request).await,
                    None => break,
                },
                // All that have come meanwhile are one change: a rack that fails is one new generation.
                _ = findings.recv_many(&mut batch, HEALTH_EVENTS_MAX) => {
                    self.take_health(std::mem::take(&mut batch)).await;
                }
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Do(action, reply) => {
                let result = self.act(action).await;
                let acknowledgements = self.current().vitals.acknowledgements.clone();
                tokio::spawn(answer_when_seen(acknowledgements, result, reply));
            }
            Request::Diff(source, reply) => {
                // Whoever asked may have gone; the answer is not missed.
                let _ = reply.send(self.diff(source).await);
            }
        }
    }

    /// What time alone changes.
    async fn tick(&mut self) {
        self.publisher.reclaim();
        let running = self.current();
        if running.confirm_by.is_some_and(|deadline| deadline <= Instant::now())
            && let Err(problem) = self.roll_back("itself: no confirmation came in time").await
        {
            tracing::error!(
                event = "roll_back_failed",
                detail = problem.detail,
                "the configuration on trial stays"
            );
        }
        let running = self.current();
        let mut overrides = Overrides::clone(&running.overrides);
        let over = overrides.expire(Instant::now());
        if !over.is_empty() {
            self.refresh(Some(overrides)).await;
            for (pool, backend) in over {
                let object = format!("backend {pool}/{backend}");
                self.events.note(Kind::OverrideEnded, &object, "back to what the configuration says");
            }
        }
        self.move_weights().await;
        let running = self.current();
        self.watch.note_drained(&running, &self.events);
        self.watch.note_late(&running, &self.events);
    }
}

/// Answers as soon as every worker goes by the new tables, or says how many do.
async fn answer_when_seen(
    acknowledgements: Acknowledgements<Tables>,
    result: Result<Applied, Problem>,
    reply: oneshot::Sender<Result<Applied, Problem>>,
) {
    let answer = match result {
        Ok(mut applied) => {
            let deadline = tokio::time::Instant::now() + ACKNOWLEDGE_TIMEOUT;
            while acknowledgements.seen(applied.generation) < applied.workers
                && tokio::time::Instant::now() < deadline
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            applied.seen = acknowledgements.seen(applied.generation);
            Ok(applied)
        }
        Err(problem) => Err(problem),
    };
    let _ = reply.send(answer);
}
