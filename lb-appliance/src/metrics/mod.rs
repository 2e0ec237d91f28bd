//! Prometheus metrics and the health endpoints: what the outside sees of a running balancer.
//!
//! A scrape reads the blocks of [`crate::instruments`] at the moment it is asked for and builds its answer from
//! them; no worker is stopped, waited for or written to. Everything that is exported stands in one table,
//! [`catalogue`], and `docs/metrics.md` is tested against it. There is no global registry.

mod backends;
mod bind;
pub mod catalogue;
mod checks;
mod exporter;
mod families;
mod fingerprint;
mod generation;
mod health;
mod latency;
mod node;
mod ports;
mod selection;
mod server;
mod sources;
mod vips;
mod workers;

pub use bind::{MetricsError, bind};
pub use exporter::Exporter;
pub use fingerprint::forwarding_hash;
pub use generation::{BackendCondition, BackendInfo, Generation, PoolInfo, VipInfo};
pub use health::{Check, HEARTBEAT_AGE_MAX, liveness, readiness, stuck};
pub use latency::latency_summary;
pub use selection::{Group, Selection, UnknownGroup};
pub use server::{CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUEST_SECONDS_MAX, RESPONSE_SECONDS_MAX, serve};
pub use sources::{Identity, Reloads, Sources};
