//! What slices and server IDs ask of the VIP that they are in, and of its pool.

use std::collections::HashMap;

use lb_core::server_id::{BLOCK_LEN_MAX, TCP_ID_LEN};
use lb_core::spec::HashFields;

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::{Findings, Place};
use super::super::model::{Protocol, Sessions};
use super::super::section::pools::PoolDraft;
use super::super::section::server_id::ServerIdDraft;
use super::super::section::vips::VipDraft;
use super::super::suggest;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    let indices = draft.pool_indices();
    // Pools are checked once, for the first VIP that goes by server IDs.
    let mut lengths: HashMap<usize, Option<usize>> = HashMap::new();
    for vip in &draft.vips {
        let index = vip.pool.as_ref().and_then(|pool| indices.get(pool.value.as_str()));
        let pool = index.map(|index| &draft.pools[*index]);
        slices(vip, pool, findings);
        let Some(ids) = &vip.server_id else { continue };
        let len = index.zip(pool).and_then(|(index, pool)| {
            *lengths.entry(*index).or_insert_with(|| of_backends(vip, pool, findings))
        });
        server_ids(vip, ids, len, findings);
    }
}

/// Slices say everything about ports and backends, and keep nothing.
fn slices(vip: &VipDraft, pool: Option<&PoolDraft>, findings: &Findings<'_>) {
    let Some(slices) = &vip.slices else { return };
    let exclude = |place: &Place, key: &str, hint: &str| {
        let message = format!("`{key}` and `slices` exclude each other");
        findings.add_hint(Code::Contradiction, place, message, hint);
    };
    if let Some(place) = &vip.ports_place {
        exclude(place, "ports", "remove `ports`: the slices say which ports are served");
    }
    if let Some(sessions) = vip.sessions.as_ref().filter(|sessions| sessions.value == Sessions::Tracked) {
        exclude(
            &sessions.place,
            "sessions: tracked",
            "remove it: a port has one owner, there is nothing to keep",
        );
    }
    if let Some(hash) = vip.hash.as_ref().filter(|hash| hash.value != HashFields::FiveTuple) {
        exclude(&hash.place, "hash", "remove `hash`: the destination port alone says who owns a packet");
    }
    if let Some(ids) = &vip.server_id {
        exclude(&ids.place, "server_id", "remove one of the two: each alone says who owns a packet");
    }
    let Some(pool) = pool.filter(|pool| pool.backends.iter().all(|backend| backend.name.is_some())) else {
        return;
    };
    let names: Vec<&str> =
        pool.backends.iter().filter_map(|backend| Some(backend.name.as_ref()?.value.as_str())).collect();
    for backend in slices.value.iter().filter_map(|slice| slice.backend.as_ref()) {
        if !names.contains(&backend.value.as_str()) {
            let name = pool.name.as_ref().map_or("?", |name| name.value.as_str());
            let hint = suggest::hint(&backend.value, &names)
                .unwrap_or_else(|| format!("name a backend of pool `{name}`, or add it there"));
            let message = format!("pool `{name}` has no backend `{}`", backend.value);
            findings.add_hint(Code::UnknownSliceBackend, &backend.place, message, hint);
        }
    }
}

/// `len` is the length of the server IDs of the pool, unless something is wrong with them.
fn server_ids(vip: &VipDraft, ids: &ServerIdDraft, len: Option<usize>, findings: &Findings<'_>) {
    let protocol = vip.protocol.as_ref().map(|protocol| protocol.value);
    for (is_given, wanted, what) in [
        (ids.quic_given, Protocol::Udp, "connection IDs of QUIC need `protocol: udp`"),
        (ids.tcp_option, Protocol::Tcp, "a TCP option needs `protocol: tcp`"),
    ] {
        if is_given && protocol.is_some_and(|protocol| protocol != wanted) {
            let hint = "change the protocol, or make a VIP of its own for it";
            findings.add_hint(Code::Contradiction, &ids.place, what, hint);
        }
    }
    let mut seen = HashMap::new();
    for config in &ids.quic {
        if let Some(first) = seen.insert(config.value.config_id, &config.place) {
            let message = format!("`config_id: {}` is given twice", config.value.config_id);
            let note = (first, "already used here".to_owned());
            findings.add_pair(Code::ServerId, &config.place, message, "give each a number from 0 to 6", note);
        }
    }
    let Some(len) = len else { return };
    if ids.tcp_option && len != TCP_ID_LEN {
        let message = format!("the option holds {TCP_ID_LEN} octets, the server IDs of the pool have {len}");
        let hint = "give the backends server IDs of 4 octets, as they stand in the option";
        findings.add_hint(Code::ServerId, &ids.place, message, hint);
    }
    for config in &ids.quic {
        let nonce = usize::from(config.value.nonce_length);
        if len + nonce > BLOCK_LEN_MAX {
            let message =
                format!("{len} octets of server ID and {nonce} of nonce are more than {BLOCK_LEN_MAX}");
            let hint = format!("write `nonce_length: {}` or less", BLOCK_LEN_MAX - len);
            findings.add_hint(Code::ServerId, &config.place, message, hint);
        }
    }
}

/// The length that the server IDs of a pool have, if it has backends and they agree. One finding per backend.
fn of_backends(vip: &VipDraft, pool: &PoolDraft, findings: &Findings<'_>) -> Option<usize> {
    let vip_name = vip.name.as_ref().map_or("?", |name| name.value.as_str());
    let mut seen: HashMap<&[u8], &Place> = HashMap::new();
    let mut first: Option<usize> = None;
    let mut is_sound = true;
    for backend in &pool.backends {
        let name = backend.name.as_ref().map_or("?", |name| name.value.as_str());
        let Some(id) = &backend.server_id else {
            // One that cannot be read has been complained about.
            if !backend.server_id_given {
                let message = format!("backend `{name}` has no `server_id`, which VIP `{vip_name}` goes by");
                let hint = "give it the one that its server writes into connection IDs: server_id: \"0a1b\"";
                findings.add_hint(Code::ServerId, &backend.place, message, hint);
            }
            is_sound = false;
            continue;
        };
        if let Some(other) = seen.insert(&id.value, &id.place) {
            let message = format!("the server ID of backend `{name}` is another's, too");
            let note = (other, "already given here".to_owned());
            findings.add_pair(Code::ServerId, &id.place, message, "give each backend one of its own", note);
            is_sound = false;
        }
        let len = *first.get_or_insert(id.value.len());
        if len != id.value.len() {
            let message = format!("a server ID of {} octets among such of {len}", id.value.len());
            let hint = "all backends of a pool have server IDs of one length: fill up with zeros";
            findings.add_hint(Code::ServerId, &id.place, message, hint);
            is_sound = false;
        }
    }
    first.filter(|_| is_sound)
}
