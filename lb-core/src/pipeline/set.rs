//! A set of positions in a burst.

use super::BURST_MAX;
use crate::hw::{self, Chosen};
use crate::packet::Packet;
use std::num::NonZeroU64;
use std::ops::{BitAnd, BitOr, Sub};

const _: () = assert!(BURST_MAX == u64::BITS as usize, "a set of positions is one word");

/// Positions in a burst, walked in the order of arrival. One register: adding costs two instructions and
/// never a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    /// The first `count` positions.
    #[inline(always)]
    pub(super) fn first(count: usize) -> Self {
        Self(hw::first(count))
    }

    /// The positions of those among the first [`BURST_MAX`] items that are members. From the last to the first,
    /// because then every bit goes to its place by one shift of all, and no position is counted.
    #[inline(always)]
    pub(super) fn of_those<T>(items: &[T], is_member: impl Fn(&T) -> bool) -> Self {
        let items = items.iter().take(BURST_MAX).rev();
        Self(items.fold(0, |members, item| members << 1 | u64::from(is_member(item))))
    }

    #[inline(always)]
    pub(super) fn add(&mut self, position: usize) {
        self.add_if(position, true);
    }

    /// Adds if `is_member`, without a branch to mispredict.
    #[inline(always)]
    pub(super) fn add_if(&mut self, position: usize, is_member: bool) {
        self.0 |= u64::from(is_member) << (position & (BURST_MAX - 1));
    }

    /// Adds if `mask` is all ones, does not if it is zero.
    #[inline(always)]
    pub(super) fn add_masked(&mut self, position: usize, mask: u64) {
        self.0 |= 1 << (position & (BURST_MAX - 1)) & mask;
    }

    /// The positions with their packets.
    #[inline(always)]
    pub(super) fn of<P>(self, packets: &mut [P]) -> Chosen<'_, P, 0> {
        hw::chosen(packets, self.0)
    }

    /// As [`Self::of`], and asks for the start of the frame that is `AHEAD` packets away.
    #[inline(always)]
    pub(super) fn of_fetched<const AHEAD: usize, P: Packet>(self, packets: &mut [P]) -> Chosen<'_, P, AHEAD> {
        hw::chosen_ahead(packets, self.0, P::prefetch)
    }

    #[inline(always)]
    pub(super) fn has(self, position: usize) -> bool {
        self.0 >> (position & (BURST_MAX - 1)) & 1 != 0
    }

    #[inline(always)]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl BitOr for Set {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Set {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Set {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Iterator for Set {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        // Of a word that is not zero the compiler knows that the count is below 64.
        let first = NonZeroU64::new(self.0)?.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_walked_in_order() {
        let mut set = Set::default();
        for position in [63, 0, 17, 5] {
            set.add(position);
        }
        set.add_if(9, false);
        set.add_masked(9, 0);
        set.add_masked(5, u64::MAX);
        assert_eq!(set.collect::<Vec<_>>(), [0, 5, 17, 63]);
        assert_eq!((set.len(), set.has(17), set.has(18)), (4, true, false));
        assert_eq!((set - Set::first(17)).collect::<Vec<_>>(), [17, 63]);
        let numbers: Vec<usize> = (0..70).collect();
        assert_eq!(
            Set::of_those(&numbers, |number| number % 9 == 1).collect::<Vec<_>>(),
            [1, 10, 19, 28, 37, 46, 55]
        );
        assert_eq!(Set::of_those(&numbers, |number| *number > 62), Set(1 << 63));
        assert_eq!((Set::first(0), Set::first(64).len(), Set::first(3).len()), (Set::default(), 64, 3));
    }
}
