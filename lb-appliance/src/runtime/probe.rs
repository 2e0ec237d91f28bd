//! Ports and buffer pools as the metrics see them.

use crate::instruments::{PoolProbe, PortIdentity, PortProbe, PortSample};
use dpdk::{Mempool, Port, PortMonitor, Started};

/// A DPDK port, readable while workers own its queues.
pub(super) struct DpdkPort {
    identity: PortIdentity,
    monitor: PortMonitor,
}

impl DpdkPort {
    pub(super) fn new(name: &str, port: &Port<Started>) -> Self {
        let info = port.info();
        let identity = PortIdentity {
            name: name.into(),
            device: info.device.to_string(),
            driver: info.driver.clone(),
            numa_node: info.numa_socket,
        };
        Self { identity, monitor: port.monitor() }
    }
}

impl PortProbe for DpdkPort {
    fn identity(&self) -> &PortIdentity {
        &self.identity
    }

    fn sample(&self) -> Option<PortSample> {
        let (stats, link) = (self.monitor.stats()?, self.monitor.link()?);
        Some(PortSample {
            receive_packets: stats.rx_packets,
            receive_bytes: stats.rx_bytes,
            transmit_packets: stats.tx_packets,
            transmit_bytes: stats.tx_bytes,
            receive_missed: stats.rx_missed,
            receive_errors: stats.rx_errors,
            transmit_errors: stats.tx_errors,
            receive_no_buffer: stats.rx_no_mbuf,
            is_up: link.up,
            speed_bytes: link.speed_mbps.map(|mbps| u64::from(mbps) * 1_000_000 / 8),
        })
    }
}

/// The pool of packet buffers.
pub(super) struct DpdkPool {
    pool: Mempool,
}

impl DpdkPool {
    pub(super) fn new(pool: &Mempool) -> Self {
        Self { pool: pool.clone() }
    }
}

impl PoolProbe for DpdkPool {
    fn numa_node(&self) -> u32 {
        // One pool for all ports, on whichever node the EAL found memory.
        0
    }

    fn size(&self) -> u64 {
        self.pool.capacity().into()
    }

    fn in_use(&self) -> u64 {
        self.pool.in_use().into()
    }
}
