//! A slice whose indices are masked instead of checked.
//!
//! The compiler does not see that `index & (len - 1)` is below `len`; in the look-up loop the check that it
//! makes of it, and the register that holds the length, cost 3 % of the whole path.

use super::{prefetch_far, prefetch_near};

/// A slice that is never empty, indexed modulo its length if that is a power of two.
#[derive(Debug)]
pub struct Masked<'a, T> {
    items: &'a mut [T],
    /// Always the length less one.
    mask: u32,
}

impl<'a, T> Masked<'a, T> {
    /// A view of `items`.
    ///
    /// # Panics
    /// If there are none, or more than 2^32.
    #[inline(always)]
    pub fn new(items: &'a mut [T]) -> Self {
        let mask = u32::try_from(items.len().wrapping_sub(1)).expect("1 to 2^32 items");
        Self { items, mask }
    }

    /// The item at the low bits of `index`.
    #[inline(always)]
    pub fn at(&mut self, index: u32) -> &mut T {
        let index = (index & self.mask) as usize;
        // SAFETY: `x & m <= m` for every x, and `new` made the mask one less than the length, which nothing
        // changes since.
        unsafe { self.items.get_unchecked_mut(index) }
    }

    /// The low bits of an index that count.
    #[inline(always)]
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// [`prefetch_near`] of an item.
    #[inline(always)]
    pub fn prefetch_near(&self, index: u32) {
        prefetch_near(self.items.as_ptr().wrapping_add((index & self.mask) as usize));
    }

    /// [`prefetch_far`] of an item.
    #[inline(always)]
    pub fn prefetch_far(&self, index: u32) {
        prefetch_far(self.items.as_ptr().wrapping_add((index & self.mask) as usize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_lies_in_the_slice_whatever_its_length() {
        for len in [1usize, 2, 3, 64, 100] {
            let mut items: Vec<usize> = (0..len).collect();
            let mut masked = Masked::new(&mut items);
            for index in (0..300).chain([u32::MAX, 1 << 31]) {
                assert_eq!(*masked.at(index), index as usize & (len - 1));
                masked.prefetch_near(index);
                masked.prefetch_far(index);
            }
        }
    }

    #[test]
    #[should_panic(expected = "1 to 2^32 items")]
    fn nothing_cannot_be_indexed() {
        Masked::<u8>::new(&mut []);
    }
}
