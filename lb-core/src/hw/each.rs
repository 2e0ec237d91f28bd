//! The loop over some items of a slice, chosen by the bits of one word.
//!
//! That a bit of the word stands for an item is established once, before the loop, instead of by a check in
//! every round.

use std::num::NonZeroU64;

/// The bits of the first `count` positions of a word.
#[inline(always)]
pub fn first(count: usize) -> u64 {
    u64::MAX.checked_shr(64usize.saturating_sub(count) as u32).unwrap_or(0)
}

/// Calls `work` with position and item for every item whose bit is set in `chosen`, in order. Bits beyond the
/// slice count for nothing. Before that, `ahead` gets the item that is `AHEAD` places further on, if there is
/// one: to prefetch it.
#[inline(always)]
pub fn each<const AHEAD: usize, T>(
    items: &mut [T],
    chosen: u64,
    ahead: impl Fn(&T),
    mut work: impl FnMut(usize, &mut T),
) {
    let mut left = chosen & first(items.len());
    while let Some(bits) = NonZeroU64::new(left) {
        let position = bits.trailing_zeros() as usize;
        left &= left - 1;
        if AHEAD > 0
            && let Some(item) = items.get(position + AHEAD)
        {
            ahead(item);
        }
        // SAFETY: `left` starts with the lowest `items.len()` bits at most and only loses bits, so the position
        // of each is below the length.
        work(position, unsafe { items.get_unchecked_mut(position) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_chosen_item_is_visited_once_in_order(len in 0usize..80, chosen in any::<u64>()) {
            let mut items: Vec<usize> = (0..len).collect();
            let mut seen = Vec::new();
            let ahead = std::cell::RefCell::new(Vec::new());
            each::<3, _>(&mut items, chosen, |item| ahead.borrow_mut().push(*item), |position, item| {
                seen.push((position, *item));
            });
            let expected: Vec<_> =
                (0..len.min(64)).filter(|at| chosen >> at & 1 != 0).map(|at| (at, at)).collect();
            let expected_ahead: Vec<_> =
                expected.iter().map(|(at, _)| at + 3).filter(|ahead| *ahead < len).collect();
            prop_assert_eq!(ahead.into_inner(), expected_ahead);
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(first(len).count_ones() as usize, len.min(64));
            prop_assert_eq!(first(len).trailing_ones() as usize, len.min(64));
        }
    }
}
