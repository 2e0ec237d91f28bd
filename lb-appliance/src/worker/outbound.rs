//! What leaves a worker: whole bursts where all packets go the same way, sorted ones where they do not.
//!
//! What must hold: every packet that comes in here is sent, handed to a worker that sends it, or counted as
//! dropped for a reason; none is counted twice.

use crate::instruments::WorkerInstruments;
use crate::io::handover::{Crew, Purpose};
use crate::io::{PacketBurst, PacketIo};
use lb_core::counters::DropCounters;
use lb_core::packet::Packet;
use lb_core::reason::DropReason;
use lb_core::record::Record;
use lb_core::tables::Tables;
use lb_core::verdict::Verdict;

/// Tries to hand the rest of a burst to a ring that did not take it whole. Software PMDs free their ring
/// while they are asked, so an immediate second try often helps; more than a few is waiting.
const TX_TRIES_MAX: usize = 4;

/// Packets between their verdict and the transmit ring.
pub(super) struct Outbound<B> {
    /// Per port: what goes to backends.
    staged: Vec<B>,
    /// Our own replies.
    answers: B,
    /// What is given up, to be freed at once.
    discarded: B,
    /// The port that every backend is reached by, if there is only one.
    only_port: Option<usize>,
    /// Number of records, all of them with that port.
    records: usize,
}

impl<B: PacketBurst> Outbound<B> {
    pub(super) fn new(tables: &Tables, ports: usize) -> Self {
        let mut outbound = Self {
            staged: (0..ports).map(|_| B::default()).collect(),
            answers: B::default(),
            discarded: B::default(),
            only_port: None,
            records: 0,
        };
        outbound.retable(tables);
        outbound
    }

    /// Goes by other tables from the next burst on.
    pub(super) fn retable(&mut self, tables: &Tables) {
        // No packet follows a dead record.
        let mut ports = tables.records().iter().filter(|record| !record.is_dead()).map(Record::port);
        let first = ports.next();
        self.only_port = first
            .filter(|first| ports.all(|port| port == *first))
            .map(usize::from)
            .filter(|port| *port < self.staged.len());
        self.records = tables.records().len();
    }

    /// The port by which a burst leaves as it is: all of it goes to backends, and one port leads to those.
    #[inline(always)]
    pub(super) fn sole_port(&self, verdicts: &[Verdict]) -> Option<usize> {
        let is_forwarded = |verdict: &Verdict| match verdict {
            Verdict::Forward(record) => usize::from(*record) < self.records,
            _ => false,
        };
        self.only_port.filter(|_| verdicts.iter().all(is_forwarded))
    }

    /// Sorts a burst by what becomes of its packets, and empties it. Counts the drops that the core has not.
    pub(super) fn sort(
        &mut self,
        burst: &mut B,
        verdicts: &[Verdict],
        records: &[Record],
        drops: &DropCounters,
    ) {
        for (packet, verdict) in burst.drain().zip(verdicts) {
            let port =
                |record: u16| records.get(usize::from(record)).map(|record| usize::from(record.port()));
            let (list, reason) = match *verdict {
                Verdict::Forward(record) => match port(record).and_then(|port| self.staged.get_mut(port)) {
                    Some(staged) => (staged, None),
                    None => (&mut self.discarded, Some(DropReason::NoBackend)),
                },
                Verdict::Answer => (&mut self.answers, None),
                // No punt interfaces yet: what would be the kernel's is dropped under its own name.
                Verdict::Punt(reason) => (&mut self.discarded, Some(reason.drop_reason())),
                // Counted where it was decided.
                Verdict::Drop(_) => (&mut self.discarded, None),
            };
            if let Some(reason) = reason {
                drops.count(reason, packet.frame().len());
            }
            // Every list has room for a burst, and is emptied after each.
            let refused = list.push(packet);
            debug_assert!(refused.is_ok(), "more than a burst sorted");
        }
        self.discarded.clear();
    }

    /// Sends everything sorted: replies by `port`, by which the questions came in.
    pub(super) fn flush<I: PacketIo<Burst = B, Packet = B::Packet>>(
        &mut self,
        port: usize,
        exit: &mut Exit<'_, I>,
    ) {
        for (to, staged) in self.staged.iter_mut().enumerate() {
            exit.send(to, Purpose::Forward, staged);
        }
        exit.send(port, Purpose::Answer, &mut self.answers);
    }
}

/// The ways out of a worker.
pub(super) struct Exit<'a, I: PacketIo> {
    pub(super) io: &'a mut I,
    pub(super) crew: Option<&'a mut Crew<I::Packet>>,
    pub(super) instruments: &'a WorkerInstruments,
}

impl<I: PacketIo> Exit<'_, I> {
    /// Sends a burst by `port`, through another worker if this one has no queue there, and empties it. What no
    /// ring takes is dropped.
    #[inline]
    pub(super) fn send(&mut self, port: usize, purpose: Purpose, burst: &mut I::Burst) {
        if burst.is_empty() {
            return;
        }
        if !self.io.can_transmit(port) {
            self.hand_out(port, purpose, burst);
            return;
        }
        let (packets, bytes) = (burst.len() as u64, burst.bytes());
        for _ in 0..TX_TRIES_MAX {
            self.io.transmit(port, burst);
            if burst.is_empty() {
                break;
            }
        }
        let (refused, refused_bytes) = (burst.len() as u64, burst.bytes());
        burst.clear();
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.sent_packets.add(packets - refused);
            queue.sent_bytes.add(bytes - refused_bytes);
        }
        let counters = &self.instruments.packets;
        let sent = if purpose == Purpose::Answer { &counters.answered } else { &counters.sent };
        sent.add(packets - refused);
        self.count_refused(port, refused, refused_bytes);
    }

    /// Sends a burst through the worker that has a queue. That one counts what it sends or drops.
    #[cold]
    fn hand_out(&mut self, port: usize, purpose: Purpose, burst: &mut I::Burst) {
        let (packets, bytes) = (burst.len() as u64, burst.bytes());
        let accepted = match &mut self.crew {
            Some(crew) => crew.hand_out(port, purpose, burst),
            None => Default::default(),
        };
        burst.clear();
        self.count_refused(port, packets - accepted.packets, bytes - accepted.bytes);
    }

    fn count_refused(&self, port: usize, packets: u64, bytes: u64) {
        if packets == 0 {
            return;
        }
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.full.add(1);
        }
        let drops = &self.instruments.packets.drops;
        drops.packets[DropReason::TxFull as usize].add(packets);
        drops.bytes[DropReason::TxFull as usize].add(bytes);
    }
}
