//! `guideway health show|probe`.

use super::EXIT_FAILED;
use super::backend::BackendName;
use super::live::{Live, LiveArgs, Outcome, run};
use super::output::units::{duration, instant};
use super::output::{Align, Table};
use crate::admin::ProbeRequest;
use crate::client::Target;
use crate::control::view::{BackendStatus, PoolStatus, ProbeReport};
use hyper::Method;
use std::process::ExitCode;

/// Arguments of `guideway health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// What to do about health.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what health checks say of all backends
    Show,
    /// Probe a backend now and show each step; changes nothing. Exit code 1 if the probe fails
    Probe {
        /// Pool and backend
        #[arg(value_name = "POOL/BACKEND")]
        name: BackendName,
    },
}

/// Runs it.
pub fn health(args: &HealthArgs) -> ExitCode {
    run(&args.live, |live| match &args.verb {
        Verb::Show => show(live),
        Verb::Probe { name } => probe(live, name),
    })
}

fn show(live: &mut Live<'_>) -> Outcome {
    let pools: Vec<PoolStatus> = live.client.get(&Target::new(&["pools"]))?;
    live.show("PoolList", &pools, |live| {
        let mut table = Table::new(&[
            ("BACKEND", Align::Left),
            ("HEALTH", Align::Left),
            ("PROBE", Align::Left),
            ("SINCE (UTC)", Align::Left),
            ("LATENCY", Align::Right),
            ("FAILED", Align::Right),
            ("CAUSE", Align::Left),
        ]);
        for backend in pools.iter().flat_map(|pool| &pool.backends) {
            table.row(cells(backend, live));
        }
        table.text()
    })?;
    Ok(0)
}

fn cells(backend: &BackendStatus, live: &Live<'_>) -> Vec<String> {
    let name = format!("{}/{}", backend.pool, backend.name);
    let dash = || "-".to_owned();
    let Some(health) = &backend.health else {
        return vec![name, dash(), "none".into(), dash(), dash(), dash(), String::new()];
    };
    let cause = health.cause.clone().unwrap_or_default();
    let detail = health.detail.as_ref().filter(|_| live.form.is_wide());
    vec![
        name,
        live.style.state(&health.state),
        health.probe.clone(),
        health.since_seconds.map_or_else(dash, instant),
        health.latency_seconds.map_or_else(dash, duration),
        health.failures.to_string(),
        detail.map_or(cause.clone(), |detail| format!("{cause}: {detail}")),
    ]
}

fn probe(live: &mut Live<'_>, name: &BackendName) -> Outcome {
    let request = ProbeRequest { pool: name.pool.clone(), backend: name.backend.clone() };
    let report: ProbeReport =
        live.client.send_json(Method::POST, &Target::new(&["health", "probe"]), &request)?;
    live.show("ProbeReport", &report, |live| {
        let mut text = format!("probe {} of {name}\n", report.probe);
        for step in &report.steps {
            text += &format!("  {:>8}  {:<9} {}\n", duration(step.after_seconds), step.step, step.result);
        }
        text += &match (&report.cause, report.ok) {
            (_, true) => live.style.good("the probe succeeded"),
            (Some(cause), false) => live.style.bad(&format!("the probe failed: {cause}")),
            (None, false) => live.style.bad("the probe failed"),
        };
        text + "\n"
    })?;
    Ok(if report.ok { 0 } else { EXIT_FAILED })
}
