//! `Mempool`: the packet buffers, allocated once at start.
//!
//! A pool is never freed before the runtime ends, so no `Mbuf` can outlive its memory. Empty is a counted
//! outcome (`None`), not an error.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as ffi;

use crate::burst::Burst;
use crate::eal::{Eal, PoolPointer, Token};
use crate::error::{Errno, PoolError};
use crate::hint;
use crate::mbuf::Mbuf;

/// Longest pool name: DPDK's 32 bytes less the prefix `MP_` and the NUL, less room for `RG_`.
const NAME_BYTES_MAX: usize = 25;

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct MempoolConfig {
    /// Unique in the process, at most 25 bytes.
    pub name: String,
    /// Buffers; best memory use at a power of two less one.
    pub mbufs: u32,
    /// Buffers each registered thread may keep for itself, at most 512.
    pub cache: u32,
    /// Bytes per buffer, 128 bytes of headroom included.
    pub data_room_bytes: u16,
    /// NUMA node of the memory; none takes any.
    pub socket: Option<u32>,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self {
            name: "mbufs".to_owned(),
            mbufs: 16_383,
            cache: 256,
            data_room_bytes: 2048 + 128,
            socket: None,
        }
    }
}

/// A pool of packet buffers; clones are handles on the same pool.
#[derive(Clone)]
pub struct Mempool {
    pool: NonNull<ffi::rte_mempool>,
    mbufs: u32,
    data_room_bytes: u16,
    token: Arc<Token>,
}

// SAFETY: rte_mempool is made for concurrent use (multi-producer, multi-consumer ring plus per-lcore caches).
unsafe impl Send for Mempool {}
// SAFETY: as above; every method takes buffers out or counts them, and both are safe from any thread.
unsafe impl Sync for Mempool {}

impl Mempool {
    /// Allocates the buffers. Create every pool before the first port is configured.
    ///
    /// # Errors
    /// [`PoolError::Config`] outside DPDK's limits, [`PoolError::FastFreePool`] when it comes too late,
    /// [`PoolError::Create`] when the memory does not suffice.
    pub fn new(eal: &Eal, config: &MempoolConfig) -> Result<Self, PoolError> {
        let name = checked_name(config)?;
        let mut book = eal.token().book();
        if book.fast_free {
            return Err(PoolError::FastFreePool { name: config.name.clone() });
        }
        let socket = config.socket.and_then(|socket| i32::try_from(socket).ok()).unwrap_or(-1); // SOCKET_ID_ANY
        // SAFETY: EAL runs, the name is NUL-terminated and copied; the other arguments are numbers that the
        // call checks.
        let pool = unsafe {
            ffi::rte_pktmbuf_pool_create(
                name.as_ptr(),
                config.mbufs,
                config.cache,
                0,
                config.data_room_bytes,
                socket,
            )
        };
        let pool = NonNull::new(pool).ok_or_else(|| create_error(config, Errno::last()))?;
        book.pools.push(PoolPointer(pool));
        drop(book);
        Ok(Self {
            pool,
            mbufs: config.mbufs,
            data_room_bytes: config.data_room_bytes,
            token: Arc::clone(eal.token()),
        })
    }

    /// One empty buffer, or none when the pool is empty.
    #[inline]
    #[must_use]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as the token.
        let mbuf = unsafe { ffi::gw_pktmbuf_alloc(self.pool.as_ptr()) };
        // SAFETY: rte_pktmbuf_alloc returns a buffer that is ours alone, or null.
        NonNull::new(mbuf).map(|mbuf| unsafe { Mbuf::from_raw(mbuf) })
    }

    /// Appends `count` empty buffers to `burst`: all of them or, when the pool or the burst lacks room, none.
    #[inline]
    pub fn alloc_bulk(&self, burst: &mut Burst, count: usize) -> bool {
        if count > burst.room() {
            return false;
        }
        let Ok(wanted) = u32::try_from(count) else { return false };
        // SAFETY: `spare` has room for `count` pointers, as compared; the pool lives as long as the token.
        if unsafe { ffi::gw_pktmbuf_alloc_bulk(self.pool.as_ptr(), burst.spare(), wanted) } != 0 {
            return false;
        }
        // SAFETY: the call returned 0, so the first `count` places hold buffers that are ours alone.
        unsafe { burst.grow(count) };
        true
    }

    /// Buffers that can still be taken, those in other threads' caches included. Walks the caches: control side only.
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as the token; the call only counts.
        unsafe { ffi::rte_mempool_avail_count(self.pool.as_ptr()) }
    }

    /// Buffers held by drivers and by us. Walks the caches: control side only.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.mbufs.saturating_sub(self.available())
    }

    /// Buffers in all.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.mbufs
    }

    /// Bytes of packet a buffer holds after its headroom.
    pub(crate) fn buffer_bytes(&self) -> u32 {
        u32::from(self.data_room_bytes).saturating_sub(ffi::GW_PKTMBUF_HEADROOM_BYTES)
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::rte_mempool {
        self.pool.as_ptr()
    }

    pub(crate) fn belongs_to(&self, token: &Arc<Token>) -> bool {
        Arc::ptr_eq(&self.token, token)
    }
}

/// DPDK's limits, checked first because its own answer to all of them is `EINVAL`.
fn checked_name(config: &MempoolConfig) -> Result<CString, PoolError> {
    let refuse = |reason: String| PoolError::Config { name: config.name.clone(), reason };
    if config.name.is_empty() || config.name.len() > NAME_BYTES_MAX {
        return Err(refuse(format!("the name must have 1 to {NAME_BYTES_MAX} bytes")));
    }
    if config.cache > ffi::RTE_MEMPOOL_CACHE_MAX_SIZE {
        return Err(refuse(format!("a cache holds at most {} buffers", ffi::RTE_MEMPOOL_CACHE_MAX_SIZE)));
    }
    // rte_mempool_create: the cache may overflow by half before it is flushed.
    if config.mbufs == 0 || u64::from(config.cache) * 3 / 2 > u64::from(config.mbufs) {
        return Err(refuse(format!("{} buffers are too few for a cache of {}", config.mbufs, config.cache)));
    }
    if u32::from(config.data_room_bytes) <= ffi::GW_PKTMBUF_HEADROOM_BYTES {
        return Err(refuse(format!("the data room must exceed {} bytes", ffi::GW_PKTMBUF_HEADROOM_BYTES)));
    }
    CString::new(config.name.as_str()).map_err(|_| refuse("the name contains a NUL byte".to_owned()))
}

fn create_error(config: &MempoolConfig, errno: Errno) -> PoolError {
    // Header, rte_mbuf and data room, as one element of the pool.
    let element_bytes = 64 + 128 + u64::from(config.data_room_bytes);
    let mib = (u64::from(config.mbufs) * element_bytes).div_ceil(1 << 20);
    PoolError::Create {
        name: config.name.clone(),
        mbufs: config.mbufs,
        mib,
        errno,
        hint: hint::for_pool(errno, mib),
    }
}
