//! `Eal`: DPDK's runtime as a value.
//!
//! It starts once per process. Ports, pools and registered threads hold the token inside, so the runtime
//! stops (`rte_eal_cleanup`) when the last of them is gone, ports closed first. Starting changes neither
//! the caller's CPU affinity nor its signal handlers.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::fs;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys as ffi;

use crate::device::DeviceSpec;
use crate::error::{EalError, Errno, PortError};
use crate::lcore::ThreadGuard;
use crate::port::PortId;
use crate::{affinity, eal_arguments, fds, hint, log};

/// Set by the first `Eal::init`, whatever becomes of it: EAL cannot be started again.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Where packet memory comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// Anonymous hugepages: nothing is left in hugetlbfs, no mount is needed.
    Hugepages {
        /// MiB to reserve at start.
        mib: u32,
    },
    /// Ordinary pages: containers, tests, software ports only.
    NoHuge {
        /// MiB to reserve at start.
        mib: u32,
    },
}

/// What `Eal::init` needs to know.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// CPUs for EAL's own lcore and its service threads; none takes what the process may use.
    pub main_cpus: Option<Vec<u32>>,
    /// Packet memory.
    pub memory: Memory,
    /// Keeps DPDK processes on one machine apart.
    pub file_prefix: String,
    /// Devices to probe, each name once.
    pub devices: Vec<DeviceSpec>,
    /// Whether DPDK's telemetry socket is opened.
    pub telemetry: bool,
    /// Passed to EAL as they are, last.
    pub extra_args: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            main_cpus: None,
            memory: Memory::NoHuge { mib: 256 },
            file_prefix: "guideway".to_owned(),
            devices: Vec::new(),
            telemetry: false,
            extra_args: Vec::new(),
        }
    }
}

/// The running DPDK. Not `Clone`, not `Sync`; see [`Eal::handle`] for worker threads.
pub struct Eal {
    token: Arc<Token>,
    _not_sync: PhantomData<Cell<()>>,
}

/// What a worker thread needs of the runtime; keeps it alive.
#[derive(Clone)]
pub struct EalHandle {
    token: Arc<Token>,
}

/// Shared by everything made from one `Eal`; its drop stops DPDK.
pub(crate) struct Token {
    /// Descriptors open before EAL started, which are therefore none of its own.
    pub(crate) fds_before: BTreeSet<RawFd>,
    /// Warnings and errors of the start, to explain devices that did not become ports.
    probe_problems: Vec<String>,
    book: Mutex<Book>,
}

/// The control thread's record of what exists.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) pools: Vec<PoolPointer>,
    pub(crate) ports_claimed: BTreeSet<u16>,
    /// A port returns buffers in bulk to the only pool: no second pool may appear.
    pub(crate) fast_free: bool,
}

/// A pool that lives until EAL ends.
pub(crate) struct PoolPointer(pub(crate) ptr::NonNull<ffi::rte_mempool>);

// SAFETY: rte_mempool is made for concurrent use (rte_mempool.h: multi-producer, multi-consumer by default).
unsafe impl Send for PoolPointer {}

impl Eal {
    /// Starts DPDK and probes the devices.
    ///
    /// Devices that fail to probe do not fail the start; ask [`Eal::port_by_device`].
    ///
    /// # Errors
    /// [`EalError::AlreadyInitialised`] on every call but the first, [`EalError::Config`] before DPDK is
    /// touched, [`EalError::Init`] with DPDK's own lines and a hint when it refuses.
    pub fn init(config: &EalConfig) -> Result<Self, EalError> {
        let cpus_before = affinity::current().map_err(EalError::Affinity)?;
        let arguments = eal_arguments::build(config, config.main_cpus.as_deref().unwrap_or(&cpus_before))?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyInitialised);
        }
        log::install().map_err(EalError::Log)?;
        let fds_before = fds::open_descriptors();
        let capture = log::Capture::start();
        let outcome = start(&arguments);
        let restored = affinity::pin_current(&cpus_before);
        let problems = capture.problems();
        if let Err(errno) = outcome {
            remove_runtime_dir();
            let hint = hint::for_init(&problems, config);
            return Err(EalError::Init { errno, lines: problems, hint });
        }
        let token = Arc::new(Token { fds_before, probe_problems: problems, book: Mutex::default() });
        restored.map_err(EalError::Affinity)?;
        Ok(Self { token, _not_sync: PhantomData })
    }

    /// A handle for worker threads.
    pub fn handle(&self) -> EalHandle {
        EalHandle { token: Arc::clone(&self.token) }
    }

    /// The port that a probed device became.
    ///
    /// # Errors
    /// [`PortError::NotFound`] with what the driver logged and how to mend it.
    pub fn port_by_device(&self, device: &DeviceSpec) -> Result<PortId, PortError> {
        let not_found =
            |reason: String, hint| PortError::NotFound { device: device.to_string(), reason, hint };
        let name = CString::new(device.name())
            .map_err(|_| not_found("the name contains a NUL byte".to_owned(), None))?;
        let mut id = 0u16;
        // SAFETY: the name is NUL-terminated and the id is a valid place to write to; EAL runs.
        if unsafe { ffi::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) } == 0 {
            return Ok(PortId(id));
        }
        let (reason, hint) = hint::for_missing_device(device, &self.token.probe_problems);
        Err(not_found(reason, hint))
    }

    /// Adds a virtual device to the running EAL, which is to become a port.
    ///
    /// # Errors
    /// [`PortError::NotFound`] with what the driver logged and how to mend it.
    pub fn plug(&self, device: &DeviceSpec) -> Result<(), PortError> {
        let failed = |problems: &[String]| {
            let (reason, hint) = hint::for_missing_device(device, problems);
            PortError::NotFound { device: device.to_string(), reason, hint }
        };
        if let Some((reason, hint)) = hint::for_taken_name(device) {
            return Err(PortError::NotFound { device: device.to_string(), reason, hint: Some(hint) });
        }
        let c_string =
            |text: &str| CString::new(text).map_err(|_| failed(&["it contains a NUL byte".to_owned()]));
        let (name, arguments) = (c_string(device.name())?, c_string(device.arguments().unwrap_or_default())?);
        let capture = log::Capture::start();
        // SAFETY: three NUL-terminated strings that EAL copies; it runs, and this is the control thread.
        let code = unsafe { ffi::rte_eal_hotplug_add(c"vdev".as_ptr(), name.as_ptr(), arguments.as_ptr()) };
        if code == 0 { Ok(()) } else { Err(failed(&capture.problems())) }
    }

    /// How many ports exist.
    pub fn port_count(&self) -> u16 {
        // SAFETY: EAL runs; the call only counts.
        unsafe { ffi::rte_eth_dev_count_avail() }
    }

    pub(crate) fn token(&self) -> &Arc<Token> {
        &self.token
    }
}

impl EalHandle {
    /// Makes the calling thread known to DPDK, which gives it a cache in every buffer pool.
    ///
    /// Pin the thread first ([`affinity::pin_current`]); drop the guard on the same thread.
    ///
    /// # Errors
    /// [`EalError::Thread`] when DPDK's table of threads is full.
    pub fn register_thread(&self) -> Result<ThreadGuard, EalError> {
        ThreadGuard::register(Arc::clone(&self.token))
    }
}

impl Token {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let book = self.book.get_mut().unwrap_or_else(PoisonError::into_inner);
        // An `Mbuf` that outlives everything still points into its pool, so freeing that memory would be unsound.
        // The XDP driver of 22.11 keeps the buffers of its fill ring for good, which looks the same. Either way
        // the process ends with DPDK running, which costs nothing: its memory has no files.
        // SAFETY: the pools are freed nowhere else; no port and no pool handle is left.
        let all_home =
            book.pools.iter().all(|pool| unsafe { ffi::rte_mempool_in_use_count(pool.0.as_ptr()) } == 0);
        if all_home {
            for pool in book.pools.drain(..) {
                // SAFETY: every buffer is back in the pool and no port uses it any more.
                unsafe { ffi::rte_mempool_free(pool.0.as_ptr()) };
            }
            // SAFETY: EAL runs, all ports are closed (each held this token) and no registered thread is left.
            unsafe { ffi::rte_eal_cleanup() };
        }
        remove_runtime_dir();
    }
}

/// Calls `rte_eal_init`.
fn start(arguments: &[CString]) -> Result<(), Errno> {
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len()).map_err(|_| Errno(libc::E2BIG))?;
    argv.push(ptr::null_mut());
    // SAFETY: argv holds argc NUL-terminated strings and a null; EAL permutes the array and copies what it
    // keeps. STARTED makes this the only call in the process.
    if unsafe { ffi::rte_eal_init(argc, argv.as_mut_ptr()) } < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Removes the folder EAL made for this file prefix and leaves behind; only when it is empty.
fn remove_runtime_dir() {
    // SAFETY: returns a static NUL-terminated path, empty before EAL has chosen one.
    let path = unsafe { ffi::rte_eal_get_runtime_dir() };
    if path.is_null() {
        return;
    }
    // SAFETY: as above, and not null.
    let path = unsafe { CStr::from_ptr(path) };
    // Not there, not empty (telemetry's sockets) or not ours: all of them are fine.
    let _ = fs::remove_dir(OsStr::from_bytes(path.to_bytes()));
}

/// DPDK's name and version, as `DPDK 22.11.11`.
#[must_use]
pub fn version() -> String {
    // SAFETY: no preconditions.
    let text = unsafe { ffi::gw_dpdk_version() };
    // SAFETY: rte_version() returns a static NUL-terminated string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
