//! Address translation in the plan: ranges of local addresses, timeouts, what each port can send.

use super::{PortFacts, ticks};
use crate::config::model::{self, Config, Encap, Pool};
use lb_core::nat::{ClientAddress, LocalRange, NatSpec, NatTimeouts};
use lb_core::spec::Mode;

/// What translation needs besides the modes. Ranges are numbered in the order of the pools that have one.
pub(super) fn spec(config: &Config, ports: &[PortFacts]) -> NatSpec {
    let range = |pool: &Pool| {
        let Encap::FullNat { first_port, last_port, .. } = pool.encap else { return None };
        Some(LocalRange { addresses: pool.local_addresses.clone(), ports: (first_port, last_port) })
    };
    let nat = &config.forwarding.nat;
    let mtu = |(index, port): (usize, &model::Port)| ports.get(index).map_or(port.mtu, |facts| facts.mtu);
    NatSpec {
        ranges: config.pools.iter().filter_map(range).collect(),
        timeouts: NatTimeouts {
            tcp_established_ticks: ticks(nat.idle_tcp_established),
            tcp_transitory_ticks: ticks(nat.idle_tcp_transitory),
            udp_ticks: ticks(nat.idle_udp),
        },
        mtus: config.dataplane.ports.iter().enumerate().map(mtu).collect(),
    }
}

/// The mode of a backend behind translation.
pub(super) fn mode(config: &Config, pool: &Pool, backend: &model::Backend) -> Option<Mode> {
    match pool.encap {
        Encap::Nat => Some(Mode::Nat { port: backend.port }),
        Encap::FullNat { client_address, .. } => Some(Mode::FullNat {
            port: backend.port,
            range: range_of(config, pool),
            client: client(client_address),
        }),
        _ => None,
    }
}

/// The number of a pool's range.
fn range_of(config: &Config, pool: &Pool) -> u16 {
    let before = config.pools.iter().take_while(|other| other.name != pool.name);
    before.filter(|other| matches!(other.encap, Encap::FullNat { .. })).count() as u16
}

fn client(configured: model::ClientAddress) -> ClientAddress {
    match configured {
        model::ClientAddress::None => ClientAddress::None,
        model::ClientAddress::Toa => ClientAddress::Toa,
        model::ClientAddress::ProxyV2 => ClientAddress::ProxyV2,
    }
}
