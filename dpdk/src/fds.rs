//! The descriptors behind software ports, so that an idle worker can sleep until a packet comes.
//!
//! The drivers of DPDK 22.11 do not hand them out, so they are found: what is in `/proc/self/fd` now, was not
//! there before EAL or the queue was set up, and is a packet socket, an XDP socket or a tun device of the
//! port's own interface. A port without any (real NICs, rings, files) is polled or slept on a timer.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::time::Duration;

/// What a descriptor is, as far as it can carry a port's packets.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// An `AF_PACKET` socket bound to an interface.
    Packet { if_index: u32 },
    /// An `AF_XDP` socket; the kernel does not say of which interface.
    Xdp,
    /// A tun or tap device, attached to an interface.
    Tun { if_index: u32 },
}

/// Every descriptor open now; empty when `/proc` is not mounted.
pub(crate) fn open_descriptors() -> BTreeSet<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    let listed: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The listing shows the descriptor it was read through, which is closed by now: the next socket opened
    // gets its number, and would pass for an old one.
    listed.into_iter().filter(|&fd| is_open(fd)).collect()
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: fcntl(2) with F_GETFD only asks; a closed descriptor is an error, not UB.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1
}

/// Those of `candidates` that carry packets of interface `if_index`, ascending.
pub(crate) fn carriers_of(
    candidates: impl IntoIterator<Item = RawFd>,
    if_index: u32,
    xdp: bool,
) -> Vec<RawFd> {
    candidates
        .into_iter()
        .filter(|&fd| match carrier(fd) {
            Some(Carrier::Packet { if_index: own } | Carrier::Tun { if_index: own }) => own == if_index,
            Some(Carrier::Xdp) => xdp,
            None => false,
        })
        .collect()
}

/// Recognises a descriptor. The tap driver's keep-alive descriptor is detached from its interface: none.
pub(crate) fn carrier(fd: RawFd) -> Option<Carrier> {
    match socket_domain(fd) {
        Some(libc::AF_PACKET) => packet_if_index(fd).map(|if_index| Carrier::Packet { if_index }),
        Some(libc::AF_XDP) => Some(Carrier::Xdp),
        Some(_) => None,
        None => tun_if_index(fd).map(|if_index| Carrier::Tun { if_index }),
    }
}

fn socket_domain(fd: RawFd) -> Option<i32> {
    let mut domain = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: getsockopt(2) writes at most `len` bytes to `domain`; a wrong descriptor is an error, not UB.
    let code = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, (&raw mut domain).cast(), &raw mut len)
    };
    (code == 0).then_some(domain)
}

fn packet_if_index(fd: RawFd) -> Option<u32> {
    let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: getsockname(2) writes at most `len` bytes to `address`.
    let code = unsafe { libc::getsockname(fd, address.as_mut_ptr().cast(), &raw mut len) };
    // SAFETY: integers only, zeroed at first.
    let address = unsafe { address.assume_init() };
    (code == 0).then(|| u32::try_from(address.sll_ifindex).ok()).flatten().filter(|&index| index != 0)
}

fn tun_if_index(fd: RawFd) -> Option<u32> {
    // Asking a foreign character device for a tun ioctl would be rude, so look at what it is first.
    let target = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    if target.as_os_str() != "/dev/net/tun" {
        return None;
    }
    let mut request = MaybeUninit::<libc::ifreq>::zeroed();
    // SAFETY: TUNGETIFF (if_tun.h) fills one ifreq.
    if unsafe { libc::ioctl(fd, libc::TUNGETIFF as _, request.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: integers only, zeroed at first.
    let request = unsafe { request.assume_init() };
    // SAFETY: TUNGETIFF writes this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    // A detached queue polls as broken, at once and for ever.
    if i32::from(flags) & libc::IFF_DETACH_QUEUE != 0 {
        return None;
    }
    // SAFETY: the kernel's interface names are NUL-terminated within IFNAMSIZ.
    interface_index(unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) })
}

/// The index of a kernel interface in this network namespace.
pub(crate) fn interface_index(name: &CStr) -> Option<u32> {
    // SAFETY: the name is NUL-terminated.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|&index| index != 0)
}

/// A set of descriptors to sleep on; waiting allocates nothing.
pub struct WaitSet {
    polled: Vec<libc::pollfd>,
}

impl WaitSet {
    /// The descriptors, which must stay open; add your own (an `eventfd`, say) to be woken for other reasons.
    #[must_use]
    pub fn new(fds: &[RawFd]) -> Self {
        let polled = fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
        Self { polled }
    }

    /// Whether there is nothing to wait for, so that a wait is a plain sleep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.polled.is_empty()
    }

    /// Sleeps until one is readable (true), or the time is over or a signal came (false).
    ///
    /// # Errors
    /// What `ppoll(2)` returns, except `EINTR`; `InvalidInput` for a descriptor that is not open.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let limit = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
        };
        let count = self.polled.len() as libc::nfds_t;
        // SAFETY: ppoll(2) reads and writes `count` entries, reads the timespec, and leaves the mask alone.
        let ready = unsafe { libc::ppoll(self.polled.as_mut_ptr(), count, &raw const limit, ptr::null()) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            // The tap driver signals itself for every packet: an interrupted sleep is a normal outcome.
            return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
        }
        if self.polled.iter().any(|polled| polled.revents & libc::POLLNVAL != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a descriptor to wait for is not open"));
        }
        Ok(ready > 0)
    }
}

/// [`WaitSet::wait`] for once.
///
/// # Errors
/// As [`WaitSet::wait`].
pub fn wait_readable(fds: &[RawFd], timeout: Duration) -> io::Result<bool> {
    WaitSet::new(fds).wait(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn a_wait_ends_with_data_or_with_time() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let start = Instant::now();
        assert!(!wait_readable(&[far.as_raw_fd()], Duration::from_millis(20)).unwrap());
        assert!(start.elapsed() >= Duration::from_millis(20));
        near.write_all(b"x").unwrap();
        assert!(wait_readable(&[far.as_raw_fd()], Duration::from_secs(5)).unwrap());
    }

    #[test]
    fn an_empty_set_sleeps_and_a_closed_descriptor_is_an_error() {
        assert!(!wait_readable(&[], Duration::from_micros(100)).unwrap());
        assert!(wait_readable(&[i32::MAX], Duration::ZERO).is_err());
    }

    #[test]
    fn ordinary_descriptors_carry_no_packets() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = fs::File::open("/proc/self/status").unwrap();
        assert!(open_descriptors().contains(&socket.as_raw_fd()));
        assert_eq!((carrier(socket.as_raw_fd()), carrier(file.as_raw_fd())), (None, None));
        assert!(carriers_of([socket.as_raw_fd(), file.as_raw_fd()], 1, true).is_empty());
    }
}
