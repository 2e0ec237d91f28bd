//! A fingerprint by which the load balancers of a fleet compare their tables.
//!
//! It covers size, identities of the owners and the owner of every slot, and nothing else: not the order of
//! the configuration, not members without slots. Byte layout in `docs/maglev.md`.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::{MaglevTable, Member};

/// Changes with the layout below, and with any change of the algorithm that changes tables.
const LABEL: &[u8] = b"guideway maglev 1";

/// See [`MaglevTable::digest`].
pub(super) fn digest(table: &MaglevTable, members: &[Member<'_>]) -> u64 {
    assert!(members.len() >= usize::from(table.members), "digest needs the members the table was built from");
    let shares = table.shares();
    let mut owners: Vec<usize> = (0..shares.len()).filter(|ordinal| shares[*ordinal] > 0).collect();
    owners.sort_unstable_by_key(|ordinal| members[*ordinal].identity);
    let mut ranks = vec![0_u16; shares.len()];
    for (rank, &ordinal) in owners.iter().enumerate() {
        ranks[ordinal] = rank as u16;
    }

    // The key is no secret: the digest is compared in public.
    let mut hasher = SipHasher24::new_with_key(&[0; 16]);
    hasher.write(LABEL);
    hasher.write(&table.size.to_le_bytes());
    hasher.write(&(owners.len() as u32).to_le_bytes());
    for &ordinal in &owners {
        let identity = members[ordinal].identity;
        hasher.write(&(identity.len() as u32).to_le_bytes());
        hasher.write(identity);
    }
    let mut slots = Vec::with_capacity(table.slots.len() * 2);
    slots.extend(table.slots.iter().flat_map(|&ordinal| ranks[usize::from(ordinal)].to_le_bytes()));
    hasher.write(&slots);
    hasher.finish()
}
