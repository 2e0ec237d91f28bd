//! Giving up what only the start needed: capabilities of every thread, new privileges, system calls.
//!
//! Done once, when ports, listeners and workers are there and before the first request is answered. A step that fails
//! ends the start: what the configuration promises holds, or nothing runs.

use crate::config::model::{Config, Seccomp};
use crate::confine::{self, Action, WANTED, names, policy};
use crate::control::view::Confinement;
use anyhow::{Context, Result, anyhow};
use std::io;

/// Takes up what the file capabilities of the program permit: they are not effective by themselves, or it could not
/// be started where the container grants less.
pub(super) fn claim() -> Result<()> {
    let wanted = WANTED.into_iter().fold(0, |set, (number, _)| set | 1 << number);
    dpdk::confine::raise(wanted).context("capabilities cannot be read or taken up")?;
    Ok(())
}

/// Confines the process for good, and says what it gave up.
pub(super) fn confine(config: &Config) -> Result<Confinement> {
    let before = held()?;
    if let Some(kept) = confine::kept(config) {
        let keep = kept.iter().fold(0, |set, ((number, _), _)| set | 1 << number);
        dpdk::confine::keep_only(keep).map_err(cannot_give_up)?;
        for ((_, name), why) in kept {
            tracing::debug!(event = "capability_kept", capability = name, why, "kept");
        }
    }
    dpdk::confine::no_new_privileges().context("new privileges cannot be given up (PR_SET_NO_NEW_PRIVS)")?;
    let needs = confine::needs(config);
    if let Some(action) = confine::action(config) {
        install(needs, action)?;
    }
    let after = held()?;
    let confinement = Confinement {
        capabilities: names(after),
        given_up: names(before & !after),
        seccomp: match config.security.seccomp {
            Seccomp::Enforce => "enforce",
            Seccomp::Log => "log",
            Seccomp::Off => "off",
        }
        .into(),
        commands: config.security.may_execute || config.security.seccomp != Seccomp::Enforce,
    };
    let words = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(",") };
    tracing::info!(
        event = "confined",
        capabilities = words(&confinement.capabilities),
        given_up = words(&confinement.given_up),
        seccomp = %confinement.seccomp,
        commands = confinement.commands,
        "privileges of the start given up"
    );
    Ok(confinement)
}

/// Permitted capabilities of this thread; all threads have the same.
fn held() -> Result<u64> {
    Ok(dpdk::confine::capabilities().context("capabilities cannot be read")?.permitted)
}

fn cannot_give_up(error: io::Error) -> anyhow::Error {
    anyhow!(
        "capabilities cannot be given up: {error}; if a filter around this process forbids capset(2) (SystemCallFilter= \
         of a unit, a seccomp profile of a container), allow it there, or set `security.capabilities: keep`"
    )
}

fn install(needs: policy::Needs, action: Action) -> Result<()> {
    let programs = policy::programs(needs, action).context("the filter of system calls cannot be made")?;
    let last = programs.len().saturating_sub(1);
    for (index, program) in programs.iter().enumerate() {
        let instructions: Vec<libc::sock_filter> = program
            .iter()
            .map(|one| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k })
            .collect();
        dpdk::confine::filter_system_calls(&instructions, index == last).map_err(|error| {
            anyhow!(
                "the filter of system calls cannot be installed: {error}; where the kernel has no seccomp, or a filter \
                 around this process forbids seccomp(2), set `security.seccomp: off`"
            )
        })?;
    }
    Ok(())
}
