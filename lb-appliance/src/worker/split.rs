//! Packets that leave in pieces: buffers for the pieces, and their way out.
//!
//! What must hold: all pieces of a packet are handed to the transmit ring, or none is and the packet is dropped for a reason.

use super::outbound::Exit;
use super::{PacketBurst, PacketIo, Worker};
use crate::io::handover::Purpose;
use lb_core::conn::Line;
use lb_core::verdict::RecordIndex;
use std::ops::DerefMut;

/// A packet that is too long, its place in the burst, and where it goes.
#[derive(Debug)]
pub(super) struct TooLong<P> {
    pub(super) packet: P,
    pub(super) at: usize,
    pub(super) record: RecordIndex,
    pub(super) l3_offset: u8,
}

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// Sends the pieces of what the last burst had that is too long.
    #[cold]
    pub(super) fn send_in_pieces(&mut self) {
        let mut too_long = std::mem::take(&mut self.outbound.too_long);
        for TooLong { packet, at, record, l3_offset } in too_long.drain(..) {
            let mut pieces = I::Burst::default();
            let io = &mut self.io;
            let place = (at, record, l3_offset);
            let emit = |piece| {
                let refused = pieces.push(piece);
                debug_assert!(refused.is_ok(), "no more pieces than a burst has room for");
            };
            if self.pipeline.split(&self.tables, place, &packet, || io.buffer(), emit).is_err() {
                // Counted where it was decided.
                pieces.clear();
                continue;
            }
            let port = self.tables.records().get(usize::from(record)).map_or(0, |record| record.port());
            let mut exit = Exit {
                io: &mut self.io,
                crew: self.crew.as_mut(),
                taps: &self.taps,
                instruments: &self.instruments,
            };
            exit.send(usize::from(port), Purpose::Forward, &mut pieces);
        }
        // With its memory.
        self.outbound.too_long = too_long;
    }
}
