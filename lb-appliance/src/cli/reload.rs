//! `guideway reload`, `confirm`, `rollback`: change control.

use super::diff::source;
use super::live::{Live, LiveArgs, Outcome, run};
use super::output;
use crate::client::Target;
use crate::control::view::Applied;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `guideway reload`.
#[derive(Debug, clap::Args)]
pub struct ReloadArgs {
    /// Configuration file; `-` reads standard input; without it the file that the balancer runs with, read again
    pub file: Option<PathBuf>,
    /// Roll back by itself unless `guideway confirm` comes within this time, such as 60s
    #[arg(long, value_name = "DURATION", value_parser = super::backend::checked_duration)]
    pub confirm_within: Option<String>,
    /// Also if it empties a pool or removes every VIP
    #[arg(long)]
    pub force: bool,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Arguments of `guideway confirm` and `guideway rollback`.
#[derive(Debug, clap::Args)]
pub struct PlainArgs {
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Applies a configuration.
pub fn reload(args: &ReloadArgs) -> ExitCode {
    run(&args.live, |live| {
        let target = Target::new(&["config", "apply"])
            .with_some("confirm_within", args.confirm_within.as_deref())
            .with_some("force", args.force.then_some("true"));
        let source = source(target, args.file.as_deref())?;
        let code = send(live, &source.target, source.text)?;
        if args.file.is_some() {
            live.say("the next start reads the file of `guideway run -c` again, not this one")?;
        }
        Ok(code)
    })
}

/// Keeps what is on trial.
pub fn confirm(args: &PlainArgs) -> ExitCode {
    run(&args.live, |live| send(live, &Target::new(&["config", "confirm"]), String::new()))
}

/// Goes back.
pub fn rollback(args: &PlainArgs) -> ExitCode {
    run(&args.live, |live| send(live, &Target::new(&["config", "rollback"]), String::new()))
}

fn send(live: &mut Live<'_>, target: &Target, text: String) -> Outcome {
    let applied: Applied = live.client.post_yaml(target, text)?;
    let is_quiet = live.quiet;
    live.show("Applied", &applied, |live| {
        if is_quiet { String::new() } else { output::applied(&applied, live.style) }
    })?;
    Ok(0)
}
