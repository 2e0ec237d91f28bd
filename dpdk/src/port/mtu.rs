//! From the MTU of the configuration to one that holds: in the buffers, in the driver, on the kernel interface.
//!
//! What must hold: a frame of this MTU with one VLAN tag arrives whole in one buffer. A driver that would cut
//! it short is not used with this MTU.

use dpdk_sys as ffi;

use crate::device::DeviceSpec;
use crate::error::{Errno, PortError};
use crate::mempool::Mempool;
use crate::port::PortId;
use crate::port::kernel::KernelInterface;
use crate::{hint, log};

/// The MTU of a port that was asked for none.
const MTU_DEFAULT: u16 = 1500;
/// Ethernet header and FCS, the frame overhead of drivers that do not state another (rte_ethdev.c does the same).
const FRAME_OVERHEAD_BYTES: u32 = 14 + 4;
/// One 802.1Q tag.
const VLAN_TAG_BYTES: u32 = 4;
/// What a packet socket's ring puts before the network header in each of its frames (af_packet.c, TPACKET_V2:
/// 32 + 20 + 16, aligned to 16).
const PACKET_RING_OVERHEAD_BYTES: u32 = 80;
/// Size of those frames unless `framesz=` says otherwise (net_af_packet).
const PACKET_RING_FRAME_BYTES: u32 = 2048;

/// An MTU that the port can have, and the part of it that its driver is told.
#[derive(Clone, Copy)]
pub(crate) struct Mtu {
    /// Bytes of layer 3.
    pub(crate) bytes: u16,
    /// What `rte_eth_dev_configure` gets: the same, or the driver's stated limit if only the interface counts.
    pub(crate) driver_bytes: u16,
    requested: bool,
}

impl Mtu {
    /// Checks the wish against buffers and driver.
    pub(crate) fn choose(
        device: &DeviceSpec,
        wish: Option<u16>,
        dev_info: &ffi::rte_eth_dev_info,
        pool: &Mempool,
    ) -> Result<Self, PortError> {
        let bytes = wish.unwrap_or(MTU_DEFAULT);
        let overhead = frame_overhead_bytes(dev_info);
        check_buffers(device, bytes, overhead, pool.buffer_bytes())?;
        let min = dev_info.min_mtu;
        let stated_max = stated_mtu_max(dev_info, overhead);
        let max = interface_mtu_max(device).unwrap_or(stated_max);
        if bytes < min || bytes > max {
            let hint = hint::for_mtu_range(device, min, max);
            return Err(PortError::Mtu {
                device: device.to_string(),
                mtu: bytes,
                errno: Errno(libc::EINVAL),
                hint,
            });
        }
        Ok(Self { bytes, driver_bytes: bytes.min(stated_max), requested: wish.is_some() })
    }

    /// Sets the device's own MTU, if one was asked for. The port must be configured and not started.
    pub(crate) fn apply(self, id: PortId, device: &DeviceSpec, if_index: u32) -> Result<(), PortError> {
        if !self.requested {
            return Ok(());
        }
        let capture = log::Capture::start();
        let outcome = if self.driver_bytes == self.bytes {
            // SAFETY: the port is configured and not started.
            Errno::check(unsafe { ffi::rte_eth_dev_set_mtu(id.0, self.bytes) }).map(drop)
        } else {
            KernelInterface::from_index(if_index)
                .ok_or(Errno(libc::ENODEV))
                .and_then(|it| it.set_mtu(self.bytes))
        };
        match outcome {
            // A device without an MTU of its own (ring, null, files): `configure` has noted ours.
            Ok(()) | Err(Errno(libc::ENOTSUP)) => Ok(()),
            Err(errno) => Err(PortError::Mtu {
                device: device.to_string(),
                mtu: self.bytes,
                errno,
                hint: hint::for_mtu(device, errno, &capture.problems()),
            }),
        }
    }
}

/// The fast path reads one buffer per frame, so a frame of this MTU must fit into one.
fn check_buffers(device: &DeviceSpec, mtu: u16, overhead: u32, buffer_bytes: u32) -> Result<(), PortError> {
    let overhead = overhead.max(FRAME_OVERHEAD_BYTES + VLAN_TAG_BYTES);
    let needed_bytes = u32::from(mtu) + overhead;
    if needed_bytes > buffer_bytes {
        let mtu_max = buffer_bytes.saturating_sub(overhead);
        return Err(PortError::MtuNeedsScatter {
            device: device.to_string(),
            mtu,
            needed_bytes,
            buffer_bytes,
            mtu_max,
        });
    }
    Ok(())
}

/// What the driver adds to an MTU to get a frame.
fn frame_overhead_bytes(dev_info: &ffi::rte_eth_dev_info) -> u32 {
    let stated = dev_info.max_rx_pktlen.checked_sub(u32::from(dev_info.max_mtu));
    stated.filter(|&bytes| dev_info.max_mtu != u16::MAX && bytes != 0).unwrap_or(FRAME_OVERHEAD_BYTES)
}

/// The largest MTU that `rte_eth_dev_configure` will accept.
fn stated_mtu_max(dev_info: &ffi::rte_eth_dev_info, overhead: u32) -> u16 {
    let by_frame = dev_info.max_rx_pktlen.saturating_sub(overhead);
    let by_mtu = if dev_info.max_mtu == 0 { u32::from(u16::MAX) } else { u32::from(dev_info.max_mtu) };
    u16::try_from(by_frame.min(by_mtu)).unwrap_or(u16::MAX)
}

/// The largest MTU of drivers for which the stated limit is not the real one: they move what the kernel
/// interface carries, af_packet as far as a frame of its ring holds it (the kernel cuts off the rest).
fn interface_mtu_max(device: &DeviceSpec) -> Option<u16> {
    match device.driver()? {
        "net_tap" => Some(u16::MAX),
        "net_af_packet" => {
            let ring_frame = device.argument("framesz").and_then(|value| value.parse().ok());
            let max =
                ring_frame.unwrap_or(PACKET_RING_FRAME_BYTES).saturating_sub(PACKET_RING_OVERHEAD_BYTES);
            Some(u16::try_from(max).unwrap_or(u16::MAX))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_ring_bounds_the_mtu_of_af_packet() {
        let max = |text: &str| interface_mtu_max(&text.parse().unwrap());
        assert_eq!(max("net_af_packet0,iface=x"), Some(1968));
        assert_eq!(max("net_af_packet0,iface=x,framesz=4096"), Some(4016));
        assert_eq!(max("net_af_xdp0,iface=x"), None);
        assert_eq!(max("3b:00.0"), None);
    }

    #[test]
    fn a_frame_that_needs_two_buffers_is_refused_with_what_would_fit() {
        let device: DeviceSpec = "3b:00.0".parse().unwrap();
        let check = |mtu, overhead, buffer_bytes| check_buffers(&device, mtu, overhead, buffer_bytes);
        assert!(check(1500, 18, 2048).is_ok() && check(2026, 18, 2048).is_ok());
        assert!(check(2022, 26, 2048).is_ok() && check(2023, 26, 2048).is_err(), "the driver's own overhead");
        let text = check(9000, 18, 2048).unwrap_err().to_string();
        for part in ["3b:00.0", "9000", "9022", "2048", "2026"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
}
