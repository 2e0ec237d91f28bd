//! The connection table of one worker: which backend a flow was given.
//!
//! Lines of 64 bytes with six entries each, a fixed number of them, no locks (each worker has its own).
//! An entry is a fingerprint of the flow hash, not a key: see docs/connection-table.md for the odds of a
//! false match and why they are harmless in the modes that use it.

mod inspect;
mod line;
mod table;

pub use inspect::EntryView;
pub use line::{Class, Line};
pub use table::{ConnTable, Inserted, Slot};
pub(crate) use table::{Lines, Placed};

#[cfg(test)]
mod tests;
