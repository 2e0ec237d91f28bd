//! Packet I/O on DPDK queues.
//!
//! A worker owns one receive and one transmit queue of every port. Bursts go to and from the driver whole;
//! per packet nothing but the buffer's own fields is touched.

use super::{Flushed, PacketIo};
use dpdk::{Burst, Mbuf, RxQueue, TxQueue, WaitSet};
use lb_core::packet::Packet;
use std::os::fd::RawFd;
use std::time::Duration;

/// Tries to hand the rest of a burst to a ring that did not take it whole. Software PMDs free their ring
/// while they are asked, so an immediate second try often helps; more than a few is waiting.
const TX_TRIES_MAX: usize = 4;

/// An mbuf as the core sees it.
#[derive(Debug, bytemuck::TransparentWrapper)]
#[repr(transparent)]
pub struct MbufPacket(Mbuf);

impl Packet for MbufPacket {
    #[inline(always)]
    fn frame(&self) -> &[u8] {
        self.0.data()
    }

    #[inline(always)]
    fn frame_mut(&mut self) -> &mut [u8] {
        self.0.data_mut()
    }

    #[inline(always)]
    fn reframe(&mut self, grow: isize, len: usize) -> Option<&mut [u8]> {
        let mbuf = &mut self.0;
        let moved = mbuf.len().checked_add_signed(grow)?;
        if len > moved + mbuf.tailroom() {
            return None;
        }
        let is_moved = match usize::try_from(grow) {
            Ok(grow) => mbuf.grow_front(grow),
            Err(_) => mbuf.shrink_front(grow.unsigned_abs()),
        };
        if !is_moved {
            return None;
        }
        if len <= moved {
            mbuf.truncate(len).then_some(())?
        } else {
            mbuf.append(len - moved).map(drop)?
        }
        Some(mbuf.data_mut())
    }

    #[inline(always)]
    fn is_contiguous(&self) -> bool {
        self.0.is_contiguous()
    }

    #[inline(always)]
    fn prefetch(&self) {
        lb_core::hw::prefetch_near(self.0.data_address());
    }
}

/// One worker's queues on every port.
pub struct DpdkIo {
    ports: Vec<QueuePair>,
    received: Burst,
    discarded: Burst,
    wait: WaitSet,
    wakes_for_packets: bool,
    cycles: CycleClock,
}

struct QueuePair {
    rx: RxQueue,
    tx: TxQueue,
    staged: Burst,
}

impl DpdkIo {
    /// I/O over one queue pair per port, in the order of the configuration. `wait_fds` are the descriptors
    /// to sleep on.
    pub fn new(queues: Vec<(RxQueue, TxQueue)>, wait_fds: &[RawFd]) -> Self {
        Self {
            ports: queues.into_iter().map(|(rx, tx)| QueuePair { rx, tx, staged: Burst::new() }).collect(),
            received: Burst::new(),
            discarded: Burst::new(),
            wait: WaitSet::new(wait_fds),
            wakes_for_packets: !wait_fds.is_empty(),
            cycles: CycleClock::new(),
        }
    }
}

fn bytes(burst: &Burst) -> u64 {
    burst.as_slice().iter().map(|mbuf| mbuf.packet_len() as u64).sum()
}

impl PacketIo for DpdkIo {
    type Packet = MbufPacket;

    fn port_count(&self) -> usize {
        self.ports.len()
    }

    #[inline]
    fn receive(&mut self, port: usize, max: usize, into: &mut Vec<MbufPacket>) {
        let Some(pair) = self.ports.get_mut(port) else { return };
        pair.rx.rx_at_most(&mut self.received, max);
        into.extend(self.received.drain().map(MbufPacket));
    }

    #[inline]
    fn stage(&mut self, port: usize, packet: MbufPacket) {
        // At most one burst is staged between two flushes, and a burst fits; what does not is freed.
        if let Some(pair) = self.ports.get_mut(port) {
            let refused = pair.staged.push(packet.0);
            debug_assert!(refused.is_ok(), "more than a burst staged");
        }
    }

    #[inline]
    fn flush(&mut self, port: usize) -> Flushed {
        let Some(pair) = self.ports.get_mut(port) else { return Flushed::default() };
        if pair.staged.is_empty() {
            return Flushed::default();
        }
        let (packets, total_bytes) = (pair.staged.len() as u64, bytes(&pair.staged));
        for _ in 0..TX_TRIES_MAX {
            pair.tx.tx(&mut pair.staged);
            if pair.staged.is_empty() {
                break;
            }
        }
        let (refused_packets, refused_bytes) = (pair.staged.len() as u64, bytes(&pair.staged));
        pair.staged.free_all();
        Flushed {
            sent_packets: packets - refused_packets,
            sent_bytes: total_bytes - refused_bytes,
            refused_packets,
            refused_bytes,
        }
    }

    #[inline]
    fn discard(&mut self, packet: MbufPacket) {
        if let Err(mbuf) = self.discarded.push(packet.0) {
            self.discarded.free_all();
            drop(mbuf);
        }
    }

    #[inline]
    fn free_discarded(&mut self) {
        self.discarded.free_all();
    }

    #[inline]
    fn now_nanos(&self) -> u64 {
        self.cycles.nanos(dpdk::tsc::now())
    }

    fn wait(&mut self, timeout: Duration) {
        // Failing to sleep costs power, never packets: the loop polls again at once.
        if self.wait.wait(timeout).is_err() {
            std::thread::yield_now();
        }
    }

    fn wakes_for_packets(&self) -> bool {
        self.wakes_for_packets
    }
}

/// Cycles of the time-stamp counter to nanoseconds by one multiplication.
#[derive(Clone, Copy, Debug)]
struct CycleClock {
    /// Nanoseconds per cycle, 32 fractional bits.
    nanos_per_cycle: u64,
}

impl CycleClock {
    fn new() -> Self {
        // The EAL knows the frequency once it is up, and without the EAL there are no queues.
        let hertz = dpdk::tsc::hz().map_or(1_000_000_000, std::num::NonZeroU64::get);
        Self { nanos_per_cycle: ((1_000_000_000u128 << 32) / u128::from(hertz)) as u64 }
    }

    #[inline(always)]
    fn nanos(self, cycles: u64) -> u64 {
        ((u128::from(cycles) * u128::from(self.nanos_per_cycle)) >> 32) as u64
    }
}
