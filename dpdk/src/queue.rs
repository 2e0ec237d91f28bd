//! `RxQueue` and `TxQueue`: one burst in, one burst out, one thread at a time.
//!
//! DPDK forbids two threads on one queue at a time, so both work by `&mut self`, are not `Clone` and not `Sync`.
//! They keep their port started: it stops when the last of them and the [`Port`](crate::Port) are gone.

use std::cell::Cell;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::sync::Arc;

use dpdk_sys as ffi;

use crate::burst::Burst;
use crate::port::{PortId, PortShared};

/// One receive queue of a started port.
pub struct RxQueue {
    port: Arc<PortShared>,
    index: u16,
    wait_fds: Box<[RawFd]>,
    _not_sync: PhantomData<Cell<()>>,
}

/// One transmit queue of a started port.
pub struct TxQueue {
    port: Arc<PortShared>,
    index: u16,
    _not_sync: PhantomData<Cell<()>>,
}

impl RxQueue {
    /// The port must be started, the queue set up, and this the only handle on it.
    pub(crate) fn new(port: Arc<PortShared>, index: u16, wait_fds: Vec<RawFd>) -> Self {
        Self { port, index, wait_fds: wait_fds.into_boxed_slice(), _not_sync: PhantomData }
    }

    /// Appends what has arrived, as far as the burst has room; returns how many packets that were.
    ///
    /// Call it with an empty burst: some drivers deliver only in groups and leave the last few places unused.
    #[inline]
    pub fn rx(&mut self, burst: &mut Burst) -> usize {
        self.rx_at_most(burst, usize::MAX)
    }

    /// As [`Self::rx`], but takes no more than `max` packets.
    #[inline]
    pub fn rx_at_most(&mut self, burst: &mut Burst, max: usize) -> usize {
        let room = burst.room().min(max) as u16; // at most BURST_MAX
        // SAFETY: the port is started while `self.port` lives, `&mut self` excludes a second caller on this
        // queue, and `spare` has room for `room` pointers.
        let count = unsafe { ffi::gw_eth_rx_burst(self.port.id().0, self.index, burst.spare(), room) };
        let count = usize::from(count);
        // SAFETY: the driver wrote `count` (<= room) buffers and gave them up.
        unsafe { burst.grow(count) };
        count
    }

    /// The queue's number on its port, from 0.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The port.
    #[must_use]
    pub fn port_id(&self) -> PortId {
        self.port.id()
    }

    /// Descriptors that become readable when this queue has packets; empty when the driver has none (real
    /// NICs, `net_null`, `net_ring`, `net_pcap`). Valid while the queue lives.
    #[must_use]
    pub fn wait_fds(&self) -> &[RawFd] {
        &self.wait_fds
    }
}

impl TxQueue {
    /// The port must be started, the queue set up, and this the only handle on it.
    pub(crate) fn new(port: Arc<PortShared>, index: u16) -> Self {
        Self { port, index, _not_sync: PhantomData }
    }

    /// Hands packets to the driver, from the front; returns how many it took. The rest stays in the burst, in order.
    #[inline]
    pub fn tx(&mut self, burst: &mut Burst) -> usize {
        let offered = burst.len() as u16; // at most BURST_MAX
        // SAFETY: the port is started while `self.port` lives, `&mut self` excludes a second caller on this
        // queue, and the array holds `offered` buffers that are ours.
        let sent = unsafe { ffi::gw_eth_tx_burst(self.port.id().0, self.index, burst.as_c_array(), offered) };
        let sent = usize::from(sent);
        // SAFETY: the driver owns the first `sent` (<= offered) buffers now.
        unsafe { burst.forget_front(sent) };
        sent
    }

    /// The queue's number on its port, from 0.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The port.
    #[must_use]
    pub fn port_id(&self) -> PortId {
        self.port.id()
    }
}
