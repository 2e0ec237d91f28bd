//! Why a table cannot be built or compared.
//!
//! Each variant carries the value that was refused, so that the configuration can point at the field.

use std::fmt;

use super::{MEMBERS_MAX, SIZE_MAX, primes_near};

/// Refusals of [`super::MaglevTable::build`] and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaglevError {
    /// The permutations of the paper exist for prime sizes only.
    NotPrime {
        /// Slots asked for.
        size: u32,
    },
    /// Fewer slots than members with weight: somebody would own nothing.
    TooSmall {
        /// Slots asked for.
        size: u32,
        /// Members with a weight above 0.
        takers: usize,
    },
    /// More slots than [`SIZE_MAX`].
    TooLarge {
        /// Slots asked for.
        size: u32,
    },
    /// More members than [`MEMBERS_MAX`].
    TooManyMembers {
        /// Members given.
        members: usize,
    },
    /// Two members with one identity: the table could not tell them apart.
    DuplicateIdentity {
        /// Ordinal of the one given first.
        first: usize,
        /// Ordinal of the other.
        second: usize,
    },
    /// A permutation with `offset >= size`, `skip == 0` or `skip >= size`.
    BadPermutation {
        /// Its ordinal.
        ordinal: usize,
    },
    /// Permutations and weights come in pairs.
    LengthsDiffer {
        /// Number of permutations.
        permutations: usize,
        /// Number of weights.
        weights: usize,
    },
    /// Two tables of different sizes have no slots in common to compare.
    SizesDiffer {
        /// Slots of the older table.
        before: u32,
        /// Slots of the newer table.
        after: u32,
    },
}

impl fmt::Display for MaglevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotPrime { size } => {
                write!(f, "table size {size} is not a prime number")?;
                match primes_near(size) {
                    (Some(below), Some(above)) => write!(f, " (nearest: {below} and {above})"),
                    (Some(only), None) | (None, Some(only)) => write!(f, " (nearest: {only})"),
                    (None, None) => Ok(()),
                }
            }
            Self::TooSmall { size, takers } => {
                write!(f, "table size {size} is below the number of backends with weight ({takers})")
            }
            Self::TooLarge { size } => write!(f, "table size {size} is above the limit of {SIZE_MAX}"),
            Self::TooManyMembers { members } => {
                write!(f, "{members} backends are above the limit of {MEMBERS_MAX}")
            }
            Self::DuplicateIdentity { first, second } => {
                write!(f, "backends number {first} and {second} (from 0) have the same identity")
            }
            Self::BadPermutation { ordinal } => {
                write!(f, "permutation number {ordinal} (from 0) is outside the table")
            }
            Self::LengthsDiffer { permutations, weights } => {
                write!(f, "{permutations} permutations but {weights} weights")
            }
            Self::SizesDiffer { before, after } => {
                write!(f, "tables of {before} and {after} slots cannot be compared")
            }
        }
    }
}

impl std::error::Error for MaglevError {}
