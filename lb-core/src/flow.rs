//! The identity of a flow: addresses, ports and protocol, as the wire has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The 5-tuple of a packet. Ports are in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Who sent it: the client.
    pub source: IpAddr,
    /// Where it goes: the VIP.
    pub destination: IpAddr,
    /// Source port; 0 of protocols without ports.
    pub source_port: u16,
    /// Destination port; 0 of protocols without ports.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl FlowKey {
    /// Reads the addresses at the start of the IP header `ip` (at least 20 or 40 bytes, by `is_v6`).
    pub(crate) fn addresses(ip: &[u8], is_v6: bool) -> Option<(IpAddr, IpAddr)> {
        if is_v6 {
            let source: [u8; 16] = ip.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = ip.get(24..40)?.try_into().ok()?;
            Some((Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into()))
        } else {
            let source: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = ip.get(16..20)?.try_into().ok()?;
            Some((Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into()))
        }
    }
}
