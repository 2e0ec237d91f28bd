//! A member's own order of preference over all slots.
//!
//! Offset and skip are the two halves of one SipHash-2-4-128 of the identity, so that any implementation with
//! the seed agrees (`docs/maglev.md`). For a prime size the walk `offset + j * skip` visits every slot once.

use std::fmt;

use siphasher::sip128::SipHasher24;

/// The 128-bit key of the permutations, the same on every load balancer of a fleet.
///
/// Whoever knows it can predict which backend a client address reaches, so `Debug` does not print it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaglevSeed([u8; 16]);

impl MaglevSeed {
    /// The key as SipHash takes it: bytes 0..8 are k0, 8..16 are k1, both little-endian.
    #[must_use]
    pub const fn from_bytes(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// Where `identity` starts and how far it steps in a table of `size` slots.
    ///
    /// `size` must be a prime (so at least 2), or the steps would not visit every slot.
    #[must_use]
    pub fn permutation(&self, identity: &[u8], size: u32) -> Permutation {
        let hash = SipHasher24::new_with_key(&self.0).hash(identity);
        // max(1): no division by zero, even for a size that `build` would have refused.
        let size = u64::from(size.max(1));
        let offset = (hash.h1 % size) as u32;
        let skip = (hash.h2 % (size - 1).max(1)) as u32 + 1;
        Permutation { offset, skip }
    }
}

/// The number as written in the configuration: most significant byte first, zeros in front.
impl From<u128> for MaglevSeed {
    fn from(number: u128) -> Self {
        Self(number.to_be_bytes())
    }
}

impl fmt::Debug for MaglevSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaglevSeed(..)")
    }
}

/// The paper's (offset, skip): preference j is slot `(offset + j * skip) mod size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// First choice: 0 to size - 1.
    pub offset: u32,
    /// Distance between choices: 1 to size - 1.
    pub skip: u32,
}

impl Permutation {
    /// True when both numbers are in range for a table of `size` slots.
    pub(super) fn fits(self, size: u32) -> bool {
        self.offset < size && (1..size).contains(&self.skip)
    }

    /// All slots in the order of preference, `size` of them (for a prime size: each once).
    pub fn walk(self, size: u32) -> impl Iterator<Item = u32> {
        let mut at = self.offset;
        (0..size).map(move |_| {
            let slot = at;
            at = step(at, self.skip, size);
            slot
        })
    }
}

/// `(at + skip) mod size` without a division.
///
/// Never multiplies: `offset + j * skip` in 32 bits wraps for a table of 655373 slots and then is no
/// permutation any more, a defect found in other load balancers. `at + skip < 2 * size` fits 32 bits.
#[inline]
pub(super) fn step(at: u32, skip: u32, size: u32) -> u32 {
    let next = at + skip;
    // Below `size` the subtraction wraps to something huge, so the minimum is the remainder, without a
    // branch.
    next.min(next.wrapping_sub(size))
}
