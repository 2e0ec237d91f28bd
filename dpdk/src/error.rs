//! What can go wrong on the control side: typed, and each with what happened, why, and the mend.
//!
//! `Display` of every error is one line fit for an operator. The per-packet path has no errors: a full
//! transmit queue or an empty pool is a count, not a failure.

use std::fmt;
use std::io;

use dpdk_sys as ffi;
use thiserror::Error;

/// A positive `errno` value as DPDK returns it (negated) or leaves it in `rte_errno`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// The calling thread's `rte_errno`, set by the DPDK call that just failed.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local variable; no preconditions.
        Self(unsafe { ffi::gw_errno() })
    }

    /// Turns DPDK's "negative errno or a value" into a `Result`.
    pub(crate) fn check(code: i32) -> Result<i32, Self> {
        if code < 0 { Err(Self(code.saturating_neg())) } else { Ok(code) }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.0))
    }
}

/// `"; try this"`, or nothing when there is no known mend.
struct Mend<'a>(&'a Option<String>);

impl fmt::Display for Mend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The most telling of DPDK's log lines: the last one, which is the one nearest to the failure.
struct Reason<'a>(&'a [String], Errno);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.last() {
            Some(line) => f.write_str(line),
            None => write!(f, "{}", self.1),
        }
    }
}

/// Why the DPDK runtime did not start, or a thread could not join it.
#[derive(Debug, Error)]
pub enum EalError {
    /// `Eal::init` was called before in this process, whatever its outcome.
    #[error("DPDK was already started in this process: it starts once per process, so restart the process")]
    AlreadyInitialised,
    /// A field of `EalConfig` that cannot be passed on.
    #[error("DPDK start: {field}: {reason}")]
    Config {
        /// The field of `EalConfig`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// `rte_eal_init` failed.
    #[error("DPDK did not start: {}{}", Reason(lines, *errno), Mend(hint))]
    Init {
        /// `rte_errno` after the call.
        errno: Errno,
        /// The warnings and errors DPDK logged during the call, oldest first.
        lines: Vec<String>,
        /// How to mend it, when the lines tell.
        hint: Option<String>,
    },
    /// The CPU affinity of the calling thread could not be read or restored around the start.
    #[error("CPU affinity of the control thread: {0}")]
    Affinity(io::Error),
    /// DPDK's log could not be redirected.
    #[error("DPDK log redirection: {0}")]
    Log(io::Error),
    /// `rte_thread_register` failed.
    #[error("DPDK thread registration: {errno}; at most {max} threads can be registered at a time")]
    Thread {
        /// `rte_errno` after the call.
        errno: Errno,
        /// DPDK's limit, a build-time constant.
        max: u32,
    },
}

impl EalError {
    /// The mend alone, for a "help:" line.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Init { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

/// Why a packet buffer pool was not made.
#[derive(Debug, Error)]
pub enum PoolError {
    /// A field of `MempoolConfig` outside DPDK's limits.
    #[error("buffer pool `{name}`: {reason}")]
    Config {
        /// The pool.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A port already returns buffers in bulk to the one pool there was (fast free), so there cannot be two.
    #[error("buffer pool `{name}`: create every pool before the first port is configured")]
    FastFreePool {
        /// The pool that came too late.
        name: String,
    },
    /// `rte_pktmbuf_pool_create` failed.
    #[error("buffer pool `{name}` of {mbufs} buffers ({mib} MiB): {errno}{}", Mend(hint))]
    Create {
        /// The pool.
        name: String,
        /// How many buffers were asked for.
        mbufs: u32,
        /// What they need, in MiB, rounded up.
        mib: u64,
        /// `rte_errno` after the call.
        errno: Errno,
        /// How to mend it.
        hint: Option<String>,
    },
}

/// Why a port is not there or does not do what was asked.
#[derive(Debug, Error)]
pub enum PortError {
    /// EAL started, but this device did not become a port (EAL reports success all the same).
    #[error("port `{device}` is not there: {reason}{}", Mend(hint))]
    NotFound {
        /// The device as configured.
        device: String,
        /// What the driver said, or what we found.
        reason: String,
        /// How to mend it.
        hint: Option<String>,
    },
    /// The device is already configured as a port.
    #[error("port `{device}` is already in use by this process: name each device once")]
    Busy {
        /// The device as configured.
        device: String,
    },
    /// More queues than the driver has.
    #[error(
        "port `{device}`: {asked} {direction} queues asked, driver {driver} has at most {max}{}",
        Mend(hint)
    )]
    Queues {
        /// The device as configured.
        device: String,
        /// The driver.
        driver: String,
        /// `receive` or `transmit`.
        direction: &'static str,
        /// How many were asked for.
        asked: u16,
        /// How many there are.
        max: u16,
        /// How to mend it.
        hint: Option<String>,
    },
    /// A frame of this MTU would span several buffers, which the fast path does not read.
    #[error(
        "port `{device}`: mtu {mtu} needs buffers of {needed_bytes} bytes, the pool's hold {buffer_bytes}: \
         lower the mtu to {mtu_max} or enlarge the pool's data room"
    )]
    MtuNeedsScatter {
        /// The device as configured.
        device: String,
        /// The MTU asked for, bytes of layer 3.
        mtu: u16,
        /// What a frame of it takes, bytes.
        needed_bytes: u32,
        /// What a buffer holds after its headroom, bytes.
        buffer_bytes: u32,
        /// The largest MTU that fits.
        mtu_max: u32,
    },
    /// The device refused the MTU.
    #[error("port `{device}`: mtu {mtu} refused: {errno}{}", Mend(hint))]
    Mtu {
        /// The device as configured.
        device: String,
        /// The MTU asked for, bytes of layer 3.
        mtu: u16,
        /// What the driver returned.
        errno: Errno,
        /// How to mend it.
        hint: Option<String>,
    },
    /// Any other call on the port failed.
    #[error("port `{device}`: {call}: {}{}", Reason(lines, *errno), Mend(hint))]
    Call {
        /// The device as configured.
        device: String,
        /// What was tried, in words.
        call: &'static str,
        /// What it returned.
        errno: Errno,
        /// The warnings and errors DPDK logged meanwhile, oldest first.
        lines: Vec<String>,
        /// How to mend it, when known.
        hint: Option<String>,
    },
}

impl PortError {
    /// The mend alone, for a "help:" line.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { hint, .. }
            | Self::Queues { hint, .. }
            | Self::Mtu { hint, .. }
            | Self::Call { hint, .. } => hint.as_deref(),
            Self::Busy { .. } | Self::MtuNeedsScatter { .. } => None,
        }
    }
}
