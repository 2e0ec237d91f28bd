//! The control plane: one owner of truth, and one way for a change to take.
//!
//! File reload, API, CLI and health all send an [`Action`] through a bounded queue to one task, the controller.
//! It validates everything, makes the next generation of tables off the workers, publishes it, and answers with
//! what became of it. All or nothing: on any refusal what ran goes on as it was.

pub mod action;
pub mod events;
mod explain;
mod handle;
pub mod problem;
mod report;
mod running;
pub mod view;

pub use action::{Action, AdminState, BackendChange, ConfigSource, ConnectionQuery, Lasting, Reply};
pub use handle::{Handle, QUEUE_MAX};
pub use running::Running;
