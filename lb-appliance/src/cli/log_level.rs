//! `guideway log-level`: what the balancer logs, changed while it runs.

use super::live::{Live, LiveArgs, Outcome, run};
use super::output::units::duration;
use crate::admin::{LogLevel, LogLevelChange};
use crate::client::Target;
use hyper::Method;
use std::process::ExitCode;

/// Arguments of `guideway log-level`.
#[derive(Debug, clap::Args)]
pub struct LogLevelArgs {
    /// A level, a whole filter, or TARGET=LEVEL on top of what is in force; without it nothing changes
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// Go back by itself after this time, such as 10m
    #[arg(long = "for", value_name = "DURATION", requires = "filter", value_parser = super::backend::checked_duration)]
    pub for_: Option<String>,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Shows or changes it.
pub fn log_level(args: &LogLevelArgs) -> ExitCode {
    run(&args.live, |live| {
        let target = Target::new(&["log-level"]);
        let before: LogLevel = live.client.get(&target)?;
        let Some(filter) = &args.filter else { return show(live, &before, None) };
        let change = LogLevelChange { filter: filter.clone(), for_: args.for_.clone() };
        let after: LogLevel = live.client.send_json(Method::PUT, &target, &change)?;
        show(live, &after, Some(&before.filter))
    })
}

fn show(live: &mut Live<'_>, level: &LogLevel, before: Option<&str>) -> Outcome {
    let is_quiet = live.quiet;
    live.show("LogLevel", level, |_| {
        let mut text = format!("log level: {}\n", level.filter);
        if let (Some(then), Some(left)) = (&level.then, level.remaining_seconds) {
            text += &format!("in {} again: {then}\n", duration(left));
        }
        match before {
            Some(_) if is_quiet => String::new(),
            Some(before) => text + &format!("undo with: guideway log-level '{before}'\n"),
            None => text,
        }
    })?;
    Ok(0)
}
