//! `Crew`: what a worker shares with the others on ports that have fewer queues than there are workers.
//!
//! A receive queue has one owner. On such a port the owner spreads what it receives by flow ([`super::steering`])
//! and hands it over through rings with one writer and one reader each; a worker without a transmit queue hands
//! what it sends to the owner of one. What must hold: no packet is lost in between. A worker that finds a ring
//! without room for a burst takes no burst: packets stay in the device, which counts what it then misses. Packets
//! to be sent are always taken, so nobody waits for ever. A worker that stops closes its rings, and readers empty
//! closed rings.

use super::PacketBurst;
use super::doorbell::{Doorbell, Ringer, doorbell};
use super::steering::Steering;
use lb_core::packet::Packet;
use lb_core::pipeline::BURST_MAX;
use lb_core::tables::Tables;
use rtrb::{Consumer, Producer, RingBuffer};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};

/// Packets that wait in one ring at most: what a worker gets done while another one has the CPU for 20 us.
pub const RING_LEN: usize = 512;

/// Who owns the queues of a port: workers by the number of the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOwners {
    /// Of its receive queues.
    pub receive: Vec<usize>,
    /// Of its transmit queues.
    pub transmit: Vec<usize>,
    /// What is received stays with its owner: nothing in it is for a certain worker.
    pub is_private: bool,
    /// What belongs to a session of address translation goes to the worker that has it, whoever received it.
    pub follows_sessions: bool,
}

impl QueueOwners {
    /// One owner per queue, starting at a different worker for each port, so that the only queues of several
    /// ports are not all one worker's.
    pub fn new(port: usize, receive: usize, transmit: usize, workers: usize) -> Self {
        let owners = |queues: usize| {
            let first = if queues < workers { port } else { 0 };
            (0..queues).map(|queue| (first + queue) % workers.max(1)).collect()
        };
        Self {
            receive: owners(receive),
            transmit: owners(transmit),
            is_private: false,
            follows_sessions: false,
        }
    }

    /// One queue each way for one worker; the others send through it.
    pub fn private(owner: usize) -> Self {
        Self { receive: vec![owner], transmit: vec![owner], is_private: true, follows_sessions: false }
    }

    /// The same for ports on which packets of translated flows come in.
    #[must_use]
    pub fn following_sessions(mut self, follows: bool) -> Self {
        self.follows_sessions = follows && !self.is_private;
        self
    }

    /// True if what a worker receives may be for another one.
    fn is_shared(&self, workers: usize) -> bool {
        self.is_steered(workers) || self.follows_sessions && workers > 1
    }

    /// True if some worker has no receive queue and is served by the owners of those there are.
    pub fn is_steered(&self, workers: usize) -> bool {
        self.receive.len() < workers && !self.is_private
    }

    /// Who transmits for a worker: itself if it can.
    fn transmitter(&self, worker: usize) -> Option<usize> {
        match self.transmit.contains(&worker) {
            true => Some(worker),
            false => self.transmit.get(worker % self.transmit.len().max(1)).copied(),
        }
    }
}

/// What is to become of a packet that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It was received and nobody has looked at it.
    Serve,
    /// It goes to a backend.
    Forward,
    /// It is a reply of our own.
    Answer,
    /// It is for the kernel; the port is the punt interface.
    Punt,
    /// The kernel sends it.
    Inject,
}

/// Where a packet came from or leaves, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label {
    port: u16,
    purpose: Purpose,
}

#[derive(Debug)]
struct Handed<P> {
    packet: P,
    label: Label,
}

type Outboxes<P> = Vec<Option<Producer<Handed<P>>>>;
type Inboxes<P> = Vec<Consumer<Handed<P>>>;

/// One worker's ends of everything that it shares.
#[derive(Debug)]
pub struct Crew<P> {
    index: usize,
    steering: Steering,
    /// Per port: true if what this worker receives may be for others.
    steered: Vec<bool>,
    /// Per port: true if it is spread over all; otherwise only sessions of translation have a worker of their own.
    spread: Vec<bool>,
    /// Per port: who transmits for this worker.
    transmitters: Vec<Option<usize>>,
    /// To workers, by their numbers.
    unserved: Outboxes<P>,
    outgoing: Outboxes<P>,
    to_serve: Inboxes<P>,
    to_send: Inboxes<P>,
    bell: Doorbell,
    ringers: Vec<Ringer>,
    /// Packets on their way out of one burst, by worker.
    sorted: Vec<Vec<P>>,
}

/// How many packets somebody else has agreed to send, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames without FCS.
    pub bytes: u64,
}

impl<P: Packet> Crew<P> {
    /// The crew of `workers` workers; empty when each has its own queues on every port.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn assemble(workers: usize, ports: &[QueueOwners]) -> io::Result<Vec<Self>> {
        let is_complete = |port: &QueueOwners| {
            port.receive.len() >= workers && port.transmit.len() >= workers && !port.is_shared(workers)
        };
        if ports.iter().all(is_complete) {
            return Ok(Vec::new());
        }
        let (bells, ringers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| doorbell()).collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let steering = Steering::new(workers);
        let (unserved, to_serve) = mesh(workers, |from, _| receives_for_others(ports, workers, from));
        let (outgoing, to_send) = mesh(workers, |from, to| sends_through(ports, from, to));
        let ends = unserved.into_iter().zip(to_serve).zip(outgoing.into_iter().zip(to_send)).zip(bells);
        let member = |(index, (((unserved, to_serve), (outgoing, to_send)), bell))| Self {
            index,
            steering: steering.clone(),
            steered: ports.iter().map(|port| port.is_shared(workers)).collect(),
            spread: ports.iter().map(|port| port.is_steered(workers)).collect(),
            transmitters: ports.iter().map(|port| port.transmitter(index)).collect(),
            unserved,
            outgoing,
            to_serve,
            to_send,
            bell,
            ringers: ringers.clone(),
            sorted: (0..workers).map(|_| Vec::with_capacity(BURST_MAX)).collect(),
        };
        Ok(ends.enumerate().map(member).collect())
    }

    /// Readable when another worker has rung.
    pub fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// True if what this worker receives on `port` is not all its own.
    #[inline]
    pub fn is_steered(&self, port: usize) -> bool {
        self.steered.get(port).copied().unwrap_or(false)
    }

    /// True if every other worker can take `packets` packets to serve.
    #[inline]
    pub fn has_room(&self, packets: usize) -> bool {
        self.unserved.iter().flatten().all(|ring| has_room(ring, packets))
    }

    /// True if those who transmit for this worker can take `packets` packets to send.
    #[inline]
    pub fn has_way_out(&self, packets: usize) -> bool {
        self.outgoing.iter().flatten().all(|ring| has_room(ring, packets))
    }

    /// Hands over what belongs to others of a burst received on `port`; the rest stays, in order. There must be
    /// room ([`Self::has_room`]): what finds none is served here, out of its place but not lost.
    pub fn steer<B: PacketBurst<Packet = P>>(&mut self, port: usize, burst: &mut B, tables: &Tables) {
        let mut owners = [self.index; BURST_MAX];
        let mut is_all_ours = true;
        let is_spread = self.spread.get(port).copied().unwrap_or(false);
        for (owner, packet) in owners.iter_mut().zip(burst.packets()) {
            *owner = self.steering.owner(tables, is_spread, packet.frame()).unwrap_or(self.index);
            is_all_ours &= *owner == self.index;
        }
        if is_all_ours {
            return;
        }
        for (packet, owner) in burst.drain().zip(owners) {
            self.sorted[owner].push(packet);
        }
        let label = Label { port: port as u16, purpose: Purpose::Serve };
        for ((packets, ring), ringer) in self.sorted.iter_mut().zip(&mut self.unserved).zip(&self.ringers) {
            if packets.is_empty() {
                continue;
            }
            if let Some(ring) = ring {
                let room = packets.len().min(ring.slots());
                push(ring, packets.drain(..room).map(|packet| Handed { packet, label }), room);
                ringer.ring();
            }
            for packet in packets.drain(..) {
                let refused = burst.push(packet);
                debug_assert!(refused.is_ok(), "they came out of this burst");
            }
        }
    }

    /// Hands a burst to whoever transmits on `port` for this worker and empties it; returns what was taken.
    pub fn hand_out<B: PacketBurst<Packet = P>>(
        &mut self,
        port: usize,
        purpose: Purpose,
        burst: &mut B,
    ) -> Accepted {
        let Some(to) = self.transmitters.get(port).copied().flatten() else { return Accepted::default() };
        let Some(Some(ring)) = self.outgoing.get_mut(to) else { return Accepted::default() };
        let label = Label { port: port as u16, purpose };
        let room = burst.len().min(ring.slots());
        let mut bytes = 0;
        let handed = burst.drain().take(room).map(|packet| {
            bytes += packet.frame().len() as u64;
            Handed { packet, label }
        });
        push(ring, handed, room);
        burst.clear();
        self.ringers[to].ring();
        Accepted { packets: room as u64, bytes }
    }

    /// The rings that this worker reads, by number: packets to serve, and packets to send.
    #[inline]
    pub fn inboxes(&self) -> (Range<usize>, Range<usize>) {
        let (serve, send) = (self.to_serve.len(), self.to_send.len());
        (0..serve, serve..serve + send)
    }

    /// Moves up to `max` packets of one port from ring number `inbox` into an empty burst: the port they came
    /// from or leave by, and what is to become of them.
    pub fn take<B: PacketBurst<Packet = P>>(
        &mut self,
        inbox: usize,
        max: usize,
        into: &mut B,
    ) -> Option<(usize, Purpose)> {
        let ring = self.to_serve.iter_mut().chain(&mut self.to_send).nth(inbox)?;
        let chunk = ring.read_chunk(ring.slots().min(max)).ok()?;
        let (head, tail) = chunk.as_slices();
        let label = head.first()?.label;
        let run = head.iter().chain(tail).take_while(|handed| handed.label == label).count();
        for handed in chunk.into_iter().take(run) {
            let refused = into.push(handed.packet);
            debug_assert!(refused.is_ok(), "an empty burst has room for a burst");
        }
        Some((usize::from(label.port), label.purpose))
    }

    /// Announces a sleep; false, and no sleep, if something has been handed over. [`Self::wake`] ends it.
    pub fn lie_down(&mut self) -> bool {
        self.bell.lie_down();
        let is_idle = self.to_serve.iter().chain(&self.to_send).all(Consumer::is_empty);
        if !is_idle {
            self.bell.wake();
        }
        is_idle
    }

    /// Ends a sleep.
    pub fn wake(&mut self) {
        self.bell.wake();
    }

    /// Hands over no more of what is received.
    pub fn close_unserved(&mut self) {
        self.unserved.clear();
        self.ringers.iter().for_each(Ringer::ring);
    }

    /// Hands over nothing more to be sent.
    pub fn close_outgoing(&mut self) {
        self.outgoing.clear();
        self.ringers.iter().for_each(Ringer::ring);
    }

    /// True if nothing to be served is left and none will come.
    pub fn has_served_all(&self) -> bool {
        self.to_serve.iter().all(is_finished)
    }

    /// True if nothing to be sent is left and none will come.
    pub fn has_sent_all(&self) -> bool {
        self.to_send.iter().all(is_finished)
    }
}

/// True if `worker` owns a receive queue of a port that is spread by software.
fn receives_for_others(ports: &[QueueOwners], workers: usize, worker: usize) -> bool {
    ports.iter().any(|port| port.is_shared(workers) && port.receive.contains(&worker))
}

/// True if `to` owns the transmit queue that `from` lacks on some port.
fn sends_through(ports: &[QueueOwners], from: usize, to: usize) -> bool {
    ports.iter().any(|port| from != to && port.transmitter(from) == Some(to))
}

/// Packets that the rings of a crew hold at most.
pub fn packets_max(workers: usize, ports: &[QueueOwners]) -> usize {
    let pairs = || (0..workers).flat_map(|from| (0..workers).map(move |to| (from, to)));
    let unserved = pairs().filter(|(from, to)| from != to && receives_for_others(ports, workers, *from));
    let outgoing = pairs().filter(|(from, to)| sends_through(ports, *from, *to));
    (unserved.count() + outgoing.count()) * RING_LEN
}

/// The reader's progress is looked at only when what is known of it does not suffice.
#[inline]
fn has_room<T>(ring: &Producer<T>, packets: usize) -> bool {
    ring.cached_slots() >= packets || ring.slots() >= packets
}

/// Closed first, then empty: the other way round a last packet could slip in between.
fn is_finished<T>(ring: &Consumer<T>) -> bool {
    ring.is_abandoned() && ring.is_empty()
}

/// Puts `count` items, for which there is room, into a ring at once.
fn push<T>(ring: &mut Producer<T>, items: impl Iterator<Item = T>, count: usize) {
    if let Ok(chunk) = ring.write_chunk_uninit(count) {
        chunk.fill_from_iter(items);
    }
}

/// Rings from every worker to every other for which `is_needed(from, to)`; the ends by worker.
fn mesh<P>(workers: usize, is_needed: impl Fn(usize, usize) -> bool) -> (Vec<Outboxes<P>>, Vec<Inboxes<P>>) {
    let mut outboxes: Vec<Outboxes<P>> = (0..workers).map(|_| Vec::new()).collect();
    let mut inboxes: Vec<Inboxes<P>> = (0..workers).map(|_| Vec::new()).collect();
    for (from, outboxes) in outboxes.iter_mut().enumerate() {
        for (to, inboxes) in inboxes.iter_mut().enumerate() {
            let ring = (from != to && is_needed(from, to)).then(|| RingBuffer::new(RING_LEN));
            let (producer, consumer) = ring.unzip();
            outboxes.push(producer);
            inboxes.extend(consumer);
        }
    }
    (outboxes, inboxes)
}

#[cfg(test)]
mod tests;
