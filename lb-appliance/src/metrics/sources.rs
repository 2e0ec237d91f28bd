//! Where a scrape takes its numbers from: the blocks of the workers, the probes of the ports, the generation.
//!
//! What stays for the life of the process is plain; what is replaced while it runs is behind
//! [`Sources::generation`]. No worker ever touches anything here but the counters that it owns.

use super::generation::Generation;
use crate::config::model;
use crate::health::EngineHandle;
use crate::instruments::{PoolProbe, PortProbe, WorkerInstruments};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

/// Who this process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Configured node name.
    pub node: String,
    /// Version of DPDK at run time; empty without it.
    pub dpdk_version: String,
    /// Cycles of the time stamp counter in a second, if known.
    pub tsc_hertz: Option<u64>,
    /// Hash of the configuration file, if known.
    pub config_hash: Option<String>,
}

/// All that a scrape and the health endpoints look at.
pub struct Sources {
    /// Who this process is.
    pub identity: Identity,
    /// What to export.
    pub settings: model::Metrics,
    /// The workers; a worker's index is that of its queue on every port.
    pub workers: Vec<Arc<WorkerInstruments>>,
    /// The ports, in the order of the configuration.
    pub ports: Vec<Arc<dyn PortProbe>>,
    /// The pools of packet buffers.
    pub pools: Vec<Arc<dyn PoolProbe>>,
    /// Held for as long as it takes to copy or replace a pointer, by control threads only.
    generation: RwLock<Option<Arc<Generation>>>,
    is_serving: AtomicBool,
    reloads: Mutex<Reloads>,
    health: OnceLock<EngineHandle>,
}

/// Attempts to apply a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reloads {
    /// Attempts after the start.
    pub attempts: u64,
    /// Those of them that were refused.
    pub failures: u64,
    /// Whether the last one succeeded; the start counts as one.
    pub is_last_successful: bool,
    /// When one last succeeded, seconds since the Unix epoch.
    pub last_success_seconds: f64,
}

impl Sources {
    /// Sources without a generation and not serving yet.
    pub fn new(
        identity: Identity,
        settings: model::Metrics,
        workers: Vec<Arc<WorkerInstruments>>,
        ports: Vec<Arc<dyn PortProbe>>,
        pools: Vec<Arc<dyn PoolProbe>>,
    ) -> Self {
        let (generation, is_serving) = (RwLock::new(None), AtomicBool::new(false));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let reloads = Mutex::new(Reloads {
            attempts: 0,
            failures: 0,
            is_last_successful: true,
            last_success_seconds: now.as_secs_f64(),
        });
        Self {
            identity,
            settings,
            workers,
            ports,
            pools,
            generation,
            is_serving,
            reloads,
            health: OnceLock::new(),
        }
    }

    /// Says where the health checks run. Only the first word counts: they run as long as the process.
    pub fn set_health(&self, engine: EngineHandle) {
        // A second one would be a mistake of the program, and harmless.
        let _ = self.health.set(engine);
    }

    /// The health checks, once they run.
    pub fn health(&self) -> Option<&EngineHandle> {
        self.health.get()
    }

    /// Notes an attempt to apply a configuration, `at_seconds` since the Unix epoch.
    pub fn note_reload(&self, at_seconds: f64, is_successful: bool) {
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        reloads.attempts += 1;
        reloads.failures += u64::from(!is_successful);
        reloads.is_last_successful = is_successful;
        if is_successful {
            reloads.last_success_seconds = at_seconds;
        }
    }

    /// Attempts so far.
    pub fn reloads(&self) -> Reloads {
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation in force; `None` until the first one is published.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        self.generation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the generation that scrapes describe. Records keep their meaning: the counters of a record
    /// belong to the (service, backend) pair that the new tables give it.
    pub fn publish(&self, generation: Arc<Generation>) {
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) = Some(generation);
    }

    /// Says whether traffic is welcome: true once everything has started, false when a stop has begun.
    pub fn set_serving(&self, is_serving: bool) {
        self.is_serving.store(is_serving, Ordering::Relaxed);
    }

    /// What [`Sources::set_serving`] said last.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ports: Vec<_> = self.ports.iter().map(|port| port.identity()).collect();
        out.debug_struct("Sources")
            .field("identity", &self.identity)
            .field("workers", &self.workers.len())
            .field("ports", &ports)
            .field("is_serving", &self.is_serving())
            .finish_non_exhaustive()
    }
}
