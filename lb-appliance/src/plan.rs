//! From configuration to what the core builds its tables from, and back from indices to names.
//!
//! The core knows numbers, operators know names; this is the one place that knows both. The plan depends
//! on the configuration and on two facts that only an open port can tell: its MAC and its MTU.

mod nat;

use crate::config::model::{self, Config, Encap, PortRange};
use lb_core::clock::Timeouts;
use lb_core::composition::{Composition, Form, Policy};
use lb_core::spec::{
    ANY_PROTOCOL, BackendSpec, BackendState, Budget, Echo, Egress, Fragments, GueVariant, Mode, PoolSpec,
    Portless, QuicSpec, SelectionSpec, ServerIdSpec, ServiceSpec, Signals, SliceSpec, Spec,
};
use lb_core::tables::RecordOwner;
use std::net::IpAddr;
use std::time::Duration;

/// What is known of a port only once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Source MAC of everything that leaves by it.
    pub mac: [u8; 6],
    /// Largest IP datagram that it sends, bytes.
    pub mtu: u16,
}

/// The names behind the indices of a [`Spec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// VIP names, by service index.
    pub vips: Vec<String>,
    /// Pools, by pool index.
    pub pools: Vec<PoolNames>,
}

/// The name of a pool and of its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNames {
    /// Name of the pool.
    pub name: String,
    /// Names of its backends, by backend index.
    pub backends: Vec<String>,
}

impl Names {
    /// Name of the VIP that a record belongs to.
    pub fn vip(&self, owner: RecordOwner) -> Option<&str> {
        self.vips.get(owner.service).map(String::as_str)
    }

    /// Name of the backend that a record belongs to.
    pub fn backend(&self, owner: RecordOwner) -> Option<&str> {
        self.pools.get(owner.pool)?.backends.get(owner.backend).map(String::as_str)
    }
}

/// No such pool or backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no backend `{pool}/{backend}` in the configuration; names are POOL/BACKEND")]
pub struct UnknownBackend {
    /// Name asked for.
    pub pool: String,
    /// Name asked for.
    pub backend: String,
}

/// A configuration, ready for [`lb_core::tables::Tables::build`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// For the core.
    pub spec: Spec,
    /// For people.
    pub names: Names,
}

impl Plan {
    /// The plan of a valid configuration. `ports` holds the facts of each configured port in order; empty
    /// without ports (`replay`), where MACs are zero and nothing is held against an MTU.
    pub fn new(config: &Config, ports: &[PortFacts]) -> Self {
        let pools = config.pools.iter().map(|pool| PoolSpec {
            backends: pool
                .backends
                .iter()
                .map(|backend| backend_spec(config, pool, backend, ports))
                .collect(),
            oversize: pool.oversize,
        });
        let services = config.vips.iter().map(|vip| service_spec(config, vip));
        let connections = &config.forwarding.connections;
        let spec = Spec {
            seed: config.forwarding.maglev.seed,
            maglev_size: config.forwarding.maglev.table_size,
            timeouts: Timeouts {
                tcp_ticks: ticks(connections.idle_tcp),
                tcp_closing_ticks: ticks(connections.idle_tcp_closing),
                udp_ticks: ticks(connections.idle_udp),
            },
            pools: pools.collect(),
            services: services.collect(),
            nat: nat::spec(config, ports),
            signals: signals(&config.forwarding),
        };
        Self { spec, names: names(config) }
    }

    /// Marks a backend as failed.
    pub fn set_down(&mut self, pool: &str, backend: &str) -> Result<(), UnknownBackend> {
        let unknown = || UnknownBackend { pool: pool.into(), backend: backend.into() };
        let (index, names) =
            self.names.pools.iter().enumerate().find(|(_, names)| names.name == pool).ok_or_else(unknown)?;
        let at = names.backends.iter().position(|name| name == backend).ok_or_else(unknown)?;
        self.spec.pools[index].backends[at].state = BackendState::Down;
        Ok(())
    }
}

fn portless(vip: &model::Vip) -> Portless {
    Portless {
        echo: match vip.icmp_echo {
            model::IcmpEcho::Answer => Echo::Answer,
            model::IcmpEcho::Forward => Echo::Forward,
            model::IcmpEcho::Ignore => Echo::Ignore,
        },
        fragments: match vip.fragments {
            model::Fragments::ReassembleHash => Fragments::Follow,
            model::Fragments::Drop => Fragments::Drop,
        },
    }
}

fn signals(forwarding: &model::Forwarding) -> Signals {
    let icmp = forwarding.icmp;
    Signals {
        inner_mtu: forwarding.encapsulation.inner_mtu.unwrap_or(u16::MAX),
        errors: Budget { total: icmp.errors_per_second, per_source: icmp.errors_per_source },
        echoes: Budget { total: icmp.echoes_per_second, per_source: icmp.echoes_per_source },
        fragment_ticks: ticks(forwarding.fragments.timeout),
    }
}

fn names(config: &Config) -> Names {
    let pools = config.pools.iter().map(|pool| PoolNames {
        name: pool.name.clone(),
        backends: pool.backends.iter().map(|backend| backend.name.clone()).collect(),
    });
    Names { vips: config.vips.iter().map(|vip| vip.name.clone()).collect(), pools: pools.collect() }
}

/// Whole seconds, as the connection table counts them; validation holds timeouts to 1 s - 9 h.
fn ticks(timeout: Duration) -> u16 {
    u16::try_from(timeout.as_secs()).unwrap_or(u16::MAX).clamp(1, lb_core::clock::TIMEOUT_TICKS_MAX)
}

fn service_spec(config: &Config, vip: &model::Vip) -> ServiceSpec {
    let all = match &vip.ports {
        model::VipPorts::Any => &[][..],
        model::VipPorts::List(ports) => ports,
    };
    let (singles, ranges): (Vec<PortRange>, Vec<PortRange>) =
        all.iter().partition(|ports| ports.low == ports.high);
    ServiceSpec {
        addresses: vip.addresses.clone(),
        ports: singles.iter().map(|ports| ports.low).collect(),
        ranges: ranges.iter().map(|ports| (ports.low, ports.high)).collect(),
        protocol: match vip.protocol {
            model::Protocol::Tcp => lb_core::wire::PROTOCOL_TCP,
            model::Protocol::Udp => lb_core::wire::PROTOCOL_UDP,
            model::Protocol::Sctp => lb_core::wire::PROTOCOL_SCTP,
            model::Protocol::Any => ANY_PROTOCOL,
        },
        pool: vip.pool,
        is_tracked: vip.sessions == model::Sessions::Tracked,
        portless: portless(vip),
        selection: selection(config, vip),
    }
}

/// Validation has seen that slices name backends and that every backend has a server ID where they are asked for.
fn selection(config: &Config, vip: &model::Vip) -> SelectionSpec {
    let backends = config.pools.get(vip.pool).map_or(&[][..], |pool| &pool.backends);
    let slice = |slice: &model::Slice| {
        let backend = backends.iter().position(|backend| backend.name == slice.backend)?;
        Some(SliceSpec { low: slice.ports.low, high: slice.ports.high, backend })
    };
    let quic = |ids: &model::QuicIds| QuicSpec {
        config_id: ids.config_id,
        nonce_len: ids.nonce_length,
        is_length_encoded: ids.length_encoded,
        key: ids.key.as_ref().map(|key| key.0),
    };
    SelectionSpec {
        hash: vip.hash,
        slices: vip.slices.iter().filter_map(slice).collect(),
        server_ids: vip.server_id.as_ref().map(|ids| ServerIdSpec {
            quic: ids.quic.iter().map(quic).collect(),
            tcp_option: ids.tcp_option,
            ids: backends.iter().map(|backend| backend.server_id.clone().unwrap_or_default()).collect(),
        }),
    }
}

fn backend_spec(
    config: &Config,
    pool: &model::Pool,
    backend: &model::Backend,
    ports: &[PortFacts],
) -> BackendSpec {
    BackendSpec {
        address: backend.address,
        weight: backend.weight.into(),
        state: match backend.state {
            model::BackendState::Active => BackendState::Active,
            model::BackendState::Drain => BackendState::Drain,
            model::BackendState::Disabled | model::BackendState::Maintenance => BackendState::Down,
        },
        egress: egress(config, backend, ports),
        mode: mode(config, pool, backend),
    }
}

fn egress(config: &Config, backend: &model::Backend, ports: &[PortFacts]) -> Egress {
    let next_hop_mac = backend.next_hop.map(|hop| hop.mac).or(backend.mac).unwrap_or_default().0;
    let port = backend.next_hop.map_or(0, |hop| hop.port);
    let configured_mtu = config.dataplane.ports.get(port).map_or(u16::MAX, |found| found.mtu);
    let facts = ports.get(port).copied().unwrap_or(PortFacts { mac: [0; 6], mtu: configured_mtu });
    Egress { port: port as u8, mtu: facts.mtu, source_mac: facts.mac, next_hop_mac }
}

fn mode(config: &Config, pool: &model::Pool, backend: &model::Backend) -> Mode {
    if let Some(mode) = nat::mode(config, pool, backend) {
        return mode;
    }
    let sources = &config.forwarding.encapsulation;
    // Validation demands the source of each family that a tunnelling pool uses.
    let source: IpAddr = match backend.address {
        IpAddr::V4(_) => sources.source_ipv4.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED).into(),
        IpAddr::V6(_) => sources.source_ipv6.unwrap_or(std::net::Ipv6Addr::UNSPECIFIED).into(),
    };
    let form = form(pool.encap, backend);
    // The common forms with the common policy have edits of their own, in the loops over plain packets.
    if pool.policy == Policy::default() {
        match form {
            Form::Ipip => return Mode::Ipip { source },
            Form::Gue { port, variant } => return Mode::Gue { source, port, variant },
            Form::Vxlan { port, vni, inner_mac } => return Mode::Vxlan { source, port, vni, inner_mac },
            Form::L2Dsr => return Mode::L2Dsr,
            Form::Gre { .. } | Form::Geneve { .. } => {}
        }
    }
    Mode::Composed(Composition { form, source, policy: pool.policy })
}

fn form(encap: Encap, backend: &model::Backend) -> Form {
    match encap {
        Encap::Ipip => Form::Ipip,
        Encap::Gue { port, variant } => {
            let variant = match variant {
                model::GueVariant::Zero => GueVariant::Header,
                model::GueVariant::One => GueVariant::Direct,
            };
            Form::Gue { port, variant }
        }
        Encap::Gre { key } => Form::Gre { key },
        Encap::Vxlan { vni, port } => {
            Form::Vxlan { port, vni, inner_mac: backend.inner_mac.unwrap_or_default().0 }
        }
        Encap::Geneve { vni, port } => {
            Form::Geneve { port, vni, inner_mac: backend.inner_mac.map(|mac| mac.0) }
        }
        // Translation has no outer header; it was dealt with before.
        Encap::L2Dsr | Encap::Nat | Encap::FullNat { .. } => Form::L2Dsr,
    }
}

#[cfg(test)]
mod tests;
