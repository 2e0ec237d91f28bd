//! What the tables are built from: the configuration, resolved to addresses, MACs and MTUs.
//!
//! Names stay outside: the core knows indices, the appliance knows what they are called.

use crate::clock::Timeouts;
use crate::composition::Composition;
use crate::maglev::Member;
use crate::nat::{ClientAddress, NatSpec};
use crate::prefix::Prefix;
use crate::record::OUTER_TTL;
use std::net::IpAddr;
use zerocopy::FromZeros;

/// Most (service, backend) pairs: connection entries hold the index in 16 bits.
pub const RECORDS_MAX: usize = u16::MAX as usize;

/// Everything that decides where packets go.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Key of the flow hash and of the Maglev permutations; the same on every node of a fleet.
    pub seed: u128,
    /// Slots of every Maglev table; prime.
    pub maglev_size: u32,
    /// Idle timeouts of the connection table.
    pub timeouts: Timeouts,
    /// The pools, each with a Maglev table of its own.
    pub pools: Vec<PoolSpec>,
    /// The services; a VIP with several addresses and ports is one service.
    pub services: Vec<ServiceSpec>,
    /// Address translation.
    pub nat: NatSpec,
    /// What is done besides forwarding, for all services.
    pub signals: Signals,
}

/// Limits of what a worker says and keeps besides forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Longest client datagram that is forwarded, bytes, where the way out would take a longer one.
    pub inner_mtu: u16,
    /// ICMP errors of our own.
    pub errors: Budget,
    /// Echo replies.
    pub echoes: Budget,
    /// How long the fragments of a datagram are remembered from the first that is seen, ticks.
    pub fragment_ticks: u16,
}

/// How many messages of a sort a worker sends in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// To everybody.
    pub total: u32,
    /// To one source: an IPv4 address, or an IPv6 prefix of 64 bits.
    pub per_source: u32,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            inner_mtu: u16::MAX,
            errors: Budget { total: 1000, per_source: 10 },
            echoes: Budget { total: 1000, per_source: 100 },
            fragment_ticks: 2,
        }
    }
}

/// A set of backends.
#[derive(Clone, Debug, Default)]
pub struct PoolSpec {
    /// The backends; their order is of no consequence for where flows go.
    pub backends: Vec<BackendSpec>,
    /// What becomes of packets that do not fit their way out.
    pub oversize: Oversize,
}

/// What becomes of a packet that would not fit its way out with its new headers (RFC 4459).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub enum Oversize {
    /// Its sender is told, within a budget.
    #[default]
    Signal,
    /// It is dropped.
    Drop,
    /// IPv4 without DF leaves in pieces, each with outer headers of its own; the sender of any other is told.
    Fragment,
}

impl PoolSpec {
    /// The bytes by which a fleet knows each backend: its address, 4 or 16 bytes in network order.
    pub fn identities(&self) -> Vec<Vec<u8>> {
        let identity = |address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        self.backends.iter().map(|backend| identity(backend.address)).collect()
    }

    /// The backends as the Maglev table sees them: only active ones have weight. `identities` are
    /// [`Self::identities`].
    pub fn members<'a>(&self, identities: &'a [Vec<u8>]) -> Vec<Member<'a>> {
        let member = |(backend, identity): (&BackendSpec, &'a Vec<u8>)| Member {
            identity,
            weight: backend.table_weight(),
        };
        self.backends.iter().zip(identities).map(member).collect()
    }
}

/// One backend and the way to it.
#[derive(Clone, Debug)]
pub struct BackendSpec {
    /// Its identity in the Maglev table and the destination of outer headers.
    pub address: IpAddr,
    /// Share of new flows relative to the others of the pool; 0 gets none.
    pub weight: u32,
    /// Whether it takes new flows, only old ones, or none.
    pub state: BackendState,
    /// The way out.
    pub egress: Egress,
    /// How packets are changed.
    pub mode: Mode,
}

impl BackendSpec {
    /// Its weight in the Maglev table: only active backends have one.
    pub fn table_weight(&self) -> u32 {
        if self.state == BackendState::Active { self.weight } else { 0 }
    }
}

/// Life cycle of a backend as the tables see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// Takes new flows.
    Active,
    /// Keeps its flows, takes no new ones.
    Drain,
    /// Takes nothing; its flows move to other backends with their next packet.
    Down,
}

/// Port, MTU and MAC addresses on the way to a backend.
#[derive(Clone, Copy, Debug)]
pub struct Egress {
    /// Index of the port.
    pub port: u8,
    /// Largest IP datagram that the port sends, bytes.
    pub mtu: u16,
    /// MAC of the port.
    pub source_mac: [u8; 6],
    /// MAC of the backend, or of the gateway toward it.
    pub next_hop_mac: [u8; 6],
}

/// GUE header variants (draft-ietf-intarea-gue-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GueVariant {
    /// Variant 0: a four-byte GUE header.
    Header,
    /// Variant 1: the IP packet right behind UDP.
    Direct,
}

/// How packets are changed on the way to a backend. `source` is of the family of the backend.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// IP in IP.
    Ipip {
        /// Outer source address.
        source: IpAddr,
    },
    /// Generic UDP encapsulation.
    Gue {
        /// Outer source address.
        source: IpAddr,
        /// UDP destination port.
        port: u16,
        /// With or without a GUE header.
        variant: GueVariant,
    },
    /// VXLAN.
    Vxlan {
        /// Outer source address.
        source: IpAddr,
        /// UDP destination port.
        port: u16,
        /// Network identifier, 24 bits.
        vni: u32,
        /// Destination MAC of the inner frame: that of the backend's VXLAN interface.
        inner_mac: [u8; 6],
    },
    /// MAC rewrite only.
    L2Dsr,
    /// Any other: another header, or another policy for the outer ones. Edited off the loops.
    Composed(Composition),
    /// The destination becomes the backend; answers come back through us.
    Nat {
        /// The backend's port, if not the one of the VIP.
        port: Option<u16>,
    },
    /// The source becomes one of ours as well.
    FullNat {
        /// The backend's port, if not the one of the VIP.
        port: Option<u16>,
        /// Index of its local addresses in [`NatSpec::ranges`].
        range: u16,
        /// How the backend learns of its client.
        client: ClientAddress,
    },
}

impl Mode {
    /// Outer source address, if there is an outer header.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        match *self {
            Self::Ipip { source } | Self::Gue { source, .. } | Self::Vxlan { source, .. } => Some(source),
            Self::L2Dsr | Self::Nat { .. } | Self::FullNat { .. } => None,
            Self::Composed(composition) => composition.outer_source(),
        }
    }

    /// TTL or hop limit in the template of the outer header.
    pub(crate) fn outer_ttl(&self) -> u8 {
        match self {
            Self::Composed(composition) => composition.policy.ttl.unwrap_or(OUTER_TTL),
            _ => OUTER_TTL,
        }
    }

    /// True if addresses are translated.
    pub fn is_nat(&self) -> bool {
        matches!(self, Self::Nat { .. } | Self::FullNat { .. })
    }

    pub(crate) fn udp_port(&self) -> Option<u16> {
        match *self {
            Self::Gue { port, .. } | Self::Vxlan { port, .. } => Some(port),
            Self::Ipip { .. } | Self::L2Dsr | Self::Nat { .. } | Self::FullNat { .. } => None,
            Self::Composed(composition) => composition.form.udp_port(),
        }
    }
}

/// Protocol of services that take every IP protocol. The hop-by-hop options that have this number are never the
/// protocol of a packet.
pub const ANY_PROTOCOL: u8 = 0;

/// One VIP.
#[derive(Clone, Debug, Default)]
pub struct ServiceSpec {
    /// Its addresses and prefixes, of any family.
    pub addresses: Vec<Prefix>,
    /// Its ports. With none here and in `ranges`: any.
    pub ports: Vec<u16>,
    /// IP protocol, or [`ANY_PROTOCOL`].
    pub protocol: u8,
    /// Index of the pool.
    pub pool: usize,
    /// False: no connection entries, Maglev alone decides.
    pub is_tracked: bool,
    /// What becomes of packets to its addresses that have no ports. Where services share an address, that of the first
    /// one holds.
    pub portless: Portless,
    /// Ranges of its ports, first and last.
    pub ranges: Vec<(u16, u16)>,
    /// How the backend of a new flow is found.
    pub selection: SelectionSpec,
}

/// What becomes of packets that have no ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Portless {
    /// ICMP echo requests.
    pub echo: Echo,
    /// Fragments.
    pub fragments: Fragments,
}

/// What becomes of an echo request to a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// We reply, while the pool has a backend that takes new flows.
    #[default]
    Answer,
    /// A backend gets it.
    Forward,
    /// It is dropped.
    Ignore,
}

/// What becomes of fragments for a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// All of a datagram go where its first one goes.
    #[default]
    Follow,
    /// They are dropped.
    Drop,
}

/// How the backend of a new flow is found. The default is Maglev by the 5-tuple.
#[derive(Clone, Debug, Default)]
pub struct SelectionSpec {
    /// What Maglev sees of a packet.
    pub hash: HashFields,
    /// Ports that belong to one backend each; whoever has slices has no others.
    pub slices: Vec<SliceSpec>,
    /// Packets that name their server.
    pub server_ids: Option<ServerIdSpec>,
}

/// What Maglev sees of a packet. The connection entry is that of the 5-tuple, whatever this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFields {
    /// Addresses, ports and protocol.
    #[default]
    FiveTuple,
    /// The first bits of the source address alone, so many of IPv4 and so many of IPv6.
    Source {
        /// 1 to 32.
        ipv4: u8,
        /// 1 to 128.
        ipv6: u8,
    },
}

/// Ports of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceSpec {
    /// First port.
    pub low: u16,
    /// Last port.
    pub high: u16,
    /// Index in the pool.
    pub backend: usize,
}

/// Where packets of a service name their server.
#[derive(Clone, Debug, Default)]
pub struct ServerIdSpec {
    /// Configurations of QUIC connection IDs, each with a number of its own.
    pub quic: Vec<QuicSpec>,
    /// In a TCP option, as katran's.
    pub tcp_option: bool,
    /// The server IDs by backend of the pool, all of one length.
    pub ids: Vec<Vec<u8>>,
}

/// One configuration of draft-ietf-quic-load-balancers.
#[derive(Clone)]
pub struct QuicSpec {
    /// Its number, 0 to 6: the upper three bits of a connection ID's first octet.
    pub config_id: u8,
    /// Octets of the nonce, 4 to 18.
    pub nonce_len: u8,
    /// The lower five bits of the first octet are the number of octets behind it.
    pub is_length_encoded: bool,
    /// AES-128 key; `None`: in the clear.
    pub key: Option<[u8; 16]>,
}

impl std::fmt::Debug for QuicSpec {
    /// Without the key.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("QuicSpec")
            .field("config_id", &self.config_id)
            .field("nonce_len", &self.nonce_len)
            .field("is_length_encoded", &self.is_length_encoded)
            .field("is_encrypted", &self.key.is_some())
            .finish()
    }
}
