//! The connection table of one worker: which backend a flow was given.
//!
//! Lines of 64 bytes with six entries each, a fixed number of them, no locks (each worker has its own).
//! An entry is a fingerprint of the flow hash, not a key: see docs/connection-table.md for the odds of a
//! false match and why they are harmless in the modes that use it.

mod inspect;
mod line;
mod lines;
mod table;

pub use inspect::EntryView;
pub(crate) use line::Entry;
pub use line::{Class, Line};
pub use lines::Inserted;
pub(crate) use lines::{Lines, Placed};
pub use table::{ConnTable, Slot};

#[cfg(test)]
mod tests;
