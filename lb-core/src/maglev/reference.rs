//! The obvious Maglev table, straight from the paper: the slow twin that the fast build must equal.
//!
//! Positions by multiplication and remainder in 64 bits, credits paid round by round, no shortcut of any
//! kind.

use super::Permutation;

/// The owner of each slot; `takers` are (ordinal, permutation, weight above 0) in the order of their turns.
pub(super) fn slots(size: u32, takers: &[(u16, Permutation, u32)]) -> Vec<u16> {
    let mut slots: Vec<Option<u16>> = vec![None; size as usize];
    let mut next = vec![0_u64; takers.len()];
    let mut credit = vec![0_u64; takers.len()];
    let largest = takers.iter().map(|taker| u64::from(taker.2)).max().unwrap_or(0);
    let mut filled = 0;
    while filled < size && !takers.is_empty() {
        for (index, &(ordinal, permutation, weight)) in takers.iter().enumerate() {
            credit[index] += u64::from(weight);
            if credit[index] < largest || filled == size {
                continue;
            }
            credit[index] -= largest;
            loop {
                let slot = (u64::from(permutation.offset) + next[index] * u64::from(permutation.skip))
                    % u64::from(size);
                next[index] += 1;
                if slots[slot as usize].is_none() {
                    slots[slot as usize] = Some(ordinal);
                    break;
                }
            }
            filled += 1;
        }
    }
    slots.into_iter().flatten().collect()
}
