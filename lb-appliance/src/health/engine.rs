//! The engine: every target probed on time, every change told.
//!
//! One task per target, all on the control runtime; a semaphore bounds how many probe at one time. Changes go into
//! the channel that the owner of the tables reads; when it is full the probes wait, and no change is lost.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::health::{Schedule, State, Timing};
use siphasher::sip::SipHasher13;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::limits;
use super::plan::{Part, Subscriber, Target, TargetKey};
use super::probe::{self, Prepared, ProbeReport, Subject};
use super::tunnel::Tunnels;
use crate::config::model::HealthCheck;

mod cell;
mod meter;
mod snapshot;
mod watch;

pub use cell::HealthEvent;
pub use meter::Histogram;
pub use snapshot::{Last, Row, Snapshot, Timings};

use cell::Cell;
use meter::Meter;

/// Probes that people asked for, at one time.
const MANUAL_MAX: usize = 4;

/// Settings of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides the jitter; nodes of a fleet should differ.
    pub seed: u64,
    /// Probes at one time; each holds an open file.
    pub in_flight_max: usize,
    /// Commands at one time; each is a process.
    pub commands_max: usize,
}

impl Default for Options {
    /// Half of the open files that the process may have, at most 8,192, and 64 commands.
    fn default() -> Self {
        let half = usize::try_from(limits::open_files() / 2).unwrap_or(usize::MAX);
        Self { seed: 0, in_flight_max: half.clamp(16, 8192), commands_max: 64 }
    }
}

/// What all tasks share.
struct Common {
    events: mpsc::Sender<HealthEvent>,
    tunnels: Arc<Tunnels>,
    probes: Semaphore,
    commands: Semaphore,
    manual: Semaphore,
    origin: Instant,
    /// Probes that started more than 100 ms after their time.
    late: AtomicU64,
    meters: Mutex<HashMap<(String, &'static str), Arc<Meter>>>,
}

impl Common {
    /// Nanoseconds since the engine started, of the monotonic clock; 584 years fit.
    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn at(&self, ns: u64) -> Instant {
        self.origin + Duration::from_nanos(ns)
    }

    fn meter(&self, pool: &str, kind: &'static str) -> Arc<Meter> {
        lock(&self.meters).entry((pool.to_owned(), kind)).or_default().clone()
    }
}

/// A target with its task, which ends with it.
struct Running {
    cell: Arc<Cell>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    common: Arc<Common>,
    runtime: Handle,
    seed: u64,
    targets: Mutex<HashMap<TargetKey, Running>>,
}

/// Makes engines.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// An engine without targets, whose tasks run on `runtime` (which needs I/O and time) and end with the last handle.
    pub fn spawn(runtime: &Handle, events: mpsc::Sender<HealthEvent>, options: Options) -> EngineHandle {
        Self::spawn_with(runtime, events, options, Arc::default())
    }

    /// The same with tunnels that others know of too.
    pub fn spawn_with(
        runtime: &Handle,
        events: mpsc::Sender<HealthEvent>,
        options: Options,
        tunnels: Arc<Tunnels>,
    ) -> EngineHandle {
        let common = Common {
            events,
            tunnels,
            probes: Semaphore::new(options.in_flight_max),
            commands: Semaphore::new(options.commands_max),
            manual: Semaphore::new(MANUAL_MAX),
            origin: Instant::now(),
            late: AtomicU64::new(0),
            meters: Mutex::default(),
        };
        let shared = Shared {
            common: Arc::new(common),
            runtime: runtime.clone(),
            seed: options.seed,
            targets: Mutex::default(),
        };
        EngineHandle(Arc::new(shared))
    }
}

/// The way to a running engine. Clones lead to the same one.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle").field("targets", &lock(&self.0.targets).len()).finish()
    }
}

impl EngineHandle {
    /// The ways of probes through the tunnel.
    pub fn tunnels(&self) -> &Arc<Tunnels> {
        &self.0.common.tunnels
    }

    /// Replaces the set of targets.
    ///
    /// Targets that stay keep their state and their schedule. A new one is first probed within a second, and is
    /// unknown until then, unless the same backend was checked otherwise before: then that state holds on. A
    /// subscriber that joins a known target is told its state at once.
    pub fn set_targets(&self, wanted: Vec<Target>) {
        let shared = &self.0;
        let mut running = lock(&shared.targets);
        let mut checks = Checks::of(&running);
        let mut next = HashMap::with_capacity(wanted.len());
        let mut left = HashMap::new();
        let mut new = Vec::new();
        for target in wanted {
            let Some(one) = running.remove(&target.key) else {
                new.push(target);
                continue;
            };
            left.extend(one.cell.set_audience(&target.subscribers, &shared.common));
            next.insert(target.key, one);
        }
        // What is left of the old set ends here; what it knows of its backends does not.
        left.extend(running.values().flat_map(|one| one.cell.states()));
        for target in new {
            let state = |one: &Subscriber| left.get(&identity(&target.key, one)).copied().unwrap_or_default();
            let told = target.subscribers.iter().map(state).collect();
            let one = shared.start(&target, checks.prepared(&target.key.check), told);
            next.insert(target.key, one);
        }
        *running = next;
    }

    /// What is known of every backend that is checked, sorted by pool, backend and probe.
    pub fn snapshot(&self) -> Snapshot {
        let mut rows: Vec<Row> = lock(&self.0.targets).values().flat_map(|one| one.cell.rows()).collect();
        rows.sort_by(|a, b| (&a.pool, &a.backend, a.probe).cmp(&(&b.pool, &b.backend, b.probe)));
        let mut meters = lock(&self.0.common.meters);
        // Only the map holds on to a meter that no target feeds any more.
        meters.retain(|_, meter| Arc::strong_count(meter) > 1);
        let mut timings: Vec<Timings> = meters
            .iter()
            .map(|((pool, probe), meter)| Timings { pool: pool.clone(), probe, histogram: meter.read() })
            .collect();
        timings.sort_by(|a, b| (&a.pool, a.probe).cmp(&(&b.pool, b.probe)));
        Snapshot { rows, timings, late: self.0.common.late.load(Ordering::Relaxed) }
    }

    /// Probes a backend now, beside the schedule, and tells each step; one report per check of the backend, none if
    /// it has no check. State and counters stay as they are.
    pub async fn probe_now(&self, pool: &str, backend: &str) -> Vec<ProbeReport> {
        let subscriber = Subscriber { pool: pool.to_owned(), backend: backend.to_owned() };
        let mut cells: Vec<Arc<Cell>> = {
            let targets = lock(&self.0.targets);
            let cells = targets.values().map(|one| &one.cell);
            cells.filter(|cell| cell.is_heard_by(&subscriber)).cloned().collect()
        };
        cells.sort_by_key(|cell| cell.key.part);
        let mut reports = Vec::new();
        for cell in cells {
            // The semaphore is never closed; without a permit the probe is merely not counted among the four.
            let _permit = self.0.common.manual.acquire().await;
            let subject = Subject {
                address: cell.key.address,
                subscriber: &subscriber,
                tunnels: &self.0.common.tunnels,
            };
            reports.push(probe::report(&cell.prepared, cell.key.part, &subject).await);
        }
        reports
    }
}

impl Shared {
    /// `told` is what each subscriber knows already: the state begins with what any of them knows.
    fn start(&self, target: &Target, prepared: Arc<Prepared>, told: Vec<State>) -> Running {
        let state = told.iter().copied().find(|state| *state != State::Unknown).unwrap_or_default();
        let mut hasher = SipHasher13::new_with_keys(self.seed, 0);
        // The check too, which the key's own hash leaves out: two checks of one address must not beat together.
        (&target.key, &target.key.check).hash(&mut hasher);
        let timing = timing(&target.key);
        let schedule = Schedule::resumed(timing, hasher.finish(), self.common.now_ns(), state);
        let cell = Arc::new(Cell::new(target, prepared, schedule, &told, &self.common));
        let task = self.runtime.spawn(watch::watch(cell.clone(), self.common.clone()));
        Running { cell, task: task.abort_handle() }
    }
}

/// One backend under one name, whatever is asked of it.
type Identity = (IpAddr, Part, Subscriber);

fn identity(key: &TargetKey, subscriber: &Subscriber) -> Identity {
    (key.address, key.part, subscriber.clone())
}

/// Prepared checks, shared by all targets with an equal check. Found by address first: comparing ten thousand times is
/// cheap, hashing whole checks is not.
struct Checks {
    by_address: HashMap<*const HealthCheck, Arc<Prepared>>,
    by_value: HashMap<Arc<HealthCheck>, Arc<Prepared>>,
}

impl Checks {
    fn of(running: &HashMap<TargetKey, Running>) -> Self {
        let mut checks = Self { by_address: HashMap::new(), by_value: HashMap::new() };
        let mut seen = HashSet::new();
        for one in running.values() {
            let prepared = &one.cell.prepared;
            if seen.insert(Arc::as_ptr(&prepared.check)) {
                checks.by_value.insert(prepared.check.clone(), prepared.clone());
            }
        }
        checks
    }

    fn prepared(&mut self, check: &Arc<HealthCheck>) -> Arc<Prepared> {
        let by_value = &mut self.by_value;
        let found = self.by_address.entry(Arc::as_ptr(check)).or_insert_with(|| {
            by_value.entry(check.clone()).or_insert_with(|| Arc::new(Prepared::new(check.clone()))).clone()
        });
        found.clone()
    }
}

/// An agent's word counts at once, in both directions: it knows.
fn timing(key: &TargetKey) -> Timing {
    let ns = |duration: Duration| duration.as_nanos() as u64;
    let check = &key.check;
    let agent = key.part == Part::Agent;
    Timing {
        interval_ns: ns(check.interval),
        fast_interval_ns: ns(check.fast_interval),
        timeout_ns: ns(check.timeout),
        fall: if agent { 1 } else { check.fall },
        rise: if agent { 1 } else { check.rise },
    }
}

/// A lock that a panic elsewhere does not close: what is behind these is consistent at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
