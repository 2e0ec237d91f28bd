//! The steps from a probed port to a configured one, in DPDK's order: describe, check, configure, MTU,
//! descriptors, queues, promiscuity.
//!
//! What must hold afterwards: receive is never scattered over several buffers, fast free is on only while there is
//! exactly one pool, and every refusal names the device and what to change.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::sync::Arc;

use dpdk_sys as ffi;

use crate::device::DeviceSpec;
use crate::eal::Token;
use crate::error::{Errno, PortError};
use crate::mempool::Mempool;
use crate::port::info::{self, PortInfo};
use crate::port::kernel::KernelInterface;
use crate::port::mtu::Mtu;
use crate::port::{PortConfig, PortId};
use crate::{fds, hint, log};

/// Runs one DPDK call and turns its failure into an error that quotes what was logged meanwhile.
pub(crate) fn attempt(
    device: &DeviceSpec,
    call: &'static str,
    work: impl FnOnce() -> i32,
) -> Result<i32, PortError> {
    let capture = log::Capture::start();
    Errno::check(work()).map_err(|errno| {
        let lines = capture.problems();
        let hint = hint::for_port(device, errno, &lines);
        PortError::Call { device: device.to_string(), call, errno, lines, hint }
    })
}

/// Configures the port and its queues; returns its facts and, per receive queue, the descriptors it opened.
pub(crate) fn configure(
    token: &Arc<Token>,
    id: PortId,
    device: &DeviceSpec,
    config: &PortConfig,
    pool: &Mempool,
) -> Result<(PortInfo, Vec<Vec<RawFd>>), PortError> {
    let dev_info = describe(id, device)?;
    check_queues(device, config, &dev_info)?;
    let mtu = Mtu::choose(device, config.mtu, &dev_info, pool)?;

    let choice = Choice::new(config, &dev_info, token, pool);
    choice.apply(id, device, config, mtu.driver_bytes)?;
    mtu.apply(id, device, dev_info.if_index)?;
    let (rx_descriptors, tx_descriptors) = adjust_descriptors(id, device, config)?;
    let mut queue_fds = Vec::new();
    for queue in 0..config.rx_queues {
        queue_fds.push(setup_rx(id, device, queue, rx_descriptors, &dev_info, pool)?);
    }
    for queue in 0..config.tx_queues {
        attempt(device, "transmit queue setup", || {
            // SAFETY: the port is configured with more than `queue` queues; a null configuration is the default.
            unsafe { ffi::rte_eth_tx_queue_setup(id.0, queue, tx_descriptors, socket(id), std::ptr::null()) }
        })?;
    }
    let info = PortInfo {
        id,
        device: device.clone(),
        driver: info::driver_name(&dev_info),
        mac: info::mac(id),
        numa_socket: info::numa_socket(id),
        mtu: mtu.bytes,
        rx_queues: config.rx_queues,
        tx_queues: config.tx_queues,
        rx_queues_max: dev_info.max_rx_queues,
        tx_queues_max: dev_info.max_tx_queues,
        rx_descriptors,
        tx_descriptors,
        rx_ipv4_checksum: choice.rx_offloads & ffi::GW_RX_OFFLOAD_IPV4_CKSUM != 0,
        fast_free: choice.tx_offloads & ffi::GW_TX_OFFLOAD_MBUF_FAST_FREE != 0,
        rss: choice.rss_functions != 0,
        if_index: dev_info.if_index,
    };
    Ok((info, queue_fds))
}

/// What is asked of the device: the wishes it can meet.
struct Choice {
    rx_offloads: u64,
    tx_offloads: u64,
    rss_functions: u64,
}

impl Choice {
    fn new(
        config: &PortConfig,
        dev_info: &ffi::rte_eth_dev_info,
        token: &Arc<Token>,
        pool: &Mempool,
    ) -> Self {
        let rss_functions = match config.rx_queues {
            0 | 1 => 0,
            _ => (ffi::GW_RSS_IP | ffi::GW_RSS_TCP | ffi::GW_RSS_UDP) & dev_info.flow_type_rss_offloads,
        };
        let rss_hash = if rss_functions == 0 { 0 } else { ffi::GW_RX_OFFLOAD_RSS_HASH };
        let rx_offloads = (ffi::GW_RX_OFFLOAD_IPV4_CKSUM | rss_hash) & dev_info.rx_offload_capa;
        // Fast free returns every sent buffer to one pool without looking, so there must be only one in all.
        let mut book = token.book();
        let one_pool = book.pools.len() == 1 && pool.belongs_to(token);
        let wish = if one_pool { ffi::GW_TX_OFFLOAD_MBUF_FAST_FREE } else { 0 };
        let tx_offloads = wish & dev_info.tx_offload_capa;
        book.fast_free |= tx_offloads != 0;
        Self { rx_offloads, tx_offloads, rss_functions }
    }

    fn apply(&self, id: PortId, device: &DeviceSpec, config: &PortConfig, mtu: u16) -> Result<(), PortError> {
        // SAFETY: integers, and pointers for which null means "default".
        let mut conf = unsafe { MaybeUninit::<ffi::rte_eth_conf>::zeroed().assume_init() };
        conf.rxmode.mtu = u32::from(mtu);
        conf.rxmode.offloads = self.rx_offloads;
        conf.txmode.offloads = self.tx_offloads;
        // Kept alive until the call returns: drivers copy the key.
        let mut key = config.rss_key.clone();
        if self.rss_functions != 0 {
            conf.rxmode.mq_mode = ffi::rte_eth_rx_mq_mode_RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = self.rss_functions;
            if let Some(key) = key.as_mut() {
                conf.rx_adv_conf.rss_conf.rss_key = key.as_mut_ptr();
                // A key that is too long for the field is too long for every device: let it say so.
                conf.rx_adv_conf.rss_conf.rss_key_len = u8::try_from(key.len()).unwrap_or(u8::MAX);
            }
        }
        attempt(device, "configure", || {
            // SAFETY: the port exists and is not started; the call reads the structure and the key behind it,
            // of which `rss_key_len` never exceeds the length.
            unsafe { ffi::rte_eth_dev_configure(id.0, config.rx_queues, config.tx_queues, &raw const conf) }
        })?;
        Ok(())
    }
}

/// What the driver says of a port.
pub(crate) fn describe(id: PortId, device: &DeviceSpec) -> Result<ffi::rte_eth_dev_info, PortError> {
    let mut dev_info = MaybeUninit::<ffi::rte_eth_dev_info>::zeroed();
    attempt(device, "description", || {
        // SAFETY: the port exists; the call fills the structure it is given.
        unsafe { ffi::rte_eth_dev_info_get(id.0, dev_info.as_mut_ptr()) }
    })?;
    // SAFETY: integers and pointers, zeroed and then filled.
    Ok(unsafe { dev_info.assume_init() })
}

fn check_queues(
    device: &DeviceSpec,
    config: &PortConfig,
    dev_info: &ffi::rte_eth_dev_info,
) -> Result<(), PortError> {
    let directions = [
        ("receive", config.rx_queues, dev_info.max_rx_queues),
        ("transmit", config.tx_queues, dev_info.max_tx_queues),
    ];
    for (direction, asked, max) in directions {
        if asked == 0 || asked > max {
            return Err(PortError::Queues {
                device: device.to_string(),
                driver: info::driver_name(dev_info),
                direction,
                asked,
                max,
                hint: hint::for_queues(device, asked),
            });
        }
    }
    Ok(())
}

fn adjust_descriptors(id: PortId, device: &DeviceSpec, config: &PortConfig) -> Result<(u16, u16), PortError> {
    let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
    attempt(device, "descriptor counts", || {
        // SAFETY: the port exists; the call rewrites both counts.
        unsafe { ffi::rte_eth_dev_adjust_nb_rx_tx_desc(id.0, &raw mut rx, &raw mut tx) }
    })?;
    Ok((rx, tx))
}

/// Sets one receive queue up and notes the descriptors that this opened.
fn setup_rx(
    id: PortId,
    device: &DeviceSpec,
    queue: u16,
    descriptors: u16,
    dev_info: &ffi::rte_eth_dev_info,
    pool: &Mempool,
) -> Result<Vec<RawFd>, PortError> {
    let before = fds::open_descriptors();
    attempt(device, "receive queue setup", || {
        // SAFETY: the port is configured with more than `queue` queues; the pool lives until EAL ends; a null
        // configuration is the driver's default plus the port's offloads.
        unsafe {
            ffi::rte_eth_rx_queue_setup(id.0, queue, descriptors, socket(id), std::ptr::null(), pool.as_ptr())
        }
    })?;
    let opened = fds::open_descriptors().into_iter().filter(|fd| !before.contains(fd));
    Ok(fds::carriers_of(opened, dev_info.if_index, true))
}

/// Switches promiscuity on; returns whether that must be undone when the port closes.
pub(crate) fn set_promiscuous(id: PortId, device: &DeviceSpec, if_index: u32) -> Result<bool, PortError> {
    let before = KernelInterface::from_index(if_index).is_some_and(|it| it.is_promiscuous());
    attempt(device, "promiscuous mode", || {
        // SAFETY: the port is configured.
        match unsafe { ffi::rte_eth_promiscuous_enable(id.0) } {
            // A device that knows no addresses (files, rings) delivers every frame anyway.
            code if code == -libc::ENOTSUP => 0,
            code => code,
        }
    })?;
    Ok(!before)
}

/// Has every multicast address received; returns the kernel interface on which that must be undone when the port
/// closes, 0 if none.
pub(crate) fn set_all_multicast(id: PortId, device: &DeviceSpec, if_index: u32) -> Result<u32, PortError> {
    let mut undo = 0;
    attempt(device, "reception of multicast", || {
        // SAFETY: the port is configured.
        match unsafe { ffi::rte_eth_allmulticast_enable(id.0) } {
            // The socket drivers leave it to the interface; devices without addresses deliver every frame anyway.
            code if code == -libc::ENOTSUP => match KernelInterface::from_index(if_index) {
                Some(interface) => match interface.set_all_multicast(true) {
                    Ok(was_on) => {
                        undo = if was_on { 0 } else { if_index };
                        0
                    }
                    Err(errno) => -errno.0,
                },
                None => 0,
            },
            code => code,
        }
    })?;
    Ok(undo)
}

/// The NUMA node as queue setup wants it; "any" when the device has none.
fn socket(id: PortId) -> u32 {
    // SOCKET_ID_ANY is -1, passed through an unsigned parameter.
    info::numa_socket(id).unwrap_or(u32::MAX)
}
