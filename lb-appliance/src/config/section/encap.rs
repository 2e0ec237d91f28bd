//! `pools[].encap`: which headers go around a client's packet, and what they say.
//!
//! Whatever the form, the same keys mean the same thing: they are read in one place.

use std::net::IpAddr;

use lb_core::composition::{GENEVE_PORT, Policy, Vlan};
use lb_core::spec::Oversize;

use super::super::code::Code;
use super::super::keys;
use super::super::mac::MacAddr;
use super::super::model::{Encap, GueVariant};
use super::super::read::{Item, Located, Section};
use super::nat;

/// UDP port of GUE (IANA).
const GUE_PORT: u16 = 6080;
/// UDP port of VXLAN (RFC 7348, 8).
const VXLAN_PORT: u16 = 4789;
/// Network identifiers of VXLAN and Geneve have 24 bits (RFC 7348, 5; RFC 8926, 3.4).
const VNI_MAX: u32 = (1 << 24) - 1;
/// A DSCP has six bits (RFC 2474, 3).
const DSCP_MAX: u8 = 63;
/// Identifiers 0 and 4095 of a VLAN are reserved (IEEE 802.1Q, 9.6).
const VLAN_MAX: u16 = 4094;

pub(in super::super) struct EncapDraft {
    pub(in super::super) encap: Encap,
    pub(in super::super) policy: Policy,
    pub(in super::super) oversize: Oversize,
    pub(in super::super) inner_mac: Option<MacAddr>,
    pub(in super::super) inner_mac_given: bool,
    /// Of full NAT.
    pub(in super::super) local_addresses: Vec<Located<IpAddr>>,
}

impl EncapDraft {
    pub(super) fn new(encap: Encap, section: Option<&Section<'_>>) -> Self {
        let inner_mac = section.and_then(|section| section.get("inner_mac"));
        Self {
            encap,
            policy: section.map(policy).unwrap_or_default(),
            oversize: section.and_then(oversize).unwrap_or_default(),
            inner_mac_given: inner_mac.is_some(),
            inner_mac: inner_mac.and_then(|item| item.mac()).map(|mac| mac.value),
            local_addresses: Vec::new(),
        }
    }
}

pub(super) fn read(item: &Item<'_>) -> Option<EncapDraft> {
    let section = item.section(&keys::ENCAP)?;
    let known = |key: &Located<&str>| keys::ENCAP.keys.iter().any(|known| known.name == key.value);
    let written: Vec<_> = section.written().filter(known).collect();
    let hint =
        "write exactly one of ipip, gue, gre, vxlan, geneve, l2dsr, nat, full_nat, for example {ipip: {}}";
    if let [first, second, ..] = written.as_slice() {
        let message = format!("`{}` and `{}` exclude each other", first.value, second.value);
        item.findings.add_hint(Code::NotExactlyOne, &second.place, message, hint);
        return None;
    }
    // `ipip:` with nothing behind it is as good as `ipip: {}`.
    let filled = |item: &Item<'_>| !item.is_null();
    if let Some(item) = section.get("ipip") {
        let section = Some(item).filter(filled).and_then(|item| item.section(&keys::IPIP));
        return Some(EncapDraft::new(Encap::Ipip, section.as_ref()));
    }
    if let Some(item) = section.get("l2dsr") {
        let section = Some(item).filter(filled).and_then(|item| item.section(&keys::L2DSR));
        return Some(EncapDraft::new(Encap::L2Dsr, section.as_ref()));
    }
    if let Some(item) = section.get("gue") {
        let section = Some(item).filter(filled).and_then(|item| item.section(&keys::GUE));
        return Some(EncapDraft::new(gue(section.as_ref()), section.as_ref()));
    }
    if let Some(item) = section.get("gre") {
        let section = Some(item).filter(filled).and_then(|item| item.section(&keys::GRE));
        let key = section.as_ref().and_then(|section| section.get("key"));
        let encap = Encap::Gre { key: key.and_then(|item| item.number(0..=u32::MAX)) };
        return Some(EncapDraft::new(encap, section.as_ref()));
    }
    if let Some(item) = section.get("vxlan") {
        let section = item.section(&keys::VXLAN)?;
        let (vni, port) = network(&section, VXLAN_PORT)?;
        return Some(EncapDraft::new(Encap::Vxlan { vni, port }, Some(&section)));
    }
    if let Some(item) = section.get("geneve") {
        let section = item.section(&keys::GENEVE)?;
        let (vni, port) = network(&section, GENEVE_PORT)?;
        return Some(EncapDraft::new(Encap::Geneve { vni, port }, Some(&section)));
    }
    if let Some(item) = section.get("nat") {
        let _ = Some(item).filter(filled).map(|item| item.section(&keys::NAT));
        return Some(EncapDraft::new(Encap::Nat, None));
    }
    if let Some(item) = section.get("full_nat") {
        return nat::full(&item.section(&keys::FULL_NAT)?);
    }
    if written.is_empty() {
        item.findings.add_hint(Code::NotExactlyOne, &item.place, "no encapsulation is chosen", hint);
    }
    None
}

fn gue(section: Option<&Section<'_>>) -> Encap {
    let get = |key: &str| section.and_then(|section| section.get(key));
    let variant = get("variant").and_then(|item| item.number(0..=1u8));
    Encap::Gue {
        port: get("port").and_then(|item| item.number(1..=u16::MAX)).unwrap_or(GUE_PORT),
        variant: if variant == Some(1) { GueVariant::One } else { GueVariant::Zero },
    }
}

/// Network identifier and UDP port of VXLAN or Geneve.
fn network(section: &Section<'_>, port: u16) -> Option<(u32, u16)> {
    let vni = section.require("vni", "100").and_then(|item| item.number(0..=VNI_MAX));
    let port = section.get("port").map_or(Some(port), |item| item.number(1..=u16::MAX));
    Some((vni?, port?))
}

fn oversize(section: &Section<'_>) -> Option<Oversize> {
    let words = [("signal", Oversize::Signal), ("drop", Oversize::Drop), ("fragment", Oversize::Fragment)];
    section.get("oversize")?.choice(&words, &[])
}

/// The keys that every form has, as far as it has them. What cannot be read is reported; the default stands for it.
fn policy(section: &Section<'_>) -> Policy {
    let default = Policy::default();
    let get = |key: &str| section.get(key);
    let dscp = get("dscp").and_then(|item| item.number_or_word(0..=DSCP_MAX, Some, &[("copy", None)]));
    let ttl = get("ttl").and_then(|item| item.number_or_word(1..=u8::MAX, Some, &[("copy", None)]));
    let tags = [("keep", Vlan::Keep), ("strip", Vlan::Strip)];
    let vlan = get("vlan").and_then(|item| item.number_or_word(1..=VLAN_MAX, Vlan::Set, &tags));
    Policy {
        dscp: dscp.unwrap_or(default.dscp),
        ttl: ttl.unwrap_or(default.ttl),
        checksum: get("checksum").and_then(|item| item.boolean()),
        vlan: vlan.unwrap_or(default.vlan),
        decrement_ttl: get("decrement_ttl").and_then(|item| item.boolean()).unwrap_or(default.decrement_ttl),
    }
}
