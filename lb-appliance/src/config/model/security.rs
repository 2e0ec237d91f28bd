//! `security`: what the process gives up once it forwards. Read at start only.

/// `security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// Whether capabilities that only the start needs are kept.
    pub capabilities: CapabilityPolicy,
    /// `security.commands`: health checks by `command` may come by a reload.
    pub commands: bool,
    /// Programs may be executed: because of `commands`, or because a health check by `command` is there. In a running
    /// process it is what the filter was made for.
    pub may_execute: bool,
}

/// `security.seccomp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// Any other system call fails with EPERM, and the kernel logs it.
    Enforce,
    /// Any other system call is made, and the kernel logs it.
    Log,
    /// There is no filter.
    Off,
}

/// `security.capabilities`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityPolicy {
    /// All but those that the configured ports need later are given up.
    Drop,
    /// None is given up.
    Keep,
}
