//! `KernelInterface`: the few things of a software port that are the kernel's, not the driver's.
//!
//! af_packet and tap ports state a frame limit that is not theirs (1518 bytes) although the interface underneath
//! takes more; and what a driver switches on there, it leaves on.

use std::ffi::{CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::error::Errno;

/// A kernel interface, by name, in the network namespace of the calling thread.
pub(crate) struct KernelInterface {
    name: CString,
}

impl KernelInterface {
    /// The interface with this index, if there is one; 0 is none.
    pub(crate) fn from_index(index: u32) -> Option<Self> {
        let mut name = [0u8; libc::IFNAMSIZ];
        // SAFETY: if_indextoname(3) writes at most IFNAMSIZ bytes with a NUL.
        if unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast::<c_char>()) }.is_null() {
            return None;
        }
        let name = name.split(|&byte| byte == 0).next()?;
        CString::new(name).ok().map(|name| Self { name })
    }

    /// Whether it takes frames for any address now.
    pub(crate) fn is_promiscuous(&self) -> bool {
        let mut request = self.request();
        if control(libc::SIOCGIFFLAGS, &mut request).is_err() {
            return false;
        }
        // SAFETY: SIOCGIFFLAGS writes this member of the union.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        i32::from(flags) & libc::IFF_PROMISC != 0
    }

    /// Whether it takes frames for every multicast address; returns whether it did before.
    pub(crate) fn set_all_multicast(&self, on: bool) -> Result<bool, Errno> {
        let mut request = self.request();
        control(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: SIOCGIFFLAGS writes this member of the union.
        let before = unsafe { request.ifr_ifru.ifru_flags };
        let flag = libc::IFF_ALLMULTI as libc::c_short;
        request.ifr_ifru.ifru_flags = if on { before | flag } else { before & !flag };
        control(libc::SIOCSIFFLAGS, &mut request)?;
        Ok(before & flag != 0)
    }

    /// Sets its MTU, bytes of layer 3. It stays when the port is closed.
    pub(crate) fn set_mtu(&self, mtu: u16) -> Result<(), Errno> {
        let mut request = self.request();
        request.ifr_ifru.ifru_mtu = i32::from(mtu);
        control(libc::SIOCSIFMTU, &mut request)
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: integers only.
        let mut request = unsafe { MaybeUninit::<libc::ifreq>::zeroed().assume_init() };
        for (place, &byte) in request.ifr_name.iter_mut().zip(self.name.as_bytes()) {
            *place = byte as c_char;
        }
        request
    }
}

/// One netdevice(7) request.
fn control(request: libc::Ioctl, argument: &mut libc::ifreq) -> Result<(), Errno> {
    // SAFETY: socket(2) with constants.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all four requests read and write one ifreq.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut *argument) };
    if code == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
