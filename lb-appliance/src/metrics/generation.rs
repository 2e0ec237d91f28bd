//! What a scrape needs to know of one generation of the configuration: names and states beside the tables.
//!
//! Immutable, like the tables that it belongs to: a change of configuration or health publishes a new one.

use super::fingerprint::forwarding_hash;
use crate::config::model::{self, Config};
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
    /// Label of `guideway_forwarding_info`.
    pub forwarding_hash: String,
}

/// One VIP, as labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipInfo {
    /// Addresses, in file order.
    pub addresses: Vec<String>,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// `any`, or the ports with commas between them.
    pub ports: String,
    /// Index of its pool.
    pub pool: usize,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    /// Its backends, by backend index.
    pub backends: Vec<BackendInfo>,
}

/// One backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// What it is up to.
    pub condition: BackendCondition,
    /// Configured weight.
    pub weight: u32,
}

impl BackendInfo {
    /// True if it receives new connections.
    pub fn is_up(&self) -> bool {
        self.condition == BackendCondition::Up && self.weight > 0
    }

    /// The weight that the Maglev table was built with.
    pub fn effective_weight(&self) -> u32 {
        if self.condition == BackendCondition::Up { self.weight } else { 0 }
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
    /// Taken out by the operator.
    Maintenance,
    /// Not checked yet.
    Unknown,
}

impl BackendCondition {
    /// Every state, in the order of a scrape.
    pub const ALL: [Self; 5] = [Self::Up, Self::Down, Self::Drain, Self::Maintenance, Self::Unknown];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
        }
    }

    /// What the operator wants and what the plan made of it.
    fn of(wanted: model::BackendState, planned: BackendState) -> Self {
        match (wanted, planned) {
            (model::BackendState::Maintenance, _) => Self::Maintenance,
            (_, BackendState::Down) => Self::Down,
            (_, BackendState::Drain) => Self::Drain,
            (_, BackendState::Active) => Self::Up,
        }
    }
}

impl Generation {
    /// The generation that `config` and `plan` describe; `tables` were built from the plan's spec.
    pub fn new(config: &Config, plan: &Plan, tables: Arc<Tables>) -> Self {
        let forwarding_hash = forwarding_hash(&plan.spec, &tables);
        let vips = config.vips.iter().map(vip_info).collect();
        let pools = config.pools.iter().zip(&plan.spec.pools).map(|(wanted, planned)| PoolInfo {
            backends: wanted
                .backends
                .iter()
                .zip(&planned.backends)
                .map(|(wanted, planned)| BackendInfo {
                    condition: BackendCondition::of(wanted.state, planned.state),
                    weight: planned.weight,
                })
                .collect(),
        });
        Self { vips, pools: pools.collect(), names: plan.names.clone(), tables, forwarding_hash }
    }
}

fn vip_info(vip: &model::Vip) -> VipInfo {
    VipInfo {
        addresses: vip.addresses.iter().map(ToString::to_string).collect(),
        protocol: match vip.protocol {
            model::Protocol::Tcp => "tcp",
            model::Protocol::Udp => "udp",
        },
        ports: match &vip.ports {
            model::VipPorts::Any => "any".to_owned(),
            model::VipPorts::List(ports) => {
                ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        },
        pool: vip.pool,
    }
}
