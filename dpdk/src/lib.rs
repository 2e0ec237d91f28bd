//! Safe DPDK: ports, queues, packet buffers and the runtime that owns them, as values with owners.
//!
//! What must hold: nearly all `unsafe` of the workspace is here, each block naming the C contract it relies on;
//! nothing here knows what a packet means; no call into C happens per packet on the fast path, only per burst.
//!
//! ```text
//! Eal  ->  Mempool  ->  Port<Configured>  ->  Port<Started> + RxQueue.. + TxQueue..
//! ```
//!
//! DPDK allows one runtime per process, so does [`Eal::init`]. Whatever was made from an [`Eal`] keeps it
//! alive; the last owner stops DPDK. A queue is `Send` but not `Sync` and works by `&mut self`: one thread at
//! a time, which is DPDK's own rule for `rte_eth_rx_burst`.

pub mod affinity;
mod burst;
pub mod confine;
mod device;
mod eal;
mod eal_arguments;
mod error;
mod fds;
mod hint;
mod lcore;
pub mod log;
mod mbuf;
mod mempool;
mod port;
mod queue;
mod stats;
pub mod tsc;

pub use burst::{BURST_MAX, Burst, Drain};
pub use device::{DeviceError, DeviceSpec};
pub use eal::{Eal, EalConfig, EalHandle, Memory, version};
pub use error::{EalError, Errno, PoolError, PortError};
pub use fds::{WaitSet, wait_readable};
pub use lcore::ThreadGuard;
pub use mbuf::{Mbuf, RxFlags};
pub use mempool::{Mempool, MempoolConfig};
pub use port::{Configured, Port, PortConfig, PortId, PortInfo, QueueLimits, Started, StartedPort};
pub use queue::{RxQueue, TxQueue};
pub use stats::{Link, PortMonitor, PortStats};
