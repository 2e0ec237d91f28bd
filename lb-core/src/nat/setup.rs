//! What translation is to do: as the specification says it, and as the packet path asks for it.

use super::ports::LocalRange;
use super::session::NatTimeouts;
use crate::spec::{BackendSpec, Egress, Mode};
use crate::verdict::RecordIndex;
use std::collections::HashSet;
use std::net::IpAddr;

/// How a backend of full NAT learns who its client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// It does not.
    None,
    /// TCP option 254 in the first segments.
    Toa,
    /// A PROXY protocol header, version 2, in front of the stream.
    ProxyV2,
}

/// What translation needs besides the mode of each backend.
#[derive(Clone, Debug, Default)]
pub struct NatSpec {
    /// Local addresses that [`Mode::FullNat`] refers to.
    pub ranges: Vec<LocalRange>,
    /// Idle timeouts of sessions.
    pub timeouts: NatTimeouts,
    /// By port: largest IP datagram that it sends, bytes. Ports beyond the list send any.
    pub mtus: Vec<u16>,
}

/// A backend behind translation.
#[derive(Clone, Copy, Debug)]
pub struct NatBackend {
    /// Its address.
    pub address: IpAddr,
    /// Its port, if not the one of the VIP.
    pub port: Option<u16>,
    /// The way to it.
    pub egress: Egress,
    /// For full NAT: index of its local addresses, and how it learns of the client.
    pub full: Option<(u16, ClientAddress)>,
}

/// Of one generation of tables.
#[derive(Clone, Debug, Default)]
pub struct NatTables {
    /// By record number.
    backends: Vec<Option<NatBackend>>,
    /// Addresses of those that are not behind full NAT: what they send is to be translated whoever it is for.
    plain: HashSet<IpAddr>,
    pub(crate) ranges: Vec<LocalRange>,
    pub(crate) timeouts: NatTimeouts,
    mtus: Vec<u16>,
}

impl NatTables {
    /// Without backends yet.
    pub(crate) fn new(spec: &NatSpec) -> Self {
        Self {
            backends: Vec::new(),
            plain: HashSet::new(),
            ranges: spec.ranges.clone(),
            timeouts: spec.timeouts,
            mtus: spec.mtus.clone(),
        }
    }

    /// Notes a backend if it is behind translation.
    pub(crate) fn note(&mut self, record: usize, backend: &BackendSpec) {
        let (port, full) = match backend.mode {
            Mode::Nat { port } => (port, None),
            Mode::FullNat { port, range, client } => (port, Some((range, client))),
            _ => return,
        };
        if full.is_none() {
            self.plain.insert(backend.address);
        }
        if self.backends.len() <= record {
            self.backends.resize(record + 1, None);
        }
        let found = NatBackend { address: backend.address, port, egress: backend.egress, full };
        self.backends[record] = Some(found);
    }

    /// True if there is nothing to translate.
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }

    /// The backend of a record, if it is behind translation.
    pub fn backend(&self, record: RecordIndex) -> Option<&NatBackend> {
        self.backends.get(usize::from(record))?.as_ref()
    }

    /// True if a backend of `nat` has this address.
    pub fn is_backend(&self, address: IpAddr) -> bool {
        self.plain.contains(&address)
    }

    /// The local addresses that have `address`.
    pub fn range_of(&self, address: IpAddr) -> Option<&LocalRange> {
        self.ranges.iter().find(|range| range.addresses.contains(&address))
    }

    /// Largest IP datagram that a port sends, bytes.
    pub(crate) fn mtu(&self, port: u8) -> u16 {
        self.mtus.get(usize::from(port)).copied().unwrap_or(u16::MAX)
    }
}
