//! The control plane: one owner of truth, and one way for a change to take.
//!
//! File reload, API, CLI and health all send an [`Action`] through a bounded queue to one task, the controller.
//! It validates everything, makes the next generation of tables off the workers, publishes it, and answers with
//! what became of it. All or nothing: on any refusal what ran goes on as it was.

pub mod action;
mod candidate;
mod connections;
mod controller;
mod diff;
pub mod effective;
pub mod events;
pub mod explain;
mod factors;
mod facts;
mod handle;
mod ledger;
mod loaded;
mod numbers;
mod overrides;
pub mod problem;
pub mod protocol;
mod report;
mod running;
mod store;
mod task;
pub mod view;
mod vital_signs;
mod watch;

pub use action::{Action, AdminState, BackendChange, ConfigSource, ConnectionQuery, Lasting, Reply};
pub use connections::{Errands, LIST_MAX};
pub use handle::{Handle, QUEUE_MAX};
pub use ledger::{Ledger, Traffic};
pub use loaded::{Boot, ConfigFile, Loaded, NoBoot};
pub use running::{Running, Vitals};
pub use store::{STATE_DIRECTORY_DEFAULT, Store};
pub use task::{Prepared, Start};

#[cfg(test)]
mod tests;
