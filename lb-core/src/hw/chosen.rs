//! The loop over some items of a slice, chosen by the bits of one word.
//!
//! That a bit of the word stands for an item is established once, before the loop, instead of by a check in
//! every round.

use std::marker::PhantomData;
use std::num::NonZeroU64;

/// The bits of the first `count` positions of a word.
#[inline(always)]
pub fn first(count: usize) -> u64 {
    u64::MAX.checked_shr(64usize.saturating_sub(count) as u32).unwrap_or(0)
}

/// Items of a slice with their positions, in order.
///
/// What must hold: every bit of `left` stands for an item of the slice at `items`, and for none that was given
/// out before.
#[derive(Debug)]
pub struct Chosen<'a, T, const AHEAD: usize> {
    items: *mut T,
    len: usize,
    left: u64,
    ahead: fn(&T),
    slice: PhantomData<&'a mut [T]>,
}

/// The items whose bits are set in `chosen`. Bits beyond the slice count for nothing.
#[inline(always)]
pub fn chosen<T>(items: &mut [T], chosen: u64) -> Chosen<'_, T, 0> {
    chosen_ahead(items, chosen, |_| {})
}

/// As [`chosen`]. Before each item, `ahead` sees the one that is `AHEAD` places further on, if there is one: to
/// prefetch it.
#[inline(always)]
pub fn chosen_ahead<T, const AHEAD: usize>(
    items: &mut [T],
    chosen: u64,
    ahead: fn(&T),
) -> Chosen<'_, T, AHEAD> {
    let len = items.len();
    Chosen { items: items.as_mut_ptr(), len, left: chosen & first(len), ahead, slice: PhantomData }
}

impl<'a, T, const AHEAD: usize> Iterator for Chosen<'a, T, AHEAD> {
    type Item = (usize, &'a mut T);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, &'a mut T)> {
        let position = NonZeroU64::new(self.left)?.trailing_zeros() as usize;
        self.left &= self.left - 1;
        if AHEAD > 0 && position + AHEAD < self.len {
            // SAFETY: below `len`, so inside the slice that this borrows.
            let item = unsafe { self.items.add(position + AHEAD) };
            // SAFETY: a valid item; none of those given out, which all lie before `position`.
            (self.ahead)(unsafe { &*item });
        }
        // SAFETY: `left` has bits below `len` only, so this is inside the slice.
        let item = unsafe { self.items.add(position) };
        // SAFETY: a valid item, borrowed mutably for 'a, and given out once: its bit is gone from `left`.
        Some((position, unsafe { &mut *item }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;

    thread_local! {
        static AHEAD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    proptest! {
        #[test]
        fn every_chosen_item_is_given_once_in_order(len in 0usize..80, bits in any::<u64>()) {
            let expected: Vec<_> =
                (0..len.min(64)).filter(|at| bits >> at & 1 != 0).map(|at| (at, at)).collect();
            let mut items: Vec<usize> = (0..len).collect();
            let all: Vec<_> = chosen(&mut items, bits).collect();
            // All at once, as no lending iterator could: they are different items.
            let seen: Vec<_> = all.iter().map(|(at, item)| (*at, **item)).collect();
            prop_assert_eq!(&seen, &expected);

            AHEAD.take();
            let note = |item: &usize| AHEAD.with_borrow_mut(|ahead| ahead.push(*item));
            let seen: Vec<_> = chosen_ahead::<_, 3>(&mut items, bits, note).map(|(at, item)| (at, *item)).collect();
            prop_assert_eq!(&seen, &expected);
            let ahead: Vec<_> = expected.iter().map(|(at, _)| at + 3).filter(|ahead| *ahead < len).collect();
            prop_assert_eq!(AHEAD.take(), ahead);

            prop_assert_eq!(first(len).count_ones() as usize, len.min(64));
            prop_assert_eq!(first(len).trailing_ones() as usize, len.min(64));
        }
    }
}
