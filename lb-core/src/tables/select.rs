//! How a special service chooses a backend: by what the packet says of its server, by slices of ports, or by Maglev
//! over other fields than the 5-tuple.
//!
//! One place for the packet path and for everybody who says what it would do.

use super::Tables;
use crate::flow::FlowKey;
use crate::hash::FlowHash;
use crate::hw::{Isa, Portable};
use crate::prefix::Prefix;
use crate::server_id::{Named, Reader, ServerId};
use crate::service::ServiceIndex;
use crate::spec::{HashFields, SelectionSpec};
use crate::verdict::RecordIndex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What chose a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The Maglev table.
    Maglev,
    /// The slice that the destination port is in.
    Slice,
    /// The server ID in the packet.
    ServerId,
}

/// What a packet's server ID was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdOutcome {
    /// The packet has none, or the service asks for none.
    None,
    /// It is that of a live backend.
    Routed(RecordIndex),
    /// A connection ID that no configuration can read.
    Unroutable,
    /// A server ID that no live backend has.
    Unknown,
}

/// The choice of a special service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The record; `None` if nobody takes the packet.
    pub record: Option<RecordIndex>,
    /// What chose it.
    pub by: By,
    /// What the server ID was good for.
    pub id: IdOutcome,
}

/// The selection of one service, with records for backends.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    hash: HashFields,
    /// First and last port, ascending, without overlap.
    slices: Box<[(u16, u16, RecordIndex)]>,
    reader: Option<Box<Reader>>,
    servers: Box<[(ServerId, RecordIndex)]>,
}

impl Selection {
    /// `None` for what the loop of new flows does by itself. `records` are those of the pool's backends.
    pub(super) fn new(spec: &SelectionSpec, records: &[RecordIndex]) -> Option<Box<Self>> {
        let record = |backend: usize| records.get(backend).copied();
        let mut slices: Vec<_> =
            spec.slices.iter().filter_map(|one| Some((one.low, one.high, record(one.backend)?))).collect();
        slices.sort_unstable();
        let ids = spec.server_ids.iter().flat_map(|ids| ids.ids.iter().enumerate());
        let mut servers: Vec<_> =
            ids.filter_map(|(backend, id)| Some((ServerId::new(id)?, record(backend)?))).collect();
        servers.sort_unstable();
        let selection = Self {
            hash: spec.hash,
            slices: slices.into(),
            reader: spec.server_ids.as_ref().map(|ids| Box::new(Reader::new(ids))),
            servers: servers.into(),
        };
        let is_plain = selection.hash == HashFields::FiveTuple
            && selection.slices.is_empty()
            && selection.reader.is_none();
        (!is_plain).then(|| Box::new(selection))
    }

    /// True if packets with an entry must be looked at, too: they may say that they belong to another backend, or the
    /// entry may be of a time before there were slices.
    pub(super) fn overrules_entries(&self) -> bool {
        self.reader.is_some() || !self.slices.is_empty()
    }

    fn slice(&self, port: u16) -> Option<RecordIndex> {
        let behind = self.slices.partition_point(|slice| slice.0 <= port);
        let (_, high, record) = *self.slices.get(behind.checked_sub(1)?)?;
        (port <= high).then_some(record)
    }
}

/// The key whose hash Maglev sees. Destination, ports and protocol are left out, so that a client meets the same
/// backend of a pool under every VIP and port.
fn source_key(source: IpAddr, ipv4: u8, ipv6: u8) -> FlowKey {
    let (len, destination) = match source {
        IpAddr::V4(_) => (ipv4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (ipv6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let source = Prefix::new(source, len).first();
    FlowKey { source, destination, source_port: 0, destination_port: 0, protocol: 0 }
}

impl Tables {
    fn selection(&self, service: ServiceIndex) -> Option<&Selection> {
        self.selections.get(usize::from(service))?.as_deref()
    }

    fn is_alive(&self, record: RecordIndex) -> bool {
        self.records.get(usize::from(record)).is_some_and(|record| !record.is_dead)
    }

    /// True if the destination port alone says who owns a packet of the service.
    pub(crate) fn has_slices(&self, service: ServiceIndex) -> bool {
        self.selection(service).is_some_and(|selection| !selection.slices.is_empty())
    }

    /// What the server ID of a packet is good for; `transport` is its transport header with all that follows.
    pub(crate) fn by_server_id(&self, service: ServiceIndex, protocol: u8, transport: &[u8]) -> IdOutcome {
        let Some(selection) = self.selection(service) else { return IdOutcome::None };
        let Some(reader) = &selection.reader else { return IdOutcome::None };
        let id = match reader.read(protocol, transport) {
            Named::Nothing => return IdOutcome::None,
            Named::Unroutable => return IdOutcome::Unroutable,
            Named::Server(id) => id,
        };
        let found = selection.servers.binary_search_by_key(&id, |server| server.0);
        let record = found.ok().map(|at| selection.servers[at].1);
        record.filter(|record| self.is_alive(*record)).map_or(IdOutcome::Unknown, IdOutcome::Routed)
    }

    /// The hash that Maglev sees of a flow, whose own is `hash`.
    pub(crate) fn maglev_hash<I: Isa>(
        &self,
        isa: I,
        service: ServiceIndex,
        key: &FlowKey,
        hash: FlowHash,
    ) -> FlowHash {
        match self.selection(service).map(|selection| selection.hash) {
            Some(HashFields::Source { ipv4, ipv6 }) => {
                self.hasher.loaded(isa).key(&source_key(key.source, ipv4, ipv6))
            }
            _ => hash,
        }
    }

    /// The backend of a packet without an entry, by any service.
    pub(crate) fn choose<I: Isa>(
        &self,
        isa: I,
        service: ServiceIndex,
        (key, hash): (&FlowKey, FlowHash),
        transport: &[u8],
    ) -> Choice {
        let id = self.by_server_id(service, key.protocol, transport);
        if let IdOutcome::Routed(record) = id {
            return Choice { record: Some(record), by: By::ServerId, id };
        }
        if let Some(selection) = self.selection(service).filter(|selection| !selection.slices.is_empty()) {
            // Nobody else knows what a slice's owner has sent from its ports.
            let owner = selection.slice(key.destination_port).filter(|owner| self.is_alive(*owner));
            return Choice { record: owner, by: By::Slice, id };
        }
        let record = self.select(service, self.maglev_hash(isa, service, key, hash));
        Choice { record, by: By::Maglev, id }
    }

    /// What a packet of a flow without an entry would get, for those who explain.
    pub fn choice(&self, service: ServiceIndex, key: &FlowKey, transport: &[u8]) -> Choice {
        self.choose(Portable, service, (key, self.hasher.hash_portable(key)), transport)
    }

    /// The hash by which a service looks a flow up in its Maglev table, for those who explain.
    pub fn slot_hash(&self, service: ServiceIndex, key: &FlowKey) -> FlowHash {
        self.maglev_hash(Portable, service, key, self.hasher.hash_portable(key))
    }
}

#[cfg(test)]
mod tests;
