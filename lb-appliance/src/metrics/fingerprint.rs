//! The forwarding hash: one number by which the nodes of a fleet notice that they disagree.
//!
//! It covers all that decides a backend (version and key of the flow hash, services, Maglev tables) and nothing
//! else: names and the order of the file change nothing. SipHash-2-4 keyed by the seed itself, so that the
//! number, which anybody may read, tells nothing about the seed. Layout in `docs/metrics.md`.

use lb_core::hash::FLOW_HASH_VERSION;
use lb_core::prefix::Prefix;
use lb_core::spec::{BackendSpec, HashFields, SelectionSpec, ServiceSpec, Spec};
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
    let backends = |pool: usize| spec.pools.get(pool).map_or(&[][..], |pool| &pool.backends);
    let rows_of = |service: &ServiceSpec| rows(service, backends(service.pool), &digests);
    let mut rows: Vec<Vec<u8>> = spec.services.iter().flat_map(rows_of).collect();
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

/// One row per address and port of a service: 29 bytes, and more for what is not one address, one port and Maglev by
/// the 5-tuple.
fn rows(service: &ServiceSpec, backends: &[BackendSpec], digests: &[u64]) -> Vec<Vec<u8>> {
    let digest = digests.get(service.pool).copied().unwrap_or_default();
    let is_any = service.ports.is_empty() && service.ranges.is_empty();
    let singles = service.ports.iter().map(|port| (*port, *port));
    let ports: Vec<(u16, u16)> = match is_any {
        true => vec![(ANY_PORT, ANY_PORT)],
        false => singles.chain(service.ranges.iter().copied()).collect(),
    };
    let selection = selection(&service.selection, backends);
    let row = |prefix: &Prefix, (low, high): (u16, u16)| {
        let mut row = octets(prefix.first()).to_vec();
        row.extend(low.to_be_bytes());
        row.extend([service.protocol, u8::from(service.is_tracked), u8::from(is_any)]);
        row.extend(digest.to_le_bytes());
        if prefix.single().is_none() {
            row.extend([b'p', prefix.len()]);
        }
        if low != high {
            row.push(b'r');
            row.extend(high.to_be_bytes());
        }
        row.extend(&selection);
        row
    };
    let row = &row;
    service.addresses.iter().flat_map(|prefix| ports.iter().map(move |ports| row(prefix, *ports))).collect()
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Empty for Maglev by the 5-tuple. Keys are in it, under the keyed hash of all.
fn selection(spec: &SelectionSpec, backends: &[BackendSpec]) -> Vec<u8> {
    let address = |backend: usize| backends.get(backend).map_or([0; 16], |backend| octets(backend.address));
    let mut out = Vec::new();
    if let HashFields::Source { ipv4, ipv6 } = spec.hash {
        out.extend([b'h', ipv4, ipv6]);
    }
    let mut slices: Vec<_> = spec.slices.iter().collect();
    slices.sort_by_key(|slice| slice.low);
    for slice in slices {
        out.push(b's');
        out.extend(slice.low.to_be_bytes());
        out.extend(slice.high.to_be_bytes());
        out.extend(address(slice.backend));
    }
    let Some(ids) = &spec.server_ids else { return out };
    out.extend([b'i', u8::from(ids.tcp_option)]);
    let mut quic: Vec<_> = ids.quic.iter().collect();
    quic.sort_by_key(|one| one.config_id);
    for one in quic {
        out.extend([b'q', one.config_id, one.nonce_len, u8::from(one.is_length_encoded)]);
        out.push(u8::from(one.key.is_some()));
        out.extend(one.key.unwrap_or_default());
    }
    let mut servers: Vec<_> = ids.ids.iter().enumerate().map(|(at, id)| (id, address(at))).collect();
    servers.sort_unstable();
    for (id, address) in servers {
        out.extend([b'b', id.len() as u8]);
        out.extend(id);
        out.extend(address);
    }
    out
}
