//! `guideway backend-setup`: what a backend host needs for its pool, as a script or done at once.
//!
//! Exit codes: 0 printed or done, 1 not done, 3 the configuration is invalid or has no such pool or backend.

use super::{EXIT_CONFIG, EXIT_FAILED, load_config, written};
use crate::backend_setup::{Decap, Interface, Setup, render, render_undo};
use crate::config;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Where the package puts the compiled decapsulator.
const PACKAGED_OBJECT: &str = "/usr/lib/guideway/decap.bpf.o";

/// Arguments of `guideway backend-setup`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  guideway backend-setup --pool web                                the script, to be read
  guideway backend-setup --pool web | ssh root@web-1 sh            on a backend without guideway
  guideway backend-setup --pool web --apply                        on this host
  guideway backend-setup --pool web --undo | ssh root@web-1 sh     back to what it was")]
pub struct BackendSetupArgs {
    /// Pool whose backend the host is
    #[arg(long, value_name = "POOL", value_parser = pool)]
    pub pool: String,
    /// Configuration file of the balancer; not read for --undo
    #[arg(short, long, value_name = "FILE", default_value = config::FILE_DEFAULT)]
    pub config: PathBuf,
    /// Only for this backend [default: whichever has an address of the host]
    #[arg(long, value_name = "NAME", conflicts_with = "undo")]
    pub backend: Option<String>,
    /// Interface that the balancer's packets come in by [default: the one with the backend's address]
    #[arg(long, value_name = "IF", conflicts_with = "undo")]
    pub interface: Option<Interface>,
    /// Who takes the outer header off
    #[arg(long, value_name = "WHO", default_value = "auto", conflicts_with = "undo")]
    pub decap: Decap,
    /// Compiled decapsulator to send along [default: /usr/lib/guideway/decap.bpf.o, if it is there]
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    pub decap_object: Option<PathBuf>,
    /// Take back what earlier runs for this pool have changed
    #[arg(long)]
    pub undo: bool,
    /// Run the script here, as root, instead of printing it
    #[arg(long)]
    pub apply: bool,
    /// Form of what is printed
    #[arg(short, long, value_name = "FORM", default_value = "sh", conflicts_with_all = ["apply", "undo"])]
    pub output: Printed,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Printed {
    /// The script
    Sh,
    /// What the script is made from, and the script
    Json,
}

/// A pool's name is also that of a folder on the backend.
fn pool(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || text.len() > 63 || !text.chars().all(legal) {
        return Err("a pool has a name of 1 to 63 letters, digits, dots, underscores and hyphens".to_owned());
    }
    Ok(text.to_owned())
}

/// Prints the script or runs it.
pub fn run(arguments: &BackendSetupArgs) -> ExitCode {
    let text = match text(arguments) {
        Ok(text) => text,
        Err(code) => return code,
    };
    if !arguments.apply {
        return written(io::stdout().lock().write_all(text.as_bytes()), "standard output");
    }
    match apply(&text) {
        Ok(true) => ExitCode::SUCCESS,
        // It has said why.
        Ok(false) => ExitCode::from(EXIT_FAILED),
        Err(error) => refuse(EXIT_FAILED, &format!("cannot run /bin/sh: {error}")),
    }
}

/// What is printed or run; an exit code when that has been explained.
fn text(arguments: &BackendSetupArgs) -> Result<String, ExitCode> {
    if arguments.undo {
        return Ok(render_undo(&arguments.pool));
    }
    let config = load_config(&arguments.config).ok_or(ExitCode::from(EXIT_CONFIG))?;
    let setup = Setup::new(&config, &arguments.pool, arguments.backend.as_deref())
        .map_err(|error| refuse(EXIT_CONFIG, &format!("{}: {error}", arguments.config.display())))?
        .ending_tunnels(arguments.decap, None)
        .on(arguments.interface.clone());
    let object = object(arguments, &setup)?;
    let setup = setup.ending_tunnels(arguments.decap, object);
    match arguments.output {
        Printed::Sh => Ok(render(&setup)),
        Printed::Json => {
            let text = setup.to_json().map_err(|error| refuse(EXIT_FAILED, &error.to_string()))?;
            Ok(text + "\n")
        }
    }
}

/// The decapsulator that goes with the script: the one that was named, or the packaged one, which needs no company where
/// it is.
fn object(arguments: &BackendSetupArgs, setup: &Setup) -> Result<Option<Vec<u8>>, ExitCode> {
    let packaged = Path::new(PACKAGED_OBJECT);
    let path = match &arguments.decap_object {
        Some(path) => path.as_path(),
        None if !arguments.apply && setup.takes_packaged_object() && packaged.exists() => packaged,
        None => return Ok(None),
    };
    let object = std::fs::read(path).map_err(|error| {
        let mend = "agent/decap/README.md says how it is compiled";
        refuse(EXIT_FAILED, &format!("{}: {error}; {mend}", path.display()))
    })?;
    // ELF of EM_BPF (247), little or big endian at byte 18.
    if object.get(..4) != Some(b"\x7fELF") || !matches!(object.get(18..20), Some([247, 0] | [0, 247])) {
        let what = "is no compiled BPF object; agent/decap/README.md says how it is compiled";
        return Err(refuse(EXIT_FAILED, &format!("{} {what}", path.display())));
    }
    Ok(Some(object))
}

fn refuse(code: u8, complaint: &str) -> ExitCode {
    eprintln!("guideway: {complaint}");
    ExitCode::from(code)
}

fn apply(script: &str) -> io::Result<bool> {
    let mut shell = Command::new("/bin/sh").arg("-s").stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = shell.stdin.take() {
        // A shell that ends early has said why, and its status says that it failed.
        match input.write_all(script.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    Ok(shell.wait()?.success())
}
