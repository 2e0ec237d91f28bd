//! By which port and to which MAC address a backend's frames leave.
//!
//! A backend with a `mac` is on-link: it is reached through the port whose prefix holds its address, or through the
//! only port there is. Any other goes to the first gateway of its family. Without ports (`replay`) nothing is asked.

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::Findings;
use super::super::model::NextHop;
use super::super::section::dataplane::PortDraft;
use super::super::section::pools::BackendDraft;

/// Why there is no next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Unresolved {
    /// It has a MAC address and there are several ports, none of them with its prefix.
    AmbiguousPort,
    /// It has no MAC address and no gateway has its family.
    NoGateway,
}

/// The next hop of a backend; `None` without ports, or when its address is not known.
pub(in super::super) fn resolve(
    backend: &BackendDraft,
    ports: &[PortDraft],
) -> Result<Option<NextHop>, Unresolved> {
    let Some(address) = backend.address.as_ref().map(|address| address.value).filter(|_| !ports.is_empty())
    else {
        return Ok(None);
    };
    if let Some(mac) = backend.mac {
        let on_link = |port: &PortDraft| port.addresses.iter().any(|own| own.value.contains(&address));
        let port = ports.iter().position(on_link).or_else(|| (ports.len() == 1).then_some(0));
        return port.map(|port| Some(NextHop { port, mac })).ok_or(Unresolved::AmbiguousPort);
    }
    let gateways =
        ports.iter().enumerate().flat_map(|(port, draft)| draft.gateways.iter().map(move |gw| (port, gw)));
    let mut known = gateways.filter_map(|(port, gateway)| {
        let same_family = gateway.address.as_ref()?.value.is_ipv6() == address.is_ipv6();
        same_family.then_some(NextHop { port, mac: gateway.mac? })
    });
    known.next().map(Some).ok_or(Unresolved::NoGateway)
}

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    let ports = &draft.dataplane.ports;
    let broken_gateway =
        |port: &PortDraft| port.gateways.iter().any(|gw| gw.address.is_none() || gw.mac.is_none());
    let incomplete = ports.iter().any(broken_gateway);
    for backend in draft.pools.iter().flat_map(|pool| &pool.backends) {
        let Some(address) = &backend.address else { continue };
        match resolve(backend, ports) {
            Ok(_) => {}
            Err(Unresolved::AmbiguousPort) => {
                let hint = "give the right port an address whose prefix holds the backend";
                let message = format!("which port leads to {}?", address.value);
                findings.add_hint(Code::AmbiguousPort, &address.place, message, hint);
            }
            // The gateway that is missing may be one that could not be read.
            Err(Unresolved::NoGateway) if incomplete || backend.mac_given => {}
            Err(Unresolved::NoGateway) => {
                let family = if address.value.is_ipv6() { "IPv6" } else { "IPv4" };
                let hint = format!(
                    "add an {family} gateway with its `mac` to a port, or `mac:` here if it is on-link"
                );
                let message = format!("no way to {}: no port has an {family} gateway", address.value);
                findings.add_hint(Code::NoNextHop, &address.place, message, hint);
            }
        }
    }
}
