//! A flow in words, as people and requests name it: protocol and ends.

use super::view::Flow;
use lb_core::icmp;
use lb_core::wire::{
    NEXT_AUTHENTICATION, NEXT_DESTINATION, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING, PROTOCOL_ICMP,
    PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP,
};
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Protocols with a name; all others are numbers (IANA, "Assigned Internet Protocol Numbers").
const NAMES: [(&str, u8); 12] = [
    ("tcp", PROTOCOL_TCP),
    ("udp", PROTOCOL_UDP),
    ("sctp", PROTOCOL_SCTP),
    ("icmp", PROTOCOL_ICMP),
    ("icmpv6", PROTOCOL_ICMPV6),
    ("esp", 50),
    ("ah", NEXT_AUTHENTICATION),
    ("gre", 47),
    ("ipip", 4),
    ("ipv6", 41),
    ("ospf", 89),
    ("l2tp", 115),
];

/// An IP protocol: `tcp`, `esp`, `47`. Of ICMP, the echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IpProtocol(pub u8);

impl Default for IpProtocol {
    fn default() -> Self {
        Self(PROTOCOL_TCP)
    }
}

impl IpProtocol {
    /// True if its packets have ports.
    pub const fn has_ports(self) -> bool {
        matches!(self.0, PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP)
    }

    /// True for ICMP of either version.
    pub const fn is_icmp(self) -> bool {
        matches!(self.0, PROTOCOL_ICMP | PROTOCOL_ICMPV6)
    }

    /// Why a packet between such addresses does not have this protocol.
    fn contradiction(self, is_v6: bool) -> Option<String> {
        let is_extension = matches!(
            self.0,
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_FRAGMENT | NEXT_AUTHENTICATION | NEXT_DESTINATION
        );
        let version = if is_v6 { "IPv6" } else { "IPv4" };
        if self.is_icmp() && self.0 != icmp::protocol(is_v6) {
            let right = Self(icmp::protocol(is_v6));
            return Some(format!("`{self}` is not the ICMP of {version}: use `{right}`"));
        }
        (is_v6 && is_extension)
            .then(|| format!("`{self}` is an extension header of IPv6: name the protocol behind it"))
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => out.write_str(name),
            None => write!(out, "{}", self.0),
        }
    }
}

impl FromStr for IpProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
        let number = named.or_else(|| text.parse().ok().filter(|number| *number != 0));
        number.map(Self).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("`{text}` is no protocol: {} or a number from 1 to 255", names.join(", "))
        })
    }
}

impl TryFrom<String> for IpProtocol {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// One end of a flow: an address, with a port if the protocol has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct End {
    ip: IpAddr,
    port: Option<u16>,
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(out),
            None => self.ip.fmt(out),
        }
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(end) = text.parse::<SocketAddr>() {
            return Ok(Self { ip: end.ip(), port: Some(end.port()) });
        }
        let ip = text.parse().map_err(|_| {
            format!(
                "`{text}` is no socket address (203.0.113.10:443, [2001:db8::10]:443), and no address alone"
            )
        })?;
        Ok(Self { ip, port: None })
    }
}

impl TryFrom<String> for End {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The flow from `source` to `destination`, which its asker calls `names`.
///
/// # Errors
/// There is no such flow, in words.
pub fn flow(
    (source, destination): (End, End),
    protocol: IpProtocol,
    opens: bool,
    names: [&str; 2],
) -> Result<Flow, String> {
    if source.ip.is_ipv4() != destination.ip.is_ipv4() {
        return Err(format!("{} and {} are of different families", names[0], names[1]));
    }
    if let Some(why) = protocol.contradiction(source.ip.is_ipv6()) {
        return Err(why);
    }
    let end = |end: End, name: &str| match (protocol.has_ports(), end.port) {
        (true, Some(port)) => Ok(SocketAddr::new(end.ip, port)),
        (false, None) => Ok(SocketAddr::new(end.ip, 0)),
        (true, None) => {
            let example = SocketAddr::new(end.ip, 443);
            Err(format!("{name} is {end} without a port, and {protocol} has ports: {example}"))
        }
        (false, Some(_)) => Err(format!("{name} is {end}, but {protocol} has no ports: {}", end.ip)),
    };
    Ok(Flow {
        source: end(source, names[0])?,
        destination: end(destination, names[1])?,
        protocol: protocol.0,
        opens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, destination: &str, protocol: &str) -> Result<Flow, String> {
        let ends = (source.parse()?, destination.parse()?);
        flow(ends, protocol.parse()?, false, ["--src", "--dst"])
    }

    #[test]
    fn protocols_are_names_and_numbers() {
        for (text, number, shown) in [
            ("tcp", 6, "tcp"),
            ("esp", 50, "esp"),
            ("47", 47, "gre"),
            ("255", 255, "255"),
            ("icmpv6", 58, "icmpv6"),
        ] {
            let protocol: IpProtocol = text.parse().unwrap();
            assert_eq!((protocol.0, protocol.to_string().as_str()), (number, shown));
        }
        for text in ["0", "256", "-1", "TCPX", ""] {
            assert!(text.parse::<IpProtocol>().unwrap_err().contains("tcp, udp, sctp"), "{text}");
        }
    }

    #[test]
    fn ends_have_ports_where_the_protocol_has() {
        let flow = of("198.51.100.7:40000", "203.0.113.10:443", "tcp").unwrap();
        assert_eq!((flow.key().source_port, flow.key().destination_port, flow.protocol), (40_000, 443, 6));
        let flow = of("2001:db8::7", "2001:db8:cafe::10", "esp").unwrap();
        assert_eq!((flow.key().source_port, flow.key().destination_port, flow.protocol), (0, 0, 50));
        for (source, destination, protocol, words) in [
            ("198.51.100.7", "203.0.113.10:443", "udp", "--src is 198.51.100.7 without a port"),
            ("198.51.100.7", "203.0.113.10:443", "esp", "--dst is 203.0.113.10:443, but esp has no ports"),
            ("198.51.100.7", "2001:db8::1", "47", "families"),
            ("198.51.100.7", "203.0.113.10", "icmpv6", "use `icmp`"),
            ("2001:db8::7", "2001:db8::1", "icmp", "use `icmpv6`"),
            ("2001:db8::7", "2001:db8::1", "ah", "extension header"),
            ("198.51.100", "203.0.113.10", "icmp", "no socket address"),
        ] {
            let error = of(source, destination, protocol).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(of("198.51.100.7", "203.0.113.10", "ah").is_ok(), "over IPv4 a protocol like any other");
    }
}
