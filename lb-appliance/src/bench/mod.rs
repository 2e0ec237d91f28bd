//! `guideway bench`: the production pipeline on one core, in nanoseconds per packet.
//!
//! What must hold: the pipeline is the worker's, its table lies in a worker's memory, and its counters are
//! asked afterwards whether every packet was forwarded. Samples of the source alone, of a MAC swap and of the
//! pipeline are interleaved in one process, so that noise hits all of them (docs/bench.md).

mod clock;
mod draw;
mod meter;
mod report;
mod rig;
#[cfg(feature = "dpdk")]
mod ring;
mod run;
mod settings;
mod source;
mod statistics;
mod tally;
mod traffic;

pub use report::Report;
pub use run::run;
pub use settings::{Encap, Family, Mix, Outer, Settings, SourceKind};

use crate::arena::Arena;
use lb_core::conn::{ConnTable, Line};

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// It could have been, but was not.
    #[error("{0}")]
    Failed(String),
}

/// Lines of the table that has room for `entries` entries.
fn line_count(entries: usize) -> usize {
    ConnTable::<&mut [Line]>::lines_for(entries)
}

/// The memory of such a table, on the pages that a worker's table has.
///
/// # Errors
/// When there is not that much memory.
fn table(entries: usize) -> Result<Arena, String> {
    let lines = line_count(entries);
    Arena::new(lines).map_err(|error| {
        let mib = (lines * size_of::<Line>()) >> 20;
        format!("no memory for a connection table of {mib} MiB ({error}): lower --flows")
    })
}
