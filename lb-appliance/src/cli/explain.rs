//! `guideway explain`: what would become of a packet, by the code that decides.

use super::conn::FlowArgs;
use super::live::{Live, LiveArgs, LiveError, Outcome, run};
use crate::control::explain::offline;
use crate::control::view::Explanation;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `guideway explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The flow
    #[command(flatten)]
    pub flow: FlowArgs,
    /// The packet opens a connection (SYN)
    #[arg(long)]
    pub syn: bool,
    /// Explain by this configuration alone, without a running balancer
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Explains.
pub fn explain(args: &ExplainArgs) -> ExitCode {
    run(&args.live, |live| {
        if let Some(path) = &args.config {
            return by_file(live, args, path);
        }
        let target = args.flow.target("explain")?.with("syn", if args.syn { "true" } else { "false" });
        let explanation: Explanation = live.client.get(&target)?;
        show(live, &explanation)
    })
}

fn by_file(live: &mut Live<'_>, args: &ExplainArgs, path: &Path) -> Outcome {
    let flow = args.flow.flow(args.syn)?;
    let Some(config) = super::load_config(path) else { return Ok(super::EXIT_CONFIG) };
    let explanation = offline(&config, flow)
        .map_err(|error| LiveError::Failed(format!("the tables cannot be built: {error}")))?;
    show(live, &explanation)
}

fn show(live: &mut Live<'_>, explanation: &Explanation) -> Outcome {
    live.show("Explanation", explanation, |live| {
        let mut text = String::new();
        for step in &explanation.steps {
            text += &format!("{:<14} {}\n", step.stage, step.result);
        }
        let verdict = match (&explanation.reason, explanation.verdict.as_str()) {
            (_, "forward") => {
                let pool = explanation.pool.as_deref().unwrap_or("?");
                let backend = explanation.backend.as_deref().unwrap_or("?");
                let by = explanation.by.as_ref().map_or(String::new(), |by| format!(", picked by {by}"));
                live.style.good(&format!("forward to {pool}/{backend}{by}"))
            }
            (Some(reason), verdict) => live.style.warning(&format!("{verdict}: {reason}")),
            (None, verdict) => live.style.warning(verdict),
        };
        text += &format!("{:<14} {verdict}\n", "=>");
        text
    })?;
    Ok(0)
}
