//! How many slots a change moves, and how many of them for no good reason.
//!
//! Slots are compared by the identity of their owners, never by ordinals: a removal renumbers everyone.

use std::collections::BTreeMap;

use super::{MaglevError, MaglevTable, Member};

/// Slots that differ between two tables of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// Slots of each table.
    pub size: u32,
    /// Slots with another owner than before.
    pub changed: u32,
    /// Of those, slots that moved between two members that have weight before and after: the innocent.
    pub collateral: u32,
    /// The fewest slots that any table with the new shares must move.
    pub unavoidable: u32,
}

impl Disruption {
    /// Changed slots beyond the unavoidable, as a share of the table (0 to 1).
    #[must_use]
    pub fn excess_ratio(&self) -> f64 {
        f64::from(self.changed.saturating_sub(self.unavoidable)) / f64::from(self.size.max(1))
    }
}

/// Compares two tables, each with the members it was built from, in the same order.
///
/// # Errors
/// [`MaglevError::SizesDiffer`]: another size is another table altogether.
///
/// # Panics
/// When a list of members is shorter than the one the table was built from: a mistake of the caller.
pub fn disruption(
    before: (&MaglevTable, &[Member<'_>]),
    after: (&MaglevTable, &[Member<'_>]),
) -> Result<Disruption, MaglevError> {
    let size = before.0.size();
    if size != after.0.size() {
        return Err(MaglevError::SizesDiffer { before: size, after: after.0.size() });
    }
    // One number per identity, the same on both sides; `nobody` owns the slots of an empty table.
    let mut numbers = BTreeMap::new();
    for member in before.1.iter().chain(after.1) {
        let next = numbers.len();
        numbers.entry(member.identity).or_insert(next);
    }
    let nobody = numbers.len();
    let number = |members: &[Member<'_>]| -> Vec<usize> {
        members.iter().map(|member| numbers.get(member.identity).copied().unwrap_or(nobody)).collect()
    };
    let (old, new) = (number(before.1), number(after.1));
    let mut stays = vec![0_u8; nobody + 1];
    for (member, &number) in before.1.iter().zip(&old).chain(after.1.iter().zip(&new)) {
        stays[number] += u8::from(member.weight > 0);
    }

    let mut gains = vec![0_i64; nobody + 1];
    let (mut changed, mut collateral) = (0, 0);
    for slot in 0..size as usize {
        let owner = |table: &MaglevTable, numbers: &[usize]| {
            table.slots().get(slot).map_or(nobody, |&ordinal| numbers[usize::from(ordinal)])
        };
        let (from, to) = (owner(before.0, &old), owner(after.0, &new));
        if from != to {
            changed += 1;
            collateral += u32::from(stays[from] == 2 && stays[to] == 2);
            gains[from] -= 1;
            gains[to] += 1;
        }
    }
    let unavoidable = gains.iter().filter(|gain| **gain > 0).sum::<i64>() as u32;
    Ok(Disruption { size, changed, collateral, unavoidable })
}
