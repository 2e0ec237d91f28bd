//! Weights that change by themselves: slow start of backends that come up, and adaptive weights by their load.
//!
//! Keeps time as durations since the controller started, so that a step of the wall clock changes nothing.

use super::effective::{EffectivePool, Factors};
use super::numbers::active;
use super::running::Running;
use crate::config::Config;
use crate::config::model::{AdaptiveWeights, LoadSource};
use crate::health::Snapshot;
use crate::weights;
use lb_core::adapt::{self, Report};
use lb_core::maglev::MaglevSeed;
use lb_core::slow_start::Ramp;
use lb_core::spec::BackendState;
use lb_core::weight::Factor;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

type Name = (String, String);

/// A backend on its way in.
#[derive(Clone, Copy, Debug)]
struct Rising {
    ramp: Ramp,
    since: Duration,
}

/// One pool's adaptive weights.
#[derive(Debug)]
struct Adaptive {
    configured: AdaptiveWeights,
    /// Seed and size of the Maglev table, on which the choice of the least disturbing change depends.
    table: (u128, u32),
    controller: adapt::Controller,
    /// When the last report of each backend was made, so that none is counted twice.
    reported: HashMap<IpAddr, SystemTime>,
}

/// The backends that rise slowly from now on: those that take new flows by `pools` and did not before, beside others
/// that do.
fn rising<'a>(
    config: &'a Config,
    pools: &'a [EffectivePool],
    served: Option<&'a HashSet<Name>>,
) -> impl Iterator<Item = (Name, Ramp)> + 'a {
    config.pools.iter().zip(pools).flat_map(move |(pool, effective)| {
        let ramp = pool.slow_start.as_ref().filter(|_| effective.serving() > 1).map(weights::ramp);
        pool.backends.iter().zip(&effective.backends).filter_map(move |(backend, one)| {
            let name = (pool.name.clone(), backend.name.clone());
            let is_new = one.is_serving() && served.is_some_and(|served| !served.contains(&name));
            ramp.filter(|_| is_new).map(|ramp| (name, ramp))
        })
    })
}

/// Puts the first factor of those that begin to rise among `factors`; true if there are any.
pub(super) fn begin_rising(
    config: &Config,
    pools: &[EffectivePool],
    served: Option<&HashSet<Name>>,
    factors: &mut HashMap<Name, Factors>,
) -> bool {
    let mut is_any = false;
    for (name, ramp) in rising(config, pools, served) {
        let slow_start = ramp.factor(Duration::ZERO);
        let factor = factors.entry(name).or_default();
        factor.slow_start = slow_start;
        factor.reasons.insert(0, format!("slow start: x {slow_start}"));
        is_any = true;
    }
    is_any
}

/// All that changes weights.
#[derive(Debug, Default)]
pub(super) struct Movers {
    rising: HashMap<Name, Rising>,
    /// Backends that took new flows by the last generation; none before the first.
    served: Option<HashSet<Name>>,
    pools: HashMap<String, Adaptive>,
}

impl Movers {
    /// Takes note of a new generation: who has come up, who is gone, whose settings are others.
    pub(super) fn note(&mut self, running: &Running, now: Duration) {
        let started: Vec<_> = rising(&running.config, &running.pools, self.served.as_ref()).collect();
        let mut serving = HashSet::new();
        let mut slow = HashSet::new();
        for (pool, effective) in running.config.pools.iter().zip(running.pools.iter()) {
            let names = pool.backends.iter().map(|backend| (pool.name.clone(), backend.name.clone()));
            let up = names.zip(&effective.backends).filter(|(_, one)| one.is_serving()).map(|(name, _)| name);
            serving.extend(up);
            if pool.slow_start.is_some() {
                slow.insert(pool.name.as_str());
            }
        }
        self.rising.retain(|name, _| serving.contains(name) && slow.contains(name.0.as_str()));
        self.rising.extend(started.into_iter().map(|(name, ramp)| (name, Rising { ramp, since: now })));
        self.served = Some(serving);
        self.note_adaptive(running, now);
    }

    /// Backends that take new flows by the generation noted last.
    pub(super) fn served(&self) -> Option<HashSet<Name>> {
        self.served.clone()
    }

    fn note_adaptive(&mut self, running: &Running, now: Duration) {
        let maglev = running.config.forwarding.maglev;
        let table = (maglev.seed, maglev.table_size);
        let mut kept = HashMap::new();
        for (at, pool) in running.config.pools.iter().enumerate() {
            let Some(configured) = &pool.adaptive_weights else { continue };
            let old = self.pools.remove(&pool.name);
            let same = old.filter(|old| old.configured == *configured && old.table == table);
            let mut adaptive = same.unwrap_or_else(|| Adaptive {
                configured: *configured,
                table,
                controller: adapt::Controller::new(
                    weights::settings(configured),
                    MaglevSeed::from_bytes(table.0.to_le_bytes()),
                    table.1,
                ),
                reported: HashMap::new(),
            });
            adaptive.controller.set_backends(&self.backends(running, at, now));
            kept.insert(pool.name.clone(), adaptive);
        }
        self.pools = kept;
    }

    fn backends(&self, running: &Running, at: usize, now: Duration) -> Vec<adapt::Backend> {
        let (pool, effective): (_, &EffectivePool) = (&running.config.pools[at], &running.pools[at]);
        let backend =
            |(configured, backend): (&crate::config::model::Backend, &super::effective::Effective)| {
                let name = (pool.name.clone(), configured.name.clone());
                adapt::Backend {
                    address: configured.address,
                    weight: backend.base_weight.into(),
                    is_serving: backend.state == BackendState::Active && backend.base_weight > 0,
                    slow_start: self.slow_start(&name, now),
                }
            };
        pool.backends.iter().zip(&effective.backends).map(backend).collect()
    }

    fn slow_start(&self, name: &Name, now: Duration) -> Factor {
        let rising = self.rising.get(name);
        rising.map_or(Factor::ONE, |rising| rising.ramp.factor(now.saturating_sub(rising.since)))
    }

    /// Goes on: reports are taken, decisions are made where they are due. The factors that count from now on.
    pub(super) fn step(
        &mut self,
        running: &Running,
        health: &Snapshot,
        now: Duration,
    ) -> HashMap<Name, Factors> {
        self.rising.retain(|_, rising| rising.ramp.is_rising(now.saturating_sub(rising.since)));
        for (at, pool) in running.config.pools.iter().enumerate() {
            let Some(adaptive) = self.pools.get_mut(&pool.name) else { continue };
            adaptive.take_reports(&pool.name, health, now);
            if adaptive.controller.next_decision() <= now {
                adaptive.controller.decide(now, &live_flows(running, at));
            }
        }
        self.factors(running, now)
    }

    /// The factors that differ from 1, with their reasons.
    fn factors(&self, running: &Running, now: Duration) -> HashMap<Name, Factors> {
        let mut found = HashMap::new();
        for pool in &running.config.pools {
            let adaptive = self.pools.get(&pool.name);
            for backend in &pool.backends {
                let name = (pool.name.clone(), backend.name.clone());
                let slow_start = self.slow_start(&name, now);
                let factor = adaptive.map_or(Factor::ONE, |one| one.controller.factor(backend.address));
                let mut reasons = Vec::new();
                if slow_start != Factor::ONE {
                    reasons.push(format!("slow start: x {slow_start}"));
                }
                if let Some(told) = adaptive.and_then(|one| one.controller.explain(backend.address, now)) {
                    reasons.push(format!("adaptive: x {factor}, {}", told.standing.sentence()));
                }
                if !reasons.is_empty() {
                    found.insert(name, Factors { slow_start, adaptive: factor, reasons });
                }
            }
        }
        found
    }
}

impl Adaptive {
    /// Hands over what is new of the health checks.
    fn take_reports(&mut self, pool: &str, health: &Snapshot, now: Duration) {
        for row in health.rows.iter().filter(|row| row.pool == pool) {
            let Some(last) = &row.last else { continue };
            let is_agent = row.probe == "agent";
            let value = match self.configured.source {
                LoadSource::Header if !is_agent => last.load,
                LoadSource::Latency if !is_agent && last.ok => Some(last.latency.as_secs_f64()),
                LoadSource::Agent if is_agent => row
                    .agent
                    .as_ref()
                    .and_then(|agent| agent.weight_percent)
                    .map(|percent| weights::utilisation_of_agent(percent.into())),
                _ => None,
            };
            if let Some(value) = value
                && self.reported.insert(row.address, last.at) != Some(last.at)
            {
                self.controller.report(row.address, Report { value, at: now });
            }
        }
    }
}

/// Entries of the connection tables by backend of a pool.
fn live_flows(running: &Running, pool: usize) -> BTreeMap<IpAddr, u64> {
    let mut flows = BTreeMap::new();
    for (record, owner) in running.tables.owners().filter(|(_, owner)| owner.pool == pool) {
        let address = running.plan.spec.pools[pool].backends[owner.backend].address;
        *flows.entry(address).or_default() += active(&running.vitals.workers, record);
    }
    flows
}
