//! `guideway runtime`: what the workers do with their time.

use super::live::{Live, LiveArgs, Outcome, run};
use super::output::units::{count, percent, rate};
use super::output::{Align, Table};
use crate::admin::{RuntimeReport, WorkerRuntime};
use crate::client::Target;
use std::process::ExitCode;
use std::time::Duration;

/// Time between the two samples from which rates are made.
const SAMPLE: Duration = Duration::from_secs(1);

/// Arguments of `guideway runtime`.
#[derive(Debug, clap::Args)]
pub struct RuntimeArgs {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Averages since the start of the process instead of those of one second
    #[arg(long)]
    pub since_start: bool,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Shows the workers.
pub fn runtime(args: &RuntimeArgs) -> ExitCode {
    run(&args.live, |live| live.watch(args.watch, |live| show(live, args.since_start)))
}

fn show(live: &mut Live<'_>, since_start: bool) -> Outcome {
    let target = Target::new(&["runtime"]);
    let first: RuntimeReport = live.client.get(&target)?;
    if since_start || !live.form.is_for_people() {
        live.show("Runtime", &first, |_| text(&first.workers, first.uptime_seconds))?;
        return Ok(0);
    }
    std::thread::sleep(SAMPLE);
    let second: RuntimeReport = live.client.get(&target)?;
    let time = second.uptime_seconds - first.uptime_seconds;
    let between: Vec<WorkerRuntime> = second
        .workers
        .iter()
        .map(|now| {
            first
                .workers
                .iter()
                .find(|then| then.status.worker == now.status.worker)
                .map_or_else(|| now.clone(), |then| difference(now, then))
        })
        .collect();
    live.show("Runtime", &second, |_| text(&between, time))?;
    Ok(0)
}

/// What happened between two samples of one worker.
pub(super) fn difference(now: &WorkerRuntime, then: &WorkerRuntime) -> WorkerRuntime {
    let mut status = now.status.clone();
    status.packets = status.packets.saturating_sub(then.status.packets);
    status.busy_seconds = (status.busy_seconds - then.status.busy_seconds).max(0.0);
    status.idle_seconds = (status.idle_seconds - then.status.idle_seconds).max(0.0);
    status.into()
}

fn text(workers: &[WorkerRuntime], seconds: f64) -> String {
    let mut table = Table::new(&[
        ("WORKER", Align::Left),
        ("BUSY", Align::Right),
        ("PACKETS/S", Align::Right),
        ("NS/PACKET", Align::Right),
        ("ENTRIES", Align::Right),
        ("TABLE", Align::Right),
        ("GENERATION", Align::Right),
    ]);
    for worker in workers {
        let status = &worker.status;
        let filled = if status.capacity > 0 { status.entries as f64 / status.capacity as f64 } else { 0.0 };
        table.row([
            status.worker.clone(),
            worker.busy_ratio.map_or("-".into(), percent),
            if seconds > 0.0 { rate(status.packets as f64 / seconds) } else { "-".into() },
            worker.nanoseconds_per_packet.map_or("-".into(), |time| format!("{time:.0}")),
            count(status.entries),
            percent(filled),
            status.generation.to_string(),
        ]);
    }
    table.text()
}
