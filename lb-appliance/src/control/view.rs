//! What the control plane says to the outside: the documents of the admin API and of `-o json`.
//!
//! These shapes are a contract (version [`VERSION`]): fields are added, never renamed or given another meaning.
//! Durations are in the unit that their name ends with, instants are seconds since the Unix epoch.

mod flows;

use super::action::AdminState;
pub use flows::{
    ConnectionCount, ConnectionStatus, Explanation, Flow, MaglevForecast, MaglevShare, MaglevStatus,
    ProbeReport, ProbeStep, Step,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// Version of the documents.
pub const VERSION: &str = "v1";

/// `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Configured node name.
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// Start of the process.
    pub started_at_seconds: f64,
    /// Time since then.
    pub uptime_seconds: f64,
    /// Number of the tables in force; every change makes a new one.
    pub generation: u64,
    /// Workers that forward by it, of all.
    pub seen: usize,
    /// Hash of the configuration files.
    pub config_hash: String,
    /// Hash of all that decides a backend; equal on every node of an ECMP group.
    pub forwarding_hash: String,
    /// The last attempt to apply a configuration.
    pub last_reload: Option<ReloadStatus>,
    /// A configuration that rolls back by itself unless it is confirmed.
    pub pending_confirmation: Option<Pending>,
    /// Number of words of the operator in force over the configuration.
    pub overrides: usize,
    /// What keeps the balancer from serving well, in words; empty if nothing does.
    pub problems: Vec<String>,
    /// What the process has given up.
    #[serde(default)]
    pub security: Confinement,
    /// The workers.
    pub workers: Vec<WorkerStatus>,
    /// The VIPs.
    pub vips: Vec<VipStatus>,
    /// Packets dropped since the start, by reason, without those that are 0.
    pub dropped: Vec<DropCount>,
}

/// What the process has given up since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Confinement {
    /// Capabilities that it has.
    pub capabilities: Vec<String>,
    /// Capabilities that it had and gave up.
    pub given_up: Vec<String>,
    /// What becomes of system calls that the filter does not name: `enforce` (EPERM), `log`, `off`.
    pub seccomp: String,
    /// Whether programs may be executed, as health checks by `command` do.
    pub commands: bool,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DropCount {
    /// Name of the reason, as in the metrics.
    pub reason: String,
    /// What it means and what to do.
    pub help: String,
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames.
    pub bytes: u64,
}

/// The last attempt to apply a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadStatus {
    /// When.
    pub at_seconds: f64,
    /// Whether it is what runs.
    pub successful: bool,
    /// One line: what changed, or why not.
    pub message: String,
}

/// A configuration on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pending {
    /// Time left until it rolls back.
    pub remaining_seconds: f64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerStatus {
    /// Its CPU, or `w` and its number.
    pub worker: String,
    /// Tables that it forwards by.
    pub generation: u64,
    /// Age of its last sign of life; `null` if it has given none.
    pub heartbeat_age_seconds: Option<f64>,
    /// Packets served.
    pub packets: u64,
    /// Time in turns that brought packets, since the start.
    pub busy_seconds: f64,
    /// Time in turns that brought none.
    pub idle_seconds: f64,
    /// Connection table: entries in use.
    pub entries: u64,
    /// Connection table: entries that fit.
    pub capacity: u64,
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VipStatus {
    /// Its name.
    pub name: String,
    /// Its addresses and prefixes.
    pub addresses: Vec<String>,
    /// `tcp`, `udp`, `sctp` or `any`.
    pub protocol: String,
    /// `any`, or the ports with commas between them.
    pub ports: String,
    /// Name of its pool.
    pub pool: String,
    /// Backends of the pool.
    pub backends: usize,
    /// Those of them that take new flows.
    pub healthy_backends: usize,
    /// True while the panic threshold overrides health.
    pub panic: bool,
    /// True if new flows find a backend and the quorum is met.
    pub serving: bool,
    /// Packets received since the start.
    pub packets: u64,
    /// Bytes received, frames without FCS.
    pub bytes: u64,
    /// Flows since the start.
    pub connections: u64,
    /// Flows in the connection tables now.
    pub active_connections: u64,
    /// Packets dropped after the VIP was known.
    pub dropped: u64,
}

/// One pool with its backends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// `ipip`, `gue`, `vxlan`, `l2dsr`.
    pub encapsulation: String,
    /// Names of the VIPs that it serves.
    pub vips: Vec<String>,
    /// True while the panic threshold overrides health.
    pub panic: bool,
    /// The backends.
    pub backends: Vec<BackendStatus>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendStatus {
    /// Name of its pool.
    pub pool: String,
    /// Its name.
    pub name: String,
    /// Its address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// What becomes of its packets: `up`, `down`, `drain`, `disabled`, `maintenance`, `unknown`.
    pub state: String,
    /// Why, in words: `configured`, `operator`, `health check`, `panic threshold`.
    pub reason: String,
    /// What the operator wants.
    pub admin_state: AdminState,
    /// What the configuration wants.
    pub configured_state: AdminState,
    /// The operator's word, if it differs from the configuration.
    #[serde(rename = "override")]
    pub override_: Option<OverrideStatus>,
    /// Weight in the configuration.
    pub configured_weight: u16,
    /// Weight that counts now: operator, slow start, adaptive weights.
    pub weight: f64,
    /// How that weight came about, one part per line; empty if it is the configured one.
    pub weight_reasons: Vec<String>,
    /// Share of the Maglev slots of its pool, 0 to 1.
    pub share: f64,
    /// Outcome of its health check; `None` without one.
    pub health: Option<HealthStatus>,
    /// Flows in the connection tables now.
    pub active_connections: u64,
    /// Flows since the start.
    pub connections: u64,
    /// Packets sent to it.
    pub packets: u64,
    /// Bytes sent to it, encapsulation included.
    pub bytes: u64,
    /// True if it takes no new flows and has none any more.
    pub drained: bool,
}

/// The operator's word on a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverrideStatus {
    /// State, if it is overridden.
    pub state: Option<AdminState>,
    /// Weight, if it is overridden.
    pub weight: Option<u16>,
    /// Time until it is cleared by itself.
    pub remaining_seconds: Option<f64>,
    /// True if it outlives the process.
    pub persistent: bool,
}

/// What health checks say of a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthStatus {
    /// Kind of probe: `tcp`, `http`, ...
    pub probe: String,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// When it became so.
    pub since_seconds: Option<f64>,
    /// Why the last probe failed, one word; `None` after a success.
    pub cause: Option<String>,
    /// More about it.
    pub detail: Option<String>,
    /// Duration of the last probe.
    pub latency_seconds: Option<f64>,
    /// Probes since the start.
    pub checks: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Ascending without gaps.
    pub sequence: u64,
    /// When.
    pub at_seconds: f64,
    /// Stable name: `backend_up`, `backend_down`, `backend_drained`, `reload`, ...
    pub kind: String,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// What it is about: `backend web/web-1`, `vip web`, `config`.
    pub object: String,
    /// One line for people.
    pub message: String,
}

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// `added`, `removed` or `changed`.
    pub kind: String,
    /// `vip web`, `pool web`, `backend web/web-1`, `forwarding`, ...
    pub object: String,
    /// Key that changed, as a path; `None` if the whole object did.
    pub field: Option<String>,
    /// Value before.
    pub from: Option<String>,
    /// Value after.
    pub to: Option<String>,
    /// True if it takes effect only after a restart.
    pub restart: bool,
}

/// What a change would do to one VIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VipImpact {
    /// Its name.
    pub vip: String,
    /// Share of the Maglev slots that get another owner: of new flows, and of flows without an entry, 0 to 1.
    pub slots_moved: f64,
    /// Flows in the connection tables now.
    pub live_flows: u64,
    /// Those of them that would get another backend, or none.
    pub live_flows_moved: u64,
}

/// `GET /api/v1/config/diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiffReport {
    /// What would change, in the order of the configuration.
    pub changes: Vec<Change>,
    /// What it would do to each VIP that it touches.
    pub impact: Vec<VipImpact>,
    /// Words of the operator that stay in force.
    pub overrides: Vec<BackendOverride>,
    /// Why it would be refused without `--force`, if it would.
    pub needs_force: Option<String>,
    /// Warnings of the configuration.
    pub warnings: Vec<Finding>,
}

/// An override with the name of its backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendOverride {
    /// Name of the pool.
    pub pool: String,
    /// Name of the backend.
    pub backend: String,
    /// What it says.
    #[serde(flatten)]
    pub override_: OverrideStatus,
}

/// What a change has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// Number of the tables now in force.
    pub generation: u64,
    /// Workers that forward by them.
    pub seen: usize,
    /// All workers.
    pub workers: usize,
    /// One line: what happened.
    pub message: String,
    /// What changed.
    pub changes: Vec<Change>,
    /// Command that undoes it.
    pub undo: Option<String>,
    /// Time in which it must be confirmed.
    pub confirm_within_seconds: Option<f64>,
    /// Warnings of the configuration.
    pub warnings: Vec<Finding>,
}

/// One finding about a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// `GW` and four digits.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// File, if there is a place.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// Path of the key.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The mend.
    pub hint: Option<String>,
}

/// An error: RFC 9457 with a stable code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// URI of the kind of problem: `urn:guideway:GW9001`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about, without details.
    pub title: String,
    /// Status of the HTTP answer.
    pub status: u16,
    /// What is wrong here and what to do about it.
    pub detail: String,
    /// `GW` and four digits.
    pub code: String,
    /// All findings, if it is about a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Problem {
    /// What is wrong, in a sentence: the first finding if there are any.
    pub(crate) fn first_complaint(&self) -> &str {
        self.findings.first().map_or(&self.detail, |finding| &finding.message)
    }
}
