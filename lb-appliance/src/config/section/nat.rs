//! `pools[].encap.full_nat`: local addresses, their ports, and what backends learn of clients.

use std::net::IpAddr;

use super::super::code::Code;
use super::super::model::{ClientAddress, Encap};
use super::super::read::{Complaint, Item, Located, Section};
use super::super::values;
use super::encap::EncapDraft;

/// Local ports unless configured: all but the well-known ones.
const LOCAL_PORTS: (u16, u16) = (1024, u16::MAX);

pub(super) fn full(section: &Section<'_>) -> Option<EncapDraft> {
    let words =
        [("none", ClientAddress::None), ("toa", ClientAddress::Toa), ("proxy_v2", ClientAddress::ProxyV2)];
    let list = section.require("local_addresses", "[198.51.100.12]");
    let items = list.as_ref().and_then(Item::list);
    if let (Some(list), Some([])) = (&list, items.as_deref()) {
        let hint = "give at least one address that the backends can answer to";
        list.findings.add_hint(Code::EmptyList, &list.place, "the list is empty", hint);
    }
    let local_addresses = items.unwrap_or_default().iter().filter_map(local_address).collect();
    let ports = section.get("ports").map_or(Some(LOCAL_PORTS), |item| {
        Some(item.parse(Code::OutOfRange, "a range of ports such as \"1024-65535\"", port_range)?.value)
    });
    let client_address = section
        .get("client_address")
        .and_then(|item| item.choice(&words, &[]))
        .unwrap_or(ClientAddress::None);
    let (first_port, last_port) = ports?;
    let encap = Encap::FullNat { first_port, last_port, client_address };
    Some(EncapDraft { local_addresses, ..EncapDraft::new(encap, None) })
}

fn local_address(item: &Item<'_>) -> Option<Located<IpAddr>> {
    let address = item.ip()?;
    let Some(kind) = values::unusable(address.value) else { return Some(address) };
    let message = format!("{} is {kind}: no backend can answer to it", address.value);
    item.findings.add_hint(
        Code::UnusableAddress,
        &item.place,
        message,
        "write a unicast address of this host",
    );
    None
}

fn port_range(text: &str) -> Result<(u16, u16), Complaint> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let range = text.split_once('-').and_then(|(first, last)| Some((number(first)?, number(last)?)));
    range.filter(|(first, last)| first <= last).ok_or_else(|| {
        Complaint::new(
            format!("`{text}` is not a range of ports"),
            "write the first and the last with a hyphen between, from 1 to 65535: \"1024-65535\"",
        )
    })
}
