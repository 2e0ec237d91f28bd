//! The full tuple of a packet as sessions are found by it: both addresses, both ports, protocol.

use crate::flow::FlowKey;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::FromZeros;

/// Addresses in network order (IPv4 in the first four bytes, zeroes behind), ports in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromZeros)]
pub struct Tuple {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// Family of both addresses.
    pub is_v6: bool,
}

/// An address as [`Tuple`] has it.
pub fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// The other way round.
pub fn address(octets: &[u8; 16], is_v6: bool) -> IpAddr {
    if is_v6 {
        return Ipv6Addr::from(*octets).into();
    }
    Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()
}

impl Tuple {
    /// The tuple of a packet.
    pub fn of(key: &FlowKey) -> Self {
        Self {
            source: octets(key.source),
            destination: octets(key.destination),
            source_port: key.source_port,
            destination_port: key.destination_port,
            protocol: key.protocol,
            is_v6: key.destination.is_ipv6(),
        }
    }

    /// The tuple of an answer.
    pub fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..*self
        }
    }

    /// Bytes of one address.
    pub fn address_len(&self) -> usize {
        if self.is_v6 { 16 } else { 4 }
    }

    /// Source address.
    pub fn source_ip(&self) -> IpAddr {
        address(&self.source, self.is_v6)
    }

    /// Destination address.
    pub fn destination_ip(&self) -> IpAddr {
        address(&self.destination, self.is_v6)
    }

    /// A keyed hash.
    pub fn hash(&self, secret: [u64; 2]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
        hasher.write(&self.source[..self.address_len()]);
        hasher.write(&self.destination[..self.address_len()]);
        let rest = u64::from(self.source_port) << 32
            | u64::from(self.destination_port) << 16
            | u64::from(self.protocol) << 8
            | u64::from(self.is_v6);
        hasher.write_u64(rest);
        hasher.finish()
    }
}
