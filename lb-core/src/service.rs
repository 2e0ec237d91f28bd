//! Which service an address, port and protocol belong to.
//!
//! Asked only for the first packet of a flow; hits in the connection table imply the answer. Open
//! addressing at a load of at most a quarter; a service with any port is found by a second look-up.

use std::net::IpAddr;

/// Index of a service in [`crate::tables::Tables`].
pub type ServiceIndex = u16;

/// Address, port (0: any) and protocol in one comparable value; all zero is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    high: u64,
    low: u64,
    rest: u32,
}

const FREE: Key = Key { high: 0, low: 0, rest: 0 };

impl Key {
    #[inline]
    fn new(address: IpAddr, port: u16, protocol: u8) -> Self {
        let (high, low, family) = match address {
            IpAddr::V4(address) => (0, u64::from(address.to_bits()), 4),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                ((bits >> 64) as u64, bits as u64, 6)
            }
        };
        Self { high, low, rest: u32::from(port) << 16 | u32::from(protocol) << 8 | family }
    }

    #[inline]
    fn hash(self) -> u64 {
        let mixed = (self.high ^ u64::from(self.rest)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.low;
        mixed.wrapping_mul(0xd6e8_feb8_6659_fd93)
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
    keys: Box<[Key]>,
    services: Box<[ServiceIndex]>,
    shift: u32,
    len: usize,
    has_any_port: bool,
}

/// Protocol 255 is reserved (IANA) and marks an address that some service has.
const PRESENCE: u8 = 255;

impl ServiceTable {
    /// An empty table with room for `entries` (address, port, protocol) triples.
    pub fn with_capacity(entries: usize) -> Self {
        // Twice: each address may take one more entry that marks its presence.
        let slots = (entries.max(1) * 2 * 4).next_power_of_two();
        Self {
            keys: vec![FREE; slots].into_boxed_slice(),
            services: vec![0; slots].into_boxed_slice(),
            shift: 64 - slots.trailing_zeros(),
            len: 0,
            has_any_port: false,
        }
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
        let key = Key::new(address, port.unwrap_or(0), protocol);
        if let Some(found) = self.get(key) {
            return Err(Duplicate { service: found });
        }
        self.put(key, service);
        let presence = Key::new(address, 0, PRESENCE);
        if self.get(presence).is_none() {
            self.put(presence, service);
        }
        Ok(())
    }

    fn put(&mut self, key: Key, service: ServiceIndex) {
        assert!(self.len * 2 < self.keys.len(), "capacity is counted before");
        let mask = self.keys.len() - 1;
        let mut slot = (key.hash() >> self.shift) as usize;
        while self.keys[slot] != FREE {
            slot = (slot + 1) & mask;
        }
        self.keys[slot] = key;
        self.services[slot] = service;
        self.len += 1;
    }

    #[inline]
    fn get(&self, key: Key) -> Option<ServiceIndex> {
        let mask = self.keys.len() - 1;
        let mut slot = (key.hash() >> self.shift) as usize & mask;
        loop {
            let candidate = self.keys[slot];
            if candidate == key {
                return Some(self.services[slot]);
            }
            if candidate == FREE {
                return None;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The service of a packet: exact port first, then any port.
    #[inline]
    pub fn find(&self, address: IpAddr, port: u16, protocol: u8) -> Option<ServiceIndex> {
        // Port 0 is legal on the wire but stands for "any" here, and such a service serves it too.
        let exact = if port == 0 { None } else { self.get(Key::new(address, port, protocol)) };
        match exact {
            None if self.has_any_port => self.get(Key::new(address, 0, protocol)),
            found => found,
        }
    }

    /// Some service that has this address, whatever the port.
    pub fn any_at(&self, address: IpAddr) -> Option<ServiceIndex> {
        self.get(Key::new(address, 0, PRESENCE))
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
