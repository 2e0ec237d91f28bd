//! The operations of [`Isa`] with AVX2 and AES-NI.
//!
//! [`V3`] can only be made by [`V3::detect`], so holding one proves that the CPU has every feature that
//! the functions here are compiled for.

use super::{Isa, Kernel, LINE_HI_OFFSET, LINE_LO_OFFSET};

const _: () = assert!(LINE_LO_OFFSET + 32 <= 64 && LINE_HI_OFFSET + 16 <= 64, "the match stays in its line");

use core::arch::x86_64::{
    __m128i, __m256i, _mm_aesenc_si128, _mm_and_si128, _mm_blend_epi32, _mm_cmpeq_epi16, _mm_cvtsi128_si32,
    _mm_cvtsi128_si64, _mm_insert_epi32, _mm_lddqu_si128, _mm_loadu_si128, _mm_minpos_epu16,
    _mm_movemask_epi8, _mm_or_si128, _mm_packs_epi16, _mm_set_epi16, _mm_set1_epi16, _mm_setzero_si128,
    _mm_storeu_si128, _mm_sub_epi16, _mm_xor_si128, _mm256_castsi256_ps, _mm256_cmpeq_epi32,
    _mm256_lddqu_si256, _mm256_loadu_si256, _mm256_movemask_ps, _mm256_set1_epi32, _mm256_testz_si256,
    _mm256_xor_si256,
};

/// Proof that the CPU has x86-64-v3 and AES-NI.
#[derive(Clone, Copy, Debug)]
pub struct V3(());

impl V3 {
    /// The proof, if this CPU gives it.
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("movbe")
            && is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }
}

/// Runs `kernel` with the features of [`V3`] on for everything that inlines into it.
#[inline]
pub(super) fn run<K: Kernel>(isa: V3, kernel: K) -> K::Output {
    #[inline(never)]
    #[target_feature(enable = "avx2,aes,bmi1,bmi2,fma,lzcnt,movbe,popcnt")]
    fn compiled<K: Kernel>(isa: V3, kernel: K) -> K::Output {
        kernel.run(isa)
    }
    // SAFETY: `isa` proves that the CPU has all the features named above.
    unsafe { compiled(isa, kernel) }
}

impl Isa for V3 {
    type Block = __m128i;
    type Wide = __m256i;

    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> __m128i {
        // SAFETY: 16 readable bytes, and the load has no alignment demand.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn xor(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_xor_si128(a, b) }
    }

    #[inline(always)]
    fn aes_round(self, state: __m128i, key: __m128i) -> __m128i {
        // SAFETY: `self` proves AES.
        unsafe { _mm_aesenc_si128(state, key) }
    }

    #[inline(always)]
    fn with_last_word(self, block: __m128i, word: u32) -> __m128i {
        // SAFETY: `self` proves SSE4.1, which AVX2 implies.
        unsafe { _mm_insert_epi32::<3>(block, word.cast_signed()) }
    }

    #[inline(always)]
    fn load_third(self, bytes: &[u8; 16], word: u32) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        let zero = unsafe { _mm_setzero_si128() };
        // SAFETY: `self` proves AVX2.
        let third = unsafe { _mm_blend_epi32::<0b0011>(self.load(bytes), zero) };
        self.with_last_word(third, word)
    }

    #[inline(always)]
    fn low(self, block: __m128i) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_cvtsi128_si64(block) }.cast_unsigned()
    }

    #[inline(always)]
    fn store(self, block: __m128i, bytes: &mut [u8; 16]) {
        // SAFETY: 16 writable bytes, and the store has no alignment demand.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), block) };
    }

    #[inline(always)]
    fn load_wide(self, bytes: &[u8; 32]) -> __m256i {
        // SAFETY: 32 readable bytes, the load has no alignment demand, and `self` proves AVX.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn differs(self, bytes: &[u8; 32], pattern: __m256i, mask: __m256i) -> bool {
        // Not an ordinary load: the compiler would take the fields that are read after this out of the vector
        // again, which costs three instructions each.
        // SAFETY: 32 readable bytes, the load has no alignment demand, and `self` proves AVX.
        let bytes = unsafe { _mm256_lddqu_si256(bytes.as_ptr().cast()) };
        // SAFETY: `self` proves AVX2.
        let difference = unsafe { _mm256_xor_si256(bytes, pattern) };
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_testz_si256(difference, mask) == 0 }
    }

    #[inline(always)]
    fn oldest(self, line: &[u8; 64], now: u16, candidates: u32) -> usize {
        // SAFETY: `self` proves SSE4.1, which AVX2 implies.
        unsafe { oldest_sse41(line, now, candidates) }
    }

    #[inline(always)]
    fn match_line(self, line: &[u8; 64], lo: u32, hi: u16) -> u32 {
        // SAFETY: `self` proves AVX2.
        unsafe { match_line_avx2(line, lo, hi) }
    }
}

/// Six 32-bit and six 16-bit comparisons at once; lanes beyond the sixth are other fields. The second load is
/// not an ordinary one, or the compiler would take the bytes behind the tags out of the vector.
#[inline]
#[target_feature(enable = "avx2")]
fn match_line_avx2(line: &[u8; 64], lo: u32, hi: u16) -> u32 {
    let (low, high) = (line[LINE_LO_OFFSET..].as_ptr(), line[LINE_HI_OFFSET..].as_ptr());
    // SAFETY: bytes 24..56 of a 64-byte array; the load has no alignment demand.
    let low: __m256i = unsafe { _mm256_loadu_si256(low.cast()) };
    // SAFETY: bytes 48..64 of a 64-byte array.
    let high: __m128i = unsafe { _mm_lddqu_si128(high.cast()) };
    let low = _mm256_cmpeq_epi32(low, _mm256_set1_epi32(lo.cast_signed()));
    let high = _mm_cmpeq_epi16(high, _mm_set1_epi16(hi.cast_signed()));
    let low_mask = _mm256_movemask_ps(_mm256_castsi256_ps(low)).cast_unsigned();
    let high_mask = _mm_movemask_epi8(_mm_packs_epi16(high, high)).cast_unsigned();
    low_mask & high_mask
}

/// The least of eight words with its place is one instruction; the greatest age is the least of `tick - now - 1`.
/// Words beyond the sixth are other fields and no candidates.
#[inline]
#[target_feature(enable = "sse4.1")]
fn oldest_sse41(line: &[u8; 64], now: u16, candidates: u32) -> usize {
    // SAFETY: bytes 0..16 of a 64-byte array; the load has no alignment demand.
    let ticks = unsafe { _mm_loadu_si128(line.as_ptr().cast()) };
    let key = _mm_sub_epi16(ticks, _mm_set1_epi16(now.wrapping_add(1).cast_signed()));
    let bits = _mm_set_epi16(0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1);
    let chosen = _mm_and_si128(_mm_set1_epi16((candidates & 0x3f) as i16), bits);
    let unchosen = _mm_cmpeq_epi16(chosen, _mm_setzero_si128());
    let least = _mm_minpos_epu16(_mm_or_si128(key, unchosen));
    let place = _mm_cvtsi128_si32(least).cast_unsigned() >> 16 & 7;
    // Words that are no candidates count as the youngest there can be, and so may candidates be, all of them.
    (if candidates >> place & 1 != 0 { place } else { candidates.trailing_zeros() }) as usize
}
