//! The admin API: what the control plane knows and does, as HTTP and JSON.
//!
//! On a Unix socket it is full control for whoever may open the socket; on TCP, if configured, it is for reading,
//! and with a token for changes. Everything that can be asked stands in `GET /openapi.json`, which is made from the
//! same declarations as the routes. A client that is slow, silent or greedy is cut off by [`crate::http_limits`];
//! a handler that waits for the controller gives up in time.

mod answer;
mod bind;
mod documents;
mod extract;
mod guard;
mod openapi;
mod peer;
mod routes;
mod server;
mod socket;

pub use bind::{AdminError, Listeners, open};
pub use documents::{
    BackendPatch, CheckReport, ConfigDocument, ConfigFile, DropsReport, LogLevel, LogLevelChange,
    MaglevAnswer, ProbeRequest, RuntimeReport, VersionInfo, WorkerRuntime,
};
pub use openapi::document as openapi;
pub use server::serve;

/// Open connections on each listener; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;
/// Those of them that may follow events, on all listeners.
pub const FOLLOWERS_MAX: usize = 16;
/// Time for the request, seconds from accept.
pub const REQUEST_SECONDS_MAX: u64 = 3;
/// Time for a handler to answer, seconds.
pub const HANDLER_SECONDS_MAX: u64 = 20;
/// Time for everything, seconds from accept; and how long a follower may leave what it is sent.
pub const RESPONSE_SECONDS_MAX: u64 = 30;
/// Bytes of the head of a request.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the body of a request: the largest configuration file.
pub const BODY_BYTES_MAX: usize = crate::config::FILE_BYTES_MAX;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
