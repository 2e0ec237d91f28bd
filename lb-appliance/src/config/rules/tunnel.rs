//! What probes through the tunnel need: a VIP to talk to, the kernel's interface on the way out, an address to answer to.
//!
//! Without ports (`replay`) nothing is asked of ports.

use std::collections::BTreeSet;

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::{Findings, Place};
use super::super::model::Probe;
use super::super::section::dataplane::PortDraft;
use super::super::section::pools::PoolDraft;
use super::super::section::vips::VipDraft;
use super::next_hop;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    for pool in &draft.pools {
        let Some(place) = &pool.health.tunnel else { continue };
        if pool.encap.as_ref().is_some_and(|encap| encap.encap.is_nat()) {
            let message = "a pool in a NAT mode has no tunnel: its backends answer at their own addresses";
            findings.add_hint(Code::NoTunnelProbe, place, message, "write `via: direct`");
            continue;
        }
        probes(pool, place, findings);
        let Some(name) = &pool.name else { continue };
        let uses = |vip: &&VipDraft| vip.pool.as_ref().is_some_and(|pool| pool.value == name.value);
        match draft.vips.iter().find(uses) {
            Some(vip) => ports(draft, pool, vip, place, findings),
            // The VIP may stand in a file that could not be read, or be one that could not.
            None if draft.is_partial || draft.vips.iter().any(|vip| vip.pool.is_none()) => {}
            None => {
                let message = format!("no VIP uses pool `{}`: there is no tunnel to probe", name.value);
                let hint = "add a VIP with this pool, or write `via: direct`";
                findings.add_hint(Code::TunnelWithoutVip, place, message, hint);
            }
        }
    }
}

/// Only sockets of our own can be led through a tunnel.
fn probes(pool: &PoolDraft, place: &Place, findings: &Findings<'_>) {
    let Some(check) = pool.health.check() else { return };
    let hint = "write `via: direct`, or probe with tcp, http, https, udp, dns or grpc";
    if matches!(check.probe, Probe::Command { .. }) {
        let message = "a command cannot be sent through the tunnel: its sockets are its own";
        findings.add_hint(Code::NoTunnelProbe, place, message, hint);
    }
    if check.agent_port.is_some() {
        let message = "an agent cannot be asked through the tunnel: it answers for its host, not for a VIP";
        let hint = "write `via: direct`, or remove `agent`";
        findings.add_hint(Code::NoTunnelProbe, place, message, hint);
    }
}

/// One finding per pool, port and want.
fn ports(draft: &Draft, pool: &PoolDraft, vip: &VipDraft, place: &Place, findings: &Findings<'_>) {
    let all = &draft.dataplane.ports;
    let hops = pool.backends.iter().filter_map(|backend| next_hop::resolve(backend, all).ok().flatten());
    let used: BTreeSet<usize> = hops.map(|hop| hop.port).collect();
    for port in used.into_iter().filter_map(|port| all.get(port)) {
        let name = port.name.as_ref().map_or("", |name| name.value.as_str());
        if !port.punt_given {
            let message = format!("port `{name}` leads to the backends and has no punt interface");
            let hint = format!("add `punt: gw-{name}` to the port, or write `via: direct`");
            findings.add_hint(Code::TunnelWithoutPunt, place, message, hint);
        }
        if !vip.addresses.is_empty() && !shares_family(vip, port) {
            let vip_name = vip.name.as_ref().map_or("", |name| name.value.as_str());
            let message = format!("port `{name}` has no address of the family of VIP `{vip_name}`");
            let hint = "the backends answer to it: add one with its prefix under the port's `addresses`";
            findings.add_hint(Code::TunnelWithoutAddress, place, message, hint);
        }
    }
}

fn shares_family(vip: &VipDraft, port: &PortDraft) -> bool {
    let own = |is_v6: bool| port.addresses.iter().any(|own| own.value.addr().is_ipv6() == is_v6);
    vip.addresses.iter().any(|address| own(address.value.is_ipv6()))
}
