//! What counts now: the configuration, the operator's words over it, health, and the weights that change by
//! themselves, put together into the state and weight of every backend.
//!
//! A pure function, so that `diff`, `explain` and the controller cannot disagree.

use super::action::AdminState;
use super::overrides::Overrides;
use crate::config::Config;
use crate::config::model;
use lb_core::health::{AllDown, Member, Policy, Verdict, judge};
use lb_core::spec::{BackendState, Spec};
use lb_core::weight::{Factor, SCALE, scaled};
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
    /// Factors on the weight by slow start and adaptive weights; absent is 1.
    pub factors: HashMap<(String, String), Factors>,
    /// What agents said: a wanted state (over the configuration, below the operator).
    pub agents: HashMap<(String, String), AdminState>,
}

impl Knowledge {
    /// Every backend that is to be checked by `config` is unknown at least, and no other has health.
    pub fn expect_checks(&mut self, config: &Config) {
        let mut expected = HashMap::new();
        for pool in config.pools.iter().filter(|pool| pool.health.check.is_some()) {
            for backend in &pool.backends {
                let name = (pool.name.clone(), backend.name.clone());
                let known = self.health.get(&name).copied().unwrap_or_default();
                expected.insert(name, known);
            }
        }
        self.health = expected;
    }
}

/// Factors on one weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Factors {
    /// Of slow start.
    pub slow_start: Factor,
    /// Of adaptive weights.
    pub adaptive: Factor,
    /// How they came about, for people.
    pub reasons: Vec<String>,
}

/// One backend, put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// What the configuration wants.
    pub configured: AdminState,
    /// What the operator wants: his own word, or the configuration.
    pub operator: AdminState,
    /// What counts of operator, agent and configuration.
    pub admin: AdminState,
    /// Its health; `None` without a check.
    pub health: Option<Vitality>,
    /// What the tables are to make of it.
    pub state: BackendState,
    /// Why, in a few words.
    pub reason: &'static str,
    /// Weight in the configuration, or the operator's.
    pub base_weight: u16,
    /// Weight that counts, factors included.
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

impl Effective {
    /// True if it takes new flows.
    pub fn is_serving(&self) -> bool {
        self.state == BackendState::Active && self.table_weight > 0
    }
}

impl EffectivePool {
    /// Backends that take new flows.
    pub fn serving(&self) -> usize {
        self.backends.iter().filter(|one| one.is_serving()).count()
    }

    /// True if new flows find a backend and the quorum is met.
    pub fn is_serving(&self) -> bool {
        self.serving() > 0 && self.has_quorum
    }
}

/// Puts all pools together.
pub fn effective(config: &Config, overrides: &Overrides, known: &Knowledge) -> Vec<EffectivePool> {
    config.pools.iter().map(|pool| effective_pool(pool, overrides, known)).collect()
}

/// True if both make the same tables of the same configuration.
pub(super) fn are_alike(one: &[EffectivePool], other: &[EffectivePool]) -> bool {
    let tables = |pools: &[EffectivePool]| -> Vec<Vec<(BackendState, u32)>> {
        let backends =
            |pool: &EffectivePool| pool.backends.iter().map(|one| (one.state, one.table_weight)).collect();
        pools.iter().map(backends).collect()
    };
    let flags = |pools: &[EffectivePool]| -> Vec<(bool, bool)> {
        pools.iter().map(|pool| (pool.is_panicking, pool.has_quorum)).collect()
    };
    tables(one) == tables(other) && flags(one) == flags(other)
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
    scale(pool, &mut backends, known);
    let verdict = judge_pool(pool, &backends);
    for backend in &mut backends {
        let is_down = backend.health == Some(Vitality::Down);
        (backend.state, backend.reason) = match (backend.admin, is_down) {
            (AdminState::Active, true) if verdict.panic => (BackendState::Active, "panic threshold"),
            (AdminState::Active | AdminState::Drain, true) => (BackendState::Down, "health check"),
            (AdminState::Active, false) => (BackendState::Active, backend.reason),
            (AdminState::Drain, false) => (BackendState::Drain, backend.reason),
            (AdminState::Disabled | AdminState::Maintenance, _) => (BackendState::Down, backend.reason),
        };
    }
    EffectivePool { is_panicking: verdict.panic, has_quorum: verdict.serving, backends }
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
        (None, Some(state)) if state != AdminState::Active && configured == AdminState::Active => {
            (state, "agent")
        }
        (None, _) => (configured, "configured"),
    };
    let base = word.and_then(|word| word.weight).unwrap_or(backend.weight);
    let mut weight_reasons = Vec::new();
    if base != backend.weight {
        weight_reasons.push(format!("operator: {base} instead of {}", backend.weight));
    }
    Effective {
        configured,
        operator: word.and_then(|word| word.state).unwrap_or(configured),
        admin,
        health: known.health.get(&name).copied(),
        state: BackendState::Active,
        reason,
        base_weight: base,
        weight: base.into(),
        weight_reasons,
        table_weight: base.into(),
    }
}

/// What health makes of the backends that could serve.
fn judge_pool(pool: &model::Pool, backends: &[Effective]) -> Verdict {
    let could_serve = backends.iter().filter(|backend| backend.admin == AdminState::Active);
    let member = |backend: &Effective| Member {
        healthy: backend.health != Some(Vitality::Down),
        weight: backend.base_weight.into(),
    };
    let policy = Policy {
        panic_below: pool.health.panic_below,
        all_down: match pool.health.all_down {
            model::AllDown::Drop => AllDown::Drop,
            model::AllDown::SendToAll => AllDown::SendToAll,
        },
        quorum: pool.health.quorum,
    };
    judge(&could_serve.map(member).collect::<Vec<_>>(), policy)
}

/// Puts factors on the weights of a pool: on all of them or on none, since weights are comparable only so. A pool
/// without factors keeps its plain ones, with which a fleet agrees.
fn scale(pool: &model::Pool, backends: &mut [Effective], known: &Knowledge) {
    let factors: Vec<Factors> = pool
        .backends
        .iter()
        .map(|backend| {
            known.factors.get(&(pool.name.clone(), backend.name.clone())).cloned().unwrap_or_default()
        })
        .collect();
    let is_plain = |one: &Factors| (one.slow_start, one.adaptive) == (Factor::ONE, Factor::ONE);
    let are_plain = factors.iter().all(is_plain);
    for (backend, factors) in backends.iter_mut().zip(factors) {
        if !are_plain {
            backend.table_weight = scaled(backend.base_weight.into(), factors.slow_start, factors.adaptive);
            backend.weight = f64::from(backend.table_weight) / f64::from(SCALE);
        }
        backend.weight_reasons.extend(factors.reasons);
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
