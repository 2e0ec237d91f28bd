//! What a scrape needs to know of one generation of the configuration: names and states beside the tables.
//!
//! Immutable, like the tables that it belongs to: a change of configuration or health publishes a new one.

use super::fingerprint::forwarding_hash;
use crate::config::model::{self, Config};
use crate::control::effective::{self, Effective, EffectivePool, Knowledge, Vitality};
use crate::control::{AdminState, Ledger, Running};
use crate::plan::{Names, Plan};
use lb_core::spec::BackendState;
use lb_core::tables::Tables;
use std::sync::Arc;

/// One generation, as metrics see it.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The tables in force.
    pub tables: Arc<Tables>,
    /// Names behind the indices of the tables.
    pub names: Names,
    /// The VIPs, by service index.
    pub vips: Vec<VipInfo>,
    /// The pools, by pool index.
    pub pools: Vec<PoolInfo>,
    /// Whose the counters are.
    pub ledger: Arc<Ledger>,
    /// Label of `guideway_forwarding_info`.
    pub forwarding_hash: String,
    /// Label of `guideway_config_info`, if known.
    pub config_hash: Option<String>,
    /// True while a configuration rolls back unless it is confirmed.
    pub is_on_trial: bool,
}

/// One VIP, as labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipInfo {
    /// Addresses, in file order.
    pub addresses: Vec<String>,
    /// `tcp`, `udp`, `sctp` or `any`.
    pub protocol: &'static str,
    /// `any`, or ports and ranges with commas between them.
    pub ports: String,
    /// Index of its pool.
    pub pool: usize,
}

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolInfo {
    /// Its backends, by backend index.
    pub backends: Vec<BackendInfo>,
    /// The panic threshold overrides health.
    pub is_panicking: bool,
}

/// One backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackendInfo {
    /// What it is up to.
    pub condition: BackendCondition,
    /// True if it receives new connections.
    pub is_up: bool,
    /// The weight that counts, 0 if it receives no new connections.
    pub weight: f64,
}

impl BackendInfo {
    fn of(backend: &Effective) -> Self {
        let is_up = backend.is_serving();
        let weight = if backend.state == BackendState::Active { backend.weight } else { 0.0 };
        Self { condition: BackendCondition::of(backend), is_up, weight }
    }
}

/// The states of `guideway_backend_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendCondition {
    /// In service.
    Up,
    /// Failed.
    Down,
    /// Keeps its connections, gets no new ones.
    Drain,
    /// Taken out by the operator, still probed.
    Disabled,
    /// Taken out by the operator.
    Maintenance,
    /// Not checked yet.
    Unknown,
}

impl BackendCondition {
    /// Every state, in the order of a scrape.
    pub const ALL: [Self; 6] =
        [Self::Up, Self::Down, Self::Drain, Self::Disabled, Self::Maintenance, Self::Unknown];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Disabled => "disabled",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
        }
    }

    /// What the operator wants, and what health makes of it.
    pub fn of(backend: &Effective) -> Self {
        match (backend.admin, backend.health) {
            (AdminState::Maintenance, _) => Self::Maintenance,
            (AdminState::Disabled, _) => Self::Disabled,
            (_, Some(Vitality::Down)) => Self::Down,
            (AdminState::Drain, _) => Self::Drain,
            (AdminState::Active, Some(Vitality::Unknown)) => Self::Unknown,
            (AdminState::Active, _) => Self::Up,
        }
    }
}

impl Generation {
    /// The generation that `config` and `plan` describe; `tables` were built from the plan's spec, and nothing
    /// came before them.
    pub fn new(config: &Config, plan: &Plan, tables: Arc<Tables>) -> Self {
        let pools = effective::effective(config, &Default::default(), &Knowledge::default());
        let forwarding_hash = forwarding_hash(&plan.spec, &tables);
        let ledger = Arc::new(Ledger::of(&tables));
        Self {
            vips: config.vips.iter().map(vip_info).collect(),
            pools: pools.iter().map(pool_info).collect(),
            names: plan.names.clone(),
            tables,
            ledger,
            forwarding_hash,
            config_hash: None,
            is_on_trial: false,
        }
    }

    /// What is in force.
    pub fn of(running: &Running) -> Self {
        Self {
            vips: running.config.vips.iter().map(vip_info).collect(),
            pools: running.pools.iter().map(pool_info).collect(),
            names: running.plan.names.clone(),
            tables: Arc::clone(&running.tables),
            ledger: Arc::clone(&running.ledger),
            forwarding_hash: running.forwarding_hash.clone(),
            config_hash: Some(running.loaded.hash.clone()),
            is_on_trial: running.confirm_by.is_some(),
        }
    }
}

fn pool_info(pool: &EffectivePool) -> PoolInfo {
    PoolInfo {
        backends: pool.backends.iter().map(BackendInfo::of).collect(),
        is_panicking: pool.is_panicking,
    }
}

fn vip_info(vip: &model::Vip) -> VipInfo {
    VipInfo {
        addresses: vip.addresses.iter().map(ToString::to_string).collect(),
        protocol: vip.protocol.name(),
        ports: vip.ports.to_string(),
        pool: vip.pool,
    }
}
