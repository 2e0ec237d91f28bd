//! `guideway init`: a commented starter configuration from the hardware and addresses of this host.
//!
//! What it writes is valid as it stands. Exit codes: 0 written, 1 not written (the file exists, the folder does not).

mod starter;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::doctor::Host;

/// Arguments of `guideway init`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  guideway init -o /etc/guideway/guideway.yaml         from what this host has
  guideway init --device 0000:3b:00.0                  with this NIC, on standard output
  guideway init --device eth1 --device net_tap0        a kernel interface, and a DPDK vdev")]
pub struct InitArgs {
    /// Device of a port: a PCI address, a kernel interface, or a DPDK vdev (may be repeated) [default: the best one found]
    #[arg(long = "device", value_name = "DEV", value_parser = device)]
    pub devices: Vec<String>,
    /// File to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub force: bool,
}

fn device(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    if text.is_empty() || text.len() > 255 || !text.chars().all(legal) {
        return Err("write a PCI address (0000:3b:00.0), an interface (eth1) or a vdev (net_tap0)".to_owned());
    }
    Ok(text.to_owned())
}

/// Writes the file and says on standard error what comes next.
pub fn run(arguments: &InitArgs) -> ExitCode {
    let text = starter::text(&arguments.devices, &Host::default());
    if arguments.output == Path::new("-") {
        return super::written(io::stdout().lock().write_all(text.as_bytes()), "standard output");
    }
    let shown = arguments.output.display();
    match write(&arguments.output, arguments.force, &text) {
        Ok(()) => {
            eprintln!("guideway: wrote {shown}; next: edit the lines marked CHANGE, then");
            eprintln!("  guideway check {shown} && guideway doctor -c {shown}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mend = match error.kind() {
                io::ErrorKind::AlreadyExists => "; --force overwrites it".to_owned(),
                io::ErrorKind::NotFound => {
                    let folder = arguments.output.parent().unwrap_or(Path::new("."));
                    format!("; make the folder first: mkdir -p {}", folder.display())
                }
                _ => String::new(),
            };
            eprintln!("guideway: {shown}: {error}{mend}");
            ExitCode::from(super::EXIT_FAILED)
        }
    }
}

fn write(path: &Path, force: bool, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    // `create_new` asks and creates in one step: no file that appears meanwhile is lost.
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
#[path = "init/tests.rs"]
mod tests;
