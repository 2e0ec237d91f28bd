//! What counts now: the configuration, the operator's words over it, health, and the weights that change by
//! themselves, put together into the state and weight of every backend.
//!
//! A pure function, so that `diff`, `explain` and the controller cannot disagree.

use super::action::AdminState;
use super::overrides::Overrides;
use crate::config::Config;
use crate::config::model;
use lb_core::spec::{BackendState, Spec};
use std::collections::HashMap;

/// What is known of a backend's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vitality {
    /// Not probed, or not yet: counts as healthy.
    #[default]
    Unknown,
    /// Its health check succeeds, or it has none.
    Up,
    /// Its health check fails.
    Down,
}

/// What is known of backends besides the configuration, by the names of pool and backend.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Health; absent without a check.
    pub health: HashMap<(String, String), Vitality>,
    /// Factor on the weight by slow start and adaptive weights, with its reasons; absent is 1.
    pub factors: HashMap<(String, String), (f64, Vec<String>)>,
    /// What agents said: a wanted state (over the configuration, below the operator).
    pub agents: HashMap<(String, String), AdminState>,
}

/// One backend, put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// What the configuration wants.
    pub configured: AdminState,
    /// What the operator wants.
    pub admin: AdminState,
    /// Its health; `None` without a check.
    pub health: Option<Vitality>,
    /// What the tables are to make of it.
    pub state: BackendState,
    /// Why, in a few words.
    pub reason: &'static str,
    /// Weight that counts, before it is scaled to whole numbers.
    pub weight: f64,
    /// How the weight came about; empty if it is the configured one.
    pub weight_reasons: Vec<String>,
    /// The weight in the tables: comparable within its pool only.
    pub table_weight: u32,
}

/// One pool, put together.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectivePool {
    /// So few backends are healthy that health does not count.
    pub is_panicking: bool,
    /// Enough backends are healthy for its VIPs to count as served.
    pub has_quorum: bool,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<Effective>,
}

impl EffectivePool {
    /// Backends that take new flows.
    pub fn serving(&self) -> usize {
        self.backends.iter().filter(|one| one.state == BackendState::Active && one.table_weight > 0).count()
    }

    /// True if new flows find a backend and the quorum is met.
    pub fn is_serving(&self) -> bool {
        self.serving() > 0 && self.has_quorum
    }
}

/// Steps of a weight that is not the configured one: a factor is known to 1/64 at least.
const WEIGHT_SCALE: f64 = 64.0;

/// Puts all pools together.
pub fn effective(config: &Config, overrides: &Overrides, known: &Knowledge) -> Vec<EffectivePool> {
    config.pools.iter().map(|pool| effective_pool(pool, overrides, known)).collect()
}

/// Writes states and weights into a spec that was made from the same configuration.
pub fn apply(pools: &[EffectivePool], spec: &mut Spec) {
    for (pool, into) in pools.iter().zip(&mut spec.pools) {
        for (backend, into) in pool.backends.iter().zip(&mut into.backends) {
            into.state = backend.state;
            into.weight = backend.table_weight;
        }
    }
}

fn effective_pool(pool: &model::Pool, overrides: &Overrides, known: &Knowledge) -> EffectivePool {
    let mut backends: Vec<Effective> =
        pool.backends.iter().map(|backend| wanted(pool, backend, overrides, known)).collect();
    let is_panicking = panics(pool, &backends);
    for backend in &mut backends {
        let is_down = backend.health == Some(Vitality::Down);
        (backend.state, backend.reason) = match (backend.admin, is_down) {
            (AdminState::Active, true) if is_panicking => (BackendState::Active, "panic threshold"),
            (_, true) => (BackendState::Down, "health check"),
            (AdminState::Active, _) => (BackendState::Active, backend.reason),
            (AdminState::Drain, _) => (BackendState::Drain, backend.reason),
            (AdminState::Disabled | AdminState::Maintenance, _) => (BackendState::Down, backend.reason),
        };
    }
    let has_quorum = has_quorum(pool, &backends);
    let mut pool = EffectivePool { is_panicking, has_quorum, backends };
    pool.scale();
    pool
}

/// A backend before its pool is looked at.
fn wanted(
    pool: &model::Pool,
    backend: &model::Backend,
    overrides: &Overrides,
    known: &Knowledge,
) -> Effective {
    let name = (pool.name.clone(), backend.name.clone());
    let word = overrides.get(&name);
    let agent = known.agents.get(&name).copied();
    let configured = AdminState::from(backend.state);
    let (admin, reason) = match (word.and_then(|word| word.state), agent) {
        (Some(state), _) => (state, "operator"),
        (None, Some(state)) if state != AdminState::Active => (state, "agent"),
        (None, _) => (configured, "configured"),
    };
    let base = word.and_then(|word| word.weight).unwrap_or(backend.weight);
    let (factor, mut weight_reasons) = known.factors.get(&name).cloned().unwrap_or((1.0, Vec::new()));
    if base != backend.weight {
        weight_reasons.insert(0, format!("operator: {base} instead of {}", backend.weight));
    }
    Effective {
        configured,
        admin,
        health: known.health.get(&name).copied(),
        state: BackendState::Active,
        reason,
        weight: f64::from(base) * factor,
        weight_reasons,
        table_weight: base.into(),
    }
}

/// True if health is not to count: too little of the weight that could serve is healthy.
fn panics(pool: &model::Pool, backends: &[Effective]) -> bool {
    let _ = (pool, backends);
    false
}

/// True if enough backends are healthy.
fn has_quorum(pool: &model::Pool, backends: &[Effective]) -> bool {
    let _ = (pool, backends);
    true
}

impl EffectivePool {
    /// Whole weights for the tables. Plain ones stay as they are, so that a fleet without factors agrees with
    /// tables built from the file alone.
    fn scale(&mut self) {
        let is_plain = |one: &Effective| one.weight == f64::from(one.table_weight);
        if self.backends.iter().all(is_plain) {
            return;
        }
        for backend in &mut self.backends {
            let scaled = (backend.weight * WEIGHT_SCALE).round();
            // A weight that is not 0 must not become 0: that would take the backend out.
            let least = if backend.weight > 0.0 { 1.0 } else { 0.0 };
            backend.table_weight = scaled.clamp(least, f64::from(u32::MAX)) as u32;
        }
    }
}

impl From<model::BackendState> for AdminState {
    fn from(state: model::BackendState) -> Self {
        match state {
            model::BackendState::Active => Self::Active,
            model::BackendState::Drain => Self::Drain,
            model::BackendState::Disabled => Self::Disabled,
            model::BackendState::Maintenance => Self::Maintenance,
        }
    }
}
