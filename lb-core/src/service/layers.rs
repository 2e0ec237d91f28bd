//! Services by prefix, by ranges of ports, and of any protocol: looked at only where the exact table says nothing.
//!
//! One look-up per length of prefix that is in use, longest first; behind it, per prefix, sorted lists. A packet
//! that nobody serves under a long prefix falls through to the shorter ones.

use super::{Duplicate, Places, ServiceIndex, WideKey};
use crate::prefix::{self, Prefix};
use crate::spec::ANY_PROTOCOL;
use std::net::IpAddr;

/// The ports of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// One.
    One(u16),
    /// From the first to the second, both included.
    Range(u16, u16),
    /// All, and what has no ports.
    Any,
}

/// What is known of one prefix. Every list is sorted by its first two fields.
#[derive(Clone, Debug, Default)]
struct Block {
    exact: Vec<(u8, u16, ServiceIndex)>,
    /// Protocol, first port, last port. Ranges of one protocol do not overlap.
    ranges: Vec<(u8, u16, u16, ServiceIndex)>,
    any: Vec<(u8, ServiceIndex)>,
}

impl Block {
    fn insert(&mut self, ports: Ports, protocol: u8, service: ServiceIndex) -> Result<(), Duplicate> {
        let taken = |service| Err(Duplicate { service });
        match ports {
            Ports::One(port) => {
                match self.exact.binary_search_by_key(&(protocol, port), |one| (one.0, one.1)) {
                    Ok(at) => return taken(self.exact[at].2),
                    Err(at) => self.exact.insert(at, (protocol, port, service)),
                }
            }
            Ports::Range(low, high) => {
                let overlaps =
                    |one: &&(u8, u16, u16, ServiceIndex)| one.0 == protocol && one.1 <= high && low <= one.2;
                if let Some(other) = self.ranges.iter().find(overlaps) {
                    return taken(other.3);
                }
                let at = self.ranges.partition_point(|one| (one.0, one.1) < (protocol, low));
                self.ranges.insert(at, (protocol, low, high, service));
            }
            Ports::Any => match self.any.binary_search_by_key(&protocol, |one| one.0) {
                Ok(at) => return taken(self.any[at].1),
                Err(at) => self.any.insert(at, (protocol, service)),
            },
        }
        Ok(())
    }

    fn exact(&self, port: u16, protocol: u8) -> Option<ServiceIndex> {
        let at = self.exact.binary_search_by_key(&(protocol, port), |one| (one.0, one.1)).ok()?;
        Some(self.exact[at].2)
    }

    fn range(&self, port: u16, protocol: u8) -> Option<ServiceIndex> {
        let behind = self.ranges.partition_point(|one| (one.0, one.1) <= (protocol, port));
        let (found, _, high, service) = *self.ranges.get(behind.checked_sub(1)?)?;
        (found == protocol && port <= high).then_some(service)
    }

    fn any(&self, protocol: u8) -> Option<ServiceIndex> {
        let at = self.any.binary_search_by_key(&protocol, |one| one.0).ok()?;
        Some(self.any[at].1)
    }

    /// Exact port, then range, then any; in each the protocol before any protocol.
    fn find(&self, port: u16, protocol: u8) -> Option<ServiceIndex> {
        let protocols = [protocol, ANY_PROTOCOL];
        let by_port = || {
            let exact = protocols.iter().find_map(|protocol| self.exact(port, *protocol));
            exact.or_else(|| protocols.iter().find_map(|protocol| self.range(port, *protocol)))
        };
        // Port 0 is that of packets without ports: it is in no list.
        let found = if port == 0 { None } else { by_port() };
        found.or_else(|| protocols.iter().find_map(|protocol| self.any(*protocol)))
    }

    fn some(&self) -> Option<ServiceIndex> {
        let exact = self.exact.first().map(|one| one.2);
        exact.or_else(|| self.ranges.first().map(|one| one.3)).or_else(|| self.any.first().map(|one| one.1))
    }
}

/// The layers of both families.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    /// Where the block of a prefix is, by its bits and length.
    places: Places<WideKey, u32>,
    blocks: Vec<Block>,
    /// Lengths in use, longest first.
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
}

fn key(bits: u128, len: u8, is_v6: bool) -> WideKey {
    // Where the other tables have port and protocol.
    WideKey::new(bits, len.into(), if is_v6 { 6 } else { 4 })
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Layers {
    pub(super) fn new() -> Self {
        Self {
            places: Places::with_capacity(1),
            blocks: Vec::new(),
            lengths_v4: Vec::new(),
            lengths_v6: Vec::new(),
        }
    }

    pub(super) fn insert(
        &mut self,
        prefix: Prefix,
        ports: Ports,
        protocol: u8,
        service: ServiceIndex,
    ) -> Result<(), Duplicate> {
        let key = key(bits(prefix.first()), prefix.len(), prefix.is_ipv6());
        let at = match self.places.get(key) {
            Some(at) => at,
            None => {
                let at = self.blocks.len() as u32;
                self.places.put(key, at);
                self.blocks.push(Block::default());
                let lengths = if prefix.is_ipv6() { &mut self.lengths_v6 } else { &mut self.lengths_v4 };
                if !lengths.contains(&prefix.len()) {
                    lengths.push(prefix.len());
                    lengths.sort_unstable_by(|one, other| other.cmp(one));
                }
                at
            }
        };
        self.blocks[at as usize].insert(ports, protocol, service)
    }

    fn walk<T>(&self, address: IpAddr, see: impl Fn(&Block) -> Option<T>) -> Option<T> {
        let (lengths, width) =
            if address.is_ipv6() { (&self.lengths_v6, 128) } else { (&self.lengths_v4, 32) };
        let bits = bits(address);
        lengths.iter().find_map(|len| {
            let key = key(bits & prefix::mask(*len, width), *len, address.is_ipv6());
            see(self.blocks.get(self.places.get(key)? as usize)?)
        })
    }

    /// The service of a packet that is in no exact table.
    #[cold]
    pub(super) fn find(&self, address: IpAddr, port: u16, protocol: u8) -> Option<ServiceIndex> {
        self.walk(address, |block| block.find(port, protocol))
    }

    /// Some service of the longest prefix that holds the address.
    pub(super) fn any_at(&self, address: IpAddr) -> Option<ServiceIndex> {
        self.walk(address, Block::some)
    }
}
