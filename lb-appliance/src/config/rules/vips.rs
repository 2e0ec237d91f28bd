//! What VIPs ask of each other and of the pools.
//!
//! A service is a prefix, a protocol and ports. Which of several that match serves a packet is settled by the
//! precedence (longer prefix, then port before range before any, then protocol before any), so only equals collide:
//! the same prefix and protocol with the same port, with ranges that overlap, or with "any port" twice.

use std::collections::{BTreeMap, HashMap};

use lb_core::prefix::Prefix;

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::{Findings, Place};
use super::super::model::{PortRange, Protocol};
use super::super::read::Located;
use super::super::section::vips::VipDraft;
use super::super::suggest;

/// Pairs of VIP and backend: connection entries hold the pair in 16 bits.
pub(super) const RECORDS_MAX: usize = 65_535;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    let mut taken = Taken::default();
    for vip in &draft.vips {
        let ports = vip.served();
        overlaps(ports.as_deref().unwrap_or_default(), findings);
        collisions(vip, ports.as_deref(), &mut taken, findings);
    }
    pool_references(draft, findings);
    records(draft, findings);
    backend_addresses(draft, findings);
}

/// One finding per port or range that something before it has, whatever the order of the file.
fn overlaps(ports: &[Located<PortRange>], findings: &Findings<'_>) {
    let mut sorted: Vec<&Located<PortRange>> = ports.iter().collect();
    sorted.sort_by_key(|port| (port.value.low, port.place.offset));
    let mut reaching: Option<&Located<PortRange>> = None;
    for port in sorted {
        if let Some(other) = reaching.filter(|other| port.value.low <= other.value.high) {
            let (first, second) =
                if port.place.offset < other.place.offset { (port, other) } else { (other, port) };
            let message = match (first.value == second.value, second.value.low == second.value.high) {
                (true, true) => format!("port {} is listed twice", second.value),
                (true, false) => format!("the range {} is listed twice", second.value),
                _ => format!("{} and {} overlap", first.value, second.value),
            };
            let note = (&first.place, "already listed here".to_owned());
            findings.add_pair(Code::DuplicatePort, &second.place, message, "remove one of the two", note);
        }
        if reaching.is_none_or(|other| other.value.high <= port.value.high) {
            reaching = Some(port);
        }
    }
}

/// Who has something, and the place of the address under which.
type Owner<'d> = (&'d VipDraft, &'d Place);

/// What is taken under a prefix and protocol.
#[derive(Default)]
struct Taken<'d> {
    /// `None` = any port.
    ports: HashMap<(Prefix, Protocol, Option<u16>), Owner<'d>>,
    /// By first port: last port and owner. They do not overlap.
    ranges: HashMap<(Prefix, Protocol), BTreeMap<u16, (u16, Owner<'d>)>>,
}

impl<'d> Taken<'d> {
    /// Those who have some of it; nobody, and it is theirs from now on.
    fn take(
        &mut self,
        (prefix, protocol): (Prefix, Protocol),
        ports: Option<PortRange>,
        owner: Owner<'d>,
    ) -> Option<Owner<'d>> {
        match ports {
            Some(PortRange { low, high }) if low < high => {
                let ranges = self.ranges.entry((prefix, protocol)).or_default();
                // Of ranges that do not overlap, the last that begins before the end is the one that could reach in.
                let before = ranges.range(..=high).next_back();
                if let Some((_, (_, other))) = before.filter(|(_, (last, _))| *last >= low) {
                    return Some(*other);
                }
                ranges.insert(low, (high, owner));
                None
            }
            one => {
                let key = (prefix, protocol, one.map(|port| port.low));
                let found = *self.ports.entry(key).or_insert(owner);
                (found.1 != owner.1).then_some(found)
            }
        }
    }
}

/// One finding per address of a VIP and earlier VIP that has it, whatever the number of common ports.
fn collisions<'d>(
    vip: &'d VipDraft,
    ports: Option<&[Located<PortRange>]>,
    taken: &mut Taken<'d>,
    findings: &Findings<'_>,
) {
    let Some(protocol) = vip.protocol.as_ref().map(|protocol| protocol.value) else { return };
    let mut ports: Vec<Option<PortRange>> = match ports {
        None => vec![None],
        Some(ports) => ports.iter().map(|port| Some(port.value)).collect(),
    };
    ports.sort_unstable();
    // What overlaps within the VIP has been reported, once and not per address.
    let mut end = 0;
    ports.retain(|ports| {
        let Some(range) = ports else { return true };
        let is_first = range.low > end;
        end = end.max(range.high);
        is_first
    });
    for address in &vip.addresses {
        let mut rivals: Vec<(usize, Owner<'d>, Vec<Option<PortRange>>)> = Vec::new();
        for port in &ports {
            let own = (vip, &address.place);
            let Some(owner) = taken.take((address.value, protocol), *port, own) else { continue };
            match rivals.iter_mut().find(|rival| rival.1.1 == owner.1) {
                Some(rival) => rival.2.push(*port),
                None => rivals.push((owner.1.offset, owner, vec![*port])),
            }
        }
        rivals.sort_by_key(|rival| rival.0);
        for (_, (owner, place), common) in rivals {
            let itself = std::ptr::eq(owner, vip);
            report((address.value, protocol), &common, &address.place, (owner, place, itself), findings);
        }
    }
}

fn report(
    (prefix, protocol): (Prefix, Protocol),
    common: &[Option<PortRange>],
    place: &Place,
    (owner, first, itself): (&VipDraft, &Place, bool),
    findings: &Findings<'_>,
) {
    let ports: Vec<String> =
        common.iter().take(4).map(|port| port.map_or("any".into(), |port| port.to_string())).collect();
    let more = if common.len() > 4 { ",..." } else { "" };
    let shown = if prefix.is_ipv6() { format!("[{prefix}]") } else { prefix.to_string() };
    let message = format!("VIP {shown}:{}{more}/{} is declared twice", ports.join(","), protocol.name());
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
    let mut singles = HashMap::new();
    let mut prefixes = Vec::new();
    for vip in &draft.vips {
        for address in &vip.addresses {
            match address.value.single() {
                Some(single) => {
                    singles.entry(single).or_insert((address, vip));
                }
                None => prefixes.push((address, vip)),
            }
        }
    }
    let vip_with = |backend| {
        let in_prefix = || prefixes.iter().find(|(prefix, _)| prefix.value.contains(backend)).copied();
        singles.get(&backend).copied().or_else(in_prefix)
    };
    for address in
        draft.pools.iter().flat_map(|pool| &pool.backends).filter_map(|backend| backend.address.as_ref())
    {
        if let Some((vip_address, vip)) = vip_with(address.value) {
            let name = vip.name.as_ref().map_or("?", |name| name.value.as_str());
            let message = match vip_address.value.single() {
                Some(single) => format!("the backend has the address {single} of a VIP"),
                None => {
                    format!("the backend's address {} is in {} of a VIP", address.value, vip_address.value)
                }
            };
            let hint = "write the backend's own address; the VIP lives on its loopback or tunnel device";
            let note = (&vip_address.place, format!("VIP `{name}`"));
            findings.add_pair(Code::VipIsBackend, &address.place, message, hint, note);
        }
    }
}
