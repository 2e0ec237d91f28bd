//! The operations of [`Isa`] in plain Rust: the reference, and the fallback on CPUs without AES.
//!
//! Its results must equal the SIMD versions to the bit, or a fleet of mixed CPUs would disagree.

use super::{Isa, Kernel, LINE_ENTRIES, LINE_HI_OFFSET, LINE_LO_OFFSET};

/// Any CPU at all.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 section 4.2).
const fn double(byte: u8) -> u8 {
    (byte << 1) ^ (if byte & 0x80 != 0 { 0x1b } else { 0 })
}

/// The S-box of FIPS 197 section 5.1.1: inverse in GF(2^8), then the affine map. Walked with the
/// generator 3 and its inverse so that no division is needed.
const fn sbox() -> [u8; 256] {
    let mut table = [0u8; 256];
    let (mut power, mut inverse) = (1u8, 1u8);
    loop {
        power ^= double(power);
        inverse ^= inverse << 1;
        inverse ^= inverse << 2;
        inverse ^= inverse << 4;
        if inverse & 0x80 != 0 {
            inverse ^= 0x09;
        }
        table[power as usize] = inverse
            ^ inverse.rotate_left(1)
            ^ inverse.rotate_left(2)
            ^ inverse.rotate_left(3)
            ^ inverse.rotate_left(4)
            ^ 0x63;
        if power == 1 {
            break;
        }
    }
    table[0] = 0x63;
    table
}

/// SubBytes and the MixColumns contribution of row 0 in one look-up; other rows are rotations of it.
const fn columns() -> [u32; 256] {
    let sbox = sbox();
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let byte = sbox[index];
        table[index] = u32::from_le_bytes([double(byte), byte, byte, double(byte) ^ byte]);
        index += 1;
    }
    table
}

static COLUMNS: [u32; 256] = columns();

/// Runs `kernel`, as a function of its own: the dispatch in front of it stays a jump.
#[inline(never)]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

impl Isa for Portable {
    type Block = [u8; 16];
    type Wide = [u8; 32];

    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> Self::Block {
        *bytes
    }

    #[inline(always)]
    fn xor(self, a: Self::Block, b: Self::Block) -> Self::Block {
        (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
    }

    fn aes_round(self, state: Self::Block, key: Self::Block) -> Self::Block {
        let mut out = [0u8; 16];
        for column in 0..4 {
            let mut word = 0u32;
            for row in 0..4 {
                // ShiftRows: row r comes from r columns further on.
                let byte = state[(4 * column + 5 * row) % 16];
                word ^= COLUMNS[usize::from(byte)].rotate_left(8 * row as u32);
            }
            out[4 * column..4 * column + 4].copy_from_slice(&word.to_le_bytes());
        }
        self.xor(out, key)
    }

    #[inline(always)]
    fn with_last_word(self, mut block: Self::Block, word: u32) -> Self::Block {
        block[12..].copy_from_slice(&word.to_le_bytes());
        block
    }

    #[inline(always)]
    fn load_third(self, bytes: &[u8; 16], word: u32) -> Self::Block {
        let mut block = [0; 16];
        block[8..12].copy_from_slice(&bytes[8..12]);
        block[12..].copy_from_slice(&word.to_le_bytes());
        block
    }

    #[inline(always)]
    fn low(self, block: Self::Block) -> u64 {
        u128::from_le_bytes(block) as u64
    }

    #[inline(always)]
    fn store(self, block: Self::Block, bytes: &mut [u8; 16]) {
        *bytes = block;
    }

    #[inline(always)]
    fn load_wide(self, bytes: &[u8; 32]) -> Self::Wide {
        *bytes
    }

    #[inline(always)]
    fn differs(self, bytes: &[u8; 32], pattern: Self::Wide, mask: Self::Wide) -> bool {
        bytes.iter().zip(pattern).zip(mask).any(|((byte, wanted), mask)| (byte ^ wanted) & mask != 0)
    }

    #[inline(always)]
    fn oldest(self, line: &[u8; 64], now: u16, candidates: u32) -> usize {
        let (ticks, _) = line.as_chunks::<2>();
        let age = |entry: &usize| now.wrapping_sub(u16::from_ne_bytes(ticks[*entry]));
        // The last of the greatest counted from the end is the first.
        (0..LINE_ENTRIES).rev().filter(|entry| candidates >> entry & 1 != 0).max_by_key(age).unwrap_or(0)
    }

    #[inline(always)]
    fn match_line(self, line: &[u8; 64], lo: u32, hi: u16) -> u32 {
        let (low, _) = line[LINE_LO_OFFSET..].as_chunks::<4>();
        let (high, _) = line[LINE_HI_OFFSET..].as_chunks::<2>();
        let mut mask = 0;
        for entry in 0..LINE_ENTRIES {
            let same = (low[entry] == lo.to_ne_bytes()) & (high[entry] == hi.to_ne_bytes());
            mask |= u32::from(same) << entry;
        }
        mask
    }
}
