//! Adaptive weights in a simulated pool: what they gain, how soon they settle, how little they move.
//!
//! Imbalance is `|u - mean| / mean`, u the true utilisation of a server and mean that of all, once a second for every
//! server that is up and past its slow start; "p99" is over seconds and servers, after ten minutes to settle in.
//! `scripts/bench-adaptive` prints the figures and draws the plot of `docs/adaptive-weights.md`.

mod figures;
mod numbers;
mod scenario;
mod world;

use lb_core::adapt::{Settings, Standing};
use lb_core::weight::Factor;
use scenario::{Outcome, WARM, mixed, percentile, run};
use std::time::Duration;
use world::{Climate, World};

/// What every run has to keep, whatever happens in it.
fn assert_limits(outcome: &Outcome) {
    let (updates, moved) = outcome.busiest_minute();
    assert!(updates <= 6, "{updates} updates within a minute");
    assert!(moved <= 0.1 + 1e-9, "{moved:.3} of the live flows within a minute");
    for change in outcome.world.updates.iter().flat_map(|update| &update.changes.list) {
        let (from, to) = (change.from.quanta(), change.to.quanta());
        let most = (f64::from(from) * 0.1).floor().max(1.0);
        assert!(f64::from(from.abs_diff(to)) <= most, "from {from}/64 to {to}/64 in one step");
    }
}

#[test]
fn mixed_capacities_are_levelled_three_times_better_than_by_static_weights() {
    let fixed = run(World::new(mixed(1), None), 2400, |_| {});
    let adaptive = run(World::new(mixed(1), Some(Settings::default())), 2400, |_| {});
    eprintln!("mixed: static p99 {:.3}, {adaptive}", fixed.p99);
    assert!(fixed.p99 >= 3.0 * adaptive.p99, "static {:.3}, adaptive {:.3}", fixed.p99, adaptive.p99);
    let settled = adaptive.settled.expect("it settles");
    assert!(settled <= 480, "settled after {settled} s");
    assert_limits(&adaptive);
    // Half an hour after settling in: no factor swings.
    assert!(adaptive.turns_worst() <= 5, "{} turns", adaptive.turns_worst());
    assert!(adaptive.late_updates() <= 60, "{} updates after settling in", adaptive.late_updates());
}

#[test]
fn failing_and_recovering_servers_do_not_spoil_it() {
    let failing = |world: &mut World| {
        let minute = world.age() / 60;
        if world.age() >= WARM && world.age().is_multiple_of(60) {
            let victim = (minute / 10) as usize * 5 % world.servers.len();
            match minute % 10 {
                0 => world.set_up(victim, false),
                1 => world.set_up(victim, true),
                _ => (),
            }
        }
    };
    let fixed = run(World::new(mixed(4), None), 3600, failing);
    let adaptive = run(World::new(mixed(4), Some(Settings::default())), 3600, failing);
    eprintln!("failing: static p99 {:.3}, {adaptive}", fixed.p99);
    assert!(fixed.p99 >= 3.0 * adaptive.p99, "static {:.3}, adaptive {:.3}", fixed.p99, adaptive.p99);
    assert_limits(&adaptive);
    assert!(adaptive.turns_worst() <= 10, "{} turns in 50 minutes", adaptive.turns_worst());
}

#[test]
fn a_homogeneous_pool_is_left_alone() {
    let climate = Climate { capacities: vec![1.0; 12], ..mixed(2) };
    let fixed = run(World::new(climate.clone(), None), 2400, |_| {});
    let adaptive = run(World::new(climate, Some(Settings::default())), 2400, |_| {});
    eprintln!("homogeneous: static p99 {:.3}, {adaptive}", fixed.p99);
    assert!(adaptive.p99 <= fixed.p99 + 0.02, "static {:.3}, adaptive {:.3}", fixed.p99, adaptive.p99);
    assert!(adaptive.world.updates.len() <= 20, "{} updates in 40 minutes", adaptive.world.updates.len());
    for server in 0..12 {
        let factor = adaptive.world.factor(server);
        assert!((factor - 1.0).abs() <= 0.1, "server {server} has {factor}");
    }
    assert_limits(&adaptive);
}

/// Flows of ten minutes on average: what a server reports follows its weight with that lag. An integrator that does
/// not know of it overshoots to a third of the right factor; the forecast from live flows does not.
#[test]
fn long_flows_do_not_make_it_overshoot() {
    let climate = Climate { lifetime_seconds: 600.0, ..mixed(3) };
    // Right for capacity 1 among 1, 2 and 4 is 3/7.
    let lowest = std::cell::Cell::new(1.0_f64);
    let adaptive = run(World::new(climate, Some(Settings::default())), 5400, |world| {
        lowest.set((0..12).step_by(3).map(|server| world.factor(server)).fold(lowest.get(), f64::min));
    });
    eprintln!("long flows: lowest factor {:.3}, {adaptive}", lowest.get());
    assert!(lowest.get() > 0.3, "down to {:.3}, right is 0.429", lowest.get());
    assert!(adaptive.settled.is_some_and(|settled| settled <= 1500), "settled: {:?}", adaptive.settled);
    assert_limits(&adaptive);
    assert!(adaptive.turns_worst() <= 12, "{} turns in 80 minutes", adaptive.turns_worst());
}

#[test]
fn after_a_server_loses_half_its_capacity_it_settles_within_minutes() {
    let climate = Climate { capacities: vec![1.0; 12], ..mixed(5) };
    let mut world = World::new(climate, Some(Settings::default()));
    (0..WARM).for_each(|_| world.step());
    world.servers[3].capacity /= 2.0;
    world.step();
    assert!(percentile(world.deviations(), 1.0) > 0.7, "the step is there");
    let mut last_bad = 0;
    for second in 0..1800 {
        world.step();
        if percentile(world.deviations(), 1.0) > 0.2 {
            last_bad = second;
        }
    }
    eprintln!("step: within 20 % for good after {last_bad} s, factor {:.3}", world.factor(3));
    assert!(last_bad <= 600, "still off after {last_bad} s");
    assert!((0.43..=0.65).contains(&world.factor(3)), "factor {}", world.factor(3));
}

#[test]
fn without_reports_every_factor_goes_back_to_one_step_by_step() {
    let mut world = World::new(mixed(6), Some(Settings::default()));
    (0..WARM).for_each(|_| world.step());
    assert!(world.factor(0) < 0.6 && world.factor(2) > 1.3, "it had adapted");
    world.reports = false;
    let mut back = 0;
    for second in 0..1200 {
        world.step();
        if (0..12).any(|server| world.factor(server) != 1.0) {
            back = second;
        }
    }
    eprintln!("silence: all factors 1 after {back} s");
    assert!(back <= 900, "not back after {back} s");
    let controller = world.controller.as_ref().expect("it has one");
    let explanation = controller.explain(world.servers[0].address, Duration::from_secs(world.second));
    let explanation = explanation.expect("it is known");
    assert_eq!((explanation.standing, explanation.adaptive), (Standing::Stale, Factor::ONE));
    assert!(explanation.age.is_some_and(|age| age > Duration::from_secs(1000)));
}
