//! Factors on configured weights, and the weight that a Maglev table is built with.
//!
//! Slow start and adaptive weights both multiply what the operator wrote. Factors are whole 64ths: a table is rebuilt
//! for a step that can be seen, never for the last bits of a floating-point number, and every figure shown is exact.

use std::fmt;

/// A factor on a weight in whole 64ths, from 1/64 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(u16);

impl Factor {
    /// Parts of one.
    pub const QUANTA: u16 = 64;
    /// No change.
    pub const ONE: Self = Self(Self::QUANTA);
    /// The smallest: a factor never takes a backend out, only its state and its weight do.
    pub const SMALLEST: Self = Self(1);
    /// The largest, 8.
    pub const LARGEST: Self = Self(8 * Self::QUANTA);

    /// The nearest factor to `value`; what is out of range or no number becomes the nearest that is allowed (no
    /// number: 1).
    #[must_use]
    pub fn nearest(value: f64) -> Self {
        if value.is_nan() {
            return Self::ONE;
        }
        let quanta = (value * f64::from(Self::QUANTA)).round();
        // The cast is exact: the clamp leaves a whole number between 1 and 512.
        Self(quanta.clamp(f64::from(Self::SMALLEST.0), f64::from(Self::LARGEST.0)) as u16)
    }

    /// A factor of `quanta` 64ths, brought into the range.
    #[must_use]
    pub fn from_quanta(quanta: u16) -> Self {
        Self(quanta).clamp(Self::SMALLEST, Self::LARGEST)
    }

    /// The factor in 64ths, 1 to 512.
    #[must_use]
    pub fn quanta(self) -> u16 {
        self.0
    }

    /// The factor as a number; exact.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(Self::QUANTA)
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self::ONE
    }
}

/// As a decimal number with three digits, e.g. `0.438`.
impl fmt::Display for Factor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.3}", self.value())
    }
}

/// Units of [`scaled`] in one unit of a configured weight.
pub const SCALE: u32 = (Factor::QUANTA as u32) * (Factor::QUANTA as u32);

/// The weight for the Maglev table, in [`SCALE`]ths of `configured`, with both factors.
///
/// Only ratios of weights matter to a table, so one whose members all have both factors at 1 is the table of the
/// configured weights, bit for bit. Within one pool use it for every member or for none. The product fits 32 bits for
/// every configurable weight (65535) and a slow-start factor of at most 1; beyond that it saturates.
#[must_use]
pub fn scaled(configured: u32, slow_start: Factor, adaptive: Factor) -> u32 {
    configured.saturating_mul(u32::from(slow_start.0)).saturating_mul(u32::from(adaptive.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maglev::{MaglevTable, Member};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_number_the_factor_is_in_range_and_nearest(value in proptest::num::f64::ANY) {
            let factor = Factor::nearest(value);
            prop_assert!((Factor::SMALLEST..=Factor::LARGEST).contains(&factor));
            if (Factor::SMALLEST.value()..=Factor::LARGEST.value()).contains(&value) {
                prop_assert!((factor.value() - value).abs() <= 0.5 / f64::from(Factor::QUANTA));
            }
        }

        #[test]
        fn factors_of_one_change_no_table(weights in proptest::collection::vec(0_u32..=65_535, 1..8)) {
            let identities: Vec<[u8; 4]> = (0..weights.len() as u32).map(u32::to_be_bytes).collect();
            let members = |one: &dyn Fn(u32) -> u32| -> MaglevTable {
                let members: Vec<Member<'_>> = identities
                    .iter()
                    .zip(&weights)
                    .map(|(identity, weight)| Member { identity, weight: one(*weight) })
                    .collect();
                MaglevTable::build(1_u128.into(), 251, &members).expect("a prime and distinct identities")
            };
            let plain = members(&|weight| weight);
            prop_assert_eq!(plain, members(&|weight| scaled(weight, Factor::ONE, Factor::ONE)));
        }
    }

    #[test]
    fn no_number_is_no_change() {
        assert_eq!(Factor::nearest(f64::NAN), Factor::ONE);
        assert_eq!(Factor::nearest(f64::NEG_INFINITY), Factor::SMALLEST);
        assert_eq!(Factor::from_quanta(0), Factor::SMALLEST);
        assert_eq!(Factor::default().to_string(), "1.000");
    }

    #[test]
    fn the_largest_weight_fits() {
        let most = scaled(u32::from(u16::MAX), Factor::ONE, Factor::LARGEST);
        assert_eq!(u64::from(most), u64::from(u16::MAX) * u64::from(SCALE) * 8);
        assert_eq!(scaled(0, Factor::ONE, Factor::LARGEST), 0);
    }
}
