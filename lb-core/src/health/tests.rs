//! The state machine against a slow obvious twin, and the bounds that operators are promised.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn timing(interval_ms: u64, fast_ms: u64, timeout_ms: u64, fall: u16, rise: u16) -> Timing {
    Timing {
        interval_ns: interval_ms * MS,
        fast_interval_ns: fast_ms * MS,
        timeout_ns: timeout_ms * MS,
        fall,
        rise,
    }
}

/// Rise and fall without counters: looks back over the whole history each time.
fn naive_states(results: &[bool], fall: usize, rise: usize) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    for end in 1..=results.len() {
        let state = match states.last() {
            None => {
                if results[0] {
                    State::Up
                } else {
                    State::Down
                }
            }
            Some(&State::Up) => {
                let last = &results[end.saturating_sub(fall)..end];
                if end >= fall && last.iter().all(|ok| !ok) { State::Down } else { State::Up }
            }
            Some(_) => {
                let last = &results[end.saturating_sub(rise)..end];
                if end >= rise && last.iter().all(|ok| *ok) { State::Up } else { State::Down }
            }
        };
        states.push(state);
    }
    states
}

fn any_timing() -> impl Strategy<Value = Timing> {
    (1..10_000u64, 0.0..1.0f64, 0.0..1.0f64, 1..10u16, 1..10u16).prop_map(
        |(interval, fast, timeout, fall, rise)| {
            let part = |share: f64| ((interval as f64 * share) as u64).max(1).min(interval);
            timing(interval, part(fast), part(timeout), fall, rise)
        },
    )
}

/// Runs a backend that answers or not by `answers(time)`; answers come at once, failures take the whole timeout.
/// Returns the moments of the changes.
fn run(timing: Timing, seed: u64, until_ns: u64, answers: impl Fn(u64) -> bool) -> Vec<(u64, Change)> {
    let mut schedule = Schedule::new(timing, seed, 0);
    let mut changes = Vec::new();
    while schedule.due_ns() <= until_ns {
        let now = schedule.due_ns();
        let start = schedule.start(now);
        assert_eq!(start.late_ns, 0);
        let (end, finish) =
            if answers(now) { (now, Finish::Pass) } else { (start.deadline_ns, Finish::Fail) };
        changes.extend(schedule.finish(end, finish).map(|change| (end, change)));
    }
    changes
}

proptest! {
    #[test]
    fn states_are_those_of_the_twin(
        results in proptest::collection::vec(any::<bool>(), 0..200), fall in 1..6u16, rise in 1..6u16, seed: u64,
    ) {
        let mut schedule = Schedule::new(timing(1000, 250, 500, fall, rise), seed, 0);
        for (result, expected) in results.iter().zip(naive_states(&results, fall.into(), rise.into())) {
            let (now, before) = (schedule.due_ns(), schedule.state());
            schedule.start(now);
            let change = schedule.finish(now, if *result { Finish::Pass } else { Finish::Fail });
            prop_assert_eq!(schedule.state(), expected);
            prop_assert_eq!(change.is_some(), before != expected);
            if let Some(change) = change {
                prop_assert_eq!((change.previous, change.state), (before, expected));
            }
        }
    }

    #[test]
    fn a_dead_backend_is_out_within_the_promised_time(timing in any_timing(), seed: u64, share in 0.0..1.0f64) {
        let dies = timing.interval_ns * 3 + (timing.interval_ns as f64 * share) as u64 + 1000 * MS;
        let bound = u64::from(timing.fall) * timing.interval_ns + timing.timeout_ns;
        let changes = run(timing, seed, dies + bound, |now| now < dies);
        let (at, change) = *changes.last().expect("it came up and went down");
        prop_assert_eq!(change.state, State::Down);
        prop_assert!(at <= dies + bound, "{} > {}", at - dies, bound);
    }

    #[test]
    fn a_mended_backend_is_back_within_the_promised_time(timing in any_timing(), seed: u64, share in 0.0..1.0f64) {
        let mends = timing.interval_ns * 4 + (timing.interval_ns as f64 * share) as u64 + 1000 * MS;
        let bound = u64::from(timing.rise) * timing.interval_ns + timing.timeout_ns;
        let changes = run(timing, seed, mends + bound, |now| now >= mends);
        let (at, change) = *changes.last().expect("it went down and came up");
        prop_assert_eq!(change.state, State::Up);
        prop_assert!(at <= mends + bound, "{} > {}", at - mends, bound);
    }

    #[test]
    fn any_order_of_calls_and_any_times_are_survived(
        calls in proptest::collection::vec((any::<bool>(), 0..3u8, any::<u64>()), 0..60), timing in any_timing(),
    ) {
        let mut schedule = Schedule::new(timing, 1, 0);
        for (start, finish, now) in calls {
            if start {
                schedule.start(now);
            } else {
                let finish = [Finish::Pass, Finish::Fail, Finish::Nothing][usize::from(finish)];
                schedule.finish(now, finish);
                prop_assert!(schedule.due_ns() >= now, "no probe is planned for the past");
            }
        }
    }

    #[test]
    fn judgement_keeps_its_laws(
        members in proptest::collection::vec((any::<bool>(), 0..300u32), 0..12),
        panic_below in 0..=10_000u16, send: bool, quorum in 0..6u32,
    ) {
        let members: Vec<Member> =
            members.into_iter().map(|(healthy, weight)| Member { healthy, weight }).collect();
        let all_down = if send { AllDown::SendToAll } else { AllDown::Drop };
        let verdict = judge(&members, Policy { panic_below, all_down, quorum });
        let weighty: Vec<&Member> = members.iter().filter(|member| member.weight > 0).collect();
        let healthy = weighty.iter().filter(|member| member.healthy).count();
        prop_assert_eq!(verdict.healthy, healthy);
        prop_assert_eq!(verdict.all_down, healthy == 0 && !weighty.is_empty());
        for (member, receives) in members.iter().zip(&verdict.receives) {
            prop_assert_eq!(*receives, member.weight > 0 && (member.healthy || verdict.panic));
        }
        // Panic by the share, in floating point this time.
        let sum = |of: &[&Member]| of.iter().map(|member| f64::from(member.weight)).sum::<f64>();
        let well: Vec<&Member> = weighty.iter().copied().filter(|member| member.healthy).collect();
        if healthy > 0 {
            let share = sum(&well) / sum(&weighty);
            prop_assert!((share * 10_000.0 - f64::from(panic_below)).abs() < 1e-6
                || verdict.panic == (share * 10_000.0 < f64::from(panic_below)));
        } else {
            prop_assert_eq!(verdict.panic, send && !weighty.is_empty());
        }
        let receivers = verdict.receives.iter().filter(|receives| **receives).count();
        prop_assert_eq!(verdict.serving, receivers > 0 && healthy >= quorum as usize);
    }
}

#[test]
fn ten_thousand_targets_spread_evenly_and_stay_so() {
    let timing = timing(2000, 500, 1000, 3, 2);
    let mut schedules: Vec<Schedule> = (0..10_000).map(|seed| Schedule::new(timing, seed, 0)).collect();
    assert!(schedules.iter().all(|schedule| schedule.due_ns() < 1_000 * MS), "first news within a second");
    // Starts per 50 ms of the tenth to twentieth second; 250 and a jitter of 5 % on average: about 263.
    let mut bins = vec![0u32; 200];
    for schedule in &mut schedules {
        while schedule.due_ns() < 20_000 * MS {
            let now = schedule.due_ns();
            schedule.start(now);
            schedule.finish(now + MS, Finish::Pass);
            if now >= 10_000 * MS {
                bins[(now / (50 * MS)) as usize - 200] += 1;
            }
        }
    }
    let (least, most) = (bins.iter().min().copied(), bins.iter().max().copied());
    // Six standard deviations of a Poisson distribution with mean 263.
    assert!(least > Some(165) && most < Some(361), "{least:?}..{most:?}");
}

#[test]
fn contradiction_is_looked_into_fast_and_a_late_answer_is_none() {
    let mut schedule = Schedule::new(timing(2000, 500, 1000, 3, 2), 7, 0);
    let mut probe = |finish: Finish, takes: u64| {
        let now = schedule.due_ns();
        schedule.start(now);
        let change = schedule.finish(now + takes * MS, finish);
        (change.map(|change| change.state), (schedule.due_ns() - now) / MS)
    };
    assert_eq!(probe(Finish::Pass, 1).0, Some(State::Up));
    let usual = probe(Finish::Pass, 1).1;
    assert!((1800..=2000).contains(&usual), "{usual}");
    let (change, fast) = probe(Finish::Fail, 1);
    assert!(change.is_none() && (450..=500).contains(&fast), "{fast}");
    // A probe that outlives the fast interval is followed at once.
    assert_eq!(probe(Finish::Fail, 1000), (None, 1000));
    let (change, after) = probe(Finish::Pass, 1001);
    assert_eq!(change, Some(State::Down), "an answer after the deadline is a failure");
    assert!((1800..=2000).contains(&after), "{after}");
    assert_eq!(probe(Finish::Nothing, 1).0, None);
    assert_eq!(probe(Finish::Pass, 1).0, None);
    assert_eq!(probe(Finish::Pass, 1).0, Some(State::Up));
}

#[test]
fn several_checks_make_one_state() {
    use State::{Down, Unknown, Up};
    assert_eq!(combine([]), Up);
    assert_eq!(combine([Up, Unknown]), Unknown);
    assert_eq!(combine([Unknown, Down, Up]), Down);
    assert!(Unknown.takes_traffic() && Up.takes_traffic() && !Down.takes_traffic());
}
