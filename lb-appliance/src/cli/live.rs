//! What the subcommands that ask a running balancer share: its socket, the form of the output, the exit code.

use super::output::{Form, Style, findings};
use super::{EXIT_CONFIG, EXIT_FAILED};
use crate::client::{Client, ClientError};
use crate::config;
use crate::control::problem::ProblemCode;
use crate::control::view::VERSION;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code: no balancer answers.
pub const EXIT_UNREACHABLE: u8 = 4;
/// Exit code: the balancer answers and does not serve well.
pub const EXIT_DEGRADED: u8 = 5;

/// Time between two looks of a watch.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Cursor to the top left, and away with everything below it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Options of every subcommand that asks a running balancer.
#[derive(Clone, Debug, clap::Args)]
pub struct LiveArgs {
    /// Admin socket of the balancer
    #[arg(
        long, global = true, value_name = "PATH", env = "GUIDEWAY_SOCKET", default_value = config::SOCKET_DEFAULT,
        help_heading = "Connection and output"
    )]
    pub socket: PathBuf,
    /// Form of the output
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        default_value = "table",
        help_heading = "Connection and output"
    )]
    pub output: Form,
    /// Say nothing but what was asked for
    #[arg(short, long, global = true, help_heading = "Connection and output")]
    pub quiet: bool,
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The balancer did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The command cannot be carried out as it was given.
    #[error("{0}")]
    Usage(String),
    /// Something on this side failed.
    #[error("{0}")]
    Failed(String),
    /// The output is gone: whoever read it has seen enough.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl LiveError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Unreachable { .. }) => EXIT_UNREACHABLE,
            Self::Client(ClientError::Refused(problem))
                if problem.code == ProblemCode::InvalidConfig.id() =>
            {
                EXIT_CONFIG
            }
            Self::Usage(_) => super::EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

/// Outcome of a subcommand: its exit code.
pub type Outcome = Result<u8, LiveError>;

/// A subcommand at work: a client, and where to write.
pub struct Live<'w> {
    /// The client.
    pub client: Client,
    /// Form of the output.
    pub form: Form,
    /// Colours and lines.
    pub style: Style,
    /// Say nothing but what was asked for.
    pub quiet: bool,
    /// Standard output.
    pub out: &'w mut dyn Write,
    /// Standard error.
    pub err: &'w mut dyn Write,
}

impl Live<'_> {
    /// Writes a document in the form that was asked for; `table` makes the text for people.
    ///
    /// # Errors
    /// The output is gone.
    pub fn show<T: Serialize>(
        &mut self,
        kind: &str,
        document: &T,
        table: impl FnOnce(&Self) -> String,
    ) -> Result<(), LiveError> {
        let text = match self.form {
            Form::Table | Form::Wide => table(self),
            Form::Json | Form::Yaml => machine(self.form, kind, document)?,
        };
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Writes a line for people, unless they want none or a machine reads.
    ///
    /// # Errors
    /// The output is gone.
    pub fn say(&mut self, line: &str) -> Result<(), LiveError> {
        if !self.quiet && self.form.is_for_people() {
            writeln!(self.out, "{line}")?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Shows again and again if `watch`, else once.
    ///
    /// # Errors
    /// As `look`, which is then the end of it.
    pub fn watch(&mut self, watch: bool, mut look: impl FnMut(&mut Self) -> Outcome) -> Outcome {
        loop {
            if watch && self.style.is_terminal {
                self.out.write_all(CLEAR.as_bytes())?;
            }
            let code = look(self)?;
            if !watch {
                return Ok(code);
            }
            if self.form == Form::Yaml {
                // One document per look.
                writeln!(self.out, "---")?;
            }
            std::thread::sleep(WATCH_INTERVAL);
        }
    }
}

/// What a document looks like to programs: wrapped with the version of the API and its kind.
#[derive(Serialize)]
struct Envelope<'d, T> {
    api: &'static str,
    kind: &'d str,
    data: &'d T,
}

/// JSON or YAML with its envelope, a line feed at the end.
fn machine<T: Serialize>(form: Form, kind: &str, data: &T) -> Result<String, LiveError> {
    let envelope = Envelope { api: VERSION, kind, data };
    let failed = |error: String| LiveError::Failed(format!("cannot write the answer: {error}"));
    if form == Form::Yaml {
        return serde_yaml::to_string(&envelope).map_err(|error| failed(error.to_string()));
    }
    serde_json::to_string_pretty(&envelope).map(|text| text + "\n").map_err(|error| failed(error.to_string()))
}

/// Runs a subcommand on the process's own streams.
pub fn run(args: &LiveArgs, work: impl FnOnce(&mut Live<'_>) -> Outcome) -> ExitCode {
    let style = Style::of(io::stdout().is_terminal());
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    ExitCode::from(run_on(args, style, &mut out, &mut err, work))
}

/// The same on other streams; gives the exit code.
pub fn run_on(
    args: &LiveArgs,
    style: Style,
    out: &mut dyn Write,
    err: &mut dyn Write,
    work: impl FnOnce(&mut Live<'_>) -> Outcome,
) -> u8 {
    let result = Client::new(&args.socket).map_err(LiveError::from).and_then(|client| {
        work(&mut Live {
            client,
            form: args.output,
            style,
            quiet: args.quiet,
            out: &mut *out,
            err: &mut *err,
        })
    });
    match result {
        Ok(code) => code,
        // A closed pipe is how `| head` says that it is enough.
        Err(LiveError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            if let LiveError::Client(ClientError::Refused(problem)) = &error {
                let _ = err.write_all(findings(&problem.findings).as_bytes());
            }
            // If the stream is gone nobody is left to tell.
            let _ = writeln!(err, "guideway: {error}");
            error.exit_code()
        }
    }
}
