//! `guideway check [FILE]`: is this configuration valid?
//!
//! Needs no root, no DPDK and no running process. Exit code 0 = valid, 3 = invalid or unreadable (with `--strict` also
//! for warnings alone), 2 = usage (clap). The verdict goes to standard output, findings go to standard error; with
//! `-o json` the whole report goes to standard output.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::config::{self, Config, Diagnostics, Examination, Look, Severity};

/// Arguments of `guideway check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Configuration file; `-` reads standard input
    #[arg(value_name = "FILE", default_value = config::FILE_DEFAULT)]
    pub file: PathBuf,
    /// Let warnings fail, too
    #[arg(long)]
    pub strict: bool,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: OutputForm,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Checks and reports on the process's own standard streams.
pub fn run(args: &CheckArgs) -> ExitCode {
    let examination = if args.file == Path::new("-") {
        config::examine_reader_beside("<stdin>", io::stdin().lock(), Path::new("<stdin>"))
    } else {
        config::examine_file(&args.file)
    };
    let look = super::look(io::stderr().is_terminal());
    // If the streams are gone nobody is left to tell; the verdict still stands.
    let _ = report(&examination, args, look, &mut io::stdout().lock(), &mut io::stderr().lock());
    if is_valid(&examination, args) { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CONFIG) }
}

fn is_valid(examination: &Examination, args: &CheckArgs) -> bool {
    examination.config.is_some() && (examination.diagnostics.list.is_empty() || !args.strict)
}

/// Writes the report.
pub fn report(
    examination: &Examination,
    args: &CheckArgs,
    look: Look,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let diagnostics = &examination.diagnostics;
    let valid = is_valid(examination, args);
    match args.output {
        OutputForm::Json => {
            serde_json::to_writer_pretty(&mut *out, &diagnostics.report(args.strict))?;
            writeln!(out)?;
        }
        OutputForm::Text => {
            write!(err, "{}", diagnostics.render(look))?;
            let name = diagnostics.source.name();
            let tally = tally(diagnostics);
            match &examination.config {
                Some(config) if valid => {
                    let files = diagnostics.included.len();
                    let of = if files == 0 { String::new() } else { format!(" in {} files", files + 1) };
                    let and = if tally.is_empty() { String::new() } else { format!(", {tally}") };
                    writeln!(out, "{name}: valid ({}{of}{and})", contents(config))?;
                }
                _ => writeln!(err, "{name}: invalid ({tally})")?,
            }
        }
    }
    Ok(())
}

fn tally(diagnostics: &Diagnostics) -> String {
    let counts = [
        count(diagnostics.count(Severity::Error), "error"),
        count(diagnostics.count(Severity::Warning), "warning"),
    ];
    let present: Vec<String> = counts.into_iter().filter(|text| !text.starts_with("0 ")).collect();
    present.join(", ")
}

fn contents(config: &Config) -> String {
    let backends = config.pools.iter().map(|pool| pool.backends.len()).sum();
    [count(config.vips.len(), "vip"), count(config.pools.len(), "pool"), count(backends, "backend")]
        .join(", ")
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
