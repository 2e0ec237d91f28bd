//! Adaptive weights in a simulated pool: what they gain, how soon they settle, how little they move.

mod numbers;
mod world;

use lb_core::adapt::Settings;
use std::collections::BTreeMap;
use std::net::IpAddr;
use world::{Climate, Update, World};

/// Twelve servers of which the configuration believes that they are equal; one capacity each of 1, 2 and 4, repeated.
fn mixed(seed: u64) -> Climate {
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

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// Most updates, and largest sum of moved shares, within any 60 s.
fn busiest_minute(updates: &[Update]) -> (usize, f64) {
    let (mut most, mut moved) = (0, 0.0_f64);
    for (index, first) in updates.iter().enumerate() {
        let minute: Vec<&Update> =
            updates[index..].iter().take_while(|update| update.second < first.second + 60).collect();
        most = most.max(minute.len());
        moved = moved.max(minute.iter().map(|update| update.changes.moved_ratio).sum());
    }
    (most, moved)
}

/// For each backend, how often its factor turned from rising to falling or back, since `from`.
fn turns(updates: &[Update], from: u64) -> BTreeMap<IpAddr, usize> {
    let (mut last, mut turns) = (BTreeMap::new(), BTreeMap::new());
    for update in updates.iter().filter(|update| update.second >= from) {
        for change in &update.changes.list {
            let rises = change.to > change.from;
            if last.insert(change.address, rises).is_some_and(|rose| rose != rises) {
                *turns.entry(change.address).or_insert(0) += 1;
            }
        }
    }
    turns
}

const WARM: u64 = 600;
const HOUR: u64 = 3600;

/// Runs an hour in which every ten minutes one server dies for one; returns the p99 deviation before and after WARM.
fn run(mut world: World, failures: bool) -> (World, f64, Option<u64>) {
    let (start, mut samples, mut settled) = (world.second, Vec::new(), None);
    for second in 0..HOUR {
        if failures && second >= WARM {
            let victim = (second / WARM) as usize * 5 % world.servers.len();
            if second % WARM == 0 {
                world.set_up(victim, false);
            } else if second % WARM == 60 {
                world.set_up(victim, true);
            }
        }
        world.step();
        let deviations = world.deviations();
        if settled.is_none() && deviations.iter().all(|one| *one < 0.2) {
            settled = Some(world.second - start);
        }
        if second >= WARM {
            samples.extend(deviations);
        }
    }
    (world, percentile(samples, 0.99), settled)
}

#[test]
fn explore() {
    for counts in [true, false] { for failures in [false, true] {
        for climate in [mixed(1), Climate { capacities: vec![1.0; 12], ..mixed(2) }, Climate { lifetime_seconds: 120.0, ..mixed(3) }] {
            let climate = Climate { counts_flows: counts, ..climate };
            let (_, fixed, _) = run(World::new(climate.clone(), None), failures);
            let t = std::time::Instant::now();
            let (world, adaptive, settled) = run(World::new(climate.clone(), Some(Settings::default())), failures);
            let t = t.elapsed();
            let (most, moved) = busiest_minute(&world.updates);
            let late = world.updates.iter().filter(|u| u.second >= 1000 + WARM).count();
            let changes: usize = world.updates.iter().map(|u| u.changes.list.len()).sum();
            eprintln!("counts {counts} failures {failures} life {} cap {}: static {fixed:.3} adaptive {adaptive:.3} ({:.1}x) settled {settled:?}; updates {} (late {late}), changes {changes}, busiest {most} moved {moved:.3}; turns {:?}; factors {:?} {t:?}",
                climate.lifetime_seconds, climate.capacities[1], fixed / adaptive, world.updates.len(), turns(&world.updates, 1000).values().collect::<Vec<_>>(),
                (0..3).map(|i| world.factor(i)).collect::<Vec<_>>());
        }
    } }
}
