//! `security`: what the process gives up once it forwards. May be missing: then it gives up all that it can.

use super::super::keys;
use super::super::model::{CapabilityPolicy, Seccomp, Security};
use super::super::read::Section;

pub(in super::super) fn security(root: &Section<'_>) -> Security {
    let section = root.get("security").and_then(|item| item.section(&keys::SECURITY));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let filters = [("enforce", Seccomp::Enforce), ("log", Seccomp::Log), ("off", Seccomp::Off)];
    let policies = [("drop", CapabilityPolicy::Drop), ("keep", CapabilityPolicy::Keep)];
    let commands = get("commands").and_then(|item| item.boolean()).unwrap_or(false);
    Security {
        seccomp: get("seccomp").and_then(|item| item.choice(&filters, &[])).unwrap_or(Seccomp::Enforce),
        capabilities: get("capabilities")
            .and_then(|item| item.choice(&policies, &[]))
            .unwrap_or(CapabilityPolicy::Drop),
        commands,
        may_execute: commands,
    }
}
