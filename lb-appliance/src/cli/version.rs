//! `guideway version`: what this program was built from, for people and for programs.
//!
//! Exit codes: 0 printed, 1 standard output is gone.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// Arguments of `guideway version`.
#[derive(Clone, Debug, clap::Args)]
pub struct VersionArgs {
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub output: super::check::OutputForm,
}

/// What the build left. The JSON form is a contract: fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Of this form.
    pub format: u32,
    /// Of the program.
    pub version: &'static str,
    /// Git revision; `unknown` in a build outside a repository that was not told (`GUIDEWAY_REVISION`).
    pub revision: &'static str,
    /// Of the compiler.
    pub rustc: &'static str,
    /// Of DPDK; none in a build without packet I/O.
    pub dpdk: Option<String>,
    /// Architecture that the program was built for.
    pub target: &'static str,
    /// Instruction set that this CPU lets the packet path use.
    pub instruction_set: &'static str,
}

impl Version {
    /// Of this program on this CPU.
    pub fn here() -> Self {
        Self {
            format: 1,
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("GUIDEWAY_REVISION").unwrap_or("unknown"),
            rustc: env!("GUIDEWAY_RUSTC_VERSION"),
            dpdk: dpdk_version(),
            target: std::env::consts::ARCH,
            instruction_set: lb_core::hw::Level::detect().name(),
        }
    }
}

#[cfg(feature = "dpdk")]
fn dpdk_version() -> Option<String> {
    Some(dpdk::version())
}

#[cfg(not(feature = "dpdk"))]
fn dpdk_version() -> Option<String> {
    None
}

/// Prints on standard output.
pub fn run(arguments: &VersionArgs) -> ExitCode {
    super::written(print(&Version::here(), arguments.output, &mut io::stdout().lock()), "standard output")
}

fn print(version: &Version, form: super::check::OutputForm, out: &mut dyn Write) -> io::Result<()> {
    if form == super::check::OutputForm::Json {
        serde_json::to_writer_pretty(&mut *out, version)?;
        return writeln!(out);
    }
    writeln!(out, "guideway {} ({})", version.version, version.revision)?;
    writeln!(out, "rustc    {}", version.rustc)?;
    writeln!(out, "dpdk     {}", version.dpdk.as_deref().unwrap_or("none: built without packet I/O"))?;
    writeln!(out, "cpu      {}, packet path {}", version.target, version.instruction_set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::OutputForm;

    fn printed(form: OutputForm) -> String {
        let mut out = Vec::new();
        print(&Version::here(), form, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_json_form_keeps_its_fields() {
        let value: serde_json::Value = serde_json::from_str(&printed(OutputForm::Json)).unwrap();
        let fields: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        for field in ["format", "version", "revision", "rustc", "dpdk", "target", "instruction_set"] {
            assert!(fields.contains(&field), "{field} in {fields:?}");
        }
        assert_eq!(value["format"], 1);
        assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_text_form_begins_with_the_version() {
        assert!(printed(OutputForm::Text).starts_with(concat!("guideway ", env!("CARGO_PKG_VERSION"), " (")));
    }
}
