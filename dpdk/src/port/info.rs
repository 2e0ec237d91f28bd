//! `PortInfo`: what a configured port is and what its driver granted.

use std::ffi::CStr;

use dpdk_sys as ffi;

use crate::device::DeviceSpec;
use crate::port::PortId;

/// The facts of a configured port; they do not change while it lives.
#[derive(Clone, Debug)]
pub struct PortInfo {
    /// DPDK's number of it.
    pub id: PortId,
    /// The device it was made of.
    pub device: DeviceSpec,
    /// The driver, as `net_af_packet`.
    pub driver: String,
    /// Its own address, in wire order.
    pub mac: [u8; 6],
    /// NUMA node of the device, when it has one.
    pub numa_socket: Option<u32>,
    /// Bytes of layer 3.
    pub mtu: u16,
    /// Receive queues set up.
    pub rx_queues: u16,
    /// Transmit queues set up.
    pub tx_queues: u16,
    /// Receive queues the driver could have.
    pub rx_queues_max: u16,
    /// Transmit queues the driver could have.
    pub tx_queues_max: u16,
    /// Descriptors per receive queue, as adjusted.
    pub rx_descriptors: u16,
    /// Descriptors per transmit queue, as adjusted.
    pub tx_descriptors: u16,
    /// Whether the NIC checks IPv4 header checksums (see [`RxFlags`](crate::RxFlags)).
    pub rx_ipv4_checksum: bool,
    /// Whether sent buffers return to the only pool in bulk.
    pub fast_free: bool,
    /// Whether the NIC spreads flows over the receive queues.
    pub rss: bool,
    /// The kernel interface underneath, 0 if none.
    pub(crate) if_index: u32,
}

/// The driver's name out of DPDK's description of a device.
pub(crate) fn driver_name(info: &ffi::rte_eth_dev_info) -> String {
    if info.driver_name.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: a static NUL-terminated string of the driver (rte_ethdev.h).
    unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
}

/// The port's address; zeroes when the driver has none.
pub(crate) fn mac(id: PortId) -> [u8; 6] {
    let mut address = ffi::rte_ether_addr { addr_bytes: [0; 6] };
    // SAFETY: the port exists and the call fills six bytes; on error they stay zero.
    unsafe { ffi::rte_eth_macaddr_get(id.0, &raw mut address) };
    address.addr_bytes
}

/// The port's NUMA node; DPDK says -1 for "any".
pub(crate) fn numa_socket(id: PortId) -> Option<u32> {
    // SAFETY: the port exists; the call only reads.
    u32::try_from(unsafe { ffi::rte_eth_dev_socket_id(id.0) }).ok()
}
