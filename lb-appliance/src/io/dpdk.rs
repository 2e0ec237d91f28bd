//! Packet I/O on DPDK queues.
//!
//! Bursts go to and from the driver whole; per packet nothing but the buffer's own fields is touched.

use super::{PacketBurst, PacketIo};
use bytemuck::TransparentWrapper;
use dpdk::{Burst, Mbuf, Mempool, RxQueue, TxQueue, WaitSet};
use lb_core::packet::Packet;
use std::os::fd::RawFd;
use std::time::Duration;

/// An mbuf as the core sees it.
#[derive(Debug, TransparentWrapper)]
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
        self.0.reframe(grow, len)
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

/// A burst of mbufs, seen as packets where it lies.
impl PacketBurst for Burst {
    type Packet = MbufPacket;

    #[inline(always)]
    fn len(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn packets(&mut self) -> &mut [MbufPacket] {
        MbufPacket::wrap_slice_mut(self.as_mut_slice())
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.as_slice().iter().map(|mbuf| mbuf.packet_len() as u64).sum()
    }

    #[inline(always)]
    fn push(&mut self, packet: MbufPacket) -> Result<(), MbufPacket> {
        self.push(packet.0).map_err(MbufPacket)
    }

    #[inline(always)]
    fn drain(&mut self) -> impl Iterator<Item = MbufPacket> {
        self.drain().map(MbufPacket)
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.free_all();
    }
}

/// One worker's queues on one port.
#[derive(Default)]
pub struct PortQueues {
    /// To receive from, if it has one.
    pub rx: Option<RxQueue>,
    /// To transmit by, if it has one.
    pub tx: Option<TxQueue>,
}

/// One worker's queues on every port.
pub struct DpdkIo {
    ports: Vec<PortQueues>,
    /// Where received packets are from.
    pool: Mempool,
    wait: WaitSet,
    wakes_for_packets: bool,
    cycles: CycleClock,
}

impl DpdkIo {
    /// I/O over the queues of each port, in the order of the configuration, whose packets are from `pool`. `bell` is a
    /// descriptor that ends a sleep besides those of the queues.
    pub fn new(ports: Vec<PortQueues>, pool: Mempool, bell: Option<RawFd>) -> Self {
        let queues = || ports.iter().filter_map(|port| port.rx.as_ref());
        let fds: Vec<RawFd> = queues().flat_map(|rx| rx.wait_fds()).copied().chain(bell).collect();
        // One queue that cannot wake anybody is enough to forbid long sleeps.
        let wakes_for_packets = !fds.is_empty() && queues().all(|rx| !rx.wait_fds().is_empty());
        Self { ports, pool, wait: WaitSet::new(&fds), wakes_for_packets, cycles: CycleClock::new() }
    }
}

impl PacketIo for DpdkIo {
    type Packet = MbufPacket;
    type Burst = Burst;

    fn port_count(&self) -> usize {
        self.ports.len()
    }

    #[inline]
    fn can_receive(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|queues| queues.rx.is_some())
    }

    #[inline]
    fn can_transmit(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|queues| queues.tx.is_some())
    }

    #[inline]
    fn receive(&mut self, port: usize, max: usize, into: &mut Burst) {
        if let Some(rx) = self.ports.get_mut(port).and_then(|queues| queues.rx.as_mut()) {
            rx.rx_at_most(into, max);
        }
    }

    #[inline]
    fn transmit(&mut self, port: usize, burst: &mut Burst) {
        if let Some(tx) = self.ports.get_mut(port).and_then(|queues| queues.tx.as_mut()) {
            tx.tx(burst);
        }
    }

    fn buffer(&mut self) -> Option<MbufPacket> {
        self.pool.alloc().map(MbufPacket)
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
