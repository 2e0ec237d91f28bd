//! `guideway support-bundle -o FILE.tar.gz`: what a bug report needs, secrets masked.
//!
//! Works without a running daemon and without privileges; what cannot be had is noted in the bundle. Exit codes:
//! 0 written, 1 the file could not be written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use crate::config;
use crate::doctor::{self, Host};
use crate::support::{self, BundleSource, ConfigTexts, HostFacts, Part, Verdict};

/// Arguments of `guideway support-bundle`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:
  guideway support-bundle -o /tmp/guideway.tar.gz && tar tzf /tmp/guideway.tar.gz
Read it before you send it: names and addresses of your configuration are in it; seeds, tokens, passwords and keys are not.")]
pub struct SupportBundleArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = config::FILE_DEFAULT)]
    pub config: PathBuf,
    /// Archive to write, readable by you alone
    #[arg(short, long, value_name = "FILE.tar.gz")]
    pub output: PathBuf,
    /// Overwrite the archive if it exists
    #[arg(long)]
    pub force: bool,
}

/// What needs no running daemon.
pub fn offline_sources(config_file: &Path, host: &Host) -> Vec<Box<dyn BundleSource>> {
    let version =
        || serde_json::to_vec_pretty(&super::version::Version::here()).map_err(|error| error.to_string());
    let (file, examined) = (config_file.to_owned(), host.clone());
    let preflight = move || {
        let config = config::load(&file).ok();
        serde_json::to_vec_pretty(&doctor::examine(config.as_ref(), &examined))
            .map_err(|error| error.to_string())
    };
    let mut sources: Vec<Box<dyn BundleSource>> = vec![
        Box::new(Part::new("version.json", version)),
        Box::new(ConfigTexts::new(config_file)),
        Box::new(Verdict::new(config_file)),
        Box::new(Part::new("doctor.json", preflight)),
    ];
    sources.extend(HostFacts::all(host).into_iter().map(|source| Box::new(source) as Box<dyn BundleSource>));
    sources
}

/// Collects, writes, and says on standard error what is missing.
pub fn run(arguments: &SupportBundleArgs) -> ExitCode {
    let mut sources = offline_sources(&arguments.config, &Host::default());
    let shown = arguments.output.display();
    match write(arguments, &mut sources) {
        Ok(manifest) => {
            for entry in manifest.files.iter().filter(|entry| entry.error.is_some()) {
                eprintln!("guideway: not in the bundle: {}", entry.error.as_deref().unwrap_or_default());
            }
            eprintln!(
                "guideway: wrote {shown} with {} files; read it before you send it",
                manifest.files.len()
            );
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            eprintln!("guideway: {shown} exists; --force overwrites it");
            ExitCode::from(super::EXIT_FAILED)
        }
        Err(error) => super::written(Err(error), &shown.to_string()),
    }
}

fn write(
    arguments: &SupportBundleArgs,
    sources: &mut [Box<dyn BundleSource>],
) -> io::Result<support::Manifest> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if arguments.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file: BufWriter<File> = BufWriter::new(options.open(&arguments.output)?);
    let manifest = support::write("guideway-support", sources, &mut file, SystemTime::now())?;
    file.flush()?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_bundle_is_private_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = SupportBundleArgs {
            config: folder.path().join("none.yaml"),
            output: folder.path().join("b.tar.gz"),
            force: false,
        };
        let mut sources = offline_sources(&arguments.config, &Host::default());
        let manifest = write(&arguments, &mut sources).unwrap();
        assert!(manifest.files.iter().any(|entry| entry.file == "doctor.json" && entry.error.is_none()));
        assert!(manifest.files.iter().any(|entry| entry.file == "config/texts.yaml.txt.error"));
        let mode = std::fs::metadata(&arguments.output).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(write(&arguments, &mut sources).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
