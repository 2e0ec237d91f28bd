//! Filling the slots: each turn, a member takes the first slot of its preference that is still free.
//!
//! The result is bit-identical to the obvious loop (kept as `reference`, compared by property tests). Three
//! things make it quick: the walk adds and subtracts instead of multiplying and dividing, whether a slot is
//! taken is one bit (8 KiB for 65537 slots stays in the first-level cache), and the last slots, for which
//! the walk would need `size / free` steps each, are found from the other side: every free slot tells how
//! far ahead it is.

use super::permutation::{Permutation, step};

/// A member's progress along its permutation.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    at: u32,
    skip: u32,
    ordinal: u16,
}

impl Cursor {
    /// At the first choice of `permutation`; what goes into the slots is `ordinal`.
    pub(super) fn new(ordinal: u16, permutation: Permutation) -> Self {
        Self { at: permutation.offset, skip: permutation.skip, ordinal }
    }
}

/// Hands out all `size` slots (a prime below 2^24) to `takers`, in the order of `turns` (indices into
/// `takers`).
pub(super) fn fill(size: u32, takers: &[Cursor], mut turns: impl Iterator<Item = usize>) -> Box<[u16]> {
    let mut cursors = takers.to_vec();
    let mut slots = vec![0_u16; size as usize].into_boxed_slice();
    let mut taken = vec![0_u64; size as usize / 64 + 1];
    let tail = tail_slots(size);
    for turn in turns.by_ref().take((size - tail) as usize) {
        let cursor = &mut cursors[turn];
        let mut at = cursor.at;
        while taken[at as usize / 64] >> (at % 64) & 1 == 1 {
            at = step(at, cursor.skip, size);
        }
        taken[at as usize / 64] |= 1 << (at % 64);
        slots[at as usize] = cursor.ordinal;
        cursor.at = step(at, cursor.skip, size);
    }
    let free = (0..size).filter(|at| taken[*at as usize / 64] >> (at % 64) & 1 == 0).collect();
    fill_tail(&mut slots, free, size, &cursors, turns);
    slots
}

/// From how many free slots on it is cheaper to ask each of them than to walk.
///
/// With n free slots a walk takes `size / n` steps on average and asking takes n, so the border is the root
/// of the size. Twice that measured the same, four times it a fifth worse.
fn tail_slots(size: u32) -> u32 {
    size.isqrt()
}

/// The bits of a distance that are rounding error; there are fewer free slots than that in the tail.
pub(super) const INDEX_MASK: u64 = (1 << 24) - 1;

/// Hands out the last slots, all those in `free`.
fn fill_tail(
    slots: &mut [u16],
    mut free: Vec<u32>,
    size: u32,
    cursors: &[Cursor],
    turns: impl Iterator<Item = usize>,
) {
    let mut steps_by_taker = vec![0_u64; cursors.len()];
    for turn in turns.take(free.len()) {
        let cursor = cursors[turn];
        let steps = &mut steps_by_taker[turn];
        if *steps == 0 {
            *steps = steps_per_slot(cursor.skip, size);
        }
        // All free slots lie ahead of the cursor, so it need not move any more: the nearest one wins. The
        // low bits of a distance are rounding error (see `steps_per_slot`) and carry the index instead.
        let start = steps.wrapping_mul(u64::from(cursor.at));
        let nearest = free.iter().zip(0_u64..).fold(u64::MAX, |nearest, (&at, index)| {
            let distance = steps.wrapping_mul(u64::from(at)).wrapping_sub(start);
            nearest.min(distance & !INDEX_MASK | index)
        });
        let index = (nearest & INDEX_MASK) as usize;
        slots[free.swap_remove(index) as usize] = cursor.ordinal;
    }
}

/// Steps of `skip` needed to get one slot further, as a fraction of a full turn of `size` steps in units of
/// 2^-64.
///
/// `d` slots further (or back, d < 0) are `j = d / skip mod size` steps. Times `d`, wrapping, this value is
/// `j * 2^64 / size` with a rounding error of less than |d|, and exactly 0 for d = 0. Neighbouring j are
/// 2^64 / size > 2^40 apart and |d| < size < 2^24, so the products without their low 24 bits still order the
/// slots exactly as the remainders would, without a division per slot.
pub(super) fn steps_per_slot(skip: u32, size: u32) -> u64 {
    let inverse = u128::from(inverse(skip, size));
    // inverse < size, so 64 bits hold it, also rounded up.
    ((inverse << 64).div_ceil(u128::from(size))) as u64
}

/// The number whose product with `value` is 1 modulo the prime `size`, by Euclid's algorithm.
fn inverse(value: u32, size: u32) -> u32 {
    let (mut rest, mut next_rest) = (i64::from(size), i64::from(value));
    let (mut factor, mut next_factor) = (0_i64, 1_i64);
    while next_rest != 0 {
        let quotient = rest / next_rest;
        (rest, next_rest) = (next_rest, rest - quotient * next_rest);
        (factor, next_factor) = (next_factor, factor - quotient * next_factor);
    }
    factor.rem_euclid(i64::from(size)) as u32
}
