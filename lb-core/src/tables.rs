//! The immutable tables of one generation: services, Maglev tables, backend records, hash keys.
//!
//! A pure function of the [`Spec`]. Built off the workers, shared by all of them, never changed; a change
//! of configuration or health is a new generation.

mod layout;
mod maglevs;
mod select;
mod tunnels;
mod way;

use crate::clock::Timeouts;
use crate::flow::FlowKey;
use crate::hash::{FlowHash, FlowHasher};
use crate::indexed::Indexed;
use crate::maglev::{MaglevError, MaglevTable};
use crate::nat::NatTables;
use crate::record::{Record, RecordTail};
use crate::service::layers::Ports;
use crate::service::{Duplicate, ServiceIndex, ServiceTable};
use crate::spec::{Oversize, Portless, RECORDS_MAX, Signals, Spec};
use crate::verdict::RecordIndex;
pub use layout::Layout;
use maglevs::{Built, Origin};
use select::Selection;
pub use select::{By, Choice, IdOutcome};
use std::collections::HashMap;
use std::net::IpAddr;
pub(crate) use tunnels::Tunnels;
pub(crate) use way::Way;

/// One service as the miss path sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Service {
    pool: u32,
    /// Where its backends' records are listed in [`Tables::backends`], by the pool's ordinals.
    first: u32,
    pub(crate) is_tracked: bool,
    /// Its packets are served one by one: their backend is not found by Maglev and the flow hash alone, or they
    /// are changed by more than a record says.
    pub(crate) is_special: bool,
    /// Its packets are translated.
    is_nat: bool,
    portless: Portless,
}

/// Who a record belongs to, as indices into the [`Spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordOwner {
    /// Index of the service.
    pub service: usize,
    /// Index of the service's pool.
    pub pool: usize,
    /// Index of the backend in that pool.
    pub backend: usize,
}

/// Everything that decides where packets go, ready for the packet path.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) hasher: FlowHasher,
    pub(crate) timeouts: Timeouts,
    service_table: ServiceTable,
    /// By service number; numbers without a service are never asked for.
    services: Box<[Service]>,
    /// By service number, of special services.
    selections: Box<[Option<Box<Selection>>]>,
    maglev: Box<[Built]>,
    /// Record numbers of all services, each service's in the order of its pool.
    backends: Box<[RecordIndex]>,
    /// By record number; a number without a record is dead.
    pub(crate) records: Indexed<Record>,
    pub(crate) tails: Indexed<RecordTail>,
    owners: Box<[Option<RecordOwner>]>,
    layout: Layout,
    origin: Origin,
    nat: NatTables,
    pub(crate) signals: Signals,
    pub(crate) tunnels: Tunnels,
}

/// Why a [`Spec`] makes no tables. The appliance's validation finds all of these first, with positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablesError {
    /// A service names a pool that does not exist.
    UnknownPool {
        /// Index of the service.
        service: usize,
    },
    /// Two services have the same address, port and protocol.
    Duplicate {
        /// Index of the later one.
        service: usize,
        /// Index of the earlier one.
        other: usize,
    },
    /// More than [`RECORDS_MAX`] (service, backend) pairs, or more services than an index holds.
    TooMany {
        /// The number.
        records: usize,
    },
    /// The layout gives a number twice, or has another number of services or backends than the spec.
    Layout {
        /// Index of the service.
        service: usize,
    },
    /// The Maglev table of a pool cannot be built.
    Maglev {
        /// Index of the pool.
        pool: usize,
        /// Why.
        error: MaglevError,
    },
}

impl std::fmt::Display for TablesError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownPool { service } => write!(out, "service {service} names an unknown pool"),
            Self::Duplicate { service, other } => {
                write!(out, "services {other} and {service} share an address, port and protocol")
            }
            Self::TooMany { records } => {
                write!(out, "{records} pairs of service and backend; the limit is {RECORDS_MAX}")
            }
            Self::Layout { service } => write!(out, "the layout does not fit service {service}"),
            Self::Maglev { pool, error } => write!(out, "pool {pool}: {error}"),
        }
    }
}

impl std::error::Error for TablesError {}

impl Tables {
    /// Builds the tables of a first generation.
    ///
    /// # Errors
    /// See [`TablesError`].
    pub fn build(spec: &Spec) -> Result<Self, TablesError> {
        Self::build_with(spec, Layout::dense(spec)?, None)
    }

    /// Builds the tables of one generation with numbers that were given out before. Maglev tables that
    /// `previous` has already are shared with it, not built again.
    ///
    /// # Errors
    /// See [`TablesError`]; [`TablesError::Layout`] if `layout` is not one of this spec.
    pub fn build_with(spec: &Spec, layout: Layout, previous: Option<&Self>) -> Result<Self, TablesError> {
        let mut tables = Self {
            hasher: FlowHasher::new(spec.seed),
            timeouts: spec.timeouts,
            service_table: build_service_table(spec, &layout)?,
            services: Box::default(),
            selections: Box::default(),
            maglev: maglevs::build(spec, previous)?,
            backends: Box::default(),
            records: Indexed::zeroed(0),
            tails: Indexed::zeroed(0),
            owners: Box::default(),
            layout: Layout::default(),
            origin: Origin::of(spec),
            nat: NatTables::new(&spec.nat),
            signals: spec.signals,
            tunnels: Tunnels::of(spec),
        };
        tables.add_records(spec, &layout)?;
        tables.layout = layout;
        Ok(tables)
    }

    fn add_records(&mut self, spec: &Spec, layout: &Layout) -> Result<(), TablesError> {
        let numbers = || layout.records.iter().flatten().copied();
        let used = numbers().max().map_or(0, |last| usize::from(last) + 1);
        if used > RECORDS_MAX {
            return Err(TablesError::TooMany { records: used });
        }
        let count = layout.services.iter().max().map_or(0, |last| usize::from(*last) + 1);
        let mut services = vec![Service::default(); count];
        let mut selections = vec![None; count];
        let mut owners = vec![None; used];
        let mut records = vec![Record::DEAD; used];
        let mut tails = vec![RecordTail::default(); used];
        let mut first = 0;
        for (service, wanted) in spec.services.iter().enumerate() {
            let pool = spec.pools.get(wanted.pool).ok_or(TablesError::UnknownPool { service })?;
            let own = &layout.records[service];
            if own.len() != pool.backends.len() {
                return Err(TablesError::Layout { service });
            }
            let is_nat = pool.backends.iter().any(|backend| backend.mode.is_nat());
            let selection = Selection::new(&wanted.selection, own);
            let overrules = selection.as_ref().is_some_and(|selection| selection.overrules_entries());
            let place = usize::from(layout.services[service]);
            services[place] = Service {
                pool: wanted.pool as u32,
                first,
                is_tracked: wanted.is_tracked,
                is_special: is_nat || selection.is_some(),
                is_nat,
                portless: wanted.portless,
            };
            selections[place] = selection;
            first += own.len() as u32;
            for ((backend, backend_spec), number) in pool.backends.iter().enumerate().zip(own) {
                let number = usize::from(*number);
                let owner = RecordOwner { service, pool: wanted.pool, backend };
                if owners[number].replace(owner).is_some() {
                    return Err(TablesError::Layout { service });
                }
                records[number] = Record::new(backend_spec);
                records[number].inner_max = records[number].inner_max.min(spec.signals.inner_mtu);
                tails[number] = RecordTail::new(backend_spec);
                self.nat.note(number, backend_spec);
                tails[number].inner_max = records[number].inner_max;
                tails[number].oversize = pool.oversize;
                if overrules {
                    // Nothing fits, so every packet leaves the loop over the hits.
                    records[number].inner_max = 0;
                    tails[number].overrules_entries = true;
                }
            }
        }
        self.services = services.into();
        self.selections = selections.into();
        self.backends = numbers().collect();
        self.records = Indexed::from_values(records);
        self.tails = Indexed::from_values(tails);
        self.owners = owners.into();
        Ok(())
    }

    /// Bytes in front of a client's IP datagram on the way to a backend, Ethernet included, without VLAN tags.
    pub fn header_len(&self, record: RecordIndex) -> usize {
        self.records.at(record).kind.header_len() + self.tails.at(record).composed_len()
    }

    /// The service that a packet belongs to.
    #[inline]
    pub fn service(&self, destination: IpAddr, port: u16, protocol: u8) -> Option<ServiceIndex> {
        self.service_table.find(destination, port, protocol)
    }

    /// As [`Self::service`], for an IPv4 address in host order.
    #[inline(always)]
    pub(crate) fn service_v4(&self, destination: u32, port: u16, protocol: u8) -> Option<ServiceIndex> {
        self.service_table.find_v4(destination, port, protocol)
    }

    /// As [`Self::service`], for an IPv6 address in host order.
    #[inline(always)]
    pub(crate) fn service_v6(&self, destination: u128, port: u16, protocol: u8) -> Option<ServiceIndex> {
        self.service_table.find_v6(destination, port, protocol)
    }

    /// Some service of this address, for packets whose ports are unknown.
    pub fn service_at(&self, destination: IpAddr) -> Option<ServiceIndex> {
        self.service_table.any_at(destination)
    }

    /// What becomes of packets without ports to the addresses of a service.
    pub(crate) fn portless(&self, service: ServiceIndex) -> Portless {
        self.services.get(usize::from(service)).map_or_else(Portless::default, |service| service.portless)
    }

    /// The backend record that Maglev picks; `None` if the pool takes no new flows.
    #[inline]
    pub fn select(&self, service: ServiceIndex, hash: FlowHash) -> Option<RecordIndex> {
        self.way_of(service)?.select(&hash)
    }

    /// What new flows of a service need.
    #[inline(always)]
    pub(crate) fn way_of(&self, service: ServiceIndex) -> Option<Way<'_>> {
        let service = self.services.get(usize::from(service))?;
        let maglev = self.maglev.get(service.pool as usize)?.table.at_hand();
        let records = self.backends.get(service.first as usize..)?;
        Some(Way { maglev, records, is_tracked: service.is_tracked })
    }

    /// True if flows of the service have connection entries.
    #[inline]
    pub fn is_tracked(&self, service: ServiceIndex) -> bool {
        self.services[usize::from(service)].is_tracked
    }

    /// True if packets of the service without an entry are served one by one, never in the loop of new flows.
    #[inline(always)]
    pub(crate) fn is_special(&self, service: ServiceIndex) -> bool {
        self.services[usize::from(service)].is_special
    }

    /// What is to be translated, if anything is.
    #[inline]
    pub fn nat(&self) -> Option<&NatTables> {
        Some(&self.nat).filter(|nat| !nat.is_empty())
    }

    /// What is to be translated, be it nothing.
    pub(crate) fn nat_tables(&self) -> &NatTables {
        &self.nat
    }

    /// True if packets of the service are translated.
    pub fn is_nat(&self, service: ServiceIndex) -> bool {
        self.services[usize::from(service)].is_nat
    }

    /// Hash of a flow, as the packet path computes it.
    pub fn hash(&self, level: crate::hw::Level, key: &FlowKey) -> FlowHash {
        self.hasher.hash(level, key)
    }

    /// The records, by number. Numbers that no pair has are dead records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Who a record belongs to.
    pub fn owner(&self, record: RecordIndex) -> Option<RecordOwner> {
        self.owners.get(usize::from(record)).copied().flatten()
    }

    /// Longest client datagram that fits a record's way out, bytes, and what becomes of longer ones. `None` where neither is
    /// the record's to say: of translated services and dead records.
    pub fn limit(&self, record: RecordIndex) -> Option<(u16, Oversize)> {
        let tail = self.tails.at(record);
        (tail.inner_max != 0).then_some((tail.inner_max, tail.oversize))
    }

    /// All records that belong to somebody, with their owners.
    pub fn owners(&self) -> impl Iterator<Item = (RecordIndex, RecordOwner)> + '_ {
        let known = |(record, owner): (usize, &Option<RecordOwner>)| Some((record as RecordIndex, (*owner)?));
        self.owners.iter().enumerate().filter_map(known)
    }

    /// The numbers of services and records.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of the service that a record belongs to.
    pub(crate) fn service_of(&self, record: RecordIndex) -> Option<ServiceIndex> {
        self.layout.services.get(self.owner(record)?.service).copied()
    }

    /// Service numbers in use, and those below the last of them.
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// The Maglev table of a pool.
    pub fn maglev(&self, pool: usize) -> Option<&MaglevTable> {
        self.maglev.get(pool).map(|built| &built.table)
    }

    /// Fingerprint of a pool's Maglev table, see [`MaglevTable::digest`].
    pub fn maglev_digest(&self, pool: usize) -> Option<u64> {
        self.maglev.get(pool).map(|built| built.digest)
    }
}

fn build_service_table(spec: &Spec, layout: &Layout) -> Result<ServiceTable, TablesError> {
    let entries =
        spec.services.iter().map(|service| service.addresses.len() * service.ports.len().max(1)).sum();
    let mut table = ServiceTable::with_capacity(entries);
    // By number, so that a collision is reported with the position of the other one.
    let mut position = HashMap::new();
    for (index, service) in spec.services.iter().enumerate() {
        let number = *layout.services.get(index).ok_or(TablesError::Layout { service: index })?;
        if position.insert(number, index).is_some() || layout.records.len() != spec.services.len() {
            return Err(TablesError::Layout { service: index });
        }
        let ranges = service.ranges.iter().map(|(low, high)| Ports::Range(*low, *high));
        let mut ports: Vec<Ports> = service.ports.iter().copied().map(Ports::One).chain(ranges).collect();
        if ports.is_empty() {
            ports.push(Ports::Any);
        }
        for address in &service.addresses {
            for one in &ports {
                table.insert(*address, *one, service.protocol, number).map_err(
                    |Duplicate { service: other }| TablesError::Duplicate {
                        service: index,
                        other: position.get(&other).copied().unwrap_or(index),
                    },
                )?;
            }
        }
    }
    Ok(table)
}
