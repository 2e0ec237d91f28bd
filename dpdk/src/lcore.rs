//! `ThreadGuard`: a thread that DPDK knows, so that buffer pools give it a cache of its own.
//!
//! Workers are ordinary threads, not lcores launched by EAL: they pin themselves (or stay unpinned on shared
//! machines) and register. An unregistered thread may use queues too, only each buffer then costs a visit to
//! the shared ring of the pool.

use std::marker::PhantomData;
use std::sync::Arc;

use dpdk_sys as ffi;

use crate::eal::Token;
use crate::error::{EalError, Errno};

/// Registration of the calling thread with DPDK; dropping it ends the registration.
///
/// Not `Send`: DPDK keeps the registration in thread-local storage.
#[must_use = "the thread is unregistered when the guard is dropped"]
pub struct ThreadGuard {
    lcore_id: u32,
    _eal: Arc<Token>,
    _same_thread: PhantomData<*const ()>,
}

impl ThreadGuard {
    /// Registers the calling thread. EAL notes the thread's CPUs now, so pin first.
    pub(crate) fn register(eal: Arc<Token>) -> Result<Self, EalError> {
        // SAFETY: EAL runs, since a token exists; rte_thread_register may be called from any non-EAL thread.
        if unsafe { ffi::rte_thread_register() } != 0 {
            return Err(EalError::Thread { errno: Errno::last(), max: ffi::RTE_MAX_LCORE });
        }
        Ok(Self { lcore_id: current_lcore_id(), _eal: eal, _same_thread: PhantomData })
    }

    /// DPDK's number of this thread, below 128.
    pub fn lcore_id(&self) -> u32 {
        self.lcore_id
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        // SAFETY: the guard is not Send, so this is the thread that registered, and EAL still runs.
        unsafe { ffi::rte_thread_unregister() };
    }
}

fn current_lcore_id() -> u32 {
    // SAFETY: reads a thread-local variable; no preconditions.
    unsafe { ffi::gw_lcore_id() }
}
