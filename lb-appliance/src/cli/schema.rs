//! `guideway schema`: the JSON Schema of the configuration, for editors and pipelines.
//!
//! Exit codes: 0 printed, 1 standard output is gone.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config;

/// Arguments of `guideway schema`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "In an editor with a YAML language server, the first line of a file names its schema:
  # yaml-language-server: $schema=/usr/share/guideway/guideway.schema.json
Example:
  guideway schema > guideway.schema.json")]
pub struct SchemaArgs {
    /// The schema of included files, which hold pools and VIPs only
    #[arg(long)]
    pub included: bool,
}

/// Prints on standard output.
pub fn run(arguments: &SchemaArgs) -> ExitCode {
    let schema = if arguments.included { config::included_schema() } else { config::schema() };
    let print = |mut out: io::StdoutLock<'_>| {
        serde_json::to_writer_pretty(&mut out, &schema)?;
        writeln!(out)
    };
    super::written(print(io::stdout().lock()), "standard output")
}
