//! From pools to probe targets: equal checks of one address are one probe, whoever asks.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::model::{Backend, BackendState, HealthCheck, Pool, Probe, Via};

/// Which question of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The probe.
    Probe,
    /// The agent beside it.
    Agent,
}

impl Part {
    /// The label in metrics and status: `http`, `agent`...
    pub fn kind(self, check: &HealthCheck) -> &'static str {
        match self {
            Self::Probe => check.probe.kind(),
            Self::Agent => "agent",
        }
    }
}

/// A backend of a pool, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscriber {
    /// The pool.
    pub pool: String,
    /// The backend.
    pub backend: String,
}

/// What makes a target the same target: its state survives a change of everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKey {
    /// Whom to ask.
    pub address: IpAddr,
    /// What and how often; equal checks are one, wherever they are written.
    pub check: Arc<HealthCheck>,
    /// Which question.
    pub part: Part,
    /// For commands, which are told for whom they run, and for tunnels, which are those of one pool: that one.
    pub owner: Option<Subscriber>,
}

/// Not the check: one address has few of them, and ten thousand are hashed at every reload.
impl Hash for TargetKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.address, self.part, &self.owner).hash(state);
    }
}

/// One thing to probe, and who wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its identity.
    pub key: TargetKey,
    /// At least one.
    pub subscribers: Vec<Subscriber>,
}

/// The targets of a configuration, in file order. Backends in maintenance are not probed.
pub fn targets(pools: &[Pool]) -> Vec<Target> {
    targets_where(pools, |_, backend| backend.state != BackendState::Maintenance)
}

/// The same for those backends that `wanted` names: runtime overrides decide otherwise than the file.
pub fn targets_where(pools: &[Pool], wanted: impl Fn(&Pool, &Backend) -> bool) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut indices: HashMap<TargetKey, usize> = HashMap::new();
    for pool in pools {
        let Some(check) = &pool.health.check else { continue };
        for backend in pool.backends.iter().filter(|backend| wanted(pool, backend)) {
            let subscriber = Subscriber { pool: pool.name.clone(), backend: backend.name.clone() };
            let agent = check.agent_port.map(|_| Part::Agent);
            for part in std::iter::once(Part::Probe).chain(agent) {
                let is_own = matches!(check.probe, Probe::Command { .. }) || check.via == Via::Tunnel;
                let owner = (part == Part::Probe && is_own).then(|| subscriber.clone());
                let key = TargetKey { address: backend.address, check: check.clone(), part, owner };
                let index = *indices.entry(key.clone()).or_insert_with(|| {
                    targets.push(Target { key, subscribers: Vec::new() });
                    targets.len() - 1
                });
                targets[index].subscribers.push(subscriber.clone());
            }
        }
    }
    targets
}
