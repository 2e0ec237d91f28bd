//! Fragments that came before the first of their datagram, as the worker keeps them.
//!
//! Their lines are written when it is known what becomes of them, so they come later than their numbers say. One that is
//! sent leaves at the moment of the frame that it waited for.

use super::error::ReplayError;
use super::session::Replay;
use super::sink::PcapSink;
use lb_core::clock::Tick;
use lb_core::fragments::HeldState;
use lb_core::headers::PortFilter;
use lb_core::packet::{Frame, Packet};
use lb_core::reason::DropReason;
use lb_core::verdict::Verdict;
use std::io::Write;

/// One of them.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its number in the capture.
    pub(super) n: u64,
    pub(super) frame: Frame,
    /// What it waits for.
    pub(super) slot: u16,
}

impl Replay {
    /// Processes what need wait no longer, in the order of the capture.
    pub(super) fn take_back<W: Write>(
        &mut self,
        now: Tick,
        stamp: u64,
        sink: &mut PcapSink<W>,
        json: &mut Option<&mut dyn Write>,
    ) -> Result<(), ReplayError> {
        for one in std::mem::take(&mut self.held) {
            if self.pipeline.held_state(one.slot) != HeldState::Ready {
                self.held.push(one);
                continue;
            }
            let mut frames = [one.frame];
            let verdict = self.pipeline.process_held(&self.tables, &PortFilter::ANY, now, &mut frames)[0];
            match verdict {
                Verdict::Split(record, l3) => {
                    self.split((one.n, stamp), (0, record, l3), &frames[0], sink, json)?;
                }
                verdict => self.settle((one.n, stamp), verdict, frames[0].frame(), sink, json)?,
            }
        }
        Ok(())
    }

    /// Drops what waits for a slot in such a state.
    pub(super) fn give_up(
        &mut self,
        is_over: impl Fn(HeldState) -> bool,
        json: &mut Option<&mut dyn Write>,
    ) -> Result<(), ReplayError> {
        for one in std::mem::take(&mut self.held) {
            if !is_over(self.pipeline.held_state(one.slot)) {
                self.held.push(one);
                continue;
            }
            self.pipeline.give_up(one.slot, one.frame.frame().len());
            self.say(one.n, Verdict::Drop(DropReason::FragmentTimeout), one.frame.frame(), json)?;
        }
        Ok(())
    }
}
