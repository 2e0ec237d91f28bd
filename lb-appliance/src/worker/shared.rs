//! The worker's dealings with the others: what they hand over, and how it leaves without losing any of it.

use super::{Exit, Worker};
use crate::io::handover::Purpose;
use crate::io::{PacketBurst, PacketIo};
use lb_core::conn::Line;
use std::ops::DerefMut;
use std::time::Duration;

/// Between two looks at what workers that have not stopped yet still hand over.
const LEAVING_NAP: Duration = Duration::from_micros(50);

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// One burst from every ring that others fill; returns how many packets came. Packets to be sent are always
    /// taken; those to be served only while there is a way out for them.
    #[inline]
    pub(super) fn poll_crew(&mut self) -> usize {
        let Some(crew) = &self.crew else { return 0 };
        let (to_serve, to_send) = crew.inboxes();
        let mut received = 0;
        for inbox in to_send {
            received += self.poll_inbox(inbox);
        }
        for inbox in to_serve {
            if self.crew.as_ref().is_some_and(|crew| crew.has_way_out(self.settings.burst)) {
                received += self.poll_inbox(inbox);
            }
        }
        received
    }

    fn poll_inbox(&mut self, inbox: usize) -> usize {
        let Some(crew) = &mut self.crew else { return 0 };
        let Some((port, purpose)) = crew.take(inbox, self.settings.burst, &mut self.in_hand) else {
            return 0;
        };
        let received = self.in_hand.len();
        if purpose == Purpose::Serve {
            self.serve(port);
        } else {
            let mut exit = Exit {
                io: &mut self.io,
                crew: self.crew.as_mut(),
                taps: &self.taps,
                instruments: &self.instruments,
            };
            exit.send(port, purpose, &mut self.in_hand);
        }
        received
    }

    /// Leaves the crew: receives no more, serves what was handed over until nobody hands anything over, and
    /// then sends what was handed over in the same way. Ends because every worker takes these steps in this order
    /// and none waits for a step that comes later.
    pub(super) fn leave(&mut self) {
        self.step_down(|crew| crew.close_unserved(), |crew| crew.has_served_all());
        self.step_down(|crew| crew.close_outgoing(), |crew| crew.has_sent_all());
    }

    fn step_down(
        &mut self,
        close: impl FnOnce(&mut super::Crew<I::Packet>),
        is_over: impl Fn(&super::Crew<I::Packet>) -> bool,
    ) {
        let Some(crew) = &mut self.crew else { return };
        close(crew);
        while !self.crew.as_ref().is_none_or(&is_over) {
            if self.poll_crew() == 0 {
                std::thread::sleep(LEAVING_NAP);
            }
        }
    }
}
