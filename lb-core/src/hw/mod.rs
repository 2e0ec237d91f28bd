//! The only unsafe code of the core: prefetches, AES rounds and the SIMD match of a table line.
//!
//! Everything here is a safe function. What a CPU can do is a value ([`Level`]) found once at start;
//! [`run`] compiles a whole burst kernel for it, so that the intrinsics inline into the loops around
//! them. The portable twin gives identical results to the bit and is what other CPUs use.

#![expect(unsafe_code, reason = "prefetch and SIMD intrinsics, fenced here by design")]

mod chosen;
mod masked;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod x86v4;

pub use chosen::{Chosen, chosen, chosen_ahead, first};
pub use masked::Masked;
pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86::V3;
#[cfg(target_arch = "x86_64")]
pub use x86v4::V4;

/// Byte offset of the six 32-bit tags in a table line; the match reads 32 bytes from there.
pub const LINE_LO_OFFSET: usize = 24;
/// Byte offset of the six 16-bit tags in a table line; the match reads 16 bytes from there.
pub const LINE_HI_OFFSET: usize = 48;
/// Entries of a table line.
pub const LINE_ENTRIES: usize = 6;

/// The operations that a burst kernel takes from the CPU.
///
/// Values of an implementing type are proof that the CPU has what its methods use.
pub trait Isa: Copy {
    /// A 128-bit block in the register that suits the CPU.
    type Block: Copy;
    /// 32 bytes in the registers that suit the CPU.
    type Wide: Copy;

    /// A block from memory; byte 0 is the lowest.
    fn load(self, bytes: &[u8; 16]) -> Self::Block;
    /// Bitwise exclusive or.
    fn xor(self, a: Self::Block, b: Self::Block) -> Self::Block;
    /// One AES encryption round as FIPS 197 section 5.1: SubBytes, ShiftRows, MixColumns, AddRoundKey.
    fn aes_round(self, state: Self::Block, key: Self::Block) -> Self::Block;
    /// The block with its bytes 12..16 replaced by `word`, little-endian.
    fn with_last_word(self, block: Self::Block, word: u32) -> Self::Block;
    /// A block of bytes 8..12 of memory, `word` in little-endian order behind them, and zeros in front.
    fn load_third(self, bytes: &[u8; 16], word: u32) -> Self::Block;
    /// Bytes 0..8 as a little-endian word.
    fn low(self, block: Self::Block) -> u64;
    /// The block to memory; byte 0 is the lowest.
    fn store(self, block: Self::Block, bytes: &mut [u8; 16]);
    /// 32 bytes from memory.
    fn load_wide(self, bytes: &[u8; 32]) -> Self::Wide;
    /// True if `bytes` differ from `pattern` in any bit that is set in `mask`.
    fn differs(self, bytes: &[u8; 32], pattern: Self::Wide, mask: Self::Wide) -> bool;
    /// Of the entries whose bit is set in `candidates` (at least one of the lowest six) the one whose tick, of
    /// the six 16-bit words at the start of the line, lies furthest before `now`, modulo 2^16; of several the first.
    fn oldest(self, line: &[u8; 64], now: u16, candidates: u32) -> usize;
    /// Bit i is set if entry i of the line has the tag (`lo`, `hi`). Bits beyond the entries mean nothing.
    fn match_line(self, line: &[u8; 64], lo: u32, hi: u16) -> u32;
}

/// Work to be compiled once per instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// Does the work. Implementations are `#[inline(always)]`, or the CPU's features do not reach them.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// What this CPU can do.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// x86-64-v4 (AVX-512) and AES-NI.
    #[cfg(target_arch = "x86_64")]
    V4(V4),
    /// x86-64-v3 and AES-NI.
    #[cfg(target_arch = "x86_64")]
    V3(V3),
    /// Anything else.
    Portable,
}

impl Level {
    /// The best level of the CPU that this runs on.
    pub fn detect() -> Self {
        Self::all().next().unwrap_or(Self::Portable)
    }

    /// Every level of the CPU that this runs on, the best first. All give the same results.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let fast = [V4::detect().map(Self::V4), V3::detect().map(Self::V3)];
        #[cfg(not(target_arch = "x86_64"))]
        let fast = [None];
        fast.into_iter().flatten().chain([Self::Portable])
    }

    /// Name for logs and `bench`.
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::V4(_) => "x86-64-v4+aes",
            #[cfg(target_arch = "x86_64")]
            Self::V3(_) => "x86-64-v3+aes",
            Self::Portable => "portable",
        }
    }
}

/// Runs `kernel` compiled for `level`.
#[inline]
pub fn run<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::V4(isa) => x86v4::run(isa, kernel),
        #[cfg(target_arch = "x86_64")]
        Level::V3(isa) => x86::run(isa, kernel),
        Level::Portable => portable::run(kernel),
    }
}

/// Hints that the cache line at `address` is needed within a few packets (all cache levels).
#[inline(always)]
pub fn prefetch_near<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it never faults, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Hints that the cache line at `address` is needed later in the burst (second level only).
///
/// Random lines come twice as fast this way as with [`prefetch_near`], which is held to the number of
/// first-level miss buffers (docs/performance.md).
#[inline(always)]
pub fn prefetch_far<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests;
