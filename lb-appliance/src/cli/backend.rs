//! `guideway backend ...`: look at backends, and have a word with them.

mod show;
mod wait;

use super::live::{Live, LiveArgs, LiveError, Outcome, run};
use super::output;
use crate::admin::BackendPatch;
use crate::client::Target;
use crate::control::AdminState;
use crate::control::view::Applied;
use hyper::Method;
use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// Arguments of `guideway backend`.
#[derive(Debug, clap::Args)]
pub struct BackendArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// What to do with backends.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List all backends, or those of one pool
    List {
        /// Name of the pool
        pool: Option<String>,
    },
    /// Show all about one backend
    Show {
        /// Pool and backend
        #[arg(value_name = "POOL/BACKEND")]
        name: BackendName,
    },
    /// Take no new flows; those it has stay
    Drain {
        /// Which, and for how long
        #[command(flatten)]
        word: Word,
        /// Wait until its last flow has gone
        #[arg(long)]
        wait: bool,
        /// Give up waiting after this time, with exit code 1
        #[arg(long, value_name = "DURATION", requires = "wait", value_parser = crate::config::duration)]
        timeout: Option<Duration>,
    },
    /// Take new flows again after a drain
    Undrain(Word),
    /// Take nothing; its flows move with their next packet
    Disable(Word),
    /// Take part again
    Enable(Word),
    /// Take nothing and do not probe it
    Maintenance(Word),
    /// Set its weight
    Weight {
        /// Which, and for how long
        #[command(flatten)]
        word: Word,
        /// Weight; 0 takes no new flows
        weight: u16,
    },
    /// Forget the operator's words: back to what the configuration says
    Clear {
        /// Pool and backend
        #[arg(value_name = "POOL/BACKEND")]
        name: BackendName,
    },
}

/// A backend and how long a word on it lasts: until it is cleared or the process ends, unless said otherwise.
#[derive(Clone, Debug, clap::Args)]
pub struct Word {
    /// Pool and backend
    #[arg(value_name = "POOL/BACKEND")]
    pub name: BackendName,
    /// Clear it by itself after this time, such as 30m
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "persist", value_parser = checked_duration)]
    pub for_: Option<String>,
    /// Keep it over restarts of the process
    #[arg(long)]
    pub persist: bool,
}

/// A duration that stays as it was written, for the request.
pub(super) fn checked_duration(text: &str) -> Result<String, String> {
    crate::config::duration(text).map(|_| text.to_owned())
}

/// `POOL/BACKEND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendName {
    /// Name of the pool.
    pub pool: String,
    /// Name of the backend in it.
    pub backend: String,
}

impl FromStr for BackendName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((pool, backend)) if !pool.is_empty() && !backend.is_empty() && !backend.contains('/') => {
                Ok(Self { pool: pool.into(), backend: backend.into() })
            }
            _ => Err("write POOL/BACKEND, such as web/web-1; `guideway backend list` shows them".into()),
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.backend)
    }
}

impl BackendName {
    pub(super) fn target(&self) -> Target {
        Target::new(&["pools", &self.pool, "backends", &self.backend])
    }
}

/// Runs it.
pub fn backend(args: &BackendArgs) -> ExitCode {
    run(&args.live, |live| match &args.verb {
        Verb::List { pool } => show::list(live, pool.as_deref()),
        Verb::Show { name } => show::one(live, name),
        Verb::Drain { word, wait, timeout } => drain(live, word, *wait, *timeout),
        Verb::Undrain(word) | Verb::Enable(word) => set(live, word, AdminState::Active),
        Verb::Disable(word) => set(live, word, AdminState::Disabled),
        Verb::Maintenance(word) => set(live, word, AdminState::Maintenance),
        Verb::Weight { word, weight } => {
            let patch = BackendPatch { weight: Some(*weight), ..patch(word) };
            change(live, &word.name, &patch)
        }
        Verb::Clear { name } => change(live, name, &BackendPatch { clear: true, ..BackendPatch::default() }),
    })
}

fn patch(word: &Word) -> BackendPatch {
    BackendPatch { for_: word.for_.clone(), persist: word.persist, ..BackendPatch::default() }
}

fn set(live: &mut Live<'_>, word: &Word, state: AdminState) -> Outcome {
    let patch = BackendPatch { state: Some(state), ..patch(word) };
    change(live, &word.name, &patch)
}

/// Sends a word on a backend and says what it has done.
pub(super) fn change(live: &mut Live<'_>, name: &BackendName, patch: &BackendPatch) -> Outcome {
    let applied: Applied = live.client.send_json(Method::PATCH, &name.target(), patch)?;
    let is_quiet = live.quiet;
    live.show("Applied", &applied, |live| {
        if is_quiet { String::new() } else { output::applied(&applied, live.style) }
    })?;
    Ok(0)
}

fn drain(live: &mut Live<'_>, word: &Word, wait: bool, timeout: Option<Duration>) -> Outcome {
    if wait && !live.form.is_for_people() {
        let text =
            "--wait reports progress for people; leave `-o` out, or follow `guideway events -f -o json`";
        return Err(LiveError::Usage(text.into()));
    }
    let code = set(live, word, AdminState::Drain)?;
    if wait { wait::drained(live, &word.name, timeout) } else { Ok(code) }
}
