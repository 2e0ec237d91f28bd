//! Why a replay did not come to its end.

use super::capture::CaptureError;
use super::options::UnknownBackend;
use super::summary::{NotConserved, Summary};
use lb_core::tables::TablesError;
use std::io;

/// A replay that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A backend to be down does not exist.
    #[error(transparent)]
    UnknownBackend(#[from] UnknownBackend),
    /// No tables follow from the configuration; its validation should have said so.
    #[error("the configuration makes no tables: {0}")]
    Tables(TablesError),
    /// The capture is damaged; everything before that was processed and written.
    #[error("{source}")]
    Capture {
        /// What and where.
        source: CaptureError,
        /// What had been done until then.
        summary: Box<Summary>,
    },
    /// The frames could not be written.
    #[error("cannot write the output capture: {source}")]
    Output {
        /// Why.
        source: io::Error,
        /// Bytes that were written and end with a whole packet; anything beyond may be half of one.
        whole_bytes: u64,
    },
    /// The JSON lines could not be written.
    #[error("cannot write the JSON lines: {0}")]
    Json(io::Error),
    /// Packets went missing inside the program: a bug.
    #[error("{source}")]
    NotConserved {
        /// Which counts differ.
        source: NotConserved,
        /// What was counted.
        summary: Box<Summary>,
    },
}
