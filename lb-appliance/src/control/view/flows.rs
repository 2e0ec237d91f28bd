//! Documents about single flows, tables and probes.

use lb_core::flow::FlowKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One question of `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Client address and port; 0 for protocols without ports.
    pub source: std::net::SocketAddr,
    /// VIP address and port, likewise.
    pub destination: std::net::SocketAddr,
    /// IP protocol; of ICMP, the packet is an echo request.
    pub protocol: u8,
    /// The packet opens a connection (SYN).
    pub opens: bool,
}

impl Flow {
    /// Its 5-tuple, as the packet path knows it.
    pub fn key(&self) -> FlowKey {
        FlowKey {
            source: self.source.ip(),
            destination: self.destination.ip(),
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            protocol: self.protocol,
        }
    }
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// `vip`, `connection`, `echo`, `server_id`, `slice`, `hash`, `maglev`, `backend`, `encapsulation`, `next_hop`, `verdict`.
    pub stage: String,
    /// What was found, one line.
    pub result: String,
}

/// `GET /api/v1/explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// `forward`, `answer`, `drop` or `punt`.
    pub verdict: String,
    /// Reason of an answer, a drop or a punt.
    pub reason: Option<String>,
    /// Name of the VIP.
    pub vip: Option<String>,
    /// Name of the pool.
    pub pool: Option<String>,
    /// Name of the backend.
    pub backend: Option<String>,
    /// `connection`, `slice` or `maglev`: what picked the backend.
    pub by: Option<String>,
    /// Slot of the Maglev table.
    pub slot: Option<u32>,
    /// Flow hash, 16 hexadecimal digits.
    pub hash: String,
    /// Tables that it was explained by; `None` offline.
    pub generation: Option<u64>,
    /// The decision step by step.
    pub steps: Vec<Step>,
}

/// `GET /api/v1/maglev/VIP`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MaglevStatus {
    /// Name of the VIP.
    pub vip: String,
    /// Name of its pool.
    pub pool: String,
    /// Slots of the table.
    pub size: u32,
    /// Fingerprint of the table, 16 hexadecimal digits.
    pub digest: String,
    /// Its backends.
    pub backends: Vec<MaglevShare>,
}

/// A backend's part of a Maglev table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MaglevShare {
    /// Its name.
    pub backend: String,
    /// Its weight.
    pub weight: u32,
    /// Its slots.
    pub slots: u32,
    /// Its slots of all, 0 to 1.
    pub share: f64,
    /// What its weight asks for, 0 to 1.
    pub wanted: f64,
}

/// `GET /api/v1/maglev/VIP?remove=...`: what would happen if backends went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MaglevForecast {
    /// Name of the VIP.
    pub vip: String,
    /// Backends that would be gone.
    pub removed: Vec<String>,
    /// Share of the slots that get another owner, 0 to 1.
    pub slots_moved: f64,
    /// Of those, the ones whose owner stays: moved without need.
    pub slots_moved_needlessly: f64,
    /// Flows in the connection tables that would move.
    pub live_flows_moved: u64,
}

/// `GET /api/v1/connections?src=&dst=`: a flow's entry on one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionStatus {
    /// Worker whose table holds it.
    pub worker: String,
    /// Fingerprint of the flow, 12 hexadecimal digits: entries hold no addresses.
    pub fingerprint: String,
    /// Name of the VIP; `None` if it is gone.
    pub vip: Option<String>,
    /// Name of the pool.
    pub pool: Option<String>,
    /// Name of the backend; `None` if it is gone.
    pub backend: Option<String>,
    /// `embryonic`, `established`, `closing` or `datagram`.
    pub state: String,
    /// Time since its last packet, whole seconds.
    pub idle_seconds: u32,
}

/// Numbers of connections: `GET /api/v1/connections/count`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionCount {
    /// Name of the VIP.
    pub vip: String,
    /// Name of the pool.
    pub pool: String,
    /// Name of the backend.
    pub backend: String,
    /// Entries now.
    pub active: u64,
    /// Entries made since the start.
    pub total: u64,
}

/// One step of a probe made at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbeStep {
    /// `connect`, `tls`, `request`, `response`, `verdict`.
    pub step: String,
    /// What happened.
    pub result: String,
    /// When, after the beginning.
    pub after_seconds: f64,
}

/// `POST /api/v1/health/probe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbeReport {
    /// Name of the pool.
    pub pool: String,
    /// Name of the backend.
    pub backend: String,
    /// Kind of probe.
    pub probe: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// Why not, one word.
    pub cause: Option<String>,
    /// Step by step.
    pub steps: Vec<ProbeStep>,
}
