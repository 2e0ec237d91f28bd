//! Which worker a received frame belongs to, when the device does not spread frames over queues itself.
//!
//! What must hold: every packet of a 5-tuple goes to one worker, whoever receives it and however it is framed;
//! all fragments of a datagram go to one worker, the first one included, which is why they are spread by addresses
//! alone; an ICMP error goes where the flow is that it is about; a frame without IP addresses stays where it was received. The hash is keyed at random for the process:
//! it is not the flow hash (docs/flow-hash.md), nothing outside depends on it, and nobody can pile flows on a worker.

use foldhash::quality::RandomState;
use lb_core::headers::{self, PortFilter};
use lb_core::icmp::Kind;
use lb_core::icmp::quote::{self, Quote};
use lb_core::nat::steer;
use lb_core::tables::Tables;
use lb_core::wire::{PROTOCOL_ICMP, PROTOCOL_ICMPV6};
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
/// 802.1Q inside 802.1ad is the most that occurs; what lies deeper stays with its receiver.
const VLAN_TAGS_MAX: usize = 2;
const IPV6_LEN: usize = 40;
const PROTOCOLS_WITH_PORTS: [u8; 2] = [6, 17];

/// The spread of flows over workers; equal in all workers of a process.
#[derive(Clone, Debug)]
pub struct Steering {
    workers: u64,
    key: RandomState,
    /// For sessions of address translation, whose two sides do not have a hash of all addresses in common.
    session_key: [u64; 2],
}

/// What is hashed. The ports are zero where packets of one flow may lack them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    source: u128,
    destination: u128,
    ports: u32,
}

impl Steering {
    /// Over `workers` workers, with a key of its own.
    pub fn new(workers: usize) -> Self {
        let key = RandomState::default();
        let session_key = [1u8, 2].map(|number| key.hash_one(number));
        Self { workers: workers.max(1) as u64, key, session_key }
    }

    /// The worker that a received frame belongs to, if not the one that received it: that of its session of address
    /// translation; else, on a port that is spread, that of its flow.
    #[inline]
    pub fn owner(&self, tables: &Tables, is_spread: bool, frame: &[u8]) -> Option<usize> {
        if tables.nat().is_some() {
            let owner = steer::worker_of(tables, self.session_key, self.workers as usize, frame);
            if owner.is_some() {
                return owner;
            }
        }
        if is_spread { self.worker_of(frame) } else { None }
    }

    /// The number of the worker that a frame belongs to; `None` for the one that received it.
    #[inline]
    pub fn worker_of(&self, frame: &[u8]) -> Option<usize> {
        let flow = Flow::of(frame)?;
        let mut hasher = self.key.build_hasher();
        hasher.write_u128(flow.source);
        hasher.write_u128(flow.destination);
        hasher.write_u32(flow.ports);
        // The high half times the number of workers: no division, and no bias that anybody could measure.
        Some((((hasher.finish() >> 32) * self.workers) >> 32) as usize)
    }
}

impl Flow {
    #[inline]
    fn of(frame: &[u8]) -> Option<Self> {
        let mut type_offset = ETHERNET_LEN - 2;
        for _ in 0..=VLAN_TAGS_MAX {
            let ip = frame.get(type_offset + 2..)?;
            match u16::from_be_bytes([frame[type_offset], frame[type_offset + 1]]) {
                0x0800 => return Self::of_v4(ip),
                0x86dd => return Self::of_v6(ip, frame),
                0x8100 | 0x88a8 => type_offset += VLAN_TAG_LEN,
                _ => return None,
            }
        }
        None
    }

    #[inline]
    fn of_v4(ip: &[u8]) -> Option<Self> {
        let header = ip.first_chunk::<20>()?;
        let address = |at: usize| {
            u128::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
        };
        // More Fragments or an offset: RFC 791 section 3.1. Don't Fragment is not looked at.
        let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        let l4_offset = usize::from(header[0] & 0xf) * 4;
        if header[9] == PROTOCOL_ICMP && !is_fragment {
            return Self::of_error(ip.get(l4_offset..)?, false).or(Some(Self {
                source: address(12),
                destination: address(16),
                ports: 0,
            }));
        }
        let ports = if is_fragment || !PROTOCOLS_WITH_PORTS.contains(&header[9]) {
            0
        } else {
            ports(ip.get(l4_offset..))
        };
        Some(Self { source: address(12), destination: address(16), ports })
    }

    #[inline]
    fn of_v6(ip: &[u8], frame: &[u8]) -> Option<Self> {
        let header = ip.first_chunk::<IPV6_LEN>()?;
        let (source, destination) = (address_v6(header, 8), address_v6(header, 24));
        let ports = if PROTOCOLS_WITH_PORTS.contains(&header[6]) {
            ports(ip.get(IPV6_LEN..))
        } else if header[6] == PROTOCOL_ICMPV6 {
            if let Some(flow) = Self::of_error(ip.get(IPV6_LEN..)?, true) {
                return Some(flow);
            }
            0
        } else {
            ports_behind_extensions(frame)
        };
        Some(Self { source, destination, ports })
    }
}

impl Flow {
    /// The flow that an ICMP error is about, as its packets are hashed; `None` for other messages.
    #[cold]
    fn of_error(message: &[u8], is_v6: bool) -> Option<Self> {
        let [kind, code] = *message.first_chunk::<2>()?;
        if !matches!(Kind::of(is_v6, kind, code), Kind::Error | Kind::TooBig) {
            return None;
        }
        let flow = Quote::parse(quote::quoted(message, is_v6)?)?.answered_flow();
        let bits = |address| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let has_ports = PROTOCOLS_WITH_PORTS.contains(&flow.protocol);
        let ports = u32::from(flow.source_port) << 16 | u32::from(flow.destination_port);
        Some(Self {
            source: bits(flow.source),
            destination: bits(flow.destination),
            ports: if has_ports { ports } else { 0 },
        })
    }
}

fn address_v6(header: &[u8; IPV6_LEN], at: usize) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&header[at..at + 16]);
    u128::from_be_bytes(bytes)
}

/// The ports as they lie at the start of a TCP or UDP header; zero if it is cut off.
fn ports(l4: Option<&[u8]>) -> u32 {
    l4.and_then(|l4| l4.first_chunk::<4>()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The ports of an IPv6 packet with extension headers, by the parser that the packet meets later; zero for
/// fragments and for what it refuses.
#[cold]
fn ports_behind_extensions(frame: &[u8]) -> u32 {
    match headers::parse(frame, PortFilter::ANY) {
        Ok((_, key)) if matches!(key.source, IpAddr::V6(_)) => {
            u32::from(key.source_port) << 16 | u32::from(key.destination_port)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
