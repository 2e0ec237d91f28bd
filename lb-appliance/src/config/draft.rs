//! The configuration between reading and being valid: right types, places kept, rules not yet asked.
//!
//! `build` turns a draft into a [`Config`]; it succeeds whenever no error has been reported.

use std::collections::HashMap;

use super::code::Code;
use super::keys;
use super::model::{
    Admin, Backend, Config, Dataplane, Encap, Forwarding, Gateway, Idle, Logging, Maglev, Metrics, Node,
    Pool, Port, PortRange, Security, Sessions, Slice, Vip, VipPorts, VipServerId,
};
use super::read::{Item, Located};
use super::rules;
use super::section::dataplane::{DataplaneDraft, GatewayDraft, PortDraft};
use super::section::encap::EncapDraft;
use super::section::forwarding::ForwardingDraft;
use super::section::pools::{BackendDraft, PoolDraft};
use super::section::vips::{SliceDraft, VipDraft};
use super::section::{admin, dataplane, forwarding, observability, pools, security, vips};

/// The only version of the format.
pub(super) const VERSION: u32 = 1;

pub(super) struct Draft {
    pub(super) node_name: Option<Located<String>>,
    pub(super) dataplane: DataplaneDraft,
    pub(super) forwarding: ForwardingDraft,
    pub(super) pools: Vec<PoolDraft>,
    pub(super) vips: Vec<VipDraft>,
    pub(super) admin: Admin,
    pub(super) metrics: Metrics,
    pub(super) logging: Logging,
    pub(super) security: Security,
    /// An included file could not be read: nothing can be said about names that are missing.
    pub(super) is_partial: bool,
}

impl Draft {
    /// Reads everything below the root, then what the included files add to it.
    pub(super) fn read(root: &Item<'_>, included: &[Item<'_>], is_partial: bool) -> Option<Self> {
        let section = root.section(&keys::ROOT)?;
        version(section.require("version", "1"));
        let is_alone = section.get("include").is_none();
        let node = section.get("node").and_then(|item| item.section(&keys::NODE));
        let mut draft = Self {
            node_name: node.and_then(|node| node.get("name")).and_then(|item| item.name()),
            dataplane: dataplane::read(&section),
            forwarding: forwarding::read(&section),
            pools: pools::read(&section, is_alone),
            vips: vips::read(&section, is_alone),
            admin: admin::admin(&section),
            metrics: observability::metrics(&section),
            logging: observability::logging(&section),
            security: security::security(&section),
            is_partial,
        };
        for part in included.iter().filter_map(|part| part.section(&keys::INCLUDED)) {
            version(part.get("version"));
            draft.pools.extend(pools::read(&part, false));
            draft.vips.extend(vips::read(&part, false));
        }
        Some(draft)
    }

    /// Index of a pool by name; the first of two wins, the second is reported elsewhere.
    pub(super) fn pool_indices(&self) -> HashMap<&str, usize> {
        let mut indices = HashMap::new();
        for (index, pool) in self.pools.iter().enumerate() {
            if let Some(name) = &pool.name {
                indices.entry(name.value.as_str()).or_insert(index);
            }
        }
        indices
    }

    /// The valid configuration; `None` only after an error.
    pub(super) fn build(self, hostname: impl FnOnce() -> String) -> Option<Config> {
        let built_vips = {
            let indices = self.pool_indices();
            self.vips.iter().map(|draft| vip(draft, &indices)).collect::<Option<Vec<_>>>()?
        };
        let built_pools =
            self.pools.iter().map(|draft| pool(draft, &self.dataplane.ports)).collect::<Option<Vec<_>>>()?;
        let mut config = Config {
            node: Node { name: self.node_name.map_or_else(hostname, |name| name.value) },
            dataplane: dataplane_of(self.dataplane)?,
            forwarding: Forwarding {
                maglev: Maglev { table_size: self.forwarding.table_size.value, seed: self.forwarding.seed },
                connections: self.forwarding.connections,
                encapsulation: self.forwarding.encapsulation,
                nat: self.forwarding.nat,
                icmp: self.forwarding.icmp,
                fragments: self.forwarding.fragments,
            },
            pools: built_pools,
            vips: built_vips,
            admin: self.admin,
            metrics: self.metrics,
            logging: self.logging,
            security: self.security,
        };
        config.security.may_execute |= crate::confine::has_commands(&config);
        Some(config)
    }
}

fn version(item: Option<Item<'_>>) {
    let Some(item) = item else { return };
    if item.number(0..=u32::MAX).is_some_and(|version| version != VERSION) {
        let hint = format!("write `version: {VERSION}`, or use the guideway that the file was written for");
        item.findings.add_hint(
            Code::BadVersion,
            &item.place,
            "this guideway does not know that version",
            hint,
        );
    }
}

fn dataplane_of(draft: DataplaneDraft) -> Option<Dataplane> {
    let values = |list: Vec<Located<u32>>| list.into_iter().map(|cpu| cpu.value).collect::<Vec<_>>();
    let default_idle = if draft.workers.is_empty() { Idle::Adaptive } else { Idle::BusyPoll };
    Some(Dataplane {
        workers: values(draft.workers),
        control_cpus: values(draft.control_cpus),
        burst: draft.burst,
        idle: draft.idle.unwrap_or(default_idle),
        memory: draft.memory,
        ports: draft.ports.into_iter().map(port).collect::<Option<Vec<_>>>()?,
        eal_extra_args: draft.eal_extra_args,
    })
}

fn port(draft: PortDraft) -> Option<Port> {
    let gateway = |gateway: &GatewayDraft| {
        Some(Gateway { address: gateway.address.as_ref()?.value, mac: gateway.mac? })
    };
    Some(Port {
        gateways: draft.gateways.iter().map(gateway).collect::<Option<Vec<_>>>()?,
        rx_descriptors: draft.rx_descriptors(),
        tx_descriptors: draft.tx_descriptors(),
        name: draft.name?.value,
        device: draft.device?.value,
        mtu: draft.mtu,
        addresses: draft.addresses.into_iter().map(|address| address.value).collect(),
        promiscuous: draft.promiscuous,
        punt: draft.punt.map(|name| name.value),
    })
}

fn pool(draft: &PoolDraft, ports: &[PortDraft]) -> Option<Pool> {
    let encap = draft.encap.as_ref()?;
    let backends = draft.backends.iter().map(|backend| backend_of(backend, encap, ports));
    Some(Pool {
        name: draft.name.as_ref()?.value.clone(),
        encap: encap.encap,
        policy: encap.policy,
        oversize: encap.oversize,
        local_addresses: encap.local_addresses.iter().map(|address| address.value).collect(),
        backends: backends.collect::<Option<Vec<_>>>()?,
        slow_start: draft.slow_start,
        adaptive_weights: draft.adaptive_weights,
        health: draft.health.build()?,
    })
}

fn backend_of(draft: &BackendDraft, encap: &EncapDraft, ports: &[PortDraft]) -> Option<Backend> {
    let own = draft.inner_mac.as_ref().map(|mac| mac.value);
    let inner_mac = match encap.encap {
        Encap::Vxlan { .. } => Some(own.or(encap.inner_mac)?),
        Encap::Geneve { .. } => own.or(encap.inner_mac),
        _ => None,
    };
    Some(Backend {
        name: draft.name.as_ref()?.value.clone(),
        address: draft.address.as_ref()?.value,
        weight: draft.weight,
        state: draft.state,
        next_hop: rules::resolve(draft, ports).ok().flatten(),
        mac: draft.mac,
        inner_mac,
        port: draft.port.as_ref().map(|port| port.value),
        server_id: draft.server_id.as_ref().map(|id| id.value.clone()),
    })
}

fn vip(draft: &VipDraft, pools: &HashMap<&str, usize>) -> Option<Vip> {
    let ports = draft.served().map(|ports| {
        let mut ports: Vec<PortRange> = ports.iter().map(|port| port.value).collect();
        ports.sort_unstable();
        VipPorts::List(ports)
    });
    let slice = |slice: &SliceDraft| {
        let backend = slice.backend.as_ref()?.value.clone();
        Some(Slice { ports: slice.ports.as_ref()?.value, backend })
    };
    let slices = draft.slices.iter().flat_map(|slices| &slices.value).map(slice);
    // Owners of ports need no memory of who owns them.
    let default_sessions = if draft.slices.is_some() { Sessions::None } else { Sessions::Tracked };
    Some(Vip {
        name: draft.name.as_ref()?.value.clone(),
        addresses: draft.addresses.iter().map(|address| address.value).collect(),
        ports: ports.unwrap_or(VipPorts::Any),
        protocol: draft.protocol.as_ref()?.value,
        pool: *pools.get(draft.pool.as_ref()?.value.as_str())?,
        sessions: draft.sessions.as_ref().map_or(default_sessions, |sessions| sessions.value),
        fragments: draft.fragments,
        icmp_echo: draft.icmp_echo,
        hash: draft.hash.as_ref().map(|hash| hash.value).unwrap_or_default(),
        slices: slices.collect::<Option<Vec<_>>>()?,
        server_id: draft.server_id.as_ref().map(|ids| VipServerId {
            quic: ids.quic.iter().map(|config| config.value.clone()).collect(),
            tcp_option: ids.tcp_option,
        }),
    })
}
