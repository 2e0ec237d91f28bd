//! `guideway status`: everything at a glance. Exit code 5 if something keeps the balancer from serving well.

use super::live::{EXIT_DEGRADED, Live, LiveArgs, Outcome, run};
use super::output::units::{count, duration, instant};
use super::output::{Align, Table};
use crate::client::Target;
use crate::control::view::{Confinement, Status, VipStatus};
use std::process::ExitCode;

/// Arguments of `guideway status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Shows the status.
pub fn status(args: &StatusArgs) -> ExitCode {
    run(&args.live, |live| live.watch(args.watch, show))
}

fn show(live: &mut Live<'_>) -> Outcome {
    let status: Status = live.client.get(&Target::new(&["status"]))?;
    live.show("Status", &status, |live| text(&status, live))?;
    Ok(if status.problems.is_empty() { 0 } else { EXIT_DEGRADED })
}

/// The text for people.
pub(super) fn text(status: &Status, live: &Live<'_>) -> String {
    let style = live.style;
    let serving = status.vips.iter().filter(|vip| vip.serving).count();
    let mut text = format!(
        "node {}  guideway {}  up {}\n",
        status.node,
        status.version,
        duration(status.uptime_seconds)
    );
    text += &format!(
        "generation {}, seen by {} of {} workers; {serving} of {} VIPs serve\n",
        status.generation,
        status.seen,
        status.workers.len(),
        status.vips.len()
    );
    if live.form.is_wide() {
        text += &format!("config hash {}  forwarding hash {}\n", status.config_hash, status.forwarding_hash);
    }
    if let Some(reload) = &status.last_reload {
        let line = format!("last reload {}: {}", instant(reload.at_seconds), reload.message);
        text += &(if reload.successful { line } else { style.bad(&line) });
        text.push('\n');
    }
    if let Some(pending) = &status.pending_confirmation {
        let left = duration(pending.remaining_seconds);
        text += &style.warning(&format!("ON TRIAL: rolls back in {left} unless you run: guideway confirm"));
        text.push('\n');
    }
    if status.overrides > 0 {
        let words = if status.overrides == 1 { "word" } else { "words" };
        text += &format!("{} {words} of the operator in force: guideway diff lists them\n", status.overrides);
    }
    for problem in &status.problems {
        text += &(style.bad(&format!("PROBLEM: {problem}")) + "\n");
    }
    if status.problems.is_empty() {
        text += &(style.good("no problems") + "\n");
    }
    if live.form.is_wide() {
        text += &(security(&status.security) + "\n");
    }
    if !status.vips.is_empty() {
        text += &format!("\n{}", vips(&status.vips, live));
    }
    if !status.workers.is_empty() {
        text += &format!("\n{}", workers(status));
    }
    if !status.dropped.is_empty() {
        let sum: u64 = status.dropped.iter().map(|drop| drop.packets).sum();
        text += &format!("\n{} packets dropped: guideway drops says why\n", count(sum));
    }
    text
}

/// What the process can still do, in one line.
fn security(security: &Confinement) -> String {
    let kept =
        if security.capabilities.is_empty() { "none".into() } else { security.capabilities.join(", ") };
    let commands = if security.commands { "commands allowed" } else { "no commands" };
    format!(
        "capabilities: {kept} ({} given up)  seccomp: {}, {commands}",
        security.given_up.len(),
        security.seccomp
    )
}

/// The table of VIPs.
pub(super) fn vips(vips: &[VipStatus], live: &Live<'_>) -> String {
    let mut columns = vec![
        ("VIP", Align::Left),
        ("POOL", Align::Left),
        ("STATE", Align::Left),
        ("BACKENDS", Align::Right),
        ("FLOWS", Align::Right),
        ("PACKETS", Align::Right),
        ("DROPPED", Align::Right),
    ];
    if live.form.is_wide() {
        columns.extend([("PROTO", Align::Left), ("PORTS", Align::Left), ("ADDRESSES", Align::Left)]);
    }
    let mut table = Table::new(&columns);
    for vip in vips {
        let state = match (vip.serving, vip.panic) {
            (true, false) => live.style.good("serving"),
            (true, true) => live.style.warning("panic"),
            (false, _) => live.style.bad("down"),
        };
        let mut cells = vec![
            vip.name.clone(),
            vip.pool.clone(),
            state,
            format!("{}/{}", vip.healthy_backends, vip.backends),
            count(vip.active_connections),
            count(vip.packets),
            count(vip.dropped),
        ];
        if live.form.is_wide() {
            let addresses: Vec<String> = vip.addresses.iter().map(ToString::to_string).collect();
            cells.extend([vip.protocol.clone(), vip.ports.clone(), addresses.join(" ")]);
        }
        table.row(cells);
    }
    table.text()
}

fn workers(status: &Status) -> String {
    let mut table = Table::new(&[
        ("WORKER", Align::Left),
        ("GENERATION", Align::Right),
        ("HEARTBEAT", Align::Right),
        ("PACKETS", Align::Right),
        ("ENTRIES", Align::Right),
        ("CAPACITY", Align::Right),
    ]);
    for worker in &status.workers {
        table.row([
            worker.worker.clone(),
            worker.generation.to_string(),
            worker.heartbeat_age_seconds.map_or_else(|| "never".into(), duration),
            count(worker.packets),
            count(worker.entries),
            count(worker.capacity),
        ]);
    }
    table.text()
}
