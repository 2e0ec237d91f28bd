//! The typed configuration: what the rest of the program sees of a YAML file.
//!
//! Every value here has passed every rule of `docs/configuration.md`: indices point at something, names are unique
//! labels, the table size is prime, what an encapsulation needs is present. Nobody has to check again. It is plain
//! data: no I/O and no DPDK, so that `check` builds everywhere and tests can write it by hand.

use lb_core::composition::Policy;
use lb_core::spec::Oversize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::mac::MacAddr;

mod health;
mod security;
mod vips;
mod weights;

pub use health::{
    AllDown, DnsProbe, GrpcProbe, HealthCheck, HttpMethod, HttpProbe, PoolHealth, Probe, Tls, UdpProbe, Via,
};
pub use security::{CapabilityPolicy, Seccomp, Security};
pub use vips::{
    Fragments, IcmpEcho, PortRange, Protocol, QuicIds, Secret, Sessions, Slice, Vip, VipPorts, VipServerId,
};
pub use weights::{AdaptiveWeights, LoadSource, SlowStart};

/// A whole valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who this process is.
    pub node: Node,
    /// Packet I/O; `ports` is empty when the file has no `dataplane` section (`check` and `replay` need none).
    pub dataplane: Dataplane,
    /// What decides the path of a packet.
    pub forwarding: Forwarding,
    /// Sets of backends, in file order.
    pub pools: Vec<Pool>,
    /// Virtual services, in file order.
    pub vips: Vec<Vip>,
    /// Where the control plane listens.
    pub admin: Admin,
    /// The scrape endpoint.
    pub metrics: Metrics,
    /// The log.
    pub logging: Logging,
    /// What the process gives up once it forwards.
    pub security: Security,
}

/// `node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name in logs and metrics; the host's name unless configured.
    pub name: String,
}

/// `dataplane`: read at start only.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataplane {
    /// CPU numbers, one poll-mode worker each; empty = one worker that is not pinned.
    pub workers: Vec<u32>,
    /// CPU numbers for everything else; empty = wherever the scheduler likes.
    pub control_cpus: Vec<u32>,
    /// Packets per burst, 1..=64.
    pub burst: u16,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// DPDK memory.
    pub memory: Memory,
    /// Network ports in file order; empty only for `check` and `replay`.
    pub ports: Vec<Port>,
    /// Words appended to the EAL command line as they are.
    pub eal_extra_args: Vec<String>,
}

/// `dataplane.idle`. Default: adaptive, or busy polling when `workers` dedicates CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Poll for ever: lowest latency, one full core per worker.
    BusyPoll,
    /// Sleep in `poll(2)` after a run of empty polls.
    Adaptive,
}

/// `dataplane.memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// `false` = `--no-huge`.
    pub hugepages: bool,
    /// Bytes for DPDK on each NUMA node.
    pub per_numa_node_bytes: u64,
    /// Packet buffers on each NUMA node.
    pub mbufs_per_numa_node: u32,
}

/// One item of `dataplane.ports`.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Unique label.
    pub name: String,
    /// PCI address or vdev string, as the EAL takes it. Unique.
    pub device: String,
    /// Bytes of an IP packet, 576..=9600.
    pub mtu: u16,
    /// Receive descriptors per queue.
    pub rx_descriptors: u16,
    /// Transmit descriptors per queue.
    pub tx_descriptors: u16,
    /// The port's own addresses with their prefix length (host bits kept).
    pub addresses: Vec<IpNet>,
    /// Static routers reached through this port.
    pub gateways: Vec<Gateway>,
    /// Receive frames for any MAC address.
    pub promiscuous: bool,
    /// The kernel interface that gets what is not VIP traffic. Unique, and none that a device uses.
    pub punt: Option<String>,
}

/// One item of `dataplane.ports[].gateways`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The router's address; its family says which backends it serves.
    pub address: IpAddr,
    /// Its unicast MAC address. Always given: the kernel is not asked yet.
    pub mac: MacAddr,
}

/// `forwarding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Table of every VIP.
    pub maglev: Maglev,
    /// Connection table of every worker.
    pub connections: Connections,
    /// Outer source addresses.
    pub encapsulation: Encapsulation,
    /// Sessions of pools in a NAT mode.
    pub nat: NatSessions,
    /// Budgets of our own ICMP messages.
    pub icmp: Icmp,
    /// The fragment table of every worker.
    pub fragments: FragmentTable,
}

/// `forwarding.icmp`: messages that one worker sends in a second; 0 = never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Errors.
    pub errors_per_second: u32,
    /// Errors to one source: an IPv4 address or an IPv6 /64.
    pub errors_per_source: u32,
    /// Echo replies.
    pub echoes_per_second: u32,
    /// Echo replies to one source.
    pub echoes_per_source: u32,
}

/// `forwarding.fragments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentTable {
    /// Datagrams under way in one worker, 8..=65536.
    pub per_worker: u32,
    /// Fragments of one worker that may wait for their first ones.
    pub held_per_worker: u32,
    /// How long a datagram is remembered, 1 s ..= 60 s.
    pub timeout: Duration,
}

/// `forwarding.maglev`: must be the same on every node of an ECMP group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maglev {
    /// Slots, prime, at least as many as the largest pool has backends.
    pub table_size: u32,
    /// 128-bit key as a number: `"0x01"` is 1.
    pub seed: u128,
}

/// `forwarding.connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Entries in the table of one worker.
    pub per_worker: u32,
    /// Established TCP, 1 s ..= 9 h.
    pub idle_tcp: Duration,
    /// TCP after FIN or RST, 1 s ..= 9 h.
    pub idle_tcp_closing: Duration,
    /// UDP, 1 s ..= 9 h.
    pub idle_udp: Duration,
}

/// `forwarding.nat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatSessions {
    /// Room in the table of one worker.
    pub sessions_per_worker: u32,
    /// TCP that both sides have confirmed, 1 s ..= 9 h.
    pub idle_tcp_established: Duration,
    /// TCP that is being opened or closed, 1 s ..= 9 h.
    pub idle_tcp_transitory: Duration,
    /// UDP, 1 s ..= 9 h.
    pub idle_udp: Duration,
}

/// `forwarding.encapsulation`: present for every family that some tunnelling pool needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encapsulation {
    /// Outer source towards IPv4 backends.
    pub source_ipv4: Option<Ipv4Addr>,
    /// Outer source towards IPv6 backends.
    pub source_ipv6: Option<Ipv6Addr>,
    /// Longest client datagram, bytes, where the port would take a longer one.
    pub inner_mtu: Option<u16>,
}

/// One item of `pools`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Unique label.
    pub name: String,
    /// How packets travel to the backends.
    pub encap: Encap,
    /// What the outer headers say; the default unless the file says otherwise.
    pub policy: Policy,
    /// What becomes of packets that do not fit with their outer headers. Not of NAT.
    pub oversize: Oversize,
    /// Full NAT only, and there at least one of the family of each backend.
    pub local_addresses: Vec<IpAddr>,
    /// In file order, possibly empty; names and addresses are unique within the pool.
    pub backends: Vec<Backend>,
    /// How a backend that comes up gets its share; `None` = at once.
    pub slow_start: Option<SlowStart>,
    /// Weights that follow the load; `None` = as configured.
    pub adaptive_weights: Option<AdaptiveWeights>,
    /// How their health is found out and what follows from it.
    pub health: PoolHealth,
}

/// `pools[].encap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encap {
    /// IP in IP, any mix of families.
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// Destination UDP port.
        port: u16,
        /// Header variant.
        variant: GueVariant,
    },
    /// VXLAN; the inner destination MAC is [`Backend::inner_mac`].
    Vxlan {
        /// 24-bit network identifier.
        vni: u32,
        /// Destination UDP port.
        port: u16,
    },
    /// GRE, any mix of families.
    Gre {
        /// The key field, if there is one.
        key: Option<u32>,
    },
    /// Geneve; with an inner Ethernet header if the backend has an [`Backend::inner_mac`].
    Geneve {
        /// 24-bit network identifier.
        vni: u32,
        /// Destination UDP port.
        port: u16,
    },
    /// Only the MAC addresses change: the backend is on-link and owns the VIP.
    L2Dsr,
    /// The destination becomes the backend, whose answers come back through guideway.
    Nat,
    /// The source becomes one of [`Pool::local_addresses`] as well.
    FullNat {
        /// First local port.
        first_port: u16,
        /// Last local port.
        last_port: u16,
        /// How the backend learns of its client.
        client_address: ClientAddress,
    },
}

impl Encap {
    /// True for translation of addresses, which has no outer header.
    pub fn is_nat(self) -> bool {
        matches!(self, Self::Nat | Self::FullNat { .. })
    }
}

/// `pools[].encap.full_nat.client_address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// Not at all.
    None,
    /// TCP option 254.
    Toa,
    /// PROXY protocol version 2.
    ProxyV2,
}

/// `pools[].encap.gue.variant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GueVariant {
    /// 0: a four-byte GUE header.
    Zero,
    /// 1: IP directly in UDP.
    One,
}

/// One item of `pools[].backends`.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Label, unique within the pool.
    pub name: String,
    /// Outer destination (tunnels) or just the identity (L2 DSR).
    pub address: IpAddr,
    /// Share of new flows relative to its neighbours, 0..=65535; 0 = no new flows.
    pub weight: u16,
    /// Operator's intention.
    pub state: BackendState,
    /// Where its frames go. `None` only when the configuration has no ports (`replay`), where a backend that has no
    /// MAC address of its own is sent to 00:00:00:00:00:00.
    pub next_hop: Option<NextHop>,
    /// `mac`: the static next hop as configured (always there for L2 DSR).
    pub mac: Option<MacAddr>,
    /// Destination MAC of the inner frame (its own, or the pool's): VXLAN always has one, Geneve may have.
    pub inner_mac: Option<MacAddr>,
    /// NAT modes only: its port, if not the one of the VIP.
    pub port: Option<u16>,
    /// What its server writes into connection IDs or options, 1 to 15 octets.
    pub server_id: Option<Vec<u8>>,
}

/// The resolved way to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Index into [`Dataplane::ports`].
    pub port: usize,
    /// Destination MAC of the outer frame.
    pub mac: MacAddr,
}

/// `pools[].backends[].state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// Takes its share of new flows.
    Active,
    /// Keeps its flows, gets no new ones.
    Drain,
    /// Gets nothing; still probed.
    Disabled,
    /// Gets nothing and is not probed.
    Maintenance,
}

/// `admin`: read at start only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The Unix socket: full control for whoever may open it.
    pub socket: AdminSocket,
    /// The same on TCP, if configured.
    pub http: Option<AdminHttp>,
}

/// `admin.socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSocket {
    /// Absolute path.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Group that owns it; that of the process unless configured.
    pub group: Option<String>,
}

/// `admin.http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminHttp {
    /// Listener; loopback, or there is a token.
    pub listen: SocketAddr,
    /// Whether changes are allowed; then there is a token.
    pub write: bool,
    /// File with the token that every request must bring.
    pub token_file: Option<PathBuf>,
}

/// `metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Listener of `/metrics`, `/livez` and `/readyz`.
    pub listen: SocketAddr,
    /// Export series per backend.
    pub per_backend: bool,
    /// Export series per queue.
    pub per_queue: bool,
    /// Time one packet of this many; 0 = off.
    pub latency_sample: u32,
    /// Upper bounds of the latency histogram, strictly ascending.
    pub latency_buckets: Vec<Duration>,
}

/// `logging`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// A `tracing` filter, e.g. `info` or `info,guideway::health=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// `logging.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
