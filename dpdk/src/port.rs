//! `Port`: one Ethernet port, configured and then started; its states are types.
//!
//! A started port hands out its queues once. It stops and closes when the `Port` and all its queues are gone,
//! whichever goes last, so no worker ever polls a stopped port. A port that failed to configure or start is
//! closed; DPDK does not bring it back within the process.

mod info;
mod kernel;
mod mtu;
mod setup;

use std::fmt;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys as ffi;

use crate::device::DeviceSpec;
use crate::eal::{Eal, Token};
use crate::error::PortError;
use crate::fds;
use crate::mempool::Mempool;
use crate::port::kernel::KernelInterface;
use crate::queue::{RxQueue, TxQueue};
use crate::stats::PortMonitor;

pub use info::PortInfo;

/// DPDK's number of a port in this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortId(pub(crate) u16);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a port should be.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Receive queues, one per worker.
    pub rx_queues: u16,
    /// Transmit queues, one per worker.
    pub tx_queues: u16,
    /// Descriptors per receive queue; rounded to what the driver allows.
    pub rx_descriptors: u16,
    /// Descriptors per transmit queue; rounded to what the driver allows.
    pub tx_descriptors: u16,
    /// Bytes of layer 3; none leaves 1500.
    pub mtu: Option<u16>,
    /// Whether frames for other MAC addresses are received too.
    pub promiscuous: bool,
    /// Whether frames for every multicast address are received: neighbour discovery needs some that only a kernel
    /// knows.
    pub all_multicast: bool,
    /// The key of the NIC's queue selection; none leaves the driver's. Ignored with one queue.
    pub rss_key: Option<Vec<u8>>,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: None,
            promiscuous: true,
            all_multicast: false,
            rss_key: None,
        }
    }
}

/// State: queues are set up, no packet moves.
pub struct Configured {
    /// Per receive queue, the descriptors that its setup opened.
    queue_fds: Vec<Vec<RawFd>>,
}

/// State: packets move.
pub struct Started {
    wait_fds: Vec<RawFd>,
}

/// A started port and its queues, one handle each, in order of their numbers.
pub type StartedPort = (Port<Started>, Vec<RxQueue>, Vec<TxQueue>);

/// A port in state `S`, [`Configured`] or [`Started`].
pub struct Port<S> {
    shared: Arc<PortShared>,
    info: PortInfo,
    state: S,
}

/// What the port, its queues and its monitors share; its drop stops and closes the port.
pub(crate) struct PortShared {
    id: PortId,
    started: AtomicBool,
    /// Promiscuity was switched on by us: a kernel interface would keep it.
    promiscuous: AtomicBool,
    /// The kernel interface that we have made receive every multicast address, 0 if none: it would go on.
    all_multicast: AtomicU32,
    control: Mutex<()>,
    token: Arc<Token>,
}

impl PortShared {
    pub(crate) fn id(&self) -> PortId {
        self.id
    }

    /// One control call at a time: drivers do not promise more.
    pub(crate) fn control_turn(&self) -> MutexGuard<'_, ()> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PortShared {
    fn drop(&mut self) {
        if self.promiscuous.load(Ordering::Acquire) {
            // SAFETY: the port is configured.
            unsafe { ffi::rte_eth_promiscuous_disable(self.id.0) };
        }
        if let Some(interface) = KernelInterface::from_index(self.all_multicast.load(Ordering::Acquire)) {
            // It may be gone by now, which is as good.
            let _ = interface.set_all_multicast(false);
        }
        if self.started.load(Ordering::Acquire) {
            // SAFETY: the port is started, and no queue handle is left to poll it.
            unsafe { ffi::rte_eth_dev_stop(self.id.0) };
        }
        // SAFETY: the port exists and is stopped; nothing uses it after this.
        unsafe { ffi::rte_eth_dev_close(self.id.0) };
        self.token.book().ports_claimed.remove(&self.id.0);
    }
}

impl<S> Port<S> {
    /// What the port is.
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// A handle for reading counters and link.
    pub fn monitor(&self) -> PortMonitor {
        PortMonitor::new(&self.shared)
    }
}

/// How many queues a device can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueLimits {
    /// Receive queues.
    pub rx: u16,
    /// Transmit queues.
    pub tx: u16,
}

impl Port<Configured> {
    /// How many queues the port of `device` can have, to choose from before it is configured.
    ///
    /// # Errors
    /// [`PortError::NotFound`], or [`PortError::Call`] when the driver does not describe it.
    pub fn queue_limits(eal: &Eal, device: &DeviceSpec) -> Result<QueueLimits, PortError> {
        let dev_info = setup::describe(eal.port_by_device(device)?, device)?;
        Ok(QueueLimits { rx: dev_info.max_rx_queues, tx: dev_info.max_tx_queues })
    }

    /// Finds the port of `device` and sets its queues up on buffers of `pool`.
    ///
    /// # Errors
    /// [`PortError`] in all its variants; each names the device, the reason and, when known, the mend.
    pub fn configure(
        eal: &Eal,
        device: &DeviceSpec,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<Self, PortError> {
        let id = eal.port_by_device(device)?;
        let token = Arc::clone(eal.token());
        if !token.book().ports_claimed.insert(id.0) {
            return Err(PortError::Busy { device: device.to_string() });
        }
        // From here on the port is closed on every way out.
        let shared = Arc::new(PortShared {
            id,
            started: AtomicBool::new(false),
            promiscuous: AtomicBool::new(false),
            all_multicast: AtomicU32::new(0),
            control: Mutex::default(),
            token,
        });
        let (info, queue_fds) = setup::configure(&shared.token, id, device, config, pool)?;
        if config.promiscuous {
            let undo = setup::set_promiscuous(id, device, info.if_index)?;
            shared.promiscuous.store(undo, Ordering::Release);
        }
        if config.all_multicast {
            let undo = setup::set_all_multicast(id, device, info.if_index)?;
            shared.all_multicast.store(undo, Ordering::Release);
        }
        Ok(Self { shared, info, state: Configured { queue_fds } })
    }

    /// Starts the port and hands out its queues, one handle each.
    ///
    /// # Errors
    /// [`PortError::Call`]; the port is closed then.
    pub fn start(self) -> Result<StartedPort, PortError> {
        let Self { shared, info, state } = self;
        setup::attempt(&info.device, "start", || {
            // SAFETY: the port is configured, with every queue set up.
            unsafe { ffi::rte_eth_dev_start(shared.id.0) }
        })?;
        shared.started.store(true, Ordering::Release);
        let queue_fds = complete_wait_fds(state.queue_fds, &shared.token, &info);
        let mut wait_fds: Vec<RawFd> = queue_fds.iter().flatten().copied().collect();
        wait_fds.sort_unstable();
        wait_fds.dedup();
        let rx =
            (0..).zip(queue_fds).map(|(index, fds)| RxQueue::new(Arc::clone(&shared), index, fds)).collect();
        let tx = (0..info.tx_queues).map(|index| TxQueue::new(Arc::clone(&shared), index)).collect();
        Ok((Port { shared, info, state: Started { wait_fds } }, rx, tx))
    }
}

impl Port<Started> {
    /// The descriptors of all receive queues; see [`RxQueue::wait_fds`].
    pub fn wait_fds(&self) -> &[RawFd] {
        &self.state.wait_fds
    }
}

/// Gives queues their descriptors where the driver opened them before queue setup (af_packet opens them while
/// EAL probes, in queue order). If the numbers do not match, every queue wakes for all.
fn complete_wait_fds(mut queue_fds: Vec<Vec<RawFd>>, token: &Token, info: &PortInfo) -> Vec<Vec<RawFd>> {
    if info.if_index == 0 || queue_fds.iter().any(|fds| !fds.is_empty()) {
        return queue_fds;
    }
    let since_start = fds::open_descriptors().into_iter().filter(|fd| !token.fds_before.contains(fd));
    let found = fds::carriers_of(since_start, info.if_index, false);
    if found.len() == queue_fds.len() {
        for (fds, fd) in queue_fds.iter_mut().zip(found) {
            fds.push(fd);
        }
    } else {
        queue_fds.fill(found);
    }
    queue_fds
}
