//! What VIPs ask of each other and of the pools.
//!
//! A service is an address, a protocol and a port; "any port" is a service of its own behind the listed ones, so it
//! collides only with another "any port".

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::{Findings, Place};
use super::super::model::Protocol;
use super::super::section::vips::VipDraft;
use super::super::suggest;

/// Pairs of VIP and backend: connection entries hold the pair in 16 bits.
pub(super) const RECORDS_MAX: usize = 65_535;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    let mut services = HashMap::new();
    for vip in &draft.vips {
        ports(vip, findings);
        collisions(vip, &mut services, findings);
    }
    pool_references(draft, findings);
    records(draft, findings);
    backend_addresses(draft, findings);
}

fn ports(vip: &VipDraft, findings: &Findings<'_>) {
    let mut seen = HashMap::new();
    for port in vip.ports.iter().flatten() {
        if let Some(first) = seen.insert(port.value, port) {
            let note = (&first.place, "already listed here".to_owned());
            let message = format!("port {} is listed twice", port.value);
            findings.add_pair(Code::DuplicatePort, &port.place, message, "remove one of the two", note);
        }
    }
}

/// Where an address, a protocol and a port (`None` = any) were taken, and by whom.
type Services<'d> = HashMap<(IpAddr, Protocol, Option<u16>), (&'d VipDraft, &'d Place)>;

/// One finding per address of a VIP and earlier VIP that has it, whatever the number of common ports.
fn collisions<'d>(vip: &'d VipDraft, services: &mut Services<'d>, findings: &Findings<'_>) {
    let Some(protocol) = vip.protocol else { return };
    let ports: Vec<Option<u16>> = match &vip.ports {
        None => vec![None],
        Some(ports) => {
            ports.iter().map(|port| Some(port.value)).collect::<HashSet<_>>().into_iter().collect()
        }
    };
    for address in &vip.addresses {
        let mut rivals: Vec<(usize, &VipDraft, &Place, Vec<Option<u16>>)> = Vec::new();
        for port in &ports {
            let (owner, place) =
                *services.entry((address.value, protocol, *port)).or_insert((vip, &address.place));
            if *place == address.place {
                continue;
            }
            match rivals.iter_mut().find(|rival| rival.2 == place) {
                Some(rival) => rival.3.push(*port),
                None => rivals.push((place.offset, owner, place, vec![*port])),
            }
        }
        rivals.sort_by_key(|rival| rival.0);
        for (_, owner, place, mut common) in rivals {
            common.sort_unstable();
            let itself = std::ptr::eq(owner, vip);
            report(address.value, protocol, &common, &address.place, (owner, place, itself), findings);
        }
    }
}

fn report(
    address: IpAddr,
    protocol: Protocol,
    common: &[Option<u16>],
    place: &Place,
    (owner, first, itself): (&VipDraft, &Place, bool),
    findings: &Findings<'_>,
) {
    let ports: Vec<String> =
        common.iter().take(4).map(|port| port.map_or("any".into(), |port| port.to_string())).collect();
    let more = if common.len() > 4 { ",..." } else { "" };
    let word = if protocol == Protocol::Tcp { "tcp" } else { "udp" };
    let shown = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let message = format!("VIP {shown}:{}{more}/{word} is declared twice", ports.join(","));
    let name = owner.name.as_ref().map_or("?", |name| name.value.as_str());
    let hint = if itself {
        "remove one of the two"
    } else {
        "give one another address or port, or merge the two VIPs"
    };
    findings.add_pair(
        Code::DuplicateVip,
        place,
        message,
        hint,
        (first, format!("already used by VIP `{name}`")),
    );
}

fn pool_references(draft: &Draft, findings: &Findings<'_>) {
    let indices = draft.pool_indices();
    let names: Vec<&str> = indices.keys().copied().collect();
    // Without all names nothing can be said about one that is missing.
    let complete = !draft.is_partial && draft.pools.iter().all(|pool| pool.name.is_some());
    for reference in draft.vips.iter().filter_map(|vip| vip.pool.as_ref()) {
        if complete && !indices.contains_key(reference.value.as_str()) {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            let hint = suggest::hint(&reference.value, &sorted).unwrap_or_else(|| match sorted.as_slice() {
                [] => "declare it under `pools`".to_owned(),
                few if few.len() <= 8 => format!("declare it under `pools`; there are: {}", few.join(", ")),
                _ => "declare it under `pools`".to_owned(),
            });
            let message = format!("there is no pool `{}`", reference.value);
            findings.add_hint(Code::UnknownPool, &reference.place, message, hint);
        }
    }
}

fn records(draft: &Draft, findings: &Findings<'_>) {
    let indices = draft.pool_indices();
    let mut records = 0usize;
    for vip in &draft.vips {
        let index = vip.pool.as_ref().and_then(|pool| indices.get(pool.value.as_str()));
        records += index.map_or(0, |index| draft.pools[*index].backends.len());
        if records > RECORDS_MAX {
            let message = format!("with this VIP there are {records} pairs of VIP and backend");
            let hint =
                format!("at most {RECORDS_MAX} fit: merge VIPs that share a pool, or use smaller pools");
            findings.add_hint(Code::TooManyRecords, &vip.place, message, hint);
            return;
        }
    }
}

/// A backend reached at the address of a VIP would send the packet round in a circle.
fn backend_addresses(draft: &Draft, findings: &Findings<'_>) {
    let mut vips = HashMap::new();
    for vip in &draft.vips {
        for address in &vip.addresses {
            vips.entry(address.value).or_insert((address, vip));
        }
    }
    for address in
        draft.pools.iter().flat_map(|pool| &pool.backends).filter_map(|backend| backend.address.as_ref())
    {
        if let Some((vip_address, vip)) = vips.get(&address.value) {
            let name = vip.name.as_ref().map_or("?", |name| name.value.as_str());
            let message = format!("the backend has the address {} of a VIP", address.value);
            let hint = "write the backend's own address; the VIP lives on its loopback or tunnel device";
            let note = (&vip_address.place, format!("VIP `{name}`"));
            findings.add_pair(Code::VipIsBackend, &address.place, message, hint, note);
        }
    }
}
