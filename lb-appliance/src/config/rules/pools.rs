//! What an encapsulation asks of its backends, and backends of each other.
//!
//! Nothing is accepted and ignored: an inner MAC address where there is no inner frame is an error.

use std::collections::{HashMap, HashSet};

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::{Findings, Place};
use super::super::model::{BackendState, Encap, Encapsulation};
use super::super::section::pools::PoolDraft;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    for pool in &draft.pools {
        addresses(pool, findings);
        sources(pool, &draft.forwarding.encapsulation, findings);
        mac_addresses(pool, findings);
    }
    usefulness(draft, findings);
}

/// The address is a backend's identity in the Maglev table.
fn addresses(pool: &PoolDraft, findings: &Findings<'_>) {
    let mut seen = HashMap::new();
    for address in pool.backends.iter().filter_map(|backend| backend.address.as_ref()) {
        if let Some(first) = seen.get(&address.value) {
            let first: &&Place = first;
            let message = format!("{} is in this pool twice", address.value);
            let hint = "remove one; for a larger share, raise its weight";
            findings.add_pair(
                Code::DuplicateBackend,
                &address.place,
                message,
                hint,
                (first, "already here".to_owned()),
            );
        } else {
            seen.insert(address.value, &address.place);
        }
    }
}

/// One finding per pool and family.
fn sources(pool: &PoolDraft, given: &Encapsulation, findings: &Findings<'_>) {
    if pool.encap.as_ref().is_none_or(|encap| encap.encap == Encap::L2Dsr) {
        return;
    }
    let families = [
        ("ipv4", "198.51.100.11", given.source_ipv4.is_some()),
        ("ipv6", "\"2001:db8::11\"", given.source_ipv6.is_some()),
    ];
    for (family, example, is_given) in families {
        let mut addresses = pool.backends.iter().filter_map(|backend| backend.address.as_ref());
        let first = addresses.find(|address| address.value.is_ipv6() == (family == "ipv6"));
        let Some(address) = first.filter(|_| !is_given) else { continue };
        let message = format!("the tunnel to {} has no source address", address.value);
        let hint = format!(
            "add {family}: {example} under `forwarding.encapsulation.source`, or write it correctly there"
        );
        findings.add_hint(Code::NoEncapSource, &address.place, message, hint);
    }
}

fn mac_addresses(pool: &PoolDraft, findings: &Findings<'_>) {
    let Some(encap) = &pool.encap else { return };
    let is_vxlan = matches!(encap.encap, Encap::Vxlan { .. });
    let has_inner_frame = is_vxlan || matches!(encap.encap, Encap::Geneve { .. });
    for backend in &pool.backends {
        let field = |key: &str| Place {
            field: format!("{}.{key}", backend.place.field),
            offset: backend.place.offset,
        };
        if is_vxlan && !backend.inner_mac_given && !encap.inner_mac_given {
            let hint = "add `inner_mac:` here or in the pool's `vxlan`: the MAC address of the backend's VXLAN device";
            findings.add_hint(
                Code::NoInnerMac,
                &field("inner_mac"),
                "VXLAN needs the inner MAC address",
                hint,
            );
        }
        if let Some(inner_mac) = backend.inner_mac.as_ref().filter(|_| !has_inner_frame) {
            let hint =
                "remove it, or make the pool `vxlan` or `geneve`; the next hop of the outer frame is `mac:`";
            let message = "an inner MAC address means nothing without VXLAN or Geneve";
            findings.add_hint(Code::InnerMacUnused, &inner_mac.place, message, hint);
        }
        if encap.encap == Encap::L2Dsr && !backend.mac_given {
            let hint =
                "add `mac:`, the MAC address of the backend in the network that it shares with guideway";
            findings.add_hint(
                Code::NoBackendMac,
                &field("mac"),
                "L2 DSR needs the MAC address of the backend",
                hint,
            );
        }
    }
}

fn usefulness(draft: &Draft, findings: &Findings<'_>) {
    let used: HashSet<&str> =
        draft.vips.iter().filter_map(|vip| vip.pool.as_ref()).map(|pool| pool.value.as_str()).collect();
    for pool in &draft.pools {
        let Some(name) = &pool.name else { continue };
        if !draft.is_partial && !used.contains(name.value.as_str()) {
            let message = format!("no VIP uses pool `{}`", name.value);
            findings.add_hint(Code::UnusedPool, &name.place, message, "remove it, or name it in a VIP");
        }
        let serves = |state: BackendState, weight: u16| state == BackendState::Active && weight > 0;
        // Backends that could not be read may be the ones that serve.
        let field = format!("{}.backends", name.place.field.trim_end_matches(".name"));
        let is_idle = !pool.backends.iter().any(|backend| serves(backend.state, backend.weight));
        if is_idle && !findings.failed_list(&field) {
            let message = format!("no backend of pool `{}` takes new flows", name.value);
            let hint =
                "they would be dropped as `no_backend`: give it a backend that is active and has a weight";
            findings.add_hint(Code::NoServingBackend, &name.place, message, hint);
        }
    }
}
