//! Which of the wanted changes to make now: the update that does most of the good and moves the fewest live flows.
//!
//! What an update moves is not estimated from weights but counted on real Maglev tables, before and after: that
//! includes the slots that change hands between backends whose weights stay.

use crate::maglev::{MaglevSeed, MaglevTable, Member};
use crate::weight::{Factor, scaled};
use std::net::IpAddr;

/// Share of the good of the whole update that a smaller one must do to be preferred.
const GOOD_ENOUGH: f64 = 0.5;

/// A backend that takes new flows, and where its factor should go.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) address: IpAddr,
    pub(super) identity: Vec<u8>,
    pub(super) weight: u32,
    pub(super) slow_start: Factor,
    /// In force.
    pub(super) factor: Factor,
    /// One admissible step on; equal to `factor` when it should stay.
    pub(super) next: Factor,
    /// How far the factor is from where it should be: a logarithm.
    pub(super) gap: f64,
    /// Share of the table, 0 to 1.
    pub(super) share: f64,
    /// Live flows, if known.
    pub(super) live: Option<u64>,
}

/// An update that can be made.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// Factors by place.
    pub(super) factors: Vec<Factor>,
    pub(super) changed_slots: u32,
    pub(super) moved_flows: f64,
    pub(super) moved_ratio: f64,
}

/// The update to make, or `None` when every candidate moves more than `room` (a share of the live flows).
///
/// At least one place has another `next` than `factor`. Without a valid table (which the configuration excludes)
/// there is nothing to change.
pub(super) fn choose(places: &[Place], seed: MaglevSeed, size: u32, room: f64) -> Option<Update> {
    let table = |factors: &[Factor]| -> Option<MaglevTable> {
        let members: Vec<Member<'_>> = places
            .iter()
            .zip(factors)
            .map(|(place, factor)| Member {
                identity: &place.identity,
                weight: scaled(place.weight, place.slow_start, *factor),
            })
            .collect();
        MaglevTable::build(seed, size, &members).ok()
    };
    let before = table(&places.iter().map(|place| place.factor).collect::<Vec<_>>())?;
    let candidates = candidates(places);
    let whole = improvement(places, candidates.first()?);
    let mut best: Option<(bool, Update)> = None;
    for factors in candidates {
        let good_enough = improvement(places, &factors) >= whole * GOOD_ENOUGH;
        let update = weigh(places, &before, &table(&factors)?, factors);
        if update.moved_ratio > room {
            continue;
        }
        // What does enough comes first; among those, and among the rest, what moves least.
        let better = best.as_ref().is_none_or(|(best_is_enough, best)| {
            (good_enough, -update.moved_ratio) > (*best_is_enough, -best.moved_ratio)
        });
        if better {
            best = Some((good_enough, update));
        }
    }
    best.map(|(_, update)| update)
}

/// All wanted steps; those at least half as far off as the worst; the worst of each direction; the worst; and half a
/// step of that. At most five tables.
fn candidates(places: &[Place]) -> Vec<Vec<Factor>> {
    let wanted = |place: &&Place| place.next != place.factor;
    let worst = places.iter().filter(wanted).map(|place| place.gap.abs()).fold(0.0, f64::max);
    let extreme = |sign: f64| {
        places
            .iter()
            .filter(wanted)
            .map(|place| place.gap * sign)
            .filter(|gap| *gap > 0.0)
            .fold(0.0, f64::max)
    };
    let (up, down) = (extreme(1.0), extreme(-1.0));
    let pick = |chosen: &dyn Fn(&Place) -> bool| -> Vec<Factor> {
        places.iter().map(|place| if chosen(place) { place.next } else { place.factor }).collect()
    };
    let all = pick(&|_| true);
    let far = pick(&|place| place.gap.abs() >= worst / 2.0);
    let pair = pick(&|place| place.gap == up || -place.gap == down);
    let one = pick(&|place| place.gap.abs() == worst);
    let half = places.iter().zip(&one).map(|(place, next)| between(place.factor, *next)).collect();
    let mut list: Vec<Vec<Factor>> = Vec::new();
    for candidate in [all, far, pair, one, half] {
        if !list.contains(&candidate) {
            list.push(candidate);
        }
    }
    list
}

/// Half the way, rounded away from where it starts.
fn between(from: Factor, to: Factor) -> Factor {
    let (from, to) = (from.quanta(), to.quanta());
    Factor::from_quanta(if to > from {
        from + (to - from).div_ceil(2)
    } else {
        from - (from - to).div_ceil(2)
    })
}

/// How much nearer the pool gets to where it should be: the gaps closed, weighted by the share.
fn improvement(places: &[Place], factors: &[Factor]) -> f64 {
    let one = |(place, factor): (&Place, &Factor)| {
        let left = place.gap - (factor.value() / place.factor.value()).ln();
        place.share * (place.gap.abs() - left.abs())
    };
    places.iter().zip(factors).map(one).sum()
}

/// Counts what an update moves. The flows of a backend are spread evenly over its slots.
fn weigh(places: &[Place], before: &MaglevTable, after: &MaglevTable, factors: Vec<Factor>) -> Update {
    let mut lost = vec![0_u32; places.len()];
    for (from, to) in before.slots().iter().zip(after.slots()) {
        lost[usize::from(*from)] += u32::from(from != to);
    }
    let changed_slots: u32 = lost.iter().sum();
    let live: f64 = places.iter().filter_map(|place| place.live).map(|live| live as f64).sum();
    let moved_flows = places
        .iter()
        .zip(lost)
        .zip(before.shares())
        .map(|((place, lost), owned)| {
            place.live.unwrap_or(0) as f64 * f64::from(lost) / f64::from(owned.max(1))
        })
        .sum::<f64>();
    let of_slots = f64::from(changed_slots) / f64::from(before.size());
    // Without flows the slots decide.
    let moved_ratio = if live > 0.0 { moved_flows / live } else { of_slots };
    Update { factors, changed_slots, moved_flows, moved_ratio }
}
