//! DPDK buffers from a pool, by way of a ring as a NIC has one.
//!
//! Each turn takes a burst of buffers from the pool, writes frames into them and puts them into the ring; the
//! oldest burst comes out, is worked on, and is freed in bulk. All of that is timed: the ring keeps a frame
//! away from the core for as long as a NIC's descriptor ring does.

use super::meter::Meter;
use super::source::Source;
use super::traffic::{Flow, Frames};
use crate::io::dpdk::MbufPacket;
use bytemuck::TransparentWrapper;
use dpdk::{Burst, Eal, EalConfig, EalHandle, Memory, Mempool, MempoolConfig, ThreadGuard};

/// Filled buffers in the ring: the descriptors of a receive queue.
const RING_LEN: usize = 1_024;
/// Buffers of the pool: the ring, a burst, and the cache with what it may hold beyond its size.
const POOL_LEN: u32 = 4_095;
/// Buffers that the thread keeps for itself: the most that DPDK allows.
const POOL_CACHE: u32 = 512;
/// Room for frames behind the headroom of 128 bytes.
const DATA_ROOM_BYTES: u16 = 2_048 + 128;
const MEMORY_MIB: u32 = 64;

/// The runtime and its pool; the control thread keeps it until the worker is done.
pub(super) struct DpdkPool {
    eal: Eal,
    pool: Mempool,
}

impl DpdkPool {
    /// Starts DPDK on ordinary pages, without devices, hugepages or privileges.
    ///
    /// # Errors
    /// What DPDK says.
    pub(super) fn new() -> Result<Self, String> {
        let config = EalConfig {
            memory: Memory::NoHuge { mib: MEMORY_MIB },
            file_prefix: format!("guideway-bench-{}", std::process::id()),
            ..EalConfig::default()
        };
        let eal = Eal::init(&config).map_err(|error| format!("--source dpdk: {error}"))?;
        let pool = MempoolConfig {
            name: "bench".to_owned(),
            mbufs: POOL_LEN,
            cache: POOL_CACHE,
            data_room_bytes: DATA_ROOM_BYTES,
            socket: None,
        };
        let pool = Mempool::new(&eal, &pool).map_err(|error| format!("--source dpdk: {error}"))?;
        Ok(Self { eal, pool })
    }

    /// What [`DpdkSource::new`] needs, for another thread.
    pub(super) fn parts(&self) -> (EalHandle, Mempool) {
        (self.eal.handle(), self.pool.clone())
    }
}

/// The ring of one thread.
pub(super) struct DpdkSource {
    pool: Mempool,
    /// One of them is empty between two turns: bursts stay where they are, the place to fill moves on.
    ring: Box<[Burst]>,
    fill: usize,
    burst: usize,
    shortages: u64,
    /// Last: buffers go back to the thread's cache before the thread is forgotten.
    _guard: ThreadGuard,
}

impl DpdkSource {
    /// The source of the calling thread.
    ///
    /// # Errors
    /// When DPDK does not take the thread.
    pub(super) fn new(handle: &EalHandle, pool: Mempool, burst: usize) -> Result<Self, String> {
        let guard = handle.register_thread().map_err(|error| format!("--source dpdk: {error}"))?;
        let ring = (0..=RING_LEN / burst).map(|_| Burst::new()).collect();
        Ok(Self { pool, ring, fill: 0, burst, shortages: 0, _guard: guard })
    }

    /// Takes buffers from the pool and writes the frames of `flows` into them.
    #[inline(always)]
    fn receive(&mut self, flows: &[Flow], frames: &Frames) {
        let burst = &mut self.ring[self.fill];
        if !self.pool.alloc_bulk(burst, flows.len()) {
            self.shortages += 1;
        }
        for (mbuf, flow) in burst.as_mut_slice().iter_mut().zip(flows) {
            match mbuf.append(frames.len(*flow)) {
                Some(frame) => frames.write(*flow, frame),
                None => self.shortages += 1,
            }
        }
        self.fill = if self.fill + 1 == self.ring.len() { 0 } else { self.fill + 1 };
    }
}

impl Source for DpdkSource {
    type Packet = MbufPacket;

    #[inline]
    fn batch(
        &mut self,
        flows: &[Flow],
        frames: &Frames,
        meter: &mut impl Meter,
        mut work: impl FnMut(&mut [Self::Packet]),
    ) {
        meter.start();
        for flows in flows.chunks(self.burst) {
            self.receive(flows, frames);
            let oldest = &mut self.ring[self.fill];
            work(MbufPacket::wrap_slice_mut(oldest.as_mut_slice()));
            oldest.free_all();
        }
        meter.stop();
    }

    fn fault(&self) -> Option<String> {
        let shortages = self.shortages;
        (shortages > 0).then(|| format!("a pool of {POOL_LEN} buffers did not suffice, {shortages} times"))
    }
}
