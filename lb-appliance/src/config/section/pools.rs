//! `pools`: how packets travel, and to whom.
//!
//! What concerns one backend alone is checked here; what concerns several is a rule.

use std::net::IpAddr;

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::mac::MacAddr;
use super::super::model::{AdaptiveWeights, BackendState, SlowStart};
use super::super::read::{Item, Located, Section};
use super::super::values;
use super::encap::{self, EncapDraft};
use super::health::{self, HealthDraft};
use super::weights;

pub(in super::super) struct PoolDraft {
    pub(in super::super) name: Option<Located<String>>,
    pub(in super::super) encap: Option<EncapDraft>,
    pub(in super::super) backends: Vec<BackendDraft>,
    pub(in super::super) slow_start: Option<SlowStart>,
    pub(in super::super) adaptive_weights: Option<AdaptiveWeights>,
    pub(in super::super) health: HealthDraft,
}

pub(in super::super) struct BackendDraft {
    pub(in super::super) place: Place,
    pub(in super::super) name: Option<Located<String>>,
    pub(in super::super) address: Option<Located<IpAddr>>,
    pub(in super::super) weight: u16,
    pub(in super::super) state: BackendState,
    pub(in super::super) mac: Option<MacAddr>,
    pub(in super::super) mac_given: bool,
    pub(in super::super) inner_mac: Option<Located<MacAddr>>,
    pub(in super::super) inner_mac_given: bool,
    pub(in super::super) server_id: Option<Located<Vec<u8>>>,
    pub(in super::super) server_id_given: bool,
}

pub(in super::super) fn read(root: &Section<'_>, is_required: bool) -> Vec<PoolDraft> {
    let list = if is_required { root.require("pools", "[]") } else { root.get("pools") };
    let items = list.and_then(|item| item.list()).unwrap_or_default();
    items.iter().filter_map(pool).collect()
}

fn pool(item: &Item<'_>) -> Option<PoolDraft> {
    let section = item.section(&keys::POOL)?;
    let backends =
        section.require("backends", "[{name: web-1, address: 10.0.1.11}]").and_then(|item| item.list());
    Some(PoolDraft {
        name: section.require("name", "web").and_then(|item| item.name()),
        encap: section.require("encap", "{ipip: {}}").and_then(|item| encap::read(&item)),
        backends: backends.unwrap_or_default().iter().filter_map(backend).collect(),
        slow_start: section.get("slow_start").and_then(|item| weights::slow_start(&item)),
        adaptive_weights: section.get("adaptive_weights").and_then(|item| weights::adaptive(&item)),
        health: health::read(&section),
    })
}

fn backend(item: &Item<'_>) -> Option<BackendDraft> {
    let section = item.section(&keys::BACKEND)?;
    let states = [
        ("active", BackendState::Active),
        ("drain", BackendState::Drain),
        ("disabled", BackendState::Disabled),
        ("maintenance", BackendState::Maintenance),
    ];
    Some(BackendDraft {
        place: item.place.clone(),
        name: section.require("name", "web-1").and_then(|item| item.name()),
        address: section.require("address", "10.0.1.11").and_then(|item| station(&item)),
        weight: section.get("weight").and_then(|item| item.number(0..=u16::MAX)).unwrap_or(100),
        state: section
            .get("state")
            .and_then(|item| item.choice(&states, &[]))
            .unwrap_or(BackendState::Active),
        mac: section.get("mac").and_then(|item| item.mac()).map(|mac| mac.value),
        mac_given: section.get("mac").is_some(),
        inner_mac: section.get("inner_mac").and_then(|item| item.mac()),
        inner_mac_given: section.get("inner_mac").is_some(),
        server_id: section.get("server_id").and_then(|item| super::server_id::server_id(&item)),
        server_id_given: section.get("server_id").is_some(),
    })
}

fn station(item: &Item<'_>) -> Option<Located<IpAddr>> {
    let address = item.ip()?;
    let Some(kind) = values::unusable(address.value) else { return Some(address) };
    let message = format!("{} is {kind}: no backend can have it", address.value);
    item.findings.add_hint(
        Code::UnusableAddress,
        &item.place,
        message,
        "write the backend's own unicast address",
    );
    None
}
