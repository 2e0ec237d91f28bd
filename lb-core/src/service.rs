//! Which service an address, port and protocol belong to.
//!
//! Asked only for the first packet of a flow; hits in the connection table imply the answer. Exact triples come
//! first, by open addressing at a load of at most a quarter; a service with any port is found by a second look-up.
//! Prefixes, ranges of ports and services of any protocol are in [`layers`], which nobody looks at who has none.
//!
//! Precedence: the longest prefix, then an exact port before a range before any port, then a protocol before any.
//! An exact triple is all three at once, so its table may be asked first.

pub mod layers;

use crate::prefix::Prefix;
use crate::spec::ANY_PROTOCOL;
use layers::{Layers, Ports};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Keys of one family and what they lead to, side by side.
#[derive(Clone, Debug)]
struct Places<K, V = ServiceIndex> {
    places: Box<[(K, V)]>,
    shift: u32,
    len: usize,
}

impl<K: Key, V: Copy + Default> Places<K, V> {
    fn with_capacity(entries: usize) -> Self {
        let slots = (entries.max(1) * 4).next_power_of_two();
        Self {
            places: vec![(K::FREE, V::default()); slots].into_boxed_slice(),
            shift: 64 - slots.trailing_zeros(),
            len: 0,
        }
    }

    fn put(&mut self, key: K, value: V) {
        if (self.len + 1) * 4 > self.places.len() {
            let mut larger = Self::with_capacity((self.len + 1) * 2);
            for (key, value) in self.places.iter().filter(|(key, _)| *key != K::FREE) {
                larger.put(*key, *value);
            }
            *self = larger;
        }
        let mask = self.places.len() - 1;
        let mut slot = (key.hash() >> self.shift) as usize;
        while self.places[slot].0 != K::FREE {
            slot = (slot + 1) & mask;
        }
        self.places[slot] = (key, value);
        self.len += 1;
    }

    #[inline(always)]
    fn get(&self, key: K) -> Option<V> {
        let mut slot = (key.hash() >> self.shift) as usize;
        loop {
            // Never out of range; a table of 2^64 places is none.
            let (found, value) = *self.places.get(slot)?;
            if found == key {
                return Some(value);
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

/// Where a packet is looked for that is in no exact table.
#[derive(Clone, Debug)]
enum Behind {
    Nothing,
    /// At the same address, under port 0.
    AnyPort,
    Layers,
}

/// From address, port and protocol to service.
#[derive(Clone, Debug)]
pub struct ServiceTable {
    v4: Places<u64>,
    v6: Places<WideKey>,
    behind: Behind,
    /// All that is not one address, one port and one protocol, whether anybody asks here or not.
    layers: Layers,
}

/// Marks an address that some service has: protocol 255 is reserved (IANA), and only packets of protocols with ports
/// are looked for with a port.
const PRESENCE: (u16, u8) = (1, 255);

impl ServiceTable {
    /// An empty table with room for `entries` (address, port, protocol) triples; it grows beyond.
    pub fn with_capacity(entries: usize) -> Self {
        // Twice: each address may take one more entry that marks its presence.
        let capacity = entries * 2;
        Self {
            v4: Places::with_capacity(capacity),
            v6: Places::with_capacity(capacity),
            behind: Behind::Nothing,
            layers: Layers::new(),
        }
    }

    /// Adds an entry; `protocol` may be [`ANY_PROTOCOL`].
    ///
    /// # Errors
    /// [`Duplicate`]: somebody has the same prefix, protocol and ports, or a range that overlaps.
    pub fn insert(
        &mut self,
        prefix: Prefix,
        ports: Ports,
        protocol: u8,
        service: ServiceIndex,
    ) -> Result<(), Duplicate> {
        let single = prefix.single().filter(|_| protocol != ANY_PROTOCOL);
        match (single, ports) {
            (Some(address), Ports::One(port)) if port != 0 => {
                if let Some(found) = self.get(address, port, protocol) {
                    return Err(Duplicate { service: found });
                }
                self.put(address, port, protocol, service);
            }
            _ => self.layers.insert(prefix, ports, protocol, service)?,
        }
        match (single, ports) {
            (Some(_), Ports::One(_)) => {}
            (Some(address), Ports::Any) => {
                self.put(address, 0, protocol, service);
                if matches!(self.behind, Behind::Nothing) {
                    self.behind = Behind::AnyPort;
                }
            }
            _ => self.behind = Behind::Layers,
        }
        if let Some(address) = prefix.single()
            && self.get(address, PRESENCE.0, PRESENCE.1).is_none()
        {
            self.put(address, PRESENCE.0, PRESENCE.1, service);
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

    /// The service of a packet; port 0 for protocols without ports.
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
        let layers = || self.layers.find(Ipv4Addr::from_bits(address).into(), port, protocol);
        self.exact_or_behind(port, |port| self.v4.get(key_v4(address, port, protocol)), layers)
    }

    /// As [`Self::find`], for an IPv6 address in host order.
    #[inline(always)]
    pub fn find_v6(&self, address: u128, port: u16, protocol: u8) -> Option<ServiceIndex> {
        let layers = || self.layers.find(Ipv6Addr::from_bits(address).into(), port, protocol);
        self.exact_or_behind(port, |port| self.v6.get(WideKey::new(address, port, protocol)), layers)
    }

    #[inline(always)]
    fn exact_or_behind(
        &self,
        port: u16,
        get: impl Fn(u16) -> Option<ServiceIndex>,
        layers: impl FnOnce() -> Option<ServiceIndex>,
    ) -> Option<ServiceIndex> {
        // Port 0 is legal on the wire but stands for "any" here, and such a service serves it too.
        let exact = if port == 0 { None } else { get(port) };
        match (exact, &self.behind) {
            (None, Behind::AnyPort) => get(0),
            (None, Behind::Layers) => layers(),
            (found, _) => found,
        }
    }

    /// Some service that has this address, whatever the port.
    pub fn any_at(&self, address: IpAddr) -> Option<ServiceIndex> {
        self.get(address, PRESENCE.0, PRESENCE.1).or_else(|| self.layers.any_at(address))
    }
}

#[cfg(test)]
mod tests;
