//! The time-stamp counter: the fast path's only clock.

use std::num::NonZeroU64;

use dpdk_sys as ffi;

/// The counter now, in ticks of [`hz`]. Constant rate and equal on all cores on every CPU that DPDK supports.
#[inline]
#[must_use]
pub fn now() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: RDTSC exists on every x86-64 CPU and Linux leaves it enabled for user space.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // SAFETY: reads a counter register; no preconditions.
        unsafe { ffi::gw_tsc() }
    }
}

/// Ticks per second as EAL measured or read them; none before [`Eal::init`](crate::Eal::init).
#[must_use]
pub fn hz() -> Option<NonZeroU64> {
    // SAFETY: reads a variable that rte_eal_init writes once; 0 before.
    NonZeroU64::new(unsafe { ffi::rte_get_tsc_hz() })
}
