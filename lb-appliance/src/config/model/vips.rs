//! `vips`: what clients talk to.

use lb_core::prefix::Prefix;
use lb_core::spec::HashFields;
use sha2::{Digest, Sha256};

/// One item of `vips`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vip {
    /// Unique label.
    pub name: String,
    /// At least one; unique over all VIPs together with port and protocol.
    pub addresses: Vec<Prefix>,
    /// Destination ports served.
    pub ports: VipPorts,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Index into [`Config::pools`].
    pub pool: usize,
    /// Whether flows are remembered.
    pub sessions: Sessions,
    /// What happens to IP fragments.
    pub fragments: Fragments,
    /// What happens to ICMP echo requests.
    pub icmp_echo: IcmpEcho,
    /// What Maglev sees of a packet.
    pub hash: HashFields,
    /// Ports that belong to one backend each; [`Self::ports`] are those of all.
    pub slices: Vec<Slice>,
    /// Where packets name their server.
    pub server_id: Option<VipServerId>,
}

/// `vips[].icmp_echo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpEcho {
    /// Guideway replies, while the pool has a backend that takes new flows.
    Answer,
    /// A backend replies.
    Forward,
    /// Nobody does.
    Ignore,
}

/// One item of `vips[].slices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its ports.
    pub ports: PortRange,
    /// Name of a backend of the VIP's pool.
    pub backend: String,
}

/// `vips[].server_id`: at least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipServerId {
    /// Configurations of QUIC connection IDs.
    pub quic: Vec<QuicIds>,
    /// In katran's TCP option.
    pub tcp_option: bool,
}

/// One item of `vips[].server_id.quic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicIds {
    /// Upper three bits of the first octet, 0 to 6.
    pub config_id: u8,
    /// Octets of the nonce.
    pub nonce_length: u8,
    /// The first octet has the length of the connection ID.
    pub length_encoded: bool,
    /// Of encrypted IDs.
    pub key: Option<Secret>,
}

/// A key that nobody sees: shown is a fingerprint, so that a change of it can be told.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = Sha256::new().chain_update(b"guideway secret").chain_update(self.0).finalize();
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
        write!(out, "secret {:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

/// A port, or ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// First port, at least 1.
    pub low: u16,
    /// Last port.
    pub high: u16,
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self { low: port, high: port }
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.low == self.high {
            true => write!(out, "{}", self.low),
            false => write!(out, "{}-{}", self.low, self.high),
        }
    }
}

/// `vips[].ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VipPorts {
    /// Every port that no other VIP lists for the same address and protocol.
    Any,
    /// These, ascending and without overlap, at least one.
    List(Vec<PortRange>),
}

impl std::fmt::Display for VipPorts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => write!(out, "any"),
            Self::List(ports) => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                write!(out, "{}", ports.join(","))
            }
        }
    }
}

/// `vips[].protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Every IP protocol but ICMP.
    Any,
}

impl Protocol {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Any => "any",
        }
    }
}

/// `vips[].sessions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// Connection table first, then Maglev.
    Tracked,
    /// Pure Maglev.
    None,
}

/// `vips[].fragments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// All fragments of a datagram go where its first one goes.
    ReassembleHash,
    /// Dropped and counted as `fragment`.
    Drop,
}
