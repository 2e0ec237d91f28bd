//! What leaves a worker: whole bursts where all packets go the same way, sorted ones where they do not.
//!
//! What must hold: every packet that comes in here is sent, handed to a worker that sends it, or counted as
//! dropped for a reason; none is counted twice.

use super::held::Held;
use super::split::TooLong;
use crate::instruments::WorkerInstruments;
use crate::io::handover::{Crew, Purpose};
use crate::io::taps::Taps;
use crate::io::{PacketBurst, PacketIo};
use lb_core::counters::DropCounters;
use lb_core::packet::Packet;
use lb_core::probe_route::Diverted;
use lb_core::reason::DropReason;
use lb_core::record::Record;
use lb_core::tables::Tables;
use lb_core::verdict::Verdict;

/// Tries to hand the rest of a burst to a ring that did not take it whole. Software PMDs free their ring
/// while they are asked, so an immediate second try often helps; more than a few is waiting.
const TX_TRIES_MAX: usize = 4;

/// Packets between their verdict and the transmit ring.
pub(super) struct Outbound<B: PacketBurst> {
    /// Per port: what goes to backends.
    staged: Vec<B>,
    /// Our own replies.
    answers: B,
    /// What is for the kernel.
    punted: B,
    /// What is given up, to be freed at once.
    discarded: B,
    /// What is to leave in pieces, for the worker to take out after each burst.
    pub(super) too_long: Vec<TooLong<B::Packet>>,
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
            punted: B::default(),
            discarded: B::default(),
            too_long: Vec::new(),
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
    /// `has_tap` says whether there is a way to the kernel; what is to wait goes to `held`, as come in by port `from`.
    pub(super) fn sort(
        &mut self,
        burst: &mut B,
        verdicts: &[Verdict],
        records: &[Record],
        has_tap: bool,
        (drops, (held, from)): (&DropCounters, (&mut Held<B::Packet>, usize)),
    ) {
        for (at, (packet, verdict)) in burst.drain().zip(verdicts).enumerate() {
            let port =
                |record: u16| records.get(usize::from(record)).map(|record| usize::from(record.port()));
            let (list, reason) = match *verdict {
                Verdict::Forward(record) => match port(record).and_then(|port| self.staged.get_mut(port)) {
                    Some(staged) => (staged, None),
                    None => (&mut self.discarded, Some(DropReason::NoBackend)),
                },
                Verdict::Return(port) => match self.staged.get_mut(usize::from(port)) {
                    Some(staged) => (staged, None),
                    None => (&mut self.discarded, Some(DropReason::NoBackend)),
                },
                Verdict::Answer(_) => (&mut self.answers, None),
                Verdict::Split(record, l3_offset) => {
                    self.too_long.push(TooLong { packet, at, record, l3_offset });
                    continue;
                }
                Verdict::Hold(slot) => {
                    held.push(packet, from, slot);
                    continue;
                }
                Verdict::Punt(_) if has_tap => (&mut self.punted, None),
                // What would be the kernel's is dropped under its own name.
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

    /// Sorts a burst of the kernel in which there are probes, and empties it: probes by the ports of their records,
    /// the others by `port`. Returns how many probes cannot be sent.
    pub(super) fn sort_probes(
        &mut self,
        burst: &mut B,
        found: &[Diverted],
        port: usize,
        records: &[Record],
    ) -> u64 {
        let mut lost = 0;
        for (packet, found) in burst.drain().zip(found) {
            let to = match *found {
                Diverted::No => Some(port),
                Diverted::To(record) => {
                    records.get(usize::from(record)).map(|record| usize::from(record.port()))
                }
                Diverted::Drop(_) => None,
            };
            let list = match to.and_then(|to| self.staged.get_mut(to)) {
                Some(staged) => staged,
                None => {
                    lost += 1;
                    &mut self.discarded
                }
            };
            let refused = list.push(packet);
            debug_assert!(refused.is_ok(), "more than a burst sorted");
        }
        self.discarded.clear();
        lost
    }

    /// Sends what has been sorted by ports.
    pub(super) fn flush_staged<I: PacketIo<Burst = B, Packet = B::Packet>>(
        &mut self,
        purpose: Purpose,
        exit: &mut Exit<'_, I>,
    ) {
        for (to, staged) in self.staged.iter_mut().enumerate() {
            exit.send(to, purpose, staged);
        }
    }

    /// Sends everything sorted: replies by `port`, by which the questions came in, and what is for the kernel to
    /// the punt interface of that port.
    pub(super) fn flush<I: PacketIo<Burst = B, Packet = B::Packet>>(
        &mut self,
        port: usize,
        exit: &mut Exit<'_, I>,
    ) {
        self.flush_staged(Purpose::Forward, exit);
        exit.send(port, Purpose::Answer, &mut self.answers);
        if let Some(tap) = exit.taps.of_port(port) {
            exit.send(tap, Purpose::Punt, &mut self.punted);
        }
    }
}

/// The ways out of a worker.
pub(super) struct Exit<'a, I: PacketIo> {
    pub(super) io: &'a mut I,
    pub(super) crew: Option<&'a mut Crew<I::Packet>>,
    pub(super) taps: &'a Taps,
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
        let sent = Load { packets: packets - refused, bytes: bytes - refused_bytes };
        self.count_sent(port, purpose, sent);
        self.count_refused(port, purpose, Load { packets: refused, bytes: refused_bytes });
    }

    #[inline]
    fn count_sent(&self, port: usize, purpose: Purpose, sent: Load) {
        let counters = &self.instruments.packets;
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.sent_packets.add(sent.packets);
            queue.sent_bytes.add(sent.bytes);
        }
        match purpose {
            Purpose::Answer => counters.answered.add(sent.packets),
            Purpose::Serve | Purpose::Forward => counters.sent.add(sent.packets),
            Purpose::Punt => {
                counters.punted.add(sent.packets);
                let port = self.taps.port_of(port);
                if let Some(queue) = port.and_then(|port| self.instruments.queues.get(port)) {
                    queue.punted.add(sent.packets);
                }
            }
            Purpose::Inject => {
                if let Some(queue) = self.instruments.queues.get(port) {
                    queue.injected.add(sent.packets);
                }
            }
        }
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
        let refused = Load { packets: packets - accepted.packets, bytes: bytes - accepted.bytes };
        self.count_refused(port, purpose, refused);
    }

    /// Counts what no ring took. What the kernel wanted to send was never received, so it is no drop of ours.
    fn count_refused(&self, port: usize, purpose: Purpose, refused: Load) {
        if refused.packets == 0 {
            return;
        }
        if let Some(queue) = self.instruments.queues.get(port) {
            queue.full.add(1);
            if purpose == Purpose::Inject {
                queue.inject_refused.add(refused.packets);
                return;
            }
        }
        let reason = if purpose == Purpose::Punt { DropReason::PuntFull } else { DropReason::TxFull };
        let drops = &self.instruments.packets.drops;
        drops.packets[reason as usize].add(refused.packets);
        drops.bytes[reason as usize].add(refused.bytes);
    }
}

/// Some packets and the bytes of their frames.
#[derive(Clone, Copy)]
struct Load {
    packets: u64,
    bytes: u64,
}
