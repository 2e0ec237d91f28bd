//! Health probes through the tunnel: which frames of this host's kernel are probes, and for which backend.
//!
//! A tunnelled probe is an ordinary socket that talks to the VIP. What tells its packets from everything else that the
//! kernel sends is the pair of local port and VIP, entered in [`ProbeRoutes`] before the first of them leaves. The
//! worker asks [`divert`] about every frame from a punt interface: a probe gets the header edit of its record, be the
//! record dead or not, since it is failed backends above all that are probed; anything else stays as it is.

use crate::encap;
use crate::flow::FlowKey;
use crate::headers::{PortFilter, parse};
use crate::hw::Level;
use crate::packet::Packet;
use crate::reason::DropReason;
use crate::tables::Tables;
use crate::verdict::RecordIndex;
use crate::wire::{PROTOCOL_TCP, PROTOCOL_UDP};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use zerocopy::FromZeros;

/// Ports of one family and protocol.
const PORTS: usize = 1 << u16::BITS;
/// IPv4 and IPv6, each with TCP and UDP.
const SLOTS: usize = 4 * PORTS;
/// Where the address and the ticket stand in an entry, above 17 bits of record number plus one.
const ADDRESS_SHIFT: u32 = 17;
const TICKET_SHIFT: u32 = ADDRESS_SHIFT + u32::BITS;

/// The probes under way, by family, protocol and local port.
///
/// One word each, so that neither side ever waits: record number plus one (17 bits; 0 is no entry), the VIP (32 bits:
/// an IPv4 address as it is, an IPv6 address folded), and 15 bits that differ from one entry to the next, so that who
/// leaves late removes nobody else's. 2 MiB, of which the kernel provides what is touched.
pub struct ProbeRoutes {
    slots: Box<[AtomicU64]>,
    tickets: AtomicU32,
}

/// An entry, to remove it by.
#[derive(Debug)]
#[must_use = "an entry stays until it is removed"]
pub struct Ticket {
    slot: usize,
    entry: u64,
}

/// What [`divert`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diverted {
    /// No probe; the frame is as it was.
    No,
    /// A probe, ready to leave by the port of this record.
    To(RecordIndex),
    /// A probe that cannot be sent; the frame is as it was.
    Drop(DropReason),
}

impl Default for ProbeRoutes {
    /// No probe is under way.
    ///
    /// # Panics
    /// If there is no address space for 2 MiB.
    fn default() -> Self {
        let slots = <[AtomicU64]>::new_box_zeroed_with_elems(SLOTS).expect("address space for 2 MiB");
        Self { slots, tickets: AtomicU32::new(0) }
    }
}

impl std::fmt::Debug for ProbeRoutes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ProbeRoutes").finish_non_exhaustive()
    }
}

impl ProbeRoutes {
    /// From now on packets from local port `source_port` to `vip` are probes of `record`. An earlier entry of the port
    /// is replaced: its socket must be gone. `None` for a protocol other than TCP and UDP.
    pub fn enter(&self, protocol: u8, source_port: u16, vip: IpAddr, record: RecordIndex) -> Option<Ticket> {
        let slot = slot(vip.is_ipv6(), protocol, source_port)?;
        let number = u64::from(self.tickets.fetch_add(1, Ordering::Relaxed)) << TICKET_SHIFT;
        let entry = number | u64::from(folded(vip)) << ADDRESS_SHIFT | (u64::from(record) + 1);
        self.slots[slot].store(entry, Ordering::Release);
        Some(Ticket { slot, entry })
    }

    /// Removes an entry, unless another one has taken its place.
    pub fn remove(&self, ticket: &Ticket) {
        // A failure means that there is nothing of ours to remove.
        let _ =
            self.slots[ticket.slot].compare_exchange(ticket.entry, 0, Ordering::Release, Ordering::Relaxed);
    }

    /// The record that a packet of this host probes.
    pub fn find(&self, key: &FlowKey) -> Option<RecordIndex> {
        let slot = slot(key.destination.is_ipv6(), key.protocol, key.source_port)?;
        let entry = self.slots[slot].load(Ordering::Acquire);
        let record = (entry & ((1 << ADDRESS_SHIFT) - 1)).checked_sub(1)?;
        ((entry >> ADDRESS_SHIFT) as u32 == folded(key.destination)).then_some(record as RecordIndex)
    }
}

/// Turns a frame from the kernel that is a probe into what leaves toward the probed backend.
pub fn divert<P: Packet>(packet: &mut P, routes: &ProbeRoutes, tables: &Tables, level: Level) -> Diverted {
    if !packet.is_contiguous() {
        return Diverted::No;
    }
    let Ok((headers, key)) = parse(packet.frame(), PortFilter::ANY) else { return Diverted::No };
    let Some(number) = routes.find(&key) else { return Diverted::No };
    if headers.ttl <= 1 {
        return Diverted::Drop(DropReason::TtlExceeded);
    }
    // A pair that is gone has no way to it any more; that its record is dead for client traffic is of no concern.
    if tables.owner(number).is_none() {
        return Diverted::Drop(DropReason::NoBackend);
    }
    let (record, tail) = (tables.records.at(number), tables.tails.at(number));
    match encap::apply(packet, &headers, tables.hash(level, &key), record, tail) {
        Ok(()) => Diverted::To(number),
        Err(reason) => Diverted::Drop(reason),
    }
}

fn slot(is_v6: bool, protocol: u8, port: u16) -> Option<usize> {
    let row = match protocol {
        PROTOCOL_TCP => 0,
        PROTOCOL_UDP => 1,
        _ => return None,
    };
    Some((2 * usize::from(is_v6) + row) * PORTS + usize::from(port))
}

/// 32 bits of an address; only the kernel of this host chooses what is compared, so a plain mix will do.
fn folded(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let mixed =
                (bits as u64 ^ ((bits >> 64) as u64).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 32) as u32
        }
    }
}

#[cfg(test)]
mod tests;
