//! `pools[].health_check` and what a pool does with the verdicts.
//!
//! Comparable and hashable as a whole: equal checks of one address are one probe, however many pools name it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a pool knows about health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolHealth {
    /// `health_check`; without it every backend counts as up.
    pub check: Option<Arc<HealthCheck>>,
    /// `panic_threshold` in 1/10,000: below this share of healthy weight all backends get new flows. 0 = never.
    pub panic_below: u16,
    /// `all_down`, or its default, which depends on `panic_threshold`.
    pub all_down: AllDown,
    /// `quorum`: healthy backends below which a VIP does not count as serving.
    pub quorum: u32,
}

/// `pools[].all_down`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllDown {
    /// New flows are dropped. The default without `panic_threshold`.
    #[default]
    Drop,
    /// New flows go to every backend. The default with `panic_threshold`.
    SendToAll,
}

/// `pools[].health_check`. `timeout` and `fast_interval` are not above `interval`; `fall` and `rise` are 1 or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// What is asked of the backend.
    pub probe: Probe,
    /// A port that speaks HAProxy's agent-check, asked as often as the probe.
    pub agent_port: Option<u16>,
    /// Longest time from the start of one probe to the next.
    pub interval: Duration,
    /// The same while a backend is changing state.
    pub fast_interval: Duration,
    /// Longest time for one probe, from the first packet to the last byte needed.
    pub timeout: Duration,
    /// Failures in a row before "down".
    pub fall: u16,
    /// Successes in a row before "up".
    pub rise: u16,
    /// The way of the probe.
    pub via: Via,
}

/// `pools[].health_check.via`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// To the backend's own address, through the kernel.
    Direct,
    /// To the VIP through the pool's encapsulation, as client traffic goes.
    Tunnel,
}

/// The probe: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A connection is accepted.
    Tcp {
        /// Its port.
        port: u16,
    },
    /// A request is answered as expected; with `tls`, https.
    Http(HttpProbe),
    /// A datagram is answered.
    Udp(UdpProbe),
    /// A DNS question is answered.
    Dns(DnsProbe),
    /// `grpc.health.v1.Health/Check` says SERVING.
    Grpc(GrpcProbe),
    /// A program exits with 0.
    Command {
        /// Program and arguments; no shell sees them. At least one.
        argv: Vec<String>,
    },
}

impl Probe {
    /// The key in the file; the `probe` label in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Http(http) if http.tls.is_some() => "https",
            Self::Http(_) => "http",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Grpc(_) => "grpc",
            Self::Command { .. } => "command",
        }
    }
}

/// `http` and `https`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// TCP port.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// `Host` header; the address when absent.
    pub host: Option<String>,
    /// Request method.
    pub method: HttpMethod,
    /// Inclusive ranges of good status codes, at least one.
    pub expect_status: Vec<(u16, u16)>,
    /// Text that the first 64 KiB of the body must hold.
    pub expect_body: Option<String>,
    /// Response header with the backend's load, a number from 0; in lower case.
    pub load_header: String,
    /// Present for `https`.
    pub tls: Option<Tls>,
}

/// `http.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpMethod {
    /// `GET`.
    Get,
    /// `HEAD`: no body, so `expect_body` cannot be had.
    Head,
    /// `OPTIONS`.
    Options,
}

impl HttpMethod {
    /// As on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

/// How a TLS probe verifies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Name in SNI and in the certificate; without it `host`, then the address.
    pub sni: Option<String>,
    /// PEM file of certificate authorities instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Verify nothing.
    pub skip_verify: bool,
}

/// `udp`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UdpProbe {
    /// UDP port.
    pub port: u16,
    /// Payload sent.
    pub send: Vec<u8>,
    /// What a reply must begin with; empty = any reply.
    pub expect_prefix: Vec<u8>,
}

/// `dns`, over UDP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsProbe {
    /// UDP port.
    pub port: u16,
    /// Name asked for.
    pub name: String,
    /// Its type, upper case.
    pub record_type: &'static str,
    /// Response code expected, as a number (RFC 1035, 4.1.1).
    pub rcode: u8,
}

/// `grpc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrpcProbe {
    /// TCP port.
    pub port: u16,
    /// Service asked for; empty = the server as a whole.
    pub service: String,
    /// Without it HTTP/2 in clear text.
    pub tls: Option<Tls>,
}
