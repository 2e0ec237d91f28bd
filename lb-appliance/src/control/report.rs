//! Answers to questions about what is in force.

use super::action::AdminState;
use super::diff::{self, Side};
use super::effective::Effective;
use super::events::unix_seconds;
use super::overrides::Override;
use super::problem::{ProblemCode, problem};
use super::running::Running;
use super::view::{
    BackendOverride, BackendStatus, Change, ConnectionCount, DropCount, MaglevForecast, MaglevShare,
    MaglevStatus, OverrideStatus, Pending, PoolStatus, Problem, Status, VipStatus, WorkerStatus,
};
use super::vital_signs;
use crate::config::model;
use crate::health::Cause;
use lb_core::reason::DropReason;
use lb_core::spec::BackendState;
use lb_core::tables::Tables;
use std::time::Instant;

const NANOS: f64 = 1e9;

/// Everything at a glance.
pub(super) fn status(running: &Running) -> Status {
    let vitals = &running.vitals;
    Status {
        node: running.config.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at_seconds: unix_seconds(vitals.started.0),
        uptime_seconds: vitals.started.1.elapsed().as_secs_f64(),
        generation: running.generation,
        seen: vitals.acknowledgements.seen(running.generation),
        config_hash: running.loaded.hash.clone(),
        forwarding_hash: running.forwarding_hash.clone(),
        last_reload: running.reload.clone(),
        pending_confirmation: running.confirm_by.map(|deadline| Pending {
            remaining_seconds: deadline.saturating_duration_since(Instant::now()).as_secs_f64(),
        }),
        overrides: running.overrides.len(),
        problems: problems(running),
        security: vitals.confinement.clone(),
        workers: workers(running),
        vips: vips(running),
        dropped: dropped(running),
    }
}

/// What keeps the balancer from serving well.
fn problems(running: &Running) -> Vec<String> {
    let mut found = Vec::new();
    for vip in vips(running).iter().filter(|vip| !vip.serving) {
        let why =
            if vip.healthy_backends == 0 { "no backend takes new connections" } else { "quorum is not met" };
        found.push(format!("vip {}: {why} (pool {})", vip.name, vip.pool));
    }
    for (names, _) in
        running.plan.names.pools.iter().zip(running.pools.iter()).filter(|(_, pool)| pool.is_panicking)
    {
        found.push(format!("pool {}: too few backends are healthy, all are used", names.name));
    }
    if let Some(reload) = running.reload.as_ref().filter(|reload| !reload.successful) {
        found.push(format!("the last reload was refused: {}", reload.message));
    }
    let waiting = super::facts::changes(&running.config, &running.loaded.config);
    if !waiting.is_empty() {
        let what: Vec<&str> = waiting.iter().map(|change| change.object.as_str()).collect();
        found.push(format!(
            "the configuration wants changes that take effect at the next restart: {}",
            what.join(", ")
        ));
    }
    let health = running.vitals.health.snapshot();
    let is_local =
        |row: &&crate::health::Row| row.last.as_ref().is_some_and(|last| last.cause == Some(Cause::Local));
    let local: Vec<_> = health.rows.iter().filter(is_local).collect();
    if let Some(first) = local.first() {
        let detail = first.last.as_ref().map_or("", |last| last.detail.as_str());
        found.push(format!(
            "{} health checks cannot be made from this host, the first of backend {}/{}: {detail}",
            local.len(),
            first.pool,
            first.backend
        ));
    }
    let now = Instant::now();
    found.extend(running.vitals.workers.iter().filter_map(|worker| crate::metrics::stuck(worker, now)));
    found
}

fn workers(running: &Running) -> Vec<WorkerStatus> {
    let seen = running.vitals.acknowledgements.each();
    let status =
        |(worker, generation): (&std::sync::Arc<crate::instruments::WorkerInstruments>, u64)| WorkerStatus {
            worker: worker.label.clone(),
            generation,
            heartbeat_age_seconds: worker.turns.heartbeat.age().map(|age| age.as_secs_f64()),
            packets: worker.packets.received.get(),
            busy_seconds: worker.turns.busy_nanos.get() as f64 / NANOS,
            idle_seconds: worker.turns.idle_nanos.get() as f64 / NANOS,
            entries: worker.packets.entries.get(),
            capacity: worker.packets.capacity.get(),
        };
    running.vitals.workers.iter().zip(seen).map(status).collect()
}

fn dropped(running: &Running) -> Vec<DropCount> {
    let sum = |of: &dyn Fn(&lb_core::counters::DropCounters) -> u64| {
        running.vitals.workers.iter().map(|worker| of(&worker.packets.drops)).sum::<u64>()
    };
    let count = |reason: &DropReason| DropCount {
        reason: reason.name().into(),
        help: reason.help().into(),
        packets: sum(&|drops| drops.packets[*reason as usize].get()),
        bytes: sum(&|drops| drops.bytes[*reason as usize].get()),
    };
    DropReason::ALL.iter().map(count).filter(|count| count.packets > 0).collect()
}

/// The VIPs.
pub(super) fn vips(running: &Running) -> Vec<VipStatus> {
    let workers = &running.vitals.workers;
    let traffic = running.ledger.services(workers);
    let status = |(at, vip): (usize, &model::Vip)| {
        let number = running.tables.layout().services[at];
        let counted = traffic.get(&number).copied().unwrap_or_default();
        let pool = &running.pools[vip.pool];
        VipStatus {
            name: vip.name.clone(),
            addresses: vip.addresses.iter().map(ToString::to_string).collect(),
            protocol: vip.protocol.name().into(),
            ports: vip.ports.to_string(),
            pool: running.plan.names.pools[vip.pool].name.clone(),
            backends: pool.backends.len(),
            healthy_backends: pool.serving(),
            panic: pool.is_panicking,
            serving: pool.is_serving(),
            packets: counted.packets,
            bytes: counted.receive_bytes,
            connections: counted.connections,
            active_connections: counted.active,
            dropped: DropReason::ALL
                .iter()
                .map(|reason| running.ledger.drops(number, *reason, workers))
                .sum(),
        }
    };
    running.config.vips.iter().enumerate().map(status).collect()
}

/// The pools with their backends.
pub(super) fn pools(running: &Running) -> Vec<PoolStatus> {
    let traffic = running.backend_traffic();
    let health = running.vitals.health.snapshot();
    let status = |(at, pool): (usize, &model::Pool)| {
        let slots =
            running.tables.maglev(at).map(|table| (table.shares(), table.slots().len())).unwrap_or_default();
        let backends = pool.backends.iter().enumerate().map(|(ordinal, backend)| {
            let effective = &running.pools[at].backends[ordinal];
            let counted = traffic[at][ordinal];
            let share = slots.0.get(ordinal).map_or(0.0, |own| f64::from(*own) / slots.1.max(1) as f64);
            BackendStatus {
                pool: pool.name.clone(),
                name: backend.name.clone(),
                address: backend.address,
                state: state_name(effective).into(),
                reason: effective.reason.into(),
                admin_state: effective.admin,
                configured_state: effective.configured,
                override_: running
                    .overrides
                    .get(&(pool.name.clone(), backend.name.clone()))
                    .map(override_status),
                configured_weight: backend.weight,
                weight: effective.weight,
                weight_reasons: effective.weight_reasons.clone(),
                share,
                health: vital_signs::status(&health, &pool.name, &backend.name),
                active_connections: counted.active,
                connections: counted.connections,
                packets: counted.packets,
                bytes: counted.transmit_bytes,
                drained: effective.state != BackendState::Active && counted.active == 0,
            }
        });
        PoolStatus {
            name: pool.name.clone(),
            encapsulation: encapsulation(pool.encap).into(),
            vips: running
                .config
                .vips
                .iter()
                .filter(|vip| vip.pool == at)
                .map(|vip| vip.name.clone())
                .collect(),
            panic: running.pools[at].is_panicking,
            backends: backends.collect(),
        }
    };
    running.config.pools.iter().enumerate().map(status).collect()
}

fn encapsulation(encap: model::Encap) -> &'static str {
    match encap {
        model::Encap::Ipip => "ipip",
        model::Encap::Gue { .. } => "gue",
        model::Encap::Vxlan { .. } => "vxlan",
        model::Encap::Gre { .. } => "gre",
        model::Encap::Geneve { .. } => "geneve",
        model::Encap::L2Dsr => "l2dsr",
    }
}

/// The state that people and metrics see.
pub(super) fn state_name(backend: &Effective) -> &'static str {
    crate::metrics::BackendCondition::of(backend).name()
}

fn override_status(word: &Override) -> OverrideStatus {
    OverrideStatus {
        state: word.state,
        weight: word.weight,
        remaining_seconds: word.remaining(Instant::now()).map(|time| time.as_secs_f64()),
        persistent: word.persistent,
    }
}

/// The operator's words in force.
pub(super) fn overrides(running: &Running) -> Vec<BackendOverride> {
    let all = running.overrides.iter().map(|((pool, backend), word)| BackendOverride {
        pool: pool.clone(),
        backend: backend.clone(),
        override_: override_status(word),
    });
    all.collect()
}

/// What another word on a backend has changed.
pub(super) fn override_changes(
    before: &Running,
    after: &Running,
    (pool, backend): (usize, usize),
) -> Vec<Change> {
    let (old, new) = (&before.pools[pool].backends[backend], &after.pools[pool].backends[backend]);
    let names = &after.plan.names.pools[pool];
    let change = |field: &str, from: String, to: String| Change {
        kind: "changed".into(),
        object: format!("backend {}/{}", names.name, names.backends[backend]),
        field: Some(field.into()),
        from: Some(from),
        to: Some(to),
        restart: false,
    };
    let mut changes = Vec::new();
    if old.admin != new.admin {
        changes.push(change("state", old.admin.name().into(), new.admin.name().into()));
    }
    if old.weight != new.weight {
        changes.push(change("weight", format!("{:.0}", old.weight), format!("{:.0}", new.weight)));
    }
    changes
}

/// One line about what a backend does now.
pub(super) fn backend_message(
    running: &Running,
    (pool, backend): (usize, usize),
    word: Option<Override>,
) -> String {
    let names = &running.plan.names.pools[pool];
    let effective = &running.pools[pool].backends[backend];
    let (name, state) = (&names.backends[backend], effective.admin);
    let what = match state {
        AdminState::Active => "takes its share of new connections",
        AdminState::Drain => "keeps its connections and takes no new ones",
        AdminState::Disabled => "takes nothing; its connections move to other backends",
        AdminState::Maintenance => "takes nothing and is not probed",
    };
    let lasting = match word {
        None => ", as configured".to_owned(),
        Some(Override { until: Some(until), .. }) => {
            let left = until.saturating_duration_since(Instant::now());
            format!(", for {} s", left.as_secs_f64().round())
        }
        Some(Override { persistent: true, .. }) => ", until it is cleared, over restarts".into(),
        Some(_) => ", until it is cleared or the process ends".into(),
    };
    format!("{}/{name} is {}, weight {:.0}: {what}{lasting}", names.name, state.name(), effective.weight)
}

/// The command that brings the word before back.
pub(super) fn undo_backend(pool: &str, backend: &str, before: Option<Override>) -> String {
    let name = format!("{pool}/{backend}");
    match before {
        None => format!("guideway backend clear {name}"),
        Some(Override { weight: Some(weight), state: None, .. }) => {
            format!("guideway backend weight {name} {weight}")
        }
        Some(Override { state: Some(state), .. }) => {
            let verb = match state {
                AdminState::Active => "enable",
                AdminState::Drain => "drain",
                AdminState::Disabled => "disable",
                AdminState::Maintenance => "maintenance",
            };
            format!("guideway backend {verb} {name}")
        }
        Some(_) => format!("guideway backend clear {name}"),
    }
}

/// There is no such backend, and which there are.
pub(super) fn no_backend(running: &Running, pool: &str, backend: &str) -> Problem {
    let names = &running.plan.names.pools;
    let detail = match names.iter().find(|names| names.name == pool) {
        None => {
            let all: Vec<&str> = names.iter().map(|names| names.name.as_str()).collect();
            format!("there is no pool `{pool}`; there are: {}", some_of(&all))
        }
        Some(names) => {
            let all: Vec<&str> = names.backends.iter().map(String::as_str).collect();
            format!("there is no backend `{backend}` in pool `{pool}`; there are: {}", some_of(&all))
        }
    };
    problem(ProblemCode::NotFound, detail)
}

fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none".into(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(super) fn no_vip(running: &Running, vip: &str) -> Problem {
    let all: Vec<&str> = running.plan.names.vips.iter().map(String::as_str).collect();
    problem(ProblemCode::NotFound, format!("there is no VIP `{vip}`; there are: {}", some_of(&all)))
}

/// Connections by VIP and backend.
pub(super) fn connection_counts(running: &Running) -> Vec<ConnectionCount> {
    let count = |(record, owner): (u16, lb_core::tables::RecordOwner)| {
        let counted = running.ledger.record(record, &running.vitals.workers);
        let names = &running.plan.names.pools[owner.pool];
        ConnectionCount {
            vip: running.plan.names.vips[owner.service].clone(),
            pool: names.name.clone(),
            backend: names.backends[owner.backend].clone(),
            active: counted.active,
            total: counted.connections,
        }
    };
    running.tables.owners().map(count).collect()
}

/// The Maglev table of a VIP.
pub(super) fn maglev(running: &Running, vip: &str) -> Result<MaglevStatus, Problem> {
    let at = running.vip(vip).ok_or_else(|| no_vip(running, vip))?;
    let pool = running.plan.spec.services[at].pool;
    let spec = &running.plan.spec.pools[pool];
    let identities = spec.identities();
    let members = spec.members(&identities);
    let table = running.tables.maglev(pool);
    let shares = table.map(|table| table.shares()).unwrap_or_default();
    let slots: u32 = shares.iter().sum();
    let weights: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
    let names = &running.plan.names.pools[pool];
    let share = |((name, own), member): ((&String, &u32), &lb_core::maglev::Member<'_>)| MaglevShare {
        backend: name.clone(),
        weight: member.weight,
        slots: *own,
        share: f64::from(*own) / f64::from(slots.max(1)),
        wanted: f64::from(member.weight) / weights.max(1) as f64,
    };
    Ok(MaglevStatus {
        vip: vip.into(),
        pool: names.name.clone(),
        size: running.plan.spec.maglev_size,
        digest: format!("{:016x}", table.map_or(0, |table| table.digest(&members))),
        backends: names.backends.iter().zip(&shares).zip(&members).map(share).collect(),
    })
}

/// What would happen to a VIP if backends went.
pub(super) fn maglev_without(
    running: &Running,
    vip: &str,
    backends: &[String],
) -> Result<MaglevForecast, Problem> {
    let at = running.vip(vip).ok_or_else(|| no_vip(running, vip))?;
    let mut spec = running.plan.spec.clone();
    let pool = spec.services[at].pool;
    let names = &running.plan.names.pools[pool];
    for backend in backends {
        let ordinal = names.backends.iter().position(|name| name == backend);
        let ordinal = ordinal.ok_or_else(|| no_backend(running, &names.name, backend))?;
        spec.pools[pool].backends[ordinal].state = BackendState::Down;
    }
    let then = Tables::build_with(&spec, running.tables.layout().clone(), Some(&running.tables))
        .map_err(|error| problem(ProblemCode::Internal, error.to_string()))?;
    let side = Side { tables: &then, spec: &spec };
    let slots_moved = diff::slots_moved((Side::of(running), at), (side, at));
    let gone: f64 = backends
        .iter()
        .filter_map(|backend| names.backends.iter().position(|name| name == backend))
        .filter_map(|ordinal| {
            let table = running.tables.maglev(pool)?;
            Some(f64::from(*table.shares().get(ordinal)?) / table.slots().len().max(1) as f64)
        })
        .sum();
    Ok(MaglevForecast {
        vip: vip.into(),
        removed: backends.to_vec(),
        slots_moved,
        slots_moved_needlessly: (slots_moved - gone).max(0.0),
        live_flows_moved: diff::live_flows(running, &then)[at].moved,
    })
}
