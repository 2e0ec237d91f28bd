//! The SIMD operations against their portable twins and published vectors.

use super::*;
use proptest::prelude::*;

/// FIPS 197 appendix B, round 1: state after AddRoundKey(0) -> state at the start of round 2.
#[test]
fn aes_round_is_that_of_fips_197() {
    let state =
        [0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b, 0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08];
    let key =
        [0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1, 0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05];
    let next =
        [0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b, 0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49];
    assert_eq!(Portable.aes_round(state, key), next);
}

/// Compares every operation of a level with the portable one.
struct Compare {
    a: [u8; 16],
    b: [u8; 16],
    line: [u8; 64],
    word: u32,
    hi: u16,
}

impl Kernel for Compare {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (fast_a, fast_b) = (isa.load(&self.a), isa.load(&self.b));
        let same = |fast: I::Block, slow: [u8; 16]| {
            let mut bytes = [0; 16];
            isa.store(fast, &mut bytes);
            assert_eq!(bytes, slow);
            assert_eq!(isa.low(fast), Portable.low(slow));
        };
        same(isa.xor(fast_a, fast_b), Portable.xor(self.a, self.b));
        same(isa.load_third(&self.a, self.word), Portable.load_third(&self.a, self.word));
        same(isa.aes_round(fast_a, fast_b), Portable.aes_round(self.a, self.b));
        same(isa.with_last_word(fast_a, self.word), Portable.with_last_word(self.a, self.word));
        assert_eq!(
            isa.match_line(&self.line, self.word, self.hi) & 0x3f,
            Portable.match_line(&self.line, self.word, self.hi)
        );
        for candidates in 1..64 {
            assert_eq!(
                isa.oldest(&self.line, self.hi, candidates),
                Portable.oldest(&self.line, self.hi, candidates),
                "{:?} of {candidates:#b} at {}",
                &self.line[..12],
                self.hi
            );
        }
        let (left, right) = self.line.split_at(32);
        let (left, right): (&[u8; 32], &[u8; 32]) = (left.try_into().unwrap(), right.try_into().unwrap());
        let mask = std::array::from_fn(|index| self.a[index % 16] & self.b[index / 2]);
        assert_eq!(
            isa.differs(left, isa.load_wide(right), isa.load_wide(&mask)),
            Portable.differs(left, *right, mask)
        );
    }
}

proptest! {
    #[test]
    fn every_level_agrees_with_the_portable_one(
        a in any::<[u8; 16]>(),
        b in any::<[u8; 16]>(),
        low in prop::collection::vec(0u32..3, 16),
        word in 0u32..3,
        hi in 0u16..3,
    ) {
        let mut line = [0u8; 64];
        for (chunk, value) in line.as_chunks_mut::<4>().0.iter_mut().zip(low) {
            *chunk = value.to_ne_bytes();
        }
        for level in Level::all() {
            run(level, Compare { a, b, line, word, hi });
        }
    }
}

#[test]
fn the_oldest_is_the_one_whose_tick_is_furthest_back_across_the_wrap() {
    let mut line = [0xff; 64];
    for (tick, place) in [5u16, 0xfff0, 3, 0xfff0, 0, 6].iter().zip(line.as_chunks_mut::<2>().0) {
        *place = tick.to_ne_bytes();
    }
    for (candidates, oldest) in
        [(0x3f, 1), (0b11_1000, 3), (0b11_0101, 4), (0b10_0101, 2), (0b10_0001, 0), (0b10_0000, 5)]
    {
        assert_eq!(Portable.oldest(&line, 6, candidates), oldest, "{candidates:#b}");
    }
}

#[test]
fn a_line_matches_only_where_both_tags_agree() {
    let mut line = [0u8; 64];
    for entry in 0..LINE_ENTRIES {
        line[LINE_LO_OFFSET + 4 * entry] = 7;
        line[LINE_HI_OFFSET + 2 * entry] = if entry % 2 == 0 { 9 } else { 8 };
    }
    assert_eq!(Portable.match_line(&line, 7, 9), 0b01_0101);
    assert_eq!(Portable.match_line(&line, 7, 8), 0b10_1010);
    assert_eq!(Portable.match_line(&line, 6, 8), 0);
}
