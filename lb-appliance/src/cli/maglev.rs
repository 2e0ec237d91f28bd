//! `guideway maglev show|disrupt`: how slots are distributed, and what would move.

use super::live::{Live, LiveArgs, Outcome, run};
use super::output::units::{count, percent};
use super::output::{Align, Table};
use crate::client::Target;
use crate::control::view::{MaglevForecast, MaglevStatus};
use std::process::ExitCode;

/// Arguments of `guideway maglev`.
#[derive(Debug, clap::Args)]
pub struct MaglevArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// What to ask.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show how the slots of a VIP are distributed
    Show {
        /// Name of the VIP
        vip: String,
    },
    /// Forecast what would move if backends went; changes nothing
    Disrupt {
        /// Name of the VIP
        vip: String,
        /// Names of backends with commas between them
        #[arg(long, value_name = "BACKEND", required = true, value_delimiter = ',')]
        remove: Vec<String>,
    },
}

/// Runs it.
pub fn maglev(args: &MaglevArgs) -> ExitCode {
    run(&args.live, |live| match &args.verb {
        Verb::Show { vip } => show(live, vip),
        Verb::Disrupt { vip, remove } => disrupt(live, vip, remove),
    })
}

fn show(live: &mut Live<'_>, vip: &str) -> Outcome {
    let status: MaglevStatus = live.client.get(&Target::new(&["maglev", vip]))?;
    live.show("Maglev", &status, |_| {
        let mut table = Table::new(&[
            ("BACKEND", Align::Left),
            ("WEIGHT", Align::Right),
            ("SLOTS", Align::Right),
            ("SHARE", Align::Right),
            ("WANTED", Align::Right),
        ]);
        for part in &status.backends {
            table.row([
                part.backend.clone(),
                part.weight.to_string(),
                part.slots.to_string(),
                format!("{:.3} %", part.share * 100.0),
                format!("{:.3} %", part.wanted * 100.0),
            ]);
        }
        format!(
            "vip {}  pool {}  {} slots  digest {}\n\n{}",
            status.vip,
            status.pool,
            status.size,
            status.digest,
            table.text()
        )
    })?;
    Ok(0)
}

fn disrupt(live: &mut Live<'_>, vip: &str, remove: &[String]) -> Outcome {
    let target = Target::new(&["maglev", vip]).with("remove", &remove.join(","));
    let forecast: MaglevForecast = live.client.get(&target)?;
    live.show("MaglevForecast", &forecast, |_| {
        format!(
            "vip {} without {}\n  slots that move           {}\n  of them without need      {}\n  live flows that move      \
             {}\n",
            forecast.vip,
            forecast.removed.join(", "),
            percent(forecast.slots_moved),
            percent(forecast.slots_moved_needlessly),
            count(forecast.live_flows_moved),
        )
    })?;
    Ok(0)
}
