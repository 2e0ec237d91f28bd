//! Health checks with sockets: probes, and the engine that runs them on time.
//!
//! When to probe and what a result changes is decided in `lb_core::health`; here are the sockets, the clock and the
//! counters. The configuration makes [`Target`]s ([`plan::targets`]), the [`Engine`] probes them and sends a
//! [`HealthEvent`] for every change; who owns the tables acts on it. `docs/health.md` is the operator's page.

mod agent;
mod engine;
mod limits;
mod outcome;
pub mod plan;
mod probe;
mod steps;
mod tls;
pub mod tunnel;
mod wire;

pub use agent::{Administrative, AgentReport, Operational};
pub use engine::{Engine, EngineHandle, HealthEvent, Histogram, Last, Options, Row, Snapshot, Timings};
pub use limits::{open_files, raise_open_files};
pub use outcome::{Cause, Outcome};
pub use plan::{Part, Subscriber, Target, TargetKey};
pub use probe::{ProbeReport, probe_once};
pub use steps::Step;
pub use tunnel::Tunnels;
