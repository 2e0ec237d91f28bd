//! What is in force: one immutable value per change, from which every question is answered without asking anybody.

use super::effective::EffectivePool;
use super::ledger::{Ledger, Traffic};
use super::loaded::Loaded;
use super::overrides::Overrides;
use super::view::{Confinement, ReloadStatus};
use crate::config::Config;
use crate::health::EngineHandle;
use crate::instruments::WorkerInstruments;
use crate::plan::Plan;
use lb_core::publish::Acknowledgements;
use lb_core::tables::Tables;
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What stays for the life of the process.
#[derive(Debug)]
pub struct Vitals {
    /// When the process started.
    pub started: (SystemTime, Instant),
    /// The workers, seen from outside.
    pub workers: Vec<Arc<WorkerInstruments>>,
    /// Which tables each worker goes by.
    pub acknowledgements: Acknowledgements<Tables>,
    /// The health checks.
    pub health: EngineHandle,
    /// What the process has given up.
    pub confinement: Confinement,
}

/// One generation, with everything about it that can be asked for.
#[derive(Clone)]
pub struct Running {
    /// Number of the tables.
    pub generation: u64,
    /// The configuration as its files want it.
    pub loaded: Loaded,
    /// The configuration in force: as wanted, but for what is read at start only.
    pub config: Arc<Config>,
    /// Names and the spec of the tables.
    pub plan: Arc<Plan>,
    /// The tables.
    pub tables: Arc<Tables>,
    /// Hash of all that decides a backend.
    pub forwarding_hash: String,
    /// State and weight of every backend.
    pub pools: Arc<[EffectivePool]>,
    /// The operator's words.
    pub overrides: Arc<Overrides>,
    /// Whose the counters are.
    pub ledger: Arc<Ledger>,
    /// The last attempt to apply a configuration.
    pub reload: Option<ReloadStatus>,
    /// When the configuration rolls back unless it is confirmed.
    pub confirm_by: Option<Instant>,
    /// What stays.
    pub vitals: Arc<Vitals>,
}

impl Running {
    /// The configuration's files, secrets masked: the configuration holds none so far.
    pub fn texts(&self) -> Vec<(String, String)> {
        self.loaded.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect()
    }

    /// What every backend has counted, by pool and backend of the plan.
    pub fn backend_traffic(&self) -> Vec<Vec<Traffic>> {
        let mut sums: Vec<Vec<Traffic>> =
            self.pools.iter().map(|pool| vec![Traffic::default(); pool.backends.len()]).collect();
        for (record, owner) in self.tables.owners() {
            sums[owner.pool][owner.backend].add(&self.ledger.record(record, &self.vitals.workers));
        }
        sums
    }

    /// Position of a VIP in the plan.
    pub fn vip(&self, name: &str) -> Option<usize> {
        self.plan.names.vips.iter().position(|vip| vip == name)
    }

    /// Positions of a backend in the plan.
    pub fn backend(&self, pool: &str, backend: &str) -> Option<(usize, usize)> {
        let at = self.plan.names.pools.iter().position(|names| names.name == pool)?;
        Some((at, self.plan.names.pools[at].backends.iter().position(|name| name == backend)?))
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Running").field("generation", &self.generation).finish_non_exhaustive()
    }
}
