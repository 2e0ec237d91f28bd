//! Frames that leave in pieces, as the worker makes them.

use super::error::ReplayError;
use super::session::Replay;
use super::sink::PcapSink;
use lb_core::packet::{Frame, Packet};
use lb_core::verdict::{RecordIndex, Verdict};
use std::io::Write;

impl Replay {
    /// Makes the pieces of frame number `n`, which was at a place of the last burst and goes to a record, and writes them as
    /// sent at `stamp`.
    pub(super) fn split<W: Write>(
        &mut self,
        (n, stamp): (u64, u64),
        (at, record, l3): (usize, RecordIndex, u8),
        frame: &Frame,
        sink: &mut PcapSink<W>,
        json: &mut Option<&mut dyn Write>,
    ) -> Result<(), ReplayError> {
        let mut pieces = Vec::new();
        let buffer = || Some(Frame::new(frame.frame()));
        let done = self.pipeline.split(&self.tables, (at, record, l3), frame, buffer, |one| pieces.push(one));
        if let Err(reason) = done {
            return self.say(n, Verdict::Drop(reason), frame.frame(), json);
        }
        self.say(n, Verdict::Split(record, l3), frame.frame(), json)?;
        for piece in pieces {
            sink.push(stamp, piece.frame())?;
            self.counters.sent.add(1);
            self.summary.pieces += 1;
        }
        Ok(())
    }
}
