//! `vips`: the addresses that clients use.

use std::net::{IpAddr, Ipv4Addr};

use lb_core::prefix::Prefix;
use lb_core::spec::HashFields;

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::model::{Fragments, IcmpEcho, PortRange, Protocol, Sessions};
use super::super::read::{Item, Located, Section};
use super::super::values;
use super::server_id::{self, ServerIdDraft};

/// Shortest prefixes: what is shorter is no network that anybody has.
const PREFIX_MIN_IPV4: u8 = 8;
const PREFIX_MIN_IPV6: u8 = 16;
/// Source prefixes that count as one client unless configured: what a site has at least.
const SOURCE_IPV4: u8 = 24;
const SOURCE_IPV6: u8 = 56;

const FRAGMENTS: [(&str, Fragments); 2] =
    [("reassemble_hash", Fragments::ReassembleHash), ("drop", Fragments::Drop)];
const ECHO: [(&str, IcmpEcho); 3] =
    [("answer", IcmpEcho::Answer), ("forward", IcmpEcho::Forward), ("ignore", IcmpEcho::Ignore)];

pub(in super::super) struct VipDraft {
    pub(in super::super) place: Place,
    pub(in super::super) name: Option<Located<String>>,
    pub(in super::super) addresses: Vec<Located<Prefix>>,
    /// `None` = any port.
    pub(in super::super) ports: Option<Vec<Located<PortRange>>>,
    /// Where `ports` stands, if it does.
    pub(in super::super) ports_place: Option<Place>,
    pub(in super::super) protocol: Option<Located<Protocol>>,
    pub(in super::super) pool: Option<Located<String>>,
    /// `None`: not given.
    pub(in super::super) sessions: Option<Located<Sessions>>,
    pub(in super::super) fragments: Fragments,
    pub(in super::super) icmp_echo: IcmpEcho,
    pub(in super::super) hash: Option<Located<HashFields>>,
    pub(in super::super) slices: Option<Located<Vec<SliceDraft>>>,
    pub(in super::super) server_id: Option<ServerIdDraft>,
}

pub(in super::super) struct SliceDraft {
    pub(in super::super) ports: Option<Located<PortRange>>,
    pub(in super::super) backend: Option<Located<String>>,
}

impl VipDraft {
    /// The ports that are served, with or without slices; `None` = any.
    pub(in super::super) fn served(&self) -> Option<Vec<Located<PortRange>>> {
        match &self.slices {
            Some(slices) => Some(slices.value.iter().filter_map(|slice| slice.ports.clone()).collect()),
            None => self.ports.clone(),
        }
    }
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
    let protocols =
        [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp), ("any", Protocol::Any)];
    let pool = section.require("pool", "web").and_then(|item| item.text("the name of a pool"));
    let sessions = [("tracked", Sessions::Tracked), ("none", Sessions::None)];
    let fragments = section.get("fragments");
    let ports_item = section.get("ports");
    Some(VipDraft {
        place: item.place.clone(),
        name: section.require("name", "web").and_then(|item| item.name()),
        addresses: addresses.iter().filter_map(address).collect(),
        ports: ports_item.as_ref().and_then(ports),
        ports_place: ports_item.map(|item| item.place),
        protocol: section
            .require("protocol", "tcp")
            .and_then(|item| located(&item, item.choice(&protocols, &[]))),
        pool: pool.map(|pool| Located { value: pool.value.to_owned(), place: pool.place }),
        sessions: section.get("sessions").and_then(|item| located(&item, item.choice(&sessions, &[]))),
        fragments: fragments
            .and_then(|item| item.choice(&FRAGMENTS, &[]))
            .unwrap_or(Fragments::ReassembleHash),
        icmp_echo: section
            .get("icmp_echo")
            .and_then(|item| item.choice(&ECHO, &[]))
            .unwrap_or(IcmpEcho::Answer),
        hash: section.get("hash").and_then(|item| located(&item, hash(&item))),
        slices: section.get("slices").map(|item| slices(&item)),
        server_id: section.get("server_id").and_then(|item| server_id::read(&item)),
    })
}

fn located<T>(item: &Item<'_>, value: Option<T>) -> Option<Located<T>> {
    Some(Located { value: value?, place: item.place.clone() })
}

fn filled<'n>(item: &Item<'n>) -> Vec<Item<'n>> {
    let items = item.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        item.findings.add_hint(Code::EmptyList, &item.place, "the list is empty", "give at least one");
    }
    items.unwrap_or_default()
}

fn address(item: &Item<'_>) -> Option<Located<Prefix>> {
    let is_prefix = item.as_text().is_some_and(|text| text.contains('/'));
    let found = if is_prefix { prefix(item)? } else { item.ip().map(|one| one.value.into())? };
    let Some(kind) = values::unusable(found.first()) else { return located(item, Some(found)) };
    let message = format!("{found} is {kind}: it cannot be a VIP");
    let hint = "write a unicast address that is routed here";
    item.findings.add_hint(Code::UnusableAddress, &item.place, message, hint);
    None
}

/// A prefix that begins with its first address and is no longer than a network.
fn prefix(item: &Item<'_>) -> Option<Prefix> {
    let written = item.prefix()?.value;
    let (address, found) = (written.addr(), Prefix::new(written.addr(), written.prefix_len()));
    let min = if address.is_ipv4() { PREFIX_MIN_IPV4 } else { PREFIX_MIN_IPV6 };
    let complaint = if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        ("is an IPv4 address in IPv6".to_owned(), "write the IPv4 prefix".to_owned())
    } else if found.len() < min {
        (format!("is shorter than /{min}"), "write the prefix that is routed here".to_owned())
    } else if found.first() != address {
        let hint = format!("write {found} for the prefix, or {address} for the address");
        (format!("has bits behind its {} bits", found.len()), hint)
    } else {
        return Some(found);
    };
    let message = format!("the prefix {written} {}", complaint.0);
    item.findings.add_hint(Code::BadVipPrefix, &item.place, message, complaint.1);
    None
}

/// `None` means any port; an unreadable list becomes an empty one, which no rule looks at.
fn ports(item: &Item<'_>) -> Option<Vec<Located<PortRange>>> {
    if let Some(text) = item.as_text() {
        if text != "any" {
            let hint = "write a list such as [80, 443, 8000-8999], or `any`";
            let message = format!("`{text}` is not a list of ports");
            item.findings.add_hint(Code::WrongType, &item.place, message, hint);
        }
        return None;
    }
    Some(filled(item).iter().filter_map(port).collect())
}

/// A port, or a range of ports.
fn port(item: &Item<'_>) -> Option<Located<PortRange>> {
    let Some(text) = item.as_text().filter(|text| text.contains('-')) else {
        return located(item, item.number(1..=u16::MAX).map(PortRange::from));
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| is_number && *port != 0)
    };
    let bounds = text.split_once('-').and_then(|(low, high)| Some((number(low)?, number(high)?)));
    let hint = match bounds {
        Some((low, high)) if low < high => return located(item, Some(PortRange { low, high })),
        Some((low, high)) if low == high => format!("write {low}"),
        Some((low, high)) => format!("write the lower port first: {high}-{low}"),
        None => {
            "write first and last port, from 1 to 65535, with a hyphen between them: 8000-8999".to_owned()
        }
    };
    let message = format!("`{text}` is not a range of ports");
    item.findings.add_hint(Code::BadPortRange, &item.place, message, hint);
    None
}

fn hash(item: &Item<'_>) -> Option<HashFields> {
    let source = |ipv4, ipv6| HashFields::Source { ipv4, ipv6 };
    if !item.is_map() {
        let words = [
            ("5-tuple", HashFields::FiveTuple),
            ("source_address", source(Ipv4Addr::BITS as u8, 128)),
            ("source_prefix", source(SOURCE_IPV4, SOURCE_IPV6)),
        ];
        return item.choice(&words, &[]);
    }
    let section = item.section(&keys::VIP_HASH)?;
    let lengths = section.require("source_prefix", "{ipv4: 24, ipv6: 56}")?.section(&keys::SOURCE_PREFIX)?;
    let len = |key: &str, default, max| lengths.get(key).map_or(Some(default), |item| item.number(1..=max));
    let (ipv4, ipv6) = (len("ipv4", SOURCE_IPV4, 32), len("ipv6", SOURCE_IPV6, 128u8));
    Some(source(ipv4?, ipv6?))
}

fn slices(item: &Item<'_>) -> Located<Vec<SliceDraft>> {
    let slice = |item: &Item<'_>| {
        let section = item.section(&keys::SLICE)?;
        let backend = section.require("backend", "web-1").and_then(|item| item.text("the name of a backend"));
        Some(SliceDraft {
            ports: section.require("ports", "1024-2047").and_then(|item| port(&item)),
            backend: backend.map(|name| Located { value: name.value.to_owned(), place: name.place }),
        })
    };
    Located { value: filled(item).iter().filter_map(slice).collect(), place: item.place.clone() }
}
