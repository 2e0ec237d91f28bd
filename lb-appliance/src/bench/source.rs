//! Where packets come from: batches of frames are written, handed out in bursts, and taken back.

use super::meter::Meter;
use super::traffic::{Flow, Frames};
use lb_core::packet::{Buffer, Packet};

/// Packets between two looks at the clock, at most: often enough that the clock costs nothing.
pub(super) const BATCH_MAX: usize = 512;

/// A supply of packets.
pub(super) trait Source {
    type Packet: Packet;

    /// Sends one packet of each flow through `work`, burst by burst; `meter` runs over the timed part. At
    /// most [`BATCH_MAX`] flows.
    fn batch(
        &mut self,
        flows: &[Flow],
        frames: &Frames,
        meter: &mut impl Meter,
        work: impl FnMut(&mut [Self::Packet]),
    );

    /// What went wrong since the start, if anything did.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// Buffers in memory, as many as a receive ring has. Frames are written before the clock starts, so that
/// they are where a NIC leaves them: near the core, in the second-level cache.
#[derive(Debug)]
pub(super) struct MemorySource {
    #[expect(clippy::vec_box, reason = "a burst is an array of pointers to buffers, as DPDK's is")]
    buffers: Vec<Box<Buffer>>,
    burst: usize,
}

impl MemorySource {
    pub(super) fn new(burst: usize) -> Self {
        Self { buffers: (0..BATCH_MAX).map(|_| Box::default()).collect(), burst }
    }
}

impl Source for MemorySource {
    type Packet = Box<Buffer>;

    #[inline]
    fn batch(
        &mut self,
        flows: &[Flow],
        frames: &Frames,
        meter: &mut impl Meter,
        mut work: impl FnMut(&mut [Self::Packet]),
    ) {
        let count = flows.len().min(BATCH_MAX);
        for (buffer, flow) in self.buffers.iter_mut().zip(flows) {
            frames.write(*flow, buffer.reset(frames.len(*flow)));
        }
        meter.start();
        self.buffers[..count].chunks_mut(self.burst).for_each(&mut work);
        meter.stop();
    }
}
