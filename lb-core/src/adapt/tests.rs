//! What holds whatever is reported, and in whatever order.

use super::plan::{self, Place};
use super::{Backend, Changes, Controller, Report, Settings, Source, Standing};
use crate::maglev::{MaglevSeed, MaglevTable, Member, disruption};
use crate::weight::{Factor, scaled};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Small, so that thousands of cases are quick.
const SLOTS: u32 = 251;

fn address(index: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + index as u32).into()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn backends(count: usize) -> Vec<Backend> {
    let backend =
        |index| Backend { address: address(index), weight: 100, is_serving: true, slow_start: Factor::ONE };
    (0..count).map(backend).collect()
}

fn controller(settings: Settings, count: usize) -> Controller {
    let mut controller = Controller::new(settings, MaglevSeed::from(7), SLOTS);
    controller.set_backends(&backends(count));
    controller
}

/// One thing that happens to a controller.
#[derive(Clone, Debug)]
enum Event {
    Report { backend: usize, value: f64, age: u64 },
    Serving { backend: usize, is_serving: bool },
    Weight { backend: usize, weight: u32 },
    Ramp { backend: usize, quanta: u16 },
    Pass { seconds: u64 },
}

const BACKENDS: usize = 5;

fn event() -> impl Strategy<Value = Event> {
    let value = prop_oneof![
        6 => 0.0_f64..2.0,
        1 => proptest::num::f64::ANY,
        1 => Just(0.0),
        1 => Just(1e300),
    ];
    prop_oneof![
        8 => (0..BACKENDS, value, 0_u64..40).prop_map(|(backend, value, age)| Event::Report { backend, value, age }),
        1 => (0..BACKENDS, any::<bool>()).prop_map(|(backend, is_serving)| Event::Serving { backend, is_serving }),
        1 => (0..BACKENDS, 0_u32..=65_535).prop_map(|(backend, weight)| Event::Weight { backend, weight }),
        1 => (0..BACKENDS, 1_u16..=64).prop_map(|(backend, quanta)| Event::Ramp { backend, quanta }),
        6 => (1_u64..8).prop_map(|seconds| Event::Pass { seconds }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let source = prop_oneof![Just(Source::Utilisation), Just(Source::Latency)];
    let shape = (0.02_f64..=1.0, 1.0_f64..=8.0, 0.01_f64..=1.0, 0.01_f64..=0.5);
    (source, 1_u64..20, shape, 1_u32..10, 0.001_f64..=1.0).prop_map(
        |(source, interval, (factor_min, factor_max, step_max, deadband), changes, moved)| Settings {
            source,
            interval: seconds(interval),
            stale_after: seconds(interval * 3),
            factor_min,
            factor_max,
            step_max,
            deadband,
            changes_per_minute_max: changes,
            moved_per_minute_max: moved,
        },
    )
}

/// Runs events, a decision after each; returns what was decided and when.
fn play(
    controller: &mut Controller,
    events: &[Event],
    live: &BTreeMap<IpAddr, u64>,
) -> Vec<(Duration, Changes)> {
    let (mut pool, mut now, mut decided) = (backends(BACKENDS), seconds(100), Vec::new());
    for event in events {
        match *event {
            Event::Report { backend, value, age } => {
                let taken = controller.report(address(backend), Report { value, at: now - seconds(age) });
                assert_eq!(taken, value.is_finite() && value >= 0.0, "{value}");
            }
            Event::Serving { backend, is_serving } => pool[backend].is_serving = is_serving,
            Event::Weight { backend, weight } => pool[backend].weight = weight,
            Event::Ramp { backend, quanta } => pool[backend].slow_start = Factor::from_quanta(quanta),
            Event::Pass { seconds: passed } => now += seconds(passed),
        }
        controller.set_backends(&pool);
        decided.extend(controller.decide(now, live).map(|changes| (now, changes)));
        // The same moment again changes nothing.
        let before = (0..BACKENDS).map(|index| controller.explain(address(index), now)).collect::<Vec<_>>();
        assert_eq!(controller.decide(now, live), None);
        let after = (0..BACKENDS).map(|index| controller.explain(address(index), now)).collect::<Vec<_>>();
        assert_eq!(before, after);
    }
    decided
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn bounds_steps_and_budgets_hold_for_any_sequence(
        settings in settings(),
        events in proptest::collection::vec(event(), 1..150),
        flows in proptest::collection::vec(0_u64..10_000, 0..=BACKENDS),
    ) {
        let live: BTreeMap<IpAddr, u64> =
            flows.iter().enumerate().map(|(index, flows)| (address(index), *flows)).collect();
        let mut controller = controller(settings, BACKENDS);
        let decided = play(&mut controller, &events, &live);
        let mut factors = [Factor::ONE; BACKENDS];
        for (at, changes) in &decided {
            prop_assert!(!changes.list.is_empty());
            prop_assert!(changes.moved_ratio.is_finite() && changes.moved_flows.is_finite());
            for change in &changes.list {
                let index = (0..BACKENDS).find(|index| address(*index) == change.address).expect("known");
                prop_assert_eq!(change.from, factors[index]);
                factors[index] = change.to;
                // Inside the bounds as numbers; a 64th at 1/64 and 1 is always inside.
                let value = change.to.value();
                prop_assert!(value >= settings.factor_min && value <= settings.factor_max, "{value}");
                let step = f64::from(change.from.quanta().abs_diff(change.to.quanta()));
                let most = (f64::from(change.from.quanta()) * settings.step_max).floor().max(1.0);
                prop_assert!(step <= most, "{change:?}");
            }
            let minute: Vec<_> = decided.iter().filter(|(other, _)| other <= at && *at - *other < seconds(60)).collect();
            prop_assert!(minute.len() <= settings.changes_per_minute_max as usize);
            let moved: f64 = minute.iter().map(|(_, changes)| changes.moved_ratio).sum();
            prop_assert!(moved <= settings.moved_per_minute_max + 1e-9, "{moved}");
        }
        for (index, factor) in factors.iter().enumerate() {
            prop_assert_eq!(controller.factor(address(index)), *factor);
            let explanation = controller.explain(address(index), seconds(10_000)).expect("known");
            prop_assert!(explanation.wanted.is_finite() && explanation.wanted > 0.0);
            prop_assert!(!explanation.standing.word().is_empty() && !explanation.standing.sentence().is_empty());
        }
    }

    #[test]
    fn the_order_in_which_reports_arrive_decides_nothing(
        reports in proptest::collection::vec((0..BACKENDS, 0.0_f64..2.0, 0_u64..30), 1..60),
        order in any::<u64>(),
    ) {
        let run = |reports: &[(usize, f64, u64)]| {
            let mut controller = controller(Settings::default(), BACKENDS);
            for (backend, value, age) in reports {
                let report = Report { value: *value, at: seconds(100 - age) };
                prop_assert!(controller.report(address(*backend), report));
            }
            let decided = controller.decide(seconds(100), &BTreeMap::new());
            let explained: Vec<_> =
                (0..BACKENDS).map(|index| controller.explain(address(index), seconds(100))).collect();
            Ok((decided, explained))
        };
        let mut shuffled = reports.clone();
        let mut state = order | 1;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(index, (state >> 33) as usize % (index + 1));
        }
        prop_assert_eq!(run(&reports)?, run(&shuffled)?);
    }

    #[test]
    fn whatever_was_done_silence_brings_all_factors_back_to_one(
        events in proptest::collection::vec(event(), 1..100),
    ) {
        let mut controller = controller(Settings::default(), BACKENDS);
        play(&mut controller, &events, &BTreeMap::new());
        controller.set_backends(&backends(BACKENDS));
        for second in (1000..3000).step_by(5) {
            controller.decide(seconds(second), &BTreeMap::new());
        }
        for index in 0..BACKENDS {
            prop_assert_eq!(controller.factor(address(index)), Factor::ONE);
        }
    }

    #[test]
    fn a_plan_counts_what_the_tables_say_and_moves_no_more_than_the_whole_update(
        wanted in proptest::collection::vec((32_u16..128, -12_i16..=12, 0_u64..5000), 2..7),
    ) {
        prop_assume!(wanted.iter().any(|(_, step, _)| *step != 0));
        let places: Vec<Place> = wanted.iter().enumerate().map(|(index, (quanta, step, live))| {
            let factor = Factor::from_quanta(*quanta);
            let next = Factor::from_quanta(quanta.saturating_add_signed(*step));
            Place {
                address: address(index),
                identity: (index as u32).to_be_bytes().to_vec(),
                weight: 10,
                slow_start: Factor::ONE,
                factor,
                next,
                gap: (next.value() / factor.value()).ln() * 1.5,
                share: 1.0 / wanted.len() as f64,
                live: Some(*live),
            }
        }).collect();
        let seed = MaglevSeed::from(7);
        let members = |factors: &[Factor]| -> Vec<Member<'_>> {
            places.iter().zip(factors).map(|(place, factor)| Member {
                identity: &place.identity,
                weight: scaled(place.weight, place.slow_start, *factor),
            }).collect()
        };
        let before = members(&places.iter().map(|place| place.factor).collect::<Vec<_>>());
        let changed = |factors: &[Factor]| {
            let after = members(factors);
            let tables = [&before, &after].map(|members| MaglevTable::build(seed, SLOTS, members).expect("valid"));
            let moved = disruption((&tables[0], &before), (&tables[1], &after)).expect("one size");
            // An oracle of its own: slot by slot, each worth its owner's flows per slot.
            let shares = tables[0].shares();
            let flows: f64 = tables[0].slots().iter().zip(tables[1].slots()).filter(|(from, to)| from != to)
                .map(|(from, _)| {
                    let from = usize::from(*from);
                    places[from].live.expect("given") as f64 / f64::from(shares[from])
                }).sum();
            (moved.changed, flows)
        };
        let update = plan::choose(&places, seed, SLOTS, f64::INFINITY).expect("there is room");
        let (slots, flows) = changed(&update.factors);
        prop_assert_eq!(update.changed_slots, slots);
        prop_assert!((update.moved_flows - flows).abs() <= 1e-6 * flows.max(1.0));
        let (_, whole) = changed(&places.iter().map(|place| place.next).collect::<Vec<_>>());
        prop_assert!(update.moved_flows <= whole + 1e-6, "{} of {whole}", update.moved_flows);
        // No room, no update.
        let room = update.moved_ratio / 2.0;
        if let Some(smaller) = plan::choose(&places, seed, SLOTS, room) {
            prop_assert!(smaller.moved_ratio <= room);
        }
    }
}

/// Reports of `values` every five seconds for `until` seconds, decisions when due.
fn steady(controller: &mut Controller, from: u64, until: u64, values: &[f64]) -> usize {
    let mut updates = 0;
    for second in from..until {
        if second % 5 == 0 {
            for (index, value) in values.iter().enumerate() {
                assert!(controller.report(address(index), Report { value: *value, at: seconds(second) }));
            }
        }
        updates += usize::from(controller.decide(seconds(second), &BTreeMap::new()).is_some());
    }
    updates
}

#[test]
fn an_evenly_busy_pool_is_left_alone_at_any_level() {
    let mut controller = controller(Settings::default(), 4);
    for (turn, level) in [0.0, 0.001, 0.3, 0.99, 1.5, 0.1].into_iter().enumerate() {
        let from = turn as u64 * 300;
        assert_eq!(steady(&mut controller, from, from + 300, &[level; 4]), 0, "at {level}");
    }
}

#[test]
fn who_is_busier_gets_less_and_says_why() {
    let mut controller = controller(Settings::default(), 3);
    assert!(steady(&mut controller, 0, 120, &[0.9, 0.5, 0.5]) > 0);
    let explanation = controller.explain(address(0), seconds(120)).expect("known");
    assert!(explanation.adaptive < Factor::ONE && explanation.wanted < 1.0, "{explanation:?}");
    assert_eq!(explanation.last, Some(Report { value: 0.9, at: seconds(115) }));
    assert_eq!(explanation.age, Some(seconds(5)));
    assert_eq!(explanation.scaled, scaled(100, Factor::ONE, explanation.adaptive));
    assert_eq!(controller.explain(address(9), seconds(120)), None);
    assert!(!controller.report(address(9), Report { value: 0.5, at: seconds(120) }));
}

/// A backend that is far away is slower whatever its weight: integrating would take it to the bound.
#[test]
fn latency_is_answered_in_proportion() {
    let settings = Settings { source: Source::Latency, ..Settings::default() };
    let mut controller = controller(settings, 4);
    steady(&mut controller, 0, 3600, &[0.004, 0.002, 0.002, 0.002]);
    let far = controller.factor(address(0)).value();
    assert!((0.4..0.9).contains(&far), "{far}");
    assert_eq!(steady(&mut controller, 3600, 4800, &[0.004, 0.002, 0.002, 0.002]), 0, "it has settled");
}

#[test]
fn standings_name_what_holds_a_factor() {
    let standing = |controller: &Controller, index| {
        controller.explain(address(index), seconds(0)).map(|explanation| explanation.standing)
    };
    let mut controller = controller(Settings::default(), 4);
    assert_eq!(standing(&controller, 0), Some(Standing::Waiting));
    let mut pool = backends(4);
    pool[1].is_serving = false;
    pool[2].slow_start = Factor::from_quanta(6);
    controller.set_backends(&pool);
    controller.report(address(0), Report { value: 0.5, at: seconds(10) });
    controller.decide(seconds(10), &BTreeMap::new());
    let all = [0, 1, 2, 3].map(|index| standing(&controller, index));
    let expected = [Standing::Alone, Standing::NotServing, Standing::SlowStart, Standing::Stale];
    assert_eq!(all, expected.map(Some));
}

#[test]
fn bounds_are_rounded_inwards() {
    let (min, max) = Settings { factor_min: 0.1, factor_max: 1.99, ..Settings::default() }.bounds();
    assert_eq!((min.quanta(), max.quanta()), (7, 127));
    let (min, max) = Settings { factor_min: 1.0, factor_max: 1.0, ..Settings::default() }.bounds();
    assert_eq!((min, max), (Factor::ONE, Factor::ONE));
}
