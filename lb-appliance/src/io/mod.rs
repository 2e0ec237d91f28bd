//! The packet-I/O seam: the worker loop above it, DPDK or plain memory below it.
//!
//! One value of an implementing type belongs to one worker: its own queues, on each port at most one either way.
//! Nothing here decides anything. Packets move in bursts; a burst that leaves as it came is handed on whole.
//! Workers without a queue of their own are served by others: [`handover`].

pub mod doorbell;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod handover;
pub mod memory;
pub mod steering;
pub mod taps;

use lb_core::packet::Packet;
use std::time::Duration;

/// A bounded list of packets, the unit in which they move: room for `lb_core::pipeline::BURST_MAX` of them.
pub trait PacketBurst: Default {
    /// What it holds.
    type Packet: Packet;

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packets, in order, to be edited in place.
    fn packets(&mut self) -> &mut [Self::Packet];

    /// Sum of the lengths of the frames as they are now, bytes without FCS.
    fn bytes(&self) -> u64;

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// Gives it back when the burst is full.
    fn push(&mut self, packet: Self::Packet) -> Result<(), Self::Packet>;

    /// Takes all packets, in order; those the iterator does not reach are freed.
    fn drain(&mut self) -> impl Iterator<Item = Self::Packet>;

    /// Frees all packets.
    fn clear(&mut self);
}

/// A worker's access to its queues.
pub trait PacketIo {
    /// The packets of this kind of I/O.
    type Packet: Packet;
    /// Its bursts.
    type Burst: PacketBurst<Packet = Self::Packet>;

    /// Number of ports, which are indexed from 0 in the order of the configuration.
    fn port_count(&self) -> usize;

    /// True if this worker has a receive queue on `port`.
    fn can_receive(&self, port: usize) -> bool;

    /// True if this worker has a transmit queue on `port`.
    fn can_transmit(&self, port: usize) -> bool;

    /// Appends up to `max` packets received on `port` to a burst with room for them; none without a queue.
    fn receive(&mut self, port: usize, max: usize, into: &mut Self::Burst);

    /// Hands packets to the transmit ring of `port`, from the front; what it does not take stays in the burst.
    fn transmit(&mut self, port: usize, burst: &mut Self::Burst);

    /// An empty packet with the headroom of a received one, for a frame as long as any port takes; `None` if none is free.
    fn buffer(&mut self) -> Option<Self::Packet>;

    /// Nanoseconds of a monotonic clock, cheap enough for every burst.
    fn now_nanos(&self) -> u64;

    /// Sleeps until a port has something to receive, or `timeout` has passed. Spurious returns are fine.
    fn wait(&mut self, timeout: Duration);

    /// True if [`Self::wait`] wakes up for packets on every port, so that it may be given a long timeout.
    fn wakes_for_packets(&self) -> bool;
}
