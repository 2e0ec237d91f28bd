//! The next generation before it is in force: everything is made and checked here, and nothing is changed.
//!
//! Runs on a thread of its own, because Maglev tables take their time; what it needs is handed to it by value.

use super::effective::{self, EffectivePool, Factors, Knowledge};
use super::factors;
use super::ledger::Ledger;
use super::loaded::Loaded;
use super::numbers::Numbers;
use super::overrides::Overrides;
use super::problem::{ProblemCode, problem};
use super::view::Problem;
use crate::config::Config;
use crate::config::model::Seccomp;
use crate::instruments::WorkerInstruments;
use crate::metrics::forwarding_hash;
use crate::plan::{Plan, PortFacts};
use lb_core::tables::{Tables, TablesError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the next generation is made from.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    /// The configuration that the process runs by, for what is read at start only; `None` for the first.
    pub(super) in_force: Option<Arc<Config>>,
    /// Facts of the open ports.
    pub(super) ports: Arc<[PortFacts]>,
    pub(super) numbers: Numbers,
    pub(super) ledger: Ledger,
    /// The tables in force.
    pub(super) tables: Option<Arc<Tables>>,
    pub(super) workers: Vec<Arc<WorkerInstruments>>,
    /// Backends that take new flows now; `None` before the first generation, when nobody rises slowly.
    pub(super) served: Option<HashSet<(String, String)>>,
}

/// A generation that could be published.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) loaded: Loaded,
    pub(super) config: Arc<Config>,
    pub(super) pools: Vec<EffectivePool>,
    pub(super) plan: Plan,
    pub(super) tables: Arc<Tables>,
    pub(super) forwarding_hash: String,
    pub(super) numbers: Numbers,
    pub(super) ledger: Ledger,
    /// Factors on weights, those of backends that begin to rise included.
    pub(super) factors: HashMap<(String, String), Factors>,
}

impl Candidate {
    /// Makes a generation.
    pub(super) fn build(
        ground: Ground,
        loaded: Loaded,
        overrides: &Overrides,
        mut known: Knowledge,
    ) -> Result<Self, Problem> {
        let Ground { in_force, ports, mut numbers, mut ledger, tables: previous, workers, served } = ground;
        let config = match in_force {
            Some(in_force) => Arc::new(rebase(&loaded.config, &in_force)?),
            None => Arc::clone(&loaded.config),
        };
        let mut pools = effective::effective(&config, overrides, &known);
        // Who comes up has its small share from the first packet on.
        if factors::begin_rising(&config, &pools, served.as_ref(), &mut known.factors) {
            pools = effective::effective(&config, overrides, &known);
        }
        let mut plan = Plan::new(&config, &ports);
        effective::apply(&pools, &mut plan.spec);
        let layout = numbers.assign(&plan.spec, &plan.names.vips, &workers, &mut ledger).map_err(|_| {
            let detail = "there is no free number for a pair of VIP and backend: pairs that were removed keep \
                          theirs until their last connection is gone; try again later, or restart";
            problem(ProblemCode::TooMany, detail)
        })?;
        let tables = Tables::build_with(&plan.spec, layout, previous.as_deref()).map_err(unbuildable)?;
        ledger.note_headers(&tables, &workers);
        let forwarding_hash = forwarding_hash(&plan.spec, &tables);
        let (tables, factors) = (Arc::new(tables), known.factors);
        Ok(Self { loaded, config, pools, plan, tables, forwarding_hash, numbers, ledger, factors })
    }
}

/// Validation finds all of these first, with their places.
fn unbuildable(error: TablesError) -> Problem {
    match error {
        TablesError::TooMany { .. } => problem(ProblemCode::TooMany, error.to_string()),
        error => {
            problem(ProblemCode::Internal, format!("the tables cannot be built: {error}; please report it"))
        }
    }
}

/// What of a wanted configuration can be in force while the process runs by another: all but what is read at start.
/// Backends are reached by the ports that are open, whatever the wanted configuration calls its own.
fn rebase(wanted: &Config, in_force: &Config) -> Result<Config, Problem> {
    let mut config = wanted.clone();
    let open = &in_force.dataplane.ports;
    for (pool, backend) in config.pools.iter_mut().flat_map(|pool| {
        let name = pool.name.clone();
        pool.backends.iter_mut().map(move |backend| (name.clone(), backend))
    }) {
        let Some(hop) = &mut backend.next_hop else { continue };
        let name = wanted.dataplane.ports.get(hop.port).map_or("", |port| port.name.as_str());
        let Some(at) = open.iter().position(|port| port.name == name) else {
            let detail = format!(
                "backend `{pool}/{}` is reached by port `{name}`, which is not open: ports are opened at start, so \
                 restart the process to use it",
                backend.name
            );
            return Err(problem(ProblemCode::NeedsRestart, detail));
        };
        hop.port = at;
    }
    if let Some(pool) = crate::confine::first_command(wanted)
        && in_force.security.seccomp == Seccomp::Enforce
        && !in_force.security.may_execute
    {
        let detail = format!(
            "pool `{pool}` has a health check by `command`, and this process may not execute programs: its filter of \
             system calls was made without any; restart it, and set `security.commands: true` to add them by reload"
        );
        return Err(problem(ProblemCode::NeedsRestart, detail));
    }
    config.security = in_force.security;
    config.dataplane = in_force.dataplane.clone();
    config.forwarding.maglev.seed = in_force.forwarding.maglev.seed;
    config.forwarding.connections.per_worker = in_force.forwarding.connections.per_worker;
    config.metrics = in_force.metrics.clone();
    config.admin = in_force.admin.clone();
    Ok(config)
}
