//! Backends for people.

use super::BackendName;
use crate::cli::live::{Live, Outcome};
use crate::cli::output::units::{bytes, count, duration, instant, percent, weight};
use crate::cli::output::{Align, Table};
use crate::client::Target;
use crate::control::view::{BackendStatus, HealthStatus, OverrideStatus, PoolStatus};

/// All, or those of a pool.
pub(super) fn list(live: &mut Live<'_>, pool: Option<&str>) -> Outcome {
    let backends: Vec<BackendStatus> = match pool {
        Some(pool) => live.client.get(&Target::new(&["pools", pool, "backends"]))?,
        None => {
            let pools: Vec<PoolStatus> = live.client.get(&Target::new(&["pools"]))?;
            pools.into_iter().flat_map(|pool| pool.backends).collect()
        }
    };
    live.show("BackendList", &backends, |live| match backends.as_slice() {
        [] => "there are no backends\n".into(),
        backends => table(backends, live),
    })?;
    Ok(0)
}

fn table(backends: &[BackendStatus], live: &Live<'_>) -> String {
    let is_wide = live.form.is_wide();
    let mut columns = vec![
        ("BACKEND", Align::Left),
        ("STATE", Align::Left),
        ("REASON", Align::Left),
        ("WEIGHT", Align::Right),
        ("SHARE", Align::Right),
        ("FLOWS", Align::Right),
        ("PACKETS", Align::Right),
    ];
    if is_wide {
        columns.extend([
            ("ADDRESS", Align::Left),
            ("PROBE", Align::Left),
            ("LATENCY", Align::Right),
            ("FAILED", Align::Right),
            ("BYTES", Align::Right),
            ("OVERRIDE", Align::Left),
        ]);
    }
    let mut table = Table::new(&columns);
    for backend in backends {
        let state = live.style.state(&backend.state);
        let mut cells = vec![
            format!("{}/{}", backend.pool, backend.name),
            if backend.drained && backend.state == "drain" {
                state.replace("drain", "drained")
            } else {
                state
            },
            backend.reason.clone(),
            weight(backend.weight),
            percent(backend.share),
            count(backend.active_connections),
            count(backend.packets),
        ];
        if is_wide {
            let health = backend.health.as_ref();
            cells.extend([
                backend.address.to_string(),
                health.map_or("-".into(), |health| health.probe.clone()),
                health.and_then(|health| health.latency_seconds).map_or("-".into(), duration),
                health.map_or("-".into(), |health| format!("{}/{}", health.failures, health.checks)),
                bytes(backend.bytes),
                backend.override_.as_ref().map_or("-".into(), words),
            ]);
        }
        table.row(cells);
    }
    table.text()
}

/// An override in a few words.
fn words(word: &OverrideStatus) -> String {
    let mut parts: Vec<String> = word.state.iter().map(|state| state.name().to_owned()).collect();
    parts.extend(word.weight.map(|weight| format!("weight {weight}")));
    parts.extend(word.remaining_seconds.map(|left| format!("for {}", duration(left))));
    if word.persistent {
        parts.push("kept over restarts".into());
    }
    parts.join(", ")
}

/// All about one.
pub(super) fn one(live: &mut Live<'_>, name: &BackendName) -> Outcome {
    let backend: BackendStatus = live.client.get(&name.target())?;
    live.show("Backend", &backend, |live| text(&backend, live))?;
    Ok(0)
}

fn text(backend: &BackendStatus, live: &Live<'_>) -> String {
    let mut text = format!(
        "backend {}/{}\n  address      {}\n  state        {} ({}){}\n  configured   {}, weight {}\n",
        backend.pool,
        backend.name,
        backend.address,
        live.style.state(&backend.state),
        backend.reason,
        if backend.drained { ", no flows left" } else { "" },
        backend.configured_state.name(),
        backend.configured_weight,
    );
    if let Some(word) = &backend.override_ {
        text += &format!("  override     {}\n", words(word));
    }
    text += &format!("  weight       {}, {} of the slots\n", weight(backend.weight), percent(backend.share));
    for reason in &backend.weight_reasons {
        text += &format!("               {reason}\n");
    }
    text += &format!(
        "  flows        {} now, {} since the start\n  sent         {} packets, {}\n",
        backend.active_connections,
        count(backend.connections),
        count(backend.packets),
        bytes(backend.bytes),
    );
    text + &backend
        .health
        .as_ref()
        .map_or("  health       not checked\n".into(), |health| self::health(health, live))
}

/// What health checks say, two lines.
pub(in crate::cli) fn health(health: &HealthStatus, live: &Live<'_>) -> String {
    let since = health.since_seconds.map_or(String::new(), |at| format!(" since {} UTC", instant(at)));
    let latency =
        health.latency_seconds.map_or(String::new(), |time| format!(", last took {}", duration(time)));
    let mut text = format!(
        "  health       {} by {}{since}{latency}\n               {} probes, {} failed\n",
        live.style.state(&health.state),
        health.probe,
        health.checks,
        health.failures,
    );
    if let Some(cause) = &health.cause {
        let detail = health.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
        text += &live.style.bad(&format!("               {cause}{detail}"));
        text.push('\n');
    }
    text
}
