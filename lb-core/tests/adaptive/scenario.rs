//! Runs of a world and what they show.

use crate::world::{Climate, Update, World};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Seconds to settle in, before anything is measured.
pub(crate) const WARM: u64 = 600;

/// Twelve servers of which the configuration believes that they are equal: four each of capacity 1, 2 and 4.
pub(crate) fn mixed(seed: u64) -> Climate {
    Climate {
        capacities: [1.0, 2.0, 4.0].repeat(4),
        utilisation: 0.5,
        flows: 20_000.0,
        lifetime_seconds: 30.0,
        noise: 0.1,
        delay_seconds: 10.0,
        counts_flows: true,
        seed,
    }
}

pub(crate) fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// One run.
pub(crate) struct Outcome {
    pub(crate) world: World,
    /// Of the imbalance, after WARM.
    pub(crate) p99: f64,
    /// Seconds until every server was within 20 % for the first time.
    pub(crate) settled: Option<u64>,
    /// Largest imbalance of each second.
    pub(crate) worst: Vec<f64>,
}

/// Runs `world` for `seconds`; `event` is asked before each.
pub(crate) fn run(mut world: World, seconds: u64, event: impl Fn(&mut World)) -> Outcome {
    let (mut samples, mut worst, mut settled) = (Vec::new(), Vec::new(), None);
    for second in 0..seconds {
        event(&mut world);
        world.step();
        let deviations = world.deviations();
        worst.push(percentile(deviations.clone(), 1.0));
        if settled.is_none() && deviations.iter().all(|one| *one < 0.2) {
            settled = Some(second);
        }
        if second >= WARM {
            samples.extend(deviations);
        }
    }
    Outcome { world, p99: percentile(samples, 0.99), settled, worst }
}

impl Outcome {
    /// Most updates, and largest sum of moved shares, within any 60 s.
    pub(crate) fn busiest_minute(&self) -> (usize, f64) {
        let (mut most, mut moved) = (0, 0.0_f64);
        for (index, first) in self.world.updates.iter().enumerate() {
            let minute: Vec<&Update> = self.world.updates[index..]
                .iter()
                .take_while(|update| update.second < first.second + 60)
                .collect();
            most = most.max(minute.len());
            moved = moved.max(minute.iter().map(|update| update.changes.moved_ratio).sum());
        }
        (most, moved)
    }

    /// Updates after WARM.
    pub(crate) fn late_updates(&self) -> usize {
        self.late().count()
    }

    fn late(&self) -> impl Iterator<Item = &Update> {
        self.world.updates.iter().filter(|update| update.age > WARM)
    }

    /// How often, after WARM, the factor that swings most turned from rising to falling or back.
    pub(crate) fn turns_worst(&self) -> usize {
        let (mut last, mut turns) = (BTreeMap::<IpAddr, bool>::new(), BTreeMap::<IpAddr, usize>::new());
        for change in self.late().flat_map(|update| &update.changes.list) {
            let rises = change.to > change.from;
            if last.insert(change.address, rises).is_some_and(|rose| rose != rises) {
                *turns.entry(change.address).or_insert(0) += 1;
            }
        }
        turns.into_values().max().unwrap_or(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (updates, moved) = self.busiest_minute();
        write!(
            out,
            "adaptive p99 {:.3}, settled after {:?} s, updates {} ({} after settling in), worst turns {}, \
             busiest minute: {updates} updates, {:.1} % of live flows",
            self.p99,
            self.settled,
            self.world.updates.len(),
            self.late_updates(),
            self.turns_worst(),
            100.0 * moved
        )
    }
}
