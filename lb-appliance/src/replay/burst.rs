//! The frames that go through the packet path together.

use lb_core::packet::Frame;

/// Frames of one tick, in the order of the capture, with their stamps.
#[derive(Debug, Default)]
pub(super) struct FrameBurst {
    pub(super) frames: Vec<Frame>,
    /// Stamps of the frames, nanoseconds since 1970.
    pub(super) stamps: Vec<u64>,
    /// When they are processed, whole ticks since the first frame.
    pub(super) ticks: u64,
}

impl FrameBurst {
    /// True if a frame of the tick `ticks` must wait for the next burst.
    pub(super) fn is_closed(&self, ticks: u64, len_max: usize) -> bool {
        !self.frames.is_empty() && (self.ticks != ticks || self.frames.len() >= len_max)
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, stamp: u64, ticks: u64, frame: &[u8]) {
        self.frames.push(Frame::new(frame));
        self.stamps.push(stamp);
        self.ticks = ticks;
    }

    /// Empties it for the next.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.stamps.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_closed_when_full_or_when_its_tick_is_over() {
        let mut burst = FrameBurst::default();
        assert!(!burst.is_closed(9, 1), "an empty one waits for its first frame");
        burst.push(5, 9, &[1]);
        assert!(!burst.is_closed(9, 2));
        assert!(burst.is_closed(10, 2), "another tick");
        assert!(burst.is_closed(9, 1), "full");
        burst.clear();
        assert!(!burst.is_closed(10, 1));
    }
}
