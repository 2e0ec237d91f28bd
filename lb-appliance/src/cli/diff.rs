//! `guideway diff [FILE]`: what a configuration would change in the running balancer.

use super::live::{Live, LiveArgs, LiveError, Outcome, run};
use super::output::{self, units};
use crate::client::Target;
use crate::config;
use crate::control::view::{BackendOverride, DiffReport};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `guideway diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// Configuration file; `-` reads standard input; without it the file that the balancer runs with, as it is now
    pub file: Option<PathBuf>,
    /// Exit code 1 if anything would change
    #[arg(long)]
    pub exit_code: bool,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Where a configuration for a request comes from.
pub(super) struct Source {
    /// The request with its parameters.
    pub(super) target: Target,
    /// YAML; empty: what the target says.
    pub(super) text: String,
}

/// A file that goes along as text, or, if it includes others, by its path: they are found from there.
pub(super) fn source(target: Target, file: Option<&Path>) -> Result<Source, LiveError> {
    let Some(path) = file else { return Ok(Source { target, text: String::new() }) };
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "<stdin>".to_owned() } else { path.display().to_string() };
    let fail = |error: std::io::Error| LiveError::Failed(format!("cannot read {name}: {error}"));
    let mut text = String::new();
    let limit = config::FILE_BYTES_MAX as u64 + 1;
    if is_stdin {
        std::io::stdin().lock().take(limit).read_to_string(&mut text).map_err(fail)?;
    } else {
        std::fs::File::open(path).map_err(fail)?.take(limit).read_to_string(&mut text).map_err(fail)?;
    }
    if text.len() > config::FILE_BYTES_MAX {
        let message = format!("{name} has more than {} bytes; is it the right file?", config::FILE_BYTES_MAX);
        return Err(LiveError::Failed(message));
    }
    if text.is_empty() {
        return Err(LiveError::Failed(format!("{name} is empty; is it the right file?")));
    }
    let includes = text.lines().any(|line| line.starts_with("include:"));
    if includes && !is_stdin {
        let whole = path.canonicalize().map_err(fail)?;
        return Ok(Source { target: target.with("file", &whole.to_string_lossy()), text: String::new() });
    }
    let short: String = name.chars().take(255).collect();
    Ok(Source { target: target.with("name", &short), text })
}

/// Shows the difference.
pub fn diff(args: &DiffArgs) -> ExitCode {
    run(&args.live, |live| {
        let source = source(Target::new(&["config", "diff"]), args.file.as_deref())?;
        let report: DiffReport = live.client.post_yaml(&source.target, source.text)?;
        show(live, &report, args.exit_code)
    })
}

fn show(live: &mut Live<'_>, report: &DiffReport, exit_code: bool) -> Outcome {
    live.show("Diff", report, |live| text(report, live))?;
    Ok(u8::from(exit_code && !report.changes.is_empty()))
}

fn text(report: &DiffReport, live: &Live<'_>) -> String {
    let mut text = output::findings(&report.warnings);
    if report.changes.is_empty() {
        text += "nothing would change\n";
    }
    text += &output::changes(&report.changes, live.style);
    if !report.impact.is_empty() {
        text += &format!("\n{}", output::impact(&report.impact));
    }
    if !report.overrides.is_empty() {
        text += "\nwords of the operator that stay in force (end one with: guideway backend clear POOL/BACKEND)\n";
        for word in &report.overrides {
            text += &format!("  {}\n", words(word));
        }
    }
    let restarts = report.changes.iter().filter(|change| change.restart).count();
    if restarts > 0 {
        text +=
            &live.style.warning(&format!("\n{restarts} of the changes take effect after a restart only\n"));
    }
    if let Some(reason) = &report.needs_force {
        text += &live.style.bad(&format!("\nguideway reload would refuse this without --force: {reason}\n"));
    }
    text
}

fn words(word: &BackendOverride) -> String {
    let says = &word.override_;
    let mut text = format!("{}/{}", word.pool, word.backend);
    if let Some(state) = says.state {
        text += &format!(" {}", state.name());
    }
    if let Some(weight) = says.weight {
        text += &format!(" weight {weight}");
    }
    if let Some(left) = says.remaining_seconds {
        text += &format!(" for another {}", units::duration(left));
    }
    if says.persistent {
        text += " (kept over restarts)";
    }
    text
}
