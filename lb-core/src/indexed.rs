//! Arrays over a whole 16-bit index: no index needs a check.
//!
//! Connection entries hold the number of a record in 16 bits. A table of exactly 65,536 places makes every
//! such number valid. The price is memory for all places, used or not: elements that are aligned to cache lines
//! are zeroed by writing, so their pages are really there. That is 4 MB per generation of tables and 2 MB per
//! worker.

use std::ops::{Deref, DerefMut};
use zerocopy::FromZeros;

/// Number of places.
pub const PLACES: usize = 1 << u16::BITS;

/// One value per 16-bit index. It derefs to the places in use; the others hold the all-zero value.
pub struct Indexed<T> {
    places: Box<[T; PLACES]>,
    len: usize,
}

impl<T: FromZeros> Indexed<T> {
    /// All-zero values, of which the first `len` are in use.
    ///
    /// # Panics
    /// If `len` is over 65,536, or there is no address space: callers bound it long before.
    pub fn zeroed(len: usize) -> Self {
        assert!(len <= PLACES, "{len} of {PLACES} places");
        let places = <[T]>::new_box_zeroed_with_elems(PLACES).expect("address space for 65,536 records");
        let places = places.try_into().unwrap_or_else(|_| unreachable!("of this length"));
        Self { places, len }
    }

    /// The values of a list.
    ///
    /// # Panics
    /// If there are more than 65,536.
    pub fn from_values(values: Vec<T>) -> Self {
        let mut all = Self::zeroed(values.len());
        for (place, value) in all.iter_mut().zip(values) {
            *place = value;
        }
        all
    }
}

impl<T> Indexed<T> {
    /// All places, for a loop to keep at hand.
    #[inline(always)]
    pub fn places(&self) -> &[T; PLACES] {
        &self.places
    }

    /// The value at any index; all-zero beyond the places in use.
    #[inline(always)]
    pub fn at(&self, index: u16) -> &T {
        &self.places[usize::from(index)]
    }
}

impl<T> Deref for Indexed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.places[..self.len]
    }
}

impl<T> DerefMut for Indexed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.places[..self.len]
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Indexed<T> {
    /// The places in use: nobody wants to read 65,536 zeroes.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Clone + FromZeros> Clone for Indexed<T> {
    fn clone(&self) -> Self {
        Self::from_values(self.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_those_in_use_are_zero_and_can_be_asked_for() {
        let all = Indexed::from_values(vec![7u32, 8, 9]);
        assert_eq!(all[..], [7, 8, 9]);
        assert_eq!((*all.at(2), *all.at(3), *all.at(u16::MAX)), (9, 0, 0));
        let copy = all.clone();
        assert_eq!((copy.len(), *copy.at(0), *copy.at(500)), (3, 7, 0));
        assert_eq!(Indexed::<u8>::zeroed(PLACES).len(), PLACES);
    }
}
