//! The packet-I/O seam: the worker loop above it, DPDK or plain memory below it.
//!
//! One value of an implementing type belongs to one worker: its own queue pair on each port. Nothing here
//! decides anything; packets come in by port, leave by port, or are given up.

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod memory;

use lb_core::packet::Packet;
use std::time::Duration;

/// What became of the packets staged for a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Taken by the transmit ring.
    pub sent_packets: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Not taken, and freed.
    pub refused_packets: u64,
    /// Bytes of those.
    pub refused_bytes: u64,
}

/// A worker's access to its queues.
pub trait PacketIo {
    /// The packets of this kind of I/O.
    type Packet: Packet;

    /// Number of ports, which are indexed from 0 in the order of the configuration.
    fn port_count(&self) -> usize;

    /// Appends up to `max` packets received on `port`.
    fn receive(&mut self, port: usize, max: usize, into: &mut Vec<Self::Packet>);

    /// Stages a packet for `port`; at most as many as one burst between two flushes.
    fn stage(&mut self, port: usize, packet: Self::Packet);

    /// Hands everything staged for `port` to its transmit ring.
    fn flush(&mut self, port: usize) -> Flushed;

    /// Gives a packet up.
    fn discard(&mut self, packet: Self::Packet);

    /// Frees what was given up since the last call.
    fn free_discarded(&mut self) {}

    /// Nanoseconds of a monotonic clock, cheap enough for every burst.
    fn now_nanos(&self) -> u64;

    /// Sleeps until a port has something to receive, or `timeout` has passed. Spurious returns are fine.
    fn wait(&mut self, timeout: Duration);

    /// True if [`Self::wait`] wakes up for packets, so that it may be given a long timeout.
    fn wakes_for_packets(&self) -> bool;
}
