//! The documents that only the API has: bodies of requests, and answers that are not the controller's own.

use crate::control::AdminState;
use crate::control::view::{DropCount, Finding, MaglevForecast, MaglevStatus, WorkerStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionInfo {
    /// Version of the program.
    pub version: String,
    /// Version of the API and its documents.
    pub api: String,
    /// Revision that it was built from, if it is known.
    pub revision: Option<String>,
    /// Compiler.
    pub rustc: String,
    /// DPDK, unless the program was built without.
    pub dpdk: Option<String>,
}

/// `GET /api/v1/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDocument {
    /// Number of the tables that were made from it.
    pub generation: u64,
    /// Its files, secrets masked.
    pub files: Vec<ConfigFile>,
}

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigFile {
    /// Its path, or what it was sent as.
    pub name: String,
    /// YAML.
    pub text: String,
}

/// `POST /api/v1/config/check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// Whether it could be applied.
    pub valid: bool,
    /// Errors and warnings.
    pub findings: Vec<Finding>,
}

/// `GET /api/v1/runtime`: what the workers do, since the start of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuntimeReport {
    /// Time since the start.
    pub uptime_seconds: f64,
    /// The workers.
    pub workers: Vec<WorkerRuntime>,
}

/// One worker and what its counters amount to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerRuntime {
    /// Its counters.
    #[serde(flatten)]
    pub status: WorkerStatus,
    /// Share of its time in turns that brought packets, 0 to 1; `None` before its first turn.
    pub busy_ratio: Option<f64>,
    /// Mean time per packet in those turns; `None` before its first packet.
    pub nanoseconds_per_packet: Option<f64>,
}

impl From<WorkerStatus> for WorkerRuntime {
    fn from(status: WorkerStatus) -> Self {
        let total = status.busy_seconds + status.idle_seconds;
        Self {
            busy_ratio: (total > 0.0).then(|| status.busy_seconds / total),
            nanoseconds_per_packet: (status.packets > 0)
                .then(|| status.busy_seconds * 1e9 / status.packets as f64),
            status,
        }
    }
}

/// `GET /api/v1/drops`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DropsReport {
    /// By reason, without those that are 0.
    pub dropped: Vec<DropCount>,
}

/// `PATCH /api/v1/pools/POOL/backends/BACKEND`: the operator's word; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendPatch {
    /// Wanted state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AdminState>,
    /// Weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// How long it lasts, such as `30m`; not together with `persist`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[1-9][0-9]{0,3}(ms|s|m|h)$", example = "30m")]
    pub for_: Option<String>,
    /// Keep it over restarts.
    #[serde(default)]
    pub persist: bool,
    /// Forget earlier words on this backend first.
    #[serde(default)]
    pub clear: bool,
}

/// `POST /api/v1/health/probe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Name of the pool.
    pub pool: String,
    /// Name of the backend.
    pub backend: String,
}

/// `GET /api/v1/log-level`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogLevel {
    /// Filter in force.
    pub filter: String,
    /// Filter that comes back by itself.
    pub then: Option<String>,
    /// Time until then.
    pub remaining_seconds: Option<f64>,
}

/// `PUT /api/v1/log-level`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevelChange {
    /// A level, a filter such as `info,guideway::health=debug`, or `TARGET=LEVEL` on top of what is in force.
    #[schema(max_length = 1024, example = "info,guideway::health=debug")]
    pub filter: String,
    /// How long it lasts, such as `10m`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[1-9][0-9]{0,3}(ms|s|m|h)$", example = "10m")]
    pub for_: Option<String>,
}

/// `GET /api/v1/maglev/VIP`: the table, or with `remove` what would become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MaglevAnswer {
    /// The table.
    Status(MaglevStatus),
    /// What would become of it.
    Forecast(MaglevForecast),
}
