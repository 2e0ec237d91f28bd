//! The figures and the curves of `docs/adaptive-weights.md`: run by `scripts/bench-adaptive`, not by the test suite.

use crate::scenario::{Outcome, mixed, run};
use crate::world::{Climate, World};
use lb_core::adapt::Settings;

/// One server of capacity 4 fails at minute 20 and comes back a minute later; at minute 35 one of capacity 2 loses
/// half of it.
fn story(world: &mut World) {
    match world.age() {
        1200 => world.set_up(2, false),
        1260 => world.set_up(2, true),
        2100 => world.servers[1].capacity /= 2.0,
        _ => (),
    }
}

#[test]
#[ignore = "prints the curves of the documentation; scripts/bench-adaptive runs it"]
fn curves() {
    let fixed = run(World::new(mixed(7), None), 3000, story);
    let factors = std::cell::RefCell::new(Vec::new());
    let adaptive = run(World::new(mixed(7), Some(Settings::default())), 3000, |world| {
        story(world);
        factors.borrow_mut().push([0, 1, 2].map(|server| world.factor(server)));
    });
    for (second, factors) in factors.into_inner().into_iter().enumerate().step_by(5) {
        let [one, two, four] = factors;
        let (fixed, adaptive) = (fixed.worst[second], adaptive.worst[second]);
        println!("curve,{second},{fixed:.4},{adaptive:.4},{one:.4},{two:.4},{four:.4}");
    }
}

#[test]
#[ignore = "prints the table of the documentation; scripts/bench-adaptive runs it"]
fn table() {
    let failing = |world: &mut World| {
        let victim = (world.age() / 600) as usize * 5 % world.servers.len();
        match world.age() % 600 {
            0 if world.age() >= 600 => world.set_up(victim, false),
            60 if world.age() >= 600 => world.set_up(victim, true),
            _ => (),
        }
    };
    let row = |name: &str, fixed: &Outcome, adaptive: &Outcome| {
        let ((updates, moved), minutes) =
            (adaptive.busiest_minute(), (adaptive.worst.len() as f64 - 600.0) / 60.0);
        println!(
            "row,{name},{:.3},{:.3},{:.1},{},{:.2},{updates},{:.1},{:.2}",
            fixed.p99,
            adaptive.p99,
            fixed.p99 / adaptive.p99,
            adaptive.settled.map_or("-".to_owned(), |seconds| seconds.to_string()),
            adaptive.late_updates() as f64 / minutes,
            100.0 * moved,
            adaptive.turns_worst() as f64 / minutes
        );
    };
    let base = mixed(8);
    let climates = [
        ("flows of 30 s", base.clone(), false),
        ("flows of 30 s; failures", base.clone(), true),
        ("flows of 120 s", Climate { lifetime_seconds: 120.0, ..base.clone() }, false),
        ("flows of 120 s; failures", Climate { lifetime_seconds: 120.0, ..base.clone() }, true),
        ("flows of 600 s", Climate { lifetime_seconds: 600.0, ..base.clone() }, false),
        ("flows of 30 s; flows not counted", Climate { counts_flows: false, ..base.clone() }, false),
        (
            "flows of 600 s; flows not counted",
            Climate { counts_flows: false, lifetime_seconds: 600.0, ..base.clone() },
            false,
        ),
        ("reports with 30 % noise", Climate { noise: 0.3, ..base.clone() }, false),
        ("2000 flows", Climate { flows: 2000.0, ..base.clone() }, false),
        ("equal servers", Climate { capacities: vec![1.0; 12], ..base }, false),
    ];
    for (name, climate, fails) in climates {
        let event = |world: &mut World| {
            if fails {
                failing(world)
            }
        };
        let fixed = run(World::new(climate.clone(), None), 4200, event);
        let adaptive = run(World::new(climate, Some(Settings::default())), 4200, event);
        row(name, &fixed, &adaptive);
    }
}
