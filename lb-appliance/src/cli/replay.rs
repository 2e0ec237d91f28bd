//! `guideway replay`: a capture through the production packet path, without NIC or privileges.
//!
//! Exit codes: 0 the whole capture was replayed, 1 it could not be, 2 usage, 3 configuration invalid.
//! Verdicts go where `--json` says; everything for people goes to stderr.

use super::{EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE};
use crate::config;
use crate::replay::{BackendName, Capture, Replay, ReplayError, ReplayOptions, Summary};
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `guideway replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = config::FILE_DEFAULT)]
    pub config: PathBuf,
    /// Capture to read: pcap or pcapng, Ethernet
    #[arg(short = 'r', long = "in", value_name = "IN.pcap")]
    pub input: PathBuf,
    /// Capture to write: the frames that would be sent, in order
    #[arg(short = 'w', long = "out", value_name = "OUT.pcap")]
    pub output: PathBuf,
    /// Write one line of JSON per input frame; `-` is standard output
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Most packets per burst; does not change the results
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub burst: u8,
    /// Treat a backend as failed from the first packet on (may be repeated)
    #[arg(long, value_name = "POOL/BACKEND")]
    pub down: Vec<BackendName>,
}

/// Replays and reports on stderr.
pub fn run(arguments: &ReplayArgs) -> ExitCode {
    ExitCode::from(match replay(arguments) {
        Ok(()) => 0,
        Err(Failure { code, message }) => {
            if let Some(message) = message {
                eprintln!("guideway: {message}");
            }
            code
        }
    })
}

/// An exit code and what to say, unless it has been said.
struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::new(EXIT_FAILED, format!("{}: {error}", path.display()))
    }
}

fn replay(arguments: &ReplayArgs) -> Result<(), Failure> {
    refuse_overwriting(arguments)?;
    let Some(config) = super::load_config(&arguments.config) else {
        return Err(Failure { code: EXIT_CONFIG, message: None });
    };
    let options = ReplayOptions { burst: arguments.burst.into(), down: arguments.down.clone() };
    let replay = Replay::new(&config, &options).map_err(|error| match error {
        ReplayError::UnknownBackend(unknown) => Failure::new(EXIT_USAGE, format!("--down: {unknown}")),
        other => Failure::new(EXIT_FAILED, other.to_string()),
    })?;
    let input = File::open(&arguments.input).map_err(|error| Failure::of_file(&arguments.input, &error))?;
    let capture = Capture::open(input)
        .map_err(|error| Failure::new(EXIT_FAILED, format!("{}: {error}", arguments.input.display())))?;
    // Nothing is created before it is known that there is something to replay.
    let output =
        File::create(&arguments.output).map_err(|error| Failure::of_file(&arguments.output, &error))?;
    let mut json = arguments.json.as_deref().map(open_json).transpose()?;
    let json: Option<&mut dyn Write> = match &mut json {
        Some(json) => Some(json),
        None => None,
    };
    match replay.run(capture, &output, json) {
        Ok(summary) => {
            say(&summary);
            Ok(())
        }
        Err(error) => Err(failed(arguments, &output, error)),
    }
}

/// Cuts off the half of a packet, tells what was done, and says what went wrong.
fn failed(arguments: &ReplayArgs, output: &File, error: ReplayError) -> Failure {
    let place = match &error {
        ReplayError::Output { whole_bytes, .. } => {
            // A pipe or device has no length to set, and nobody to mind the half packet.
            let _ = output.set_len(*whole_bytes);
            format!("{}: ", arguments.output.display())
        }
        ReplayError::Capture { summary, .. } => {
            say(summary);
            format!("{}: ", arguments.input.display())
        }
        ReplayError::NotConserved { summary, .. } => {
            say(summary);
            String::new()
        }
        ReplayError::Json(_) | ReplayError::UnknownBackend(_) | ReplayError::Tables(_) => String::new(),
    };
    Failure::new(EXIT_FAILED, format!("{place}{error}"))
}

fn say(summary: &Summary) {
    for warning in summary.warnings() {
        eprintln!("guideway: warning: {warning}");
    }
    eprintln!("{summary}");
}

fn open_json(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).map_err(|error| Failure::of_file(path, &error))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Refuses to write over what is read, or twice to one file.
fn refuse_overwriting(arguments: &ReplayArgs) -> Result<(), Failure> {
    let json = arguments.json.as_deref().filter(|path| *path != Path::new("-"));
    let read = [("--in", arguments.input.as_path()), ("--config", arguments.config.as_path())];
    let written = [Some(("--out", arguments.output.as_path())), json.map(|path| ("--json", path))];
    let written: Vec<_> = written.into_iter().flatten().collect();
    let pairs = written
        .iter()
        .enumerate()
        .flat_map(|(index, one)| read.iter().chain(&written[index + 1..]).map(move |other| (one, other)));
    for ((one, path), (other, other_path)) in pairs {
        if is_same_file(path, other_path) {
            let message = format!("{one} and {other} are the same file, {}", path.display());
            return Err(Failure::new(EXIT_USAGE, message));
        }
    }
    Ok(())
}

/// True if both are one regular file, or will be.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        (Err(_), Err(_)) => whereabouts(one) == whereabouts(other),
        _ => false,
    }
}

/// Where a file that is not there yet would be.
fn whereabouts(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name))
}
