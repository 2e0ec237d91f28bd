//! `guideway doctor [-c FILE]`: what stands in the way on this host, and the command that mends it.
//!
//! Changes nothing. Exit codes: 0 nothing stops the balancer, 1 something does, 3 the configuration is invalid.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::form::Form;
use crate::config::{self, Look};
use crate::doctor::{self, Finding, Host, Report, Severity};

/// Arguments of `guideway doctor`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  guideway doctor                                  what every balancer needs, and what the installed file needs
  guideway doctor -c new.yaml -o json | jq '.findings[] | select(.severity == \"error\")'")]
pub struct DoctorArgs {
    /// Configuration file whose needs are checked [default: the installed one, if there is one]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub output: Form,
}

/// Examines this host and prints.
pub fn run(arguments: &DoctorArgs) -> ExitCode {
    let installed = Some(PathBuf::from(config::FILE_DEFAULT)).filter(|path| path.exists());
    let file = arguments.config.clone().or(installed);
    let config = match &file {
        Some(path) => match super::load_config(path) {
            Some(config) => Some(config),
            None => {
                eprintln!("guideway: mend the configuration first: guideway check {}", path.display());
                return ExitCode::from(super::EXIT_CONFIG);
            }
        },
        None => None,
    };
    let report = doctor::examine(config.as_ref(), &Host::default());
    let look = super::look(io::stdout().is_terminal());
    let table = |report: &Report, out: &mut dyn Write| table(report, file.as_deref(), look, out);
    let code =
        super::written(arguments.output.write(&report, &mut io::stdout().lock(), table), "standard output");
    if report.errors > 0 { ExitCode::from(super::EXIT_FAILED) } else { code }
}

/// Worst first, each finding with its mend below it.
fn table(report: &Report, file: Option<&Path>, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let mut sorted: Vec<&Finding> = report.findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in sorted {
        let (before, after) = match (look, finding.severity) {
            (Look::Coloured, Severity::Error) => ("\u{1b}[31m", "\u{1b}[0m"),
            (Look::Coloured, Severity::Warning) => ("\u{1b}[33m", "\u{1b}[0m"),
            (Look::Coloured, Severity::Ok) => ("\u{1b}[32m", "\u{1b}[0m"),
            _ => ("", ""),
        };
        let word = finding.severity.word();
        writeln!(out, "{before}{word:7}{after}  {:28}  {}", finding.id, finding.seen)?;
        if let Some(why) = finding.why {
            writeln!(out, "         why: {why}")?;
        }
        if let Some(fix) = &finding.fix {
            writeln!(out, "         fix: {fix}")?;
        }
    }
    let basis = match file {
        Some(path) => format!("for {}", path.display()),
        None => "without a configuration (-c FILE checks what it needs)".to_owned(),
    };
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let (errors, warnings) = (count(report.errors, "error"), count(report.warnings, "warning"));
    writeln!(out, "{errors}, {warnings}, {basis}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_puts_errors_first_and_shows_the_mend() {
        let finding = |id, severity| Finding {
            id,
            severity,
            seen: "seen".into(),
            why: Some("because"),
            fix: Some("command".into()),
        };
        let list = vec![finding("a.ok", Severity::Ok), finding("b.bad", Severity::Error)];
        let mut out = Vec::new();
        table(&Report::of(list), None, Look::Plain, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.find("b.bad") < text.find("a.ok"), "{text}");
        assert!(text.contains("         fix: command\n"), "{text}");
        assert!(
            text.ends_with("1 error, 0 warnings, without a configuration (-c FILE checks what it needs)\n"),
            "{text}"
        );
        assert!(text.is_ascii());
    }

    #[test]
    fn every_form_is_written() {
        let report = doctor::examine(None, &Host::default());
        for form in [Form::Json, Form::Yaml] {
            let mut out = Vec::new();
            form.write(&report, &mut out, |_, _| Ok(())).unwrap();
            let value: serde_json::Value = serde_yaml::from_slice(&out).unwrap();
            assert_eq!(value["version"], 1, "{form:?}");
            assert_eq!(value["findings"].as_array().unwrap().len(), report.findings.len());
        }
    }
}
