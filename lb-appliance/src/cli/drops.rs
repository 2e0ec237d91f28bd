//! `guideway drops`: packets dropped by reason, and what to do about each.

use super::live::{Live, LiveArgs, Outcome, run};
use super::output::units::{bytes, rate};
use super::output::{Align, Table};
use crate::admin::DropsReport;
use crate::client::Target;
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `guideway drops`.
#[derive(Debug, clap::Args)]
pub struct DropsArgs {
    /// Show it again every two seconds with rates, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Shows the drops.
pub fn drops(args: &DropsArgs) -> ExitCode {
    let mut before: Option<(DropsReport, Instant)> = None;
    run(&args.live, |live| {
        live.watch(args.watch, |live| {
            let report: DropsReport = live.client.get(&Target::new(&["drops"]))?;
            let now = Instant::now();
            let earlier =
                before.as_ref().map(|(earlier, at)| (earlier, now.duration_since(*at).as_secs_f64()));
            let outcome = show(live, &report, earlier);
            before = Some((report, now));
            outcome
        })
    })
}

fn show(live: &mut Live<'_>, report: &DropsReport, earlier: Option<(&DropsReport, f64)>) -> Outcome {
    live.show("Drops", report, |live| text(report, earlier, live.form.is_wide()))?;
    Ok(0)
}

fn text(report: &DropsReport, earlier: Option<(&DropsReport, f64)>, is_wide: bool) -> String {
    if report.dropped.is_empty() {
        return "no packets have been dropped\n".into();
    }
    let mut columns = vec![("REASON", Align::Left), ("PACKETS", Align::Right), ("PER SECOND", Align::Right)];
    if is_wide {
        columns.extend([("BYTES", Align::Right), ("WHAT TO DO", Align::Left)]);
    }
    let mut table = Table::new(&columns);
    for drop in &report.dropped {
        let per_second = earlier.map_or("-".into(), |(earlier, seconds)| {
            let then =
                earlier.dropped.iter().find(|then| then.reason == drop.reason).map_or(0, |then| then.packets);
            rate(drop.packets.saturating_sub(then) as f64 / seconds.max(0.001))
        });
        let mut cells = vec![drop.reason.clone(), drop.packets.to_string(), per_second];
        if is_wide {
            cells.extend([bytes(drop.bytes), drop.help.clone()]);
        }
        table.row(cells);
    }
    let mut text = table.text();
    if !is_wide {
        text.push('\n');
        for drop in &report.dropped {
            text += &format!("{}: {}\n", drop.reason, drop.help);
        }
    }
    text
}
