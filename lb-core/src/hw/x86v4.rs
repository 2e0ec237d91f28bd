//! The operations of [`Isa`] with AVX-512: comparisons that give masks.
//!
//! [`V4`] can only be made by [`V4::detect`], so holding one proves that the CPU has every feature that the
//! functions here are compiled for. What AVX-512 does not do better is left to [`V3`].

use super::x86::V3;
use super::{Isa, Kernel, LINE_HI_OFFSET, LINE_LO_OFFSET};
use core::arch::x86_64::{
    __m128i, __m256i, _mm_lddqu_si128, _mm_mask_cmpeq_epi16_mask, _mm_set1_epi16, _mm256_cmpeq_epi32_mask,
    _mm256_loadu_si256, _mm256_set1_epi32,
};

/// Proof that the CPU has x86-64-v4 (AVX-512 F, BW, CD, DQ, VL) and AES-NI.
#[derive(Clone, Copy, Debug)]
pub struct V4(V3);

impl V4 {
    /// The proof, if this CPU gives it.
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        V3::detect().filter(|_| has_all).map(Self)
    }
}

/// Runs `kernel` with the features of [`V4`] on for everything that inlines into it.
#[inline]
pub(super) fn run<K: Kernel>(isa: V4, kernel: K) -> K::Output {
    #[inline(never)]
    #[target_feature(
        enable = "avx2,aes,bmi1,bmi2,fma,lzcnt,movbe,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl"
    )]
    fn compiled<K: Kernel>(isa: V4, kernel: K) -> K::Output {
        kernel.run(isa)
    }
    // SAFETY: `isa` proves that the CPU has all the features named above.
    unsafe { compiled(isa, kernel) }
}

impl Isa for V4 {
    type Block = __m128i;
    type Wide = __m256i;

    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> __m128i {
        self.0.load(bytes)
    }

    #[inline(always)]
    fn xor(self, a: __m128i, b: __m128i) -> __m128i {
        self.0.xor(a, b)
    }

    #[inline(always)]
    fn aes_round(self, state: __m128i, key: __m128i) -> __m128i {
        self.0.aes_round(state, key)
    }

    #[inline(always)]
    fn with_last_word(self, block: __m128i, word: u32) -> __m128i {
        self.0.with_last_word(block, word)
    }

    #[inline(always)]
    fn load_third(self, bytes: &[u8; 16], word: u32) -> __m128i {
        self.0.load_third(bytes, word)
    }

    #[inline(always)]
    fn low(self, block: __m128i) -> u64 {
        self.0.low(block)
    }

    #[inline(always)]
    fn store(self, block: __m128i, bytes: &mut [u8; 16]) {
        self.0.store(block, bytes);
    }

    #[inline(always)]
    fn load_wide(self, bytes: &[u8; 32]) -> __m256i {
        self.0.load_wide(bytes)
    }

    #[inline(always)]
    fn differs(self, bytes: &[u8; 32], pattern: __m256i, mask: __m256i) -> bool {
        self.0.differs(bytes, pattern, mask)
    }

    #[inline(always)]
    fn oldest(self, line: &[u8; 64], now: u16, candidates: u32) -> usize {
        self.0.oldest(line, now, candidates)
    }

    #[inline(always)]
    fn match_line(self, line: &[u8; 64], lo: u32, hi: u16) -> u32 {
        // SAFETY: `self` proves AVX-512 BW and VL.
        unsafe { match_line_avx512(line, lo, hi) }
    }
}

/// Six 32-bit comparisons, and of those that hold the six of 16 bits; lanes beyond the sixth are other fields.
/// The second load is not an ordinary one, or the compiler would take the bytes behind the tags out of the
/// vector.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl")]
fn match_line_avx512(line: &[u8; 64], lo: u32, hi: u16) -> u32 {
    let (low, high) = (line[LINE_LO_OFFSET..].as_ptr(), line[LINE_HI_OFFSET..].as_ptr());
    // SAFETY: bytes 24..56 of a 64-byte array; the load has no alignment demand.
    let low: __m256i = unsafe { _mm256_loadu_si256(low.cast()) };
    // SAFETY: bytes 48..64 of a 64-byte array.
    let high: __m128i = unsafe { _mm_lddqu_si128(high.cast()) };
    let same_low = _mm256_cmpeq_epi32_mask(low, _mm256_set1_epi32(lo.cast_signed()));
    u32::from(_mm_mask_cmpeq_epi16_mask(same_low, high, _mm_set1_epi16(hi.cast_signed())))
}
