//! A network namespace for the calling thread and a raw socket as the other end of a port's wire.
//!
//! EAL's threads and the `ip` commands are children of the calling thread and so live in it too; it vanishes with
//! the process, with all its interfaces. Without the privilege the test says that it is skipped.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

/// Puts the calling thread into a fresh namespace; false, with a word on stderr, when that is not allowed.
pub fn enter() -> bool {
    // SAFETY: unshare(2) of the network namespace affects this thread only.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        // Else the kernel's neighbour discovery sends frames of its own for seconds. Not there: nothing to silence.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        return true;
    }
    skipped(&format!("a network namespace needs CAP_SYS_ADMIN: {}", io::Error::last_os_error()));
    false
}

/// Past the test harness, which would swallow `eprintln!` of a passing test.
pub fn skipped(reason: &str) {
    let _ = writeln!(io::stderr(), "skipped: {reason}");
}

/// Runs `ip` with words separated by blanks; returns what it prints.
pub fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pair of interfaces, up.
pub fn veth(near: &str, far: &str) {
    ip(&format!("link add {near} type veth peer name {far}"));
    for name in [near, far] {
        ip(&format!("link set {name} up"));
    }
}

/// A packet socket on one interface: sends and receives whole frames.
pub struct Wire(std::fs::File);

impl Wire {
    pub fn open(interface: &str) -> Self {
        let name = CString::new(interface).unwrap();
        // SAFETY: the name is NUL-terminated.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        assert_ne!(index, 0, "{interface}");
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: socket(2) with constants.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(protocol))
        };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: a fresh descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol,
            sll_ifindex: i32::try_from(index).unwrap(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: bind(2) reads `len` bytes of the address.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) };
        assert_eq!(bound, 0, "{}", io::Error::last_os_error());
        Self(fd.into())
    }

    pub fn send(&mut self, frame: &[u8]) {
        assert_eq!(self.0.write(frame).unwrap(), frame.len());
    }

    /// Receives up to `count` frames of the test's ethertype; gives up after a second of silence.
    pub fn receive(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while frames.len() < count
            && dpdk::wait_readable(&[self.0.as_raw_fd()], Duration::from_secs(1)).unwrap()
        {
            let mut buffer = [0; 4096];
            let len = self.0.read(&mut buffer).unwrap();
            if buffer.get(12..14) == Some(&[0x88, 0xb5]) {
                frames.push(buffer[..len].to_vec());
            }
        }
        frames
    }
}
