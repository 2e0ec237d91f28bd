//! The immutable tables of one generation: services, Maglev tables, backend records, hash keys.
//!
//! A pure function of the [`Spec`]. Built off the workers, shared by all of them, never changed; a change
//! of configuration or health is a new generation.

use crate::clock::Timeouts;
use crate::flow::FlowKey;
use crate::hash::{FlowHash, FlowHasher};
use crate::indexed::Indexed;
use crate::maglev::{MaglevError, MaglevSeed, MaglevTable};
use crate::record::{Record, RecordTail};
use crate::service::{Duplicate, ServiceIndex, ServiceTable};
use crate::spec::{PoolSpec, RECORDS_MAX, Spec};
use crate::verdict::RecordIndex;
use std::net::IpAddr;

/// One service as the miss path sees it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pool: usize,
    /// Record of the pool's first backend; the others follow in order.
    first_record: RecordIndex,
    pub(crate) is_tracked: bool,
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
    services: Box<[Service]>,
    maglev: Box<[MaglevTable]>,
    pub(crate) records: Indexed<Record>,
    pub(crate) tails: Indexed<RecordTail>,
    owners: Box<[RecordOwner]>,
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
            Self::Maglev { pool, error } => write!(out, "pool {pool}: {error}"),
        }
    }
}

impl std::error::Error for TablesError {}

impl Tables {
    /// Builds the tables of one generation.
    pub fn build(spec: &Spec) -> Result<Self, TablesError> {
        let maglev = build_maglev(spec)?;
        let mut tables = Self {
            hasher: FlowHasher::new(spec.seed),
            timeouts: spec.timeouts,
            service_table: build_service_table(spec)?,
            services: Box::default(),
            maglev,
            records: Indexed::zeroed(0),
            tails: Indexed::zeroed(0),
            owners: Box::default(),
        };
        tables.add_records(spec)?;
        Ok(tables)
    }

    fn add_records(&mut self, spec: &Spec) -> Result<(), TablesError> {
        let pool_of = |service: usize| {
            let pool = spec.services[service].pool;
            spec.pools.get(pool).map(|found| (pool, found)).ok_or(TablesError::UnknownPool { service })
        };
        let (mut services, mut owners) = (Vec::new(), Vec::new());
        let (mut records, mut tails) = (Vec::new(), Vec::new());
        for service in 0..spec.services.len() {
            let (pool, found) = pool_of(service)?;
            let first_record = RecordIndex::try_from(records.len())
                .map_err(|_| TablesError::TooMany { records: records.len() })?;
            services.push(Service { pool, first_record, is_tracked: spec.services[service].is_tracked });
            for (backend, backend_spec) in found.backends.iter().enumerate() {
                records.push(Record::new(backend_spec));
                tails.push(RecordTail::new(backend_spec));
                owners.push(RecordOwner { service, pool, backend });
            }
        }
        if records.len() > RECORDS_MAX {
            return Err(TablesError::TooMany { records: records.len() });
        }
        self.services = services.into();
        self.records = Indexed::from_values(records);
        self.tails = Indexed::from_values(tails);
        self.owners = owners.into();
        Ok(())
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

    /// The backend record that Maglev picks; `None` if the pool takes no new flows.
    #[inline]
    pub fn select(&self, service: ServiceIndex, hash: FlowHash) -> Option<RecordIndex> {
        let service = &self.services[usize::from(service)];
        let ordinal = self.maglev[service.pool].lookup(hash.maglev())?;
        Some(service.first_record + ordinal)
    }

    /// Hints that the slot of a flow is needed within a few packets.
    #[inline(always)]
    pub(crate) fn prefetch_slot(&self, service: ServiceIndex, hash: FlowHash) {
        self.maglev[self.services[usize::from(service)].pool].prefetch(hash.maglev());
    }

    /// True if flows of the service have connection entries.
    #[inline]
    pub fn is_tracked(&self, service: ServiceIndex) -> bool {
        self.services[usize::from(service)].is_tracked
    }

    /// Hash of a flow, as the packet path computes it.
    pub fn hash(&self, level: crate::hw::Level, key: &FlowKey) -> FlowHash {
        self.hasher.hash(level, key)
    }

    /// The records, by index.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Who a record belongs to.
    pub fn owner(&self, record: RecordIndex) -> Option<RecordOwner> {
        self.owners.get(usize::from(record)).copied()
    }

    /// All owners, by record index.
    pub fn owners(&self) -> &[RecordOwner] {
        &self.owners
    }

    /// Number of services.
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// The Maglev table of a pool.
    pub fn maglev(&self, pool: usize) -> Option<&MaglevTable> {
        self.maglev.get(pool)
    }
}

fn build_maglev(spec: &Spec) -> Result<Box<[MaglevTable]>, TablesError> {
    let seed = MaglevSeed::from_bytes(spec.seed.to_le_bytes());
    let build = |(pool, found): (usize, &PoolSpec)| {
        let identities = found.identities();
        MaglevTable::build(seed, spec.maglev_size, &found.members(&identities))
            .map_err(|error| TablesError::Maglev { pool, error })
    };
    spec.pools.iter().enumerate().map(build).collect()
}

fn build_service_table(spec: &Spec) -> Result<ServiceTable, TablesError> {
    let entries =
        spec.services.iter().map(|service| service.addresses.len() * service.ports.len().max(1)).sum();
    let mut table = ServiceTable::with_capacity(entries);
    for (index, service) in spec.services.iter().enumerate() {
        let number = ServiceIndex::try_from(index)
            .map_err(|_| TablesError::TooMany { records: spec.services.len() })?;
        let ports: Vec<Option<u16>> = match service.ports.as_slice() {
            [] => vec![None],
            ports => ports.iter().copied().map(Some).collect(),
        };
        for address in &service.addresses {
            for port in &ports {
                table.insert(*address, *port, service.protocol, number).map_err(
                    |Duplicate { service: other }| TablesError::Duplicate {
                        service: index,
                        other: usize::from(other),
                    },
                )?;
            }
        }
    }
    Ok(table)
}
