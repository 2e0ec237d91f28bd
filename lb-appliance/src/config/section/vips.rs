//! `vips`: the addresses that clients use.
//!
//! Spellings of designs to come (prefixes, port ranges, more protocols) are refused as not supported yet.

use std::net::IpAddr;

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::model::{Fragments, IcmpEcho, Protocol, Sessions};
use super::super::read::{Item, Located, Section};
use super::super::values;

const FRAGMENTS: [(&str, Fragments); 2] =
    [("reassemble_hash", Fragments::ReassembleHash), ("drop", Fragments::Drop)];
const ECHO: [(&str, IcmpEcho); 3] =
    [("answer", IcmpEcho::Answer), ("forward", IcmpEcho::Forward), ("ignore", IcmpEcho::Ignore)];

pub(in super::super) struct VipDraft {
    pub(in super::super) place: Place,
    pub(in super::super) name: Option<Located<String>>,
    pub(in super::super) addresses: Vec<Located<IpAddr>>,
    /// `None` = any port.
    pub(in super::super) ports: Option<Vec<Located<u16>>>,
    pub(in super::super) protocol: Option<Protocol>,
    pub(in super::super) pool: Option<Located<String>>,
    pub(in super::super) sessions: Sessions,
    pub(in super::super) fragments: Fragments,
    pub(in super::super) icmp_echo: IcmpEcho,
}

pub(in super::super) fn read(root: &Section<'_>, is_required: bool) -> Vec<VipDraft> {
    let list = if is_required { root.require("vips", "[]") } else { root.get("vips") };
    let items = list.and_then(|item| item.list()).unwrap_or_default();
    items.iter().filter_map(vip).collect()
}

fn vip(item: &Item<'_>) -> Option<VipDraft> {
    let section = item.section(&keys::VIP)?;
    let addresses =
        section.require("addresses", "[203.0.113.10]").map(|item| filled(&item)).unwrap_or_default();
    let protocol = section.require("protocol", "tcp");
    let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let pool = section.require("pool", "web").and_then(|item| item.text("the name of a pool"));
    let sessions = [("tracked", Sessions::Tracked), ("none", Sessions::None)];
    let fragments = section.get("fragments");
    Some(VipDraft {
        place: item.place.clone(),
        name: section.require("name", "web").and_then(|item| item.name()),
        addresses: addresses.iter().filter_map(address).collect(),
        ports: section.get("ports").and_then(|item| ports(&item)),
        protocol: protocol.and_then(|item| item.choice(&protocols, &["sctp", "any"])),
        pool: pool.map(|pool| Located { value: pool.value.to_owned(), place: pool.place }),
        sessions: section
            .get("sessions")
            .and_then(|item| item.choice(&sessions, &[]))
            .unwrap_or(Sessions::Tracked),
        fragments: fragments
            .and_then(|item| item.choice(&FRAGMENTS, &[]))
            .unwrap_or(Fragments::ReassembleHash),
        icmp_echo: section
            .get("icmp_echo")
            .and_then(|item| item.choice(&ECHO, &[]))
            .unwrap_or(IcmpEcho::Answer),
    })
}

fn filled<'n>(item: &Item<'n>) -> Vec<Item<'n>> {
    let items = item.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        item.findings.add_hint(Code::EmptyList, &item.place, "the list is empty", "give at least one");
    }
    items.unwrap_or_default()
}

fn address(item: &Item<'_>) -> Option<Located<IpAddr>> {
    if item.as_text().is_some_and(|text| text.parse::<ipnet::IpNet>().is_ok()) {
        let hint = "list single addresses";
        item.findings.add_hint(Code::NotSupportedYet, &item.place, "a VIP prefix is not supported yet", hint);
        return None;
    }
    let address = item.ip()?;
    let Some(kind) = values::unusable(address.value) else { return Some(address) };
    let message = format!("{} is {kind}: it cannot be a VIP", address.value);
    item.findings.add_hint(
        Code::UnusableAddress,
        &item.place,
        message,
        "write a unicast address that is routed here",
    );
    None
}

/// `None` means any port; an unreadable list becomes an empty one, which no rule looks at.
fn ports(item: &Item<'_>) -> Option<Vec<Located<u16>>> {
    if let Some(text) = item.as_text() {
        if text != "any" {
            let hint = "write a list such as [80, 443], or `any`";
            let message = format!("`{text}` is not a list of ports");
            item.findings.add_hint(Code::WrongType, &item.place, message, hint);
        }
        return None;
    }
    Some(filled(item).iter().filter_map(port).collect())
}

fn port(item: &Item<'_>) -> Option<Located<u16>> {
    let range = |text: &str| {
        let (low, high) = text.split_once('-')?;
        Some((low.parse::<u16>().ok()?, high.parse::<u16>().ok()?))
    };
    if item.as_text().and_then(range).is_some() {
        let hint = "list the ports one by one, or leave `ports` out to serve any port";
        item.findings.add_hint(
            Code::NotSupportedYet,
            &item.place,
            "a range of ports is not supported yet",
            hint,
        );
        return None;
    }
    Some(Located { value: item.number(1..=u16::MAX)?, place: item.place.clone() })
}
