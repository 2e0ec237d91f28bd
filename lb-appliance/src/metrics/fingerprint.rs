//! The forwarding hash: one number by which the nodes of a fleet notice that they disagree.
//!
//! It covers all that decides a backend (version and key of the flow hash, services, Maglev tables) and nothing
//! else: names and the order of the file change nothing. SipHash-2-4 keyed by the seed itself, so that the
//! number, which anybody may read, tells nothing about the seed. Layout in `docs/metrics.md`.

use lb_core::hash::FLOW_HASH_VERSION;
use lb_core::spec::{ServiceSpec, Spec};
use lb_core::tables::Tables;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::net::IpAddr;

/// Changes with the layout below.
const LABEL: &[u8] = b"guideway forwarding 1";
/// Stands for "any port"; port 0 cannot be configured.
const ANY_PORT: u16 = 0;

/// The forwarding hash of `tables`, built from `spec`: 16 hexadecimal digits.
pub fn forwarding_hash(spec: &Spec, tables: &Tables) -> String {
    let digests: Vec<u64> =
        (0..spec.pools.len()).map(|pool| tables.maglev_digest(pool).unwrap_or_default()).collect();
    let mut rows: Vec<Vec<u8>> = spec.services.iter().flat_map(|service| rows(service, &digests)).collect();
    rows.sort_unstable();
    let mut hasher = SipHasher24::new_with_keys(spec.seed as u64, (spec.seed >> 64) as u64);
    hasher.write(LABEL);
    hasher.write(&FLOW_HASH_VERSION.to_le_bytes());
    hasher.write(&(rows.len() as u64).to_le_bytes());
    for row in rows {
        hasher.write(&row);
    }
    format!("{:016x}", hasher.finish())
}

/// One row per address and port of a service, 29 bytes.
fn rows(service: &ServiceSpec, digests: &[u64]) -> Vec<Vec<u8>> {
    let digest = digests.get(service.pool).copied().unwrap_or_default();
    let ports = if service.ports.is_empty() { &[ANY_PORT][..] } else { &service.ports[..] };
    let row = |address: &IpAddr, port: &u16| {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => *address,
        };
        let mut row = address.octets().to_vec();
        row.extend(port.to_be_bytes());
        row.extend([service.protocol, u8::from(service.is_tracked), u8::from(service.ports.is_empty())]);
        row.extend(digest.to_le_bytes());
        row
    };
    service.addresses.iter().flat_map(|address| ports.iter().map(move |port| row(address, port))).collect()
}
