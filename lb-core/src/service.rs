//! Which service an address, port and protocol belong to.
//!
//! Asked only for the first packet of a flow; hits in the connection table imply the answer. Open
//! addressing at a load of at most a quarter; a service with any port is found by a second look-up.

use std::net::IpAddr;

/// Index of a service in [`crate::tables::Tables`].
pub type ServiceIndex = u16;

/// What a table is asked for: address, port (0: any) and protocol in one comparable value.
trait Key: Copy + PartialEq {
    /// No entry; never equal to a key.
    const FREE: Self;

    /// A hash whose upper bits are good.
    fn hash(self) -> u64;
}

/// Bit 63 tells a key from a free place, then 8 bits of protocol, 16 of port, 32 of address.
impl Key for u64 {
    const FREE: Self = 0;

    #[inline(always)]
    fn hash(self) -> u64 {
        // Two rounds, because the address differs in low bits and the protocol in high ones.
        let mixed = self.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

#[inline(always)]
fn key_v4(address: u32, port: u16, protocol: u8) -> u64 {
    1 << 63 | u64::from(protocol) << 48 | u64::from(port) << 32 | u64::from(address)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WideKey {
    address: u128,
    /// Never zero.
    rest: u32,
}

impl WideKey {
    #[inline(always)]
    fn new(address: u128, port: u16, protocol: u8) -> Self {
        Self { address, rest: u32::from(port) << 16 | u32::from(protocol) << 8 | 6 }
    }
}

impl Key for WideKey {
    const FREE: Self = Self { address: 0, rest: 0 };

    #[inline(always)]
    fn hash(self) -> u64 {
        let mixed = ((self.address >> 64) as u64 ^ u64::from(self.rest)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ self.address as u64;
        mixed.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

/// Keys of one family and the services that they lead to, side by side.
#[derive(Clone, Debug)]
struct Places<K> {
    places: Box<[(K, ServiceIndex)]>,
    shift: u32,
    len: usize,
}

impl<K: Key> Places<K> {
    fn with_capacity(entries: usize) -> Self {
        let slots = (entries.max(1) * 4).next_power_of_two();
        Self {
            places: vec![(K::FREE, 0); slots].into_boxed_slice(),
            shift: 64 - slots.trailing_zeros(),
            len: 0,
        }
    }

    fn put(&mut self, key: K, service: ServiceIndex) {
        assert!(self.len * 2 < self.places.len(), "capacity is counted before");
        let mask = self.places.len() - 1;
        let mut slot = (key.hash() >> self.shift) as usize;
        while self.places[slot].0 != K::FREE {
            slot = (slot + 1) & mask;
        }
        self.places[slot] = (key, service);
        self.len += 1;
    }

    #[inline(always)]
    fn get(&self, key: K) -> Option<ServiceIndex> {
        let mut slot = (key.hash() >> self.shift) as usize;
        loop {
            // Never out of range; a table of 2^64 places is none.
            let (found, service) = *self.places.get(slot)?;
            if found == key {
                return Some(service);
            }
            if found == K::FREE {
                return None;
            }
            slot = (slot + 1) & (self.places.len() - 1);
        }
    }
}

/// The address is served twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The service that had it first.
    pub service: ServiceIndex,
}

/// A hash table from (address, port, protocol) to service.
#[derive(Clone, Debug)]
pub struct ServiceTable {
    v4: Places<u64>,
    v6: Places<WideKey>,
    has_any_port: bool,
}

/// Protocol 255 is reserved (IANA) and marks an address that some service has.
const PRESENCE: u8 = 255;

impl ServiceTable {
    /// An empty table with room for `entries` (address, port, protocol) triples.
    pub fn with_capacity(entries: usize) -> Self {
        // Twice: each address may take one more entry that marks its presence.
        let capacity = entries * 2;
        Self { v4: Places::with_capacity(capacity), v6: Places::with_capacity(capacity), has_any_port: false }
    }

    /// Adds a triple; `port` `None` is any port.
    pub fn insert(
        &mut self,
        address: IpAddr,
        port: Option<u16>,
        protocol: u8,
        service: ServiceIndex,
    ) -> Result<(), Duplicate> {
        self.has_any_port |= port.is_none();
        let port = port.unwrap_or(0);
        if let Some(found) = self.get(address, port, protocol) {
            return Err(Duplicate { service: found });
        }
        self.put(address, port, protocol, service);
        if self.any_at(address).is_none() {
            self.put(address, 0, PRESENCE, service);
        }
        Ok(())
    }

    fn put(&mut self, address: IpAddr, port: u16, protocol: u8, service: ServiceIndex) {
        match address {
            IpAddr::V4(address) => self.v4.put(key_v4(address.to_bits(), port, protocol), service),
            IpAddr::V6(address) => self.v6.put(WideKey::new(address.to_bits(), port, protocol), service),
        }
    }

    fn get(&self, address: IpAddr, port: u16, protocol: u8) -> Option<ServiceIndex> {
        match address {
            IpAddr::V4(address) => self.v4.get(key_v4(address.to_bits(), port, protocol)),
            IpAddr::V6(address) => self.v6.get(WideKey::new(address.to_bits(), port, protocol)),
        }
    }

    /// The service of a packet: exact port first, then any port.
    #[inline]
    pub fn find(&self, address: IpAddr, port: u16, protocol: u8) -> Option<ServiceIndex> {
        match address {
            IpAddr::V4(address) => self.find_v4(address.to_bits(), port, protocol),
            IpAddr::V6(address) => self.find_v6(address.to_bits(), port, protocol),
        }
    }

    /// As [`Self::find`], for an IPv4 address in host order.
    #[inline(always)]
    pub fn find_v4(&self, address: u32, port: u16, protocol: u8) -> Option<ServiceIndex> {
        self.exact_or_any(port, |port| self.v4.get(key_v4(address, port, protocol)))
    }

    /// As [`Self::find`], for an IPv6 address in host order.
    #[inline(always)]
    pub fn find_v6(&self, address: u128, port: u16, protocol: u8) -> Option<ServiceIndex> {
        self.exact_or_any(port, |port| self.v6.get(WideKey::new(address, port, protocol)))
    }

    #[inline(always)]
    fn exact_or_any(&self, port: u16, get: impl Fn(u16) -> Option<ServiceIndex>) -> Option<ServiceIndex> {
        // Port 0 is legal on the wire but stands for "any" here, and such a service serves it too.
        let exact = if port == 0 { None } else { get(port) };
        match exact {
            None if self.has_any_port => get(0),
            found => found,
        }
    }

    /// Some service that has this address, whatever the port.
    pub fn any_at(&self, address: IpAddr) -> Option<ServiceIndex> {
        self.get(address, 0, PRESENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn address(index: u8) -> IpAddr {
        if index.is_multiple_of(2) {
            IpAddr::from([203, 0, 113, index / 2])
        } else {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&[0x20, 0x01]);
            bytes[15] = index / 2;
            IpAddr::from(bytes)
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(
            entries in prop::collection::vec((0u8..12, prop::option::of(1u16..6), 6u8..8), 0..40),
            asked in prop::collection::vec((0u8..14, 0u16..7, 6u8..9), 0..100),
        ) {
            let mut table = ServiceTable::with_capacity(entries.len());
            let mut map = HashMap::new();
            for (index, (at, port, protocol)) in entries.into_iter().enumerate() {
                let known = map.get(&(at, port, protocol)).copied();
                let result = table.insert(address(at), port, protocol, index as u16);
                prop_assert_eq!(result.err().map(|duplicate| duplicate.service), known);
                map.entry((at, port, protocol)).or_insert(index as u16);
            }
            for (at, port, protocol) in asked {
                let exact = map.get(&(at, Some(port), protocol)).filter(|_| port != 0);
                let expected = exact.or_else(|| map.get(&(at, None, protocol))).copied();
                prop_assert_eq!(table.find(address(at), port, protocol), expected);
                let is_present = map.keys().any(|(known, ..)| *known == at);
                prop_assert_eq!(table.any_at(address(at)).is_some(), is_present);
            }
        }
    }
}
