//! Our ends of tunnels: what tells ICMP errors about encapsulated packets from those about the kernel's own traffic.

use crate::icmp::quote::Quote;
use crate::spec::Spec;
use crate::wire::PROTOCOL_UDP;
use std::collections::HashSet;
use std::net::IpAddr;

/// IP in IP, both versions, and GRE.
const PROTOCOLS: [u8; 3] = [4, 41, 47];

/// Addresses and ports of outer headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tunnels {
    sources: HashSet<IpAddr>,
    ends: HashSet<IpAddr>,
    ports: HashSet<u16>,
}

impl Tunnels {
    /// Of all pools that encapsulate.
    pub(crate) fn of(spec: &Spec) -> Self {
        let mut tunnels = Self::default();
        for backend in spec.pools.iter().flat_map(|pool| &pool.backends) {
            if let Some(source) = backend.mode.source() {
                tunnels.sources.insert(source);
                tunnels.ends.insert(backend.address);
                tunnels.ports.extend(backend.mode.udp_port());
            }
        }
        tunnels
    }

    /// True if `address` is the source of outer headers.
    pub(crate) fn is_source(&self, address: IpAddr) -> bool {
        self.sources.contains(&address)
    }

    /// True if the quoted packet is one that we encapsulated.
    pub(crate) fn has_sent(&self, quote: &Quote) -> bool {
        let key = &quote.key;
        let is_tunnel = PROTOCOLS.contains(&key.protocol)
            || key.protocol == PROTOCOL_UDP && self.ports.contains(&key.destination_port);
        is_tunnel && self.is_source(key.source) && self.ends.contains(&key.destination)
    }
}
