//! A worker's line to the controller: new tables come in, questions about entries are answered.
//!
//! Looked at during housekeeping only, so the packet path never meets it. Nothing here waits: tables that are
//! being replaced are taken next time, and whoever has stopped waiting for an answer is not missed.

use super::Worker;
use crate::io::PacketIo;
use lb_core::conn::{EntryView, Line};
use lb_core::flow::FlowKey;
use lb_core::publish::Subscriber;
use lb_core::tables::Tables;
use std::ops::DerefMut;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Questions that may wait for one worker.
const ERRANDS_MAX: usize = 16;
/// Lines of the connection table that a listing looks at during one housekeeping: about 10 us.
const LINES_PER_LOOK: usize = 256;

/// Where the answer goes.
type Answer = oneshot::Sender<Vec<EntryView>>;

/// A question to one worker.
#[derive(Debug)]
pub enum Errand {
    /// The entry of a flow.
    Find(FlowKey, Answer),
    /// The same, and away with it.
    Delete(FlowKey, Answer),
    /// At most `max` entries, of records of which `wanted` has the bit (all without it).
    List {
        /// By record number.
        wanted: Option<Box<[bool]>>,
        /// Largest number of entries in the answer.
        max: usize,
        /// Where the answer goes.
        answer: Answer,
    },
}

/// The worker's end.
#[derive(Debug)]
pub struct ControlLine {
    tables: Subscriber<Tables>,
    errands: Receiver<Errand>,
    listing: Option<Listing>,
}

/// A listing under way.
#[derive(Debug)]
struct Listing {
    wanted: Option<Box<[bool]>>,
    max: usize,
    answer: Answer,
    next_line: usize,
    found: Vec<EntryView>,
}

impl ControlLine {
    /// A line, and where errands are handed in.
    pub fn new(tables: Subscriber<Tables>) -> (Self, SyncSender<Errand>) {
        let (sender, errands) = sync_channel(ERRANDS_MAX);
        (Self { tables, errands, listing: None }, sender)
    }
}

impl<I: PacketIo, S: DerefMut<Target = [Line]>> Worker<I, S> {
    /// The same worker on a line to the controller.
    #[must_use]
    pub fn on_line(mut self, line: Option<ControlLine>) -> Self {
        self.line = line;
        self
    }

    /// Takes new tables and runs errands. True if there is more to do, so that a sleep must wait.
    pub(super) fn attend_line(&mut self) -> bool {
        let Some(mut line) = self.line.take() else { return false };
        if let Some(tables) = line.tables.newer() {
            self.outbound.retable(&tables);
            // What is replaced here is kept by the publisher until it has been acknowledged.
            self.tables = tables;
            line.tables.acknowledge();
        }
        let is_busy = self.run_errand(&mut line);
        self.line = Some(line);
        is_busy
    }

    fn run_errand(&mut self, line: &mut ControlLine) -> bool {
        if let Some(listing) = line.listing.take() {
            line.listing = self.list(listing);
            return true;
        }
        let Ok(errand) = line.errands.try_recv() else { return false };
        match errand {
            Errand::Find(flow, answer) => {
                let found = self.pipeline.find_flow(&self.tables, &flow, self.now);
                // Nobody waits any more: the answer is not missed.
                let _ = answer.send(found.into_iter().collect());
            }
            Errand::Delete(flow, answer) => {
                let gone = self.pipeline.delete_flow(&self.tables, &flow, self.now);
                let _ = answer.send(gone.into_iter().collect());
            }
            Errand::List { wanted, max, answer } => {
                line.listing = Some(Listing { wanted, max, answer, next_line: 0, found: Vec::new() });
            }
        }
        true
    }

    /// Looks at some more lines; the listing, unless it is over.
    fn list(&self, mut listing: Listing) -> Option<Listing> {
        let connections = self.pipeline.connections();
        let end = (listing.next_line + LINES_PER_LOOK).min(connections.line_count());
        let is_wanted = |view: &EntryView| match &listing.wanted {
            Some(wanted) => wanted.get(usize::from(view.record)).copied().unwrap_or(false),
            None => true,
        };
        for index in listing.next_line..end {
            let room = listing.max - listing.found.len();
            let wanted = connections.entries(index, self.now).filter(is_wanted);
            listing.found.extend(wanted.take(room));
        }
        let is_over = end == connections.line_count() || listing.found.len() >= listing.max;
        if is_over || listing.answer.is_closed() {
            let _ = listing.answer.send(listing.found);
            return None;
        }
        listing.next_line = end;
        Some(listing)
    }
}
