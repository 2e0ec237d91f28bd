//! The host preflight: what stands in the way of good forwarding, why it matters, and the command that mends it.
//!
//! Read-only. Everything is read below one root, so that tests use trees of their own; the only thing that is asked
//! of the running kernel is whether the metrics address can be bound. Nothing is complained about that the
//! configuration does not need: a lab of virtual devices has no use for vfio.

mod cpus;
mod device;
mod host;
mod inventory;
mod listeners;
mod memory;
mod network;
mod pci;
mod privileges;

pub use device::Device;
pub use host::Host;
pub use inventory::{Nic, nics};
pub(crate) use network::overhead;

use serde::Serialize;

use crate::config::model::Config;

/// Version of the JSON form; fields are only ever added.
pub const REPORT_VERSION: u32 = 1;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not always.
    Warning,
    /// It will not work.
    Error,
}

impl Severity {
    /// As in the reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the check, e.g. `memory.hugepages`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, with the object that it concerns.
    pub seen: String,
    /// Why it matters; nothing if all is well.
    pub why: Option<&'static str>,
    /// The command, or the change of the configuration, that mends it.
    pub fix: Option<String>,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of this form.
    pub version: u32,
    /// Findings that stop the balancer.
    pub errors: usize,
    /// Findings that cost something.
    pub warnings: usize,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn ok(&mut self, id: &'static str, seen: impl Into<String>) {
        self.list.push(Finding { id, severity: Severity::Ok, seen: seen.into(), why: None, fix: None });
    }

    fn warning(
        &mut self,
        id: &'static str,
        seen: impl Into<String>,
        why: &'static str,
        fix: impl Into<String>,
    ) {
        self.push(id, Severity::Warning, seen, why, fix);
    }

    fn error(
        &mut self,
        id: &'static str,
        seen: impl Into<String>,
        why: &'static str,
        fix: impl Into<String>,
    ) {
        self.push(id, Severity::Error, seen, why, fix);
    }

    fn push(
        &mut self,
        id: &'static str,
        severity: Severity,
        seen: impl Into<String>,
        why: &'static str,
        fix: impl Into<String>,
    ) {
        let (seen, why, fix) = (seen.into(), Some(why), Some(fix.into()));
        self.list.push(Finding { id, severity, seen, why, fix });
    }
}

/// Examines a host; without a configuration only what every balancer needs.
pub fn examine(config: Option<&Config>, host: &Host) -> Report {
    let mut findings = Findings::default();
    let devices: Vec<Device> = config.into_iter().flat_map(|config| Device::all(&config.dataplane)).collect();
    let punts: Vec<Device> = config.into_iter().flat_map(|config| Device::punts(&config.dataplane)).collect();
    memory::check(config, host, &mut findings);
    cpus::check(config, &devices, host, &mut findings);
    pci::check(&devices, host, &mut findings);
    network::check(config, &devices, host, &mut findings);
    network::taps(devices.iter().chain(&punts), host, &mut findings);
    privileges::check(config, &devices, &punts, host, &mut findings);
    if let Some(config) = config {
        listeners::check(config, host, &mut findings);
    }
    Report::of(findings.list)
}

impl Report {
    /// Counts.
    pub fn of(findings: Vec<Finding>) -> Self {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        Self { version: REPORT_VERSION, errors, warnings, findings }
    }
}

#[cfg(test)]
mod tests;
