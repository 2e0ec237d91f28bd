//! What can be asked of the controller.

use super::view::{Applied, DiffReport, Problem};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// A change, from whomever.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Another configuration.
    Apply {
        /// Where it comes from.
        source: ConfigSource,
        /// Roll back by itself unless confirmed within this time.
        confirm_within: Option<Duration>,
        /// Also if it empties a pool or removes every VIP.
        force: bool,
    },
    /// Keep what was applied with `confirm_within`.
    Confirm,
    /// Back to the configuration before the last one applied.
    Rollback,
    /// The operator's word on one backend, above the configuration until it is cleared.
    ChangeBackend {
        /// Name of the pool.
        pool: String,
        /// Name of the backend in it.
        backend: String,
        /// What is to change.
        change: BackendChange,
    },
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The file that the process was started with, read again.
    Running,
    /// Another file on this host.
    File(PathBuf),
    /// A text, by what messages are to call it.
    Text {
        /// Name in messages.
        name: String,
        /// YAML.
        text: String,
    },
}

/// The wanted state of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdminState {
    /// Takes its share of new flows, if it is healthy.
    Active,
    /// Keeps its flows, takes no new ones.
    Drain,
    /// Takes nothing; its flows move with their next packet. Still probed.
    Disabled,
    /// As disabled, and not probed.
    Maintenance,
}

impl AdminState {
    /// As in the configuration and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Drain => "drain",
            Self::Disabled => "disabled",
            Self::Maintenance => "maintenance",
        }
    }
}

/// What is to change about a backend; `None` leaves a thing as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendChange {
    /// State.
    pub state: Option<AdminState>,
    /// Weight, 0 to 65535.
    pub weight: Option<u16>,
    /// Forget earlier words on this backend first: back to what the configuration says.
    pub clear: bool,
    /// How long it lasts.
    pub lasting: Lasting,
}

/// How long a word on a backend lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is cleared or the process ends; reloads keep it.
    #[default]
    Runtime,
    /// For this time, then it is cleared.
    For(Duration),
    /// Until it is cleared, over restarts too: written to the state directory.
    Persistent,
}

/// An answer, or why not.
pub type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// Which entries of the connection tables to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionQuery {
    /// Of this VIP only.
    pub vip: Option<String>,
    /// Of this backend only: names of pool and backend.
    pub backend: Option<(String, String)>,
    /// At most so many.
    pub max: usize,
}

/// What travels to the controller.
#[derive(Debug)]
pub(crate) enum Request {
    /// Do it.
    Do(Action, Reply<Applied>),
    /// What would it do?
    Diff(ConfigSource, Reply<DiffReport>),
}
