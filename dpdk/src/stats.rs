//! `PortMonitor`: a port's counters and link, readable while workers own its queues.

use std::mem::MaybeUninit;
use std::sync::{Arc, Weak};

use dpdk_sys as ffi;

use crate::port::{PortId, PortShared};

/// The driver's counters since the port was started. Packets and bytes include the Ethernet header, without FCS.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PortStats {
    /// Packets delivered to us.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes delivered to us.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets lost because the receive queues were full.
    pub rx_missed: u64,
    /// Packets received in error.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets lost because the pool had no buffer.
    pub rx_no_mbuf: u64,
}

/// The state of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// Megabits per second, when the driver knows.
    pub speed_mbps: Option<u32>,
    /// Whether both directions work at a time.
    pub full_duplex: bool,
}

/// Reads a port from the control side. It does not keep the port alive: once that is closed, all is `None`.
#[derive(Clone)]
pub struct PortMonitor {
    id: PortId,
    port: Weak<PortShared>,
}

impl PortMonitor {
    pub(crate) fn new(port: &Arc<PortShared>) -> Self {
        Self { id: port.id(), port: Arc::downgrade(port) }
    }

    /// The port.
    #[must_use]
    pub fn port_id(&self) -> PortId {
        self.id
    }

    /// The counters; none when the port is closed or the driver has none.
    #[must_use]
    pub fn stats(&self) -> Option<PortStats> {
        let port = self.port.upgrade()?;
        let _turn = port.control_turn();
        let mut stats = MaybeUninit::<ffi::rte_eth_stats>::zeroed();
        // SAFETY: the port is configured while `port` lives; the call fills the structure it is given.
        if unsafe { ffi::rte_eth_stats_get(port.id().0, stats.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: integers only, zeroed and then filled.
        let stats = unsafe { stats.assume_init() };
        Some(PortStats {
            rx_packets: stats.ipackets,
            tx_packets: stats.opackets,
            rx_bytes: stats.ibytes,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            rx_no_mbuf: stats.rx_nombuf,
        })
    }

    /// The link, as last known to the driver; never waits for it.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        let port = self.port.upgrade()?;
        let _turn = port.control_turn();
        let mut link = MaybeUninit::<ffi::rte_eth_link>::zeroed();
        // SAFETY: as in `stats`.
        if unsafe { ffi::rte_eth_link_get_nowait(port.id().0, link.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: integers only, zeroed and then filled.
        let link = unsafe { link.assume_init() };
        Some(Link {
            up: link.link_status() != 0,
            // 0 is "none" and all ones "unknown" (rte_ethdev.h, RTE_ETH_SPEED_NUM_*).
            speed_mbps: Some(link.link_speed).filter(|&speed| speed != 0 && speed != u32::MAX),
            full_duplex: link.link_duplex() != 0,
        })
    }
}
