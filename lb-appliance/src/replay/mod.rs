//! Replay: a capture through the production packet path, with no NIC, no privileges and no EAL.
//!
//! The same `Pipeline` as in a worker decides and edits; only time (the capture's own stamps) and packet
//! I/O (files) differ. The result depends on configuration and capture alone: not on the burst size, the
//! machine or the hour.

mod burst;
mod capture;
mod clock;
mod error;
mod line;
mod options;
mod session;
mod sink;
mod split;
mod summary;
mod waiting;

pub use capture::{Capture, CaptureError, CaptureFlaw, Captured, Resolution};
pub use error::ReplayError;
pub use options::{BackendName, BackendNameError, ReplayOptions, UnknownBackend};
pub use session::Replay;
pub use summary::{NotConserved, Summary};

use crate::config::Config;
use std::io::{Read, Write};

/// Sends the capture behind `reader` through the packet path of `config`. `writer` gets a classic pcap of
/// the frames that would be sent, `json` one line per input frame. Neither is buffered here beyond a burst
/// of frames, `reader` and `writer` need no buffer of their own, `json` should have one.
///
/// # Errors
/// See [`ReplayError`]. What precedes damage in the capture has been processed and written.
pub fn run<R: Read, W: Write>(
    config: &Config,
    options: &ReplayOptions,
    reader: R,
    writer: W,
    json: Option<&mut dyn Write>,
) -> Result<Summary, ReplayError> {
    let replay = Replay::new(config, options)?;
    let capture =
        Capture::open(reader).map_err(|source| ReplayError::Capture { source, summary: Box::default() })?;
    replay.run(capture, writer, json)
}
