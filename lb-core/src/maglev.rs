//! Maglev consistent hashing: which backend owns which slot of a VIP's table.
//!
//! A table is a pure function of (seed, size, identities, weights): every load balancer of a fleet builds
//! the same one, in whatever order its configuration lists the backends. Shares follow the weights to within
//! a turn, a change of the backend set moves few slots of the others, and building is bounded by the size.
//! Specified to the bit in `docs/maglev.md`; the algorithm is section 3.4 of "Maglev: A Fast and Reliable
//! Software Network Load Balancer" (NSDI 2016), the weights are katran's credit scheme.

mod digest;
mod disruption;
mod error;
mod fill;
mod permutation;
mod prime;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
mod turns;

use std::fmt;
use std::sync::Arc;

pub use disruption::{Disruption, disruption};
pub use error::MaglevError;
pub use permutation::{MaglevSeed, Permutation};
pub use prime::{is_prime, primes_near};

use fill::Cursor;

/// Default number of slots: the paper's small table, 128 KiB of memory.
pub const SIZE_DEFAULT: u32 = 65_537;

/// Largest number of slots: the largest prime below 2^24, 32 MiB of memory.
///
/// Below 2^24 the 32-bit lookup hash favours no slot over another by more than 1/256, and the build's
/// arithmetic (see `fill`) is exact in 64 bits.
pub const SIZE_MAX: u32 = 16_777_213;

/// Most members of one table. The ordinal 65535 stays free, so that callers may use it for "no backend".
pub const MEMBERS_MAX: usize = 65_535;

/// A member that owns fewer slots than this deserves a warning: its share is off by up to 1 %.
pub const SHARE_WARN_SLOTS: u32 = 100;

/// One backend as the table sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// What the whole fleet agrees on: the address in network byte order, never an index.
    pub identity: &'a [u8],
    /// Relative share of the slots; only ratios matter. 0 owns no slot.
    pub weight: u32,
}

/// Slot to backend, ready for lookups.
#[derive(Clone, PartialEq, Eq)]
pub struct MaglevTable {
    /// Ordinals of the members in the order given to `build`. Empty when no member has weight.
    /// Shared between generations of tables that do not differ in it.
    slots: Arc<[u16]>,
    size: u32,
    members: u16,
}

/// The slots of a table at hand, for a loop over packets. The default is those of an empty table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots<'a> {
    owners: &'a [u16],
    size: u32,
}

impl Slots<'_> {
    /// See [`MaglevTable::lookup`].
    #[inline(always)]
    pub(crate) fn lookup(self, hash32: u32) -> Option<u16> {
        self.owners.get(self.slot_of(hash32) as usize).copied()
    }

    /// Hints that the slot of `hash32` is needed within a few packets.
    #[inline(always)]
    pub(crate) fn prefetch(self, hash32: u32) {
        crate::hw::prefetch_near(self.owners.as_ptr().wrapping_add(self.slot_of(hash32) as usize));
    }

    #[inline(always)]
    fn slot_of(self, hash32: u32) -> u32 {
        ((u64::from(hash32) * u64::from(self.size)) >> 32) as u32
    }
}

impl MaglevTable {
    /// Builds the table of `size` slots; the order of `members` decides nothing but the ordinals.
    ///
    /// Members with weight 0 own no slot. When no member has weight the table is empty, which is not an
    /// error.
    ///
    /// # Errors
    /// `size` is not a prime, is above [`SIZE_MAX`] or below the number of members with weight; there are
    /// more than [`MEMBERS_MAX`] members; two members have the same identity (whatever their weights).
    pub fn build(seed: MaglevSeed, size: u32, members: &[Member<'_>]) -> Result<Self, MaglevError> {
        check(size, members.len(), members.iter().map(|member| member.weight))?;
        let mut ranked: Vec<(usize, &Member<'_>)> = members.iter().enumerate().collect();
        // Turns are taken in the order of identities: the one order that every configuration shares.
        ranked.sort_unstable_by_key(|(ordinal, member)| (member.identity, *ordinal));
        for pair in ranked.windows(2) {
            if pair[0].1.identity == pair[1].1.identity {
                return Err(MaglevError::DuplicateIdentity { first: pair[0].0, second: pair[1].0 });
            }
        }
        let takers = ranked.into_iter().filter(|(_, member)| member.weight > 0).map(|(ordinal, member)| {
            (Cursor::new(ordinal as u16, seed.permutation(member.identity, size)), member.weight)
        });
        Ok(Self::assemble(size, members.len(), takers.unzip()))
    }

    /// Builds from given permutations, turns taken in the order given: for the paper's Table 1 and for tests.
    ///
    /// # Errors
    /// As [`MaglevTable::build`]; also when a permutation is out of range or `weights` has another length.
    pub fn from_permutations(
        size: u32,
        permutations: &[Permutation],
        weights: &[u32],
    ) -> Result<Self, MaglevError> {
        check(size, permutations.len(), weights.iter().copied())?;
        if permutations.len() != weights.len() {
            let (permutations, weights) = (permutations.len(), weights.len());
            return Err(MaglevError::LengthsDiffer { permutations, weights });
        }
        if let Some(ordinal) = permutations.iter().position(|permutation| !permutation.fits(size)) {
            return Err(MaglevError::BadPermutation { ordinal });
        }
        let takers = permutations.iter().zip(weights).enumerate().filter(|(_, (_, weight))| **weight > 0);
        let takers = takers
            .map(|(ordinal, (permutation, weight))| (Cursor::new(ordinal as u16, *permutation), *weight));
        Ok(Self::assemble(size, permutations.len(), takers.unzip()))
    }

    /// What both doors share: `takers` are the members with weight, in the order of their turns.
    fn assemble(size: u32, members: usize, takers: (Vec<Cursor>, Vec<u32>)) -> Self {
        let (cursors, weights) = takers;
        let even = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let slots = if cursors.is_empty() {
            Arc::default()
        } else if even {
            fill::fill(size, &cursors, (0..cursors.len()).cycle()).into()
        } else {
            fill::fill(size, &cursors, turns::schedule(&weights, size).into_iter().map(usize::from)).into()
        };
        Self { slots, size, members: members as u16 }
    }

    /// The ordinal of the member that owns the slot of `hash32`; `None` only if the table is empty.
    #[inline]
    #[must_use]
    pub fn lookup(&self, hash32: u32) -> Option<u16> {
        self.at_hand().lookup(hash32)
    }

    /// The slots, for a loop over packets.
    #[inline(always)]
    pub(crate) fn at_hand(&self) -> Slots<'_> {
        Slots { owners: &self.slots, size: self.size }
    }

    /// The slot of `hash32` by multiply-shift: `hash32 * size / 2^32`, always below `size`.
    #[inline]
    #[must_use]
    pub fn slot_of(&self, hash32: u32) -> u32 {
        self.at_hand().slot_of(hash32)
    }

    /// Owner of every slot, as ordinals of the members given to `build`; empty when no member has weight.
    #[must_use]
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Number of slots asked for (also when the table is empty).
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// True when no member has weight, so that every lookup is `None`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Slots owned by each member, by ordinal; members without weight have 0.
    #[must_use]
    pub fn shares(&self) -> Vec<u32> {
        let mut shares = vec![0; usize::from(self.members)];
        for &ordinal in self.slots.iter() {
            shares[usize::from(ordinal)] += 1;
        }
        shares
    }

    /// The smallest share in slots among the members with weight; warn below [`SHARE_WARN_SLOTS`].
    ///
    /// `members` are those the table was built from. `None` when no member has weight.
    #[must_use]
    pub fn thinnest_share(&self, members: &[Member<'_>]) -> Option<u32> {
        let shares = self.shares().into_iter().zip(members);
        shares.filter(|(_, member)| member.weight > 0).map(|(share, _)| share).min()
    }

    /// A 64-bit fingerprint of slot to identity: equal on every load balancer that built the same table.
    ///
    /// `members` are those the table was built from, in the same order. Layout in `docs/maglev.md`.
    ///
    /// # Panics
    /// When `members` is shorter than the list the table was built from: a mistake of the caller.
    #[must_use]
    pub fn digest(&self, members: &[Member<'_>]) -> u64 {
        digest::digest(self, members)
    }
}

/// A table prints as its outline; 65537 numbers would help nobody.
impl fmt::Debug for MaglevTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outline = f.debug_struct("MaglevTable");
        outline.field("size", &self.size).field("members", &self.members).finish_non_exhaustive()
    }
}

/// What must hold before anything is allocated.
fn check(size: u32, members: usize, weights: impl Iterator<Item = u32>) -> Result<(), MaglevError> {
    if members > MEMBERS_MAX {
        return Err(MaglevError::TooManyMembers { members });
    }
    if size > SIZE_MAX {
        return Err(MaglevError::TooLarge { size });
    }
    if !is_prime(size) {
        return Err(MaglevError::NotPrime { size });
    }
    let takers = weights.filter(|weight| *weight > 0).count();
    if takers > size as usize {
        return Err(MaglevError::TooSmall { size, takers });
    }
    Ok(())
}
