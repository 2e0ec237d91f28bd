//! The engine: events, sharing, changes of the set of targets, bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lb_appliance::config::model::{HealthCheck, Probe};
use lb_appliance::health::{
    Administrative, Cause, Engine, EngineHandle, HealthEvent, Options, Part, Subscriber, Target, TargetKey,
};
use lb_core::health::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};

use crate::{LOCALHOST, canned, check, on_runtime};

const PATIENCE: Duration = Duration::from_secs(20);

fn quick(probe: Probe) -> HealthCheck {
    let ms = Duration::from_millis;
    HealthCheck { interval: ms(100), fast_interval: ms(20), timeout: ms(100), ..check(probe) }
}

fn target(check: &HealthCheck, part: Part, names: &[(&str, &str)]) -> Target {
    let subscriber =
        |(pool, backend): &(&str, &str)| Subscriber { pool: (*pool).into(), backend: (*backend).into() };
    let key = TargetKey { address: LOCALHOST, check: Arc::new(check.clone()), part, owner: None };
    Target { key, subscribers: names.iter().map(subscriber).collect() }
}

fn engine(capacity: usize) -> (EngineHandle, Receiver<HealthEvent>) {
    let (sender, receiver) = channel(capacity);
    (Engine::spawn(&Handle::current(), sender, Options::default()), receiver)
}

async fn next(events: &mut Receiver<HealthEvent>) -> HealthEvent {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("the engine lives")
}

/// A server that counts its connections, and that can be told to reset them.
async fn counting() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
    let (port, count) =
        (listener.local_addr().expect("made by this test").port(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, count)
}

#[test]
fn up_down_and_up_again_are_told_within_the_promised_time() {
    on_runtime(async {
        let (handle, mut events) = engine(16);
        let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
        let port = listener.local_addr().expect("made by this test").port();
        let check = quick(Probe::Tcp { port });
        handle.set_targets(vec![target(&check, Part::Probe, &[("web", "web-1")])]);
        let up = next(&mut events).await;
        assert_eq!((up.previous, up.state, up.cause), (State::Unknown, State::Up, None));
        assert_eq!((up.pool.as_str(), up.backend.as_str(), up.probe), ("web", "web-1", "tcp"));
        drop(listener);
        let died = Instant::now();
        let down = next(&mut events).await;
        assert_eq!((down.previous, down.state, down.cause), (State::Up, State::Down, Some(Cause::Refused)));
        // 3 x 100 ms + 100 ms, and a second for a busy machine.
        assert!(died.elapsed() < Duration::from_millis(1400), "{:?}", died.elapsed());
        let _listener = TcpListener::bind((LOCALHOST, port)).await.expect("made by this test");
        assert_eq!(next(&mut events).await.state, State::Up);
        let snapshot = handle.snapshot();
        assert_eq!(snapshot.state("web", "web-1"), Some(State::Up));
        let row = &snapshot.rows[0];
        assert_eq!((row.failures.len(), row.changes), (1, 3));
        assert!(row.failures[0].0 == Cause::Refused && row.failures[0].1 >= 3 && row.checks >= 6, "{row:?}");
        assert_eq!(snapshot.timings[0].histogram.count(), row.checks);
    });
}

#[test]
fn a_flapping_server_is_never_taken_out_before_it_fails_three_times_in_a_row() {
    on_runtime(async {
        let (handle, mut events) = engine(16);
        let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
        let port = listener.local_addr().expect("made by this test").port();
        let broken = Arc::new(AtomicBool::new(false));
        let dead = broken.clone();
        tokio::spawn(async move {
            for number in 0u64.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let good = number % 3 == 0 && !dead.load(Ordering::Relaxed);
                let status: &[u8] =
                    if good { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 500 Oops\r\n\r\n" };
                let _ = stream.write_all(status).await;
                let _ = stream.shutdown().await;
            }
        });
        handle.set_targets(vec![target(
            &quick(Probe::Http(crate::http(port, None))),
            Part::Probe,
            &[("p", "b")],
        )]);
        assert_eq!(next(&mut events).await.state, State::Up);
        let deadline = Instant::now() + PATIENCE;
        while handle.snapshot().rows[0].checks < 40 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let row = handle.snapshot().rows[0].clone();
        // The server closes without having read, so some answers are lost to a reset; they count as failures too.
        assert!(row.checks >= 40 && row.failures.iter().map(|(_, count)| count).sum::<u64>() > 20, "{row:?}");
        broken.store(true, Ordering::Relaxed);
        assert_eq!(next(&mut events).await.state, State::Down);
    });
}

#[test]
fn pools_that_ask_the_same_share_one_probe_and_each_is_told() {
    on_runtime(async {
        let (handle, mut events) = engine(16);
        let (port, count) = counting().await;
        let check = quick(Probe::Tcp { port });
        handle.set_targets(vec![target(&check, Part::Probe, &[("web", "a"), ("api", "b")])]);
        let mut told = [next(&mut events).await.pool, next(&mut events).await.pool];
        told.sort();
        assert_eq!(told, ["api", "web"]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let rows = handle.snapshot().rows;
        assert_eq!((rows.len(), rows[0].checks), (2, rows[1].checks));
        assert!(count.load(Ordering::Relaxed) as u64 <= rows[0].checks + 1, "one connection for both");
        // Who joins is told at once what is known; who stays is not told again.
        let names = [("web", "a"), ("api", "b"), ("new", "c")];
        handle.set_targets(vec![target(&check, Part::Probe, &names)]);
        let event = next(&mut events).await;
        assert_eq!((event.pool.as_str(), event.previous, event.state), ("new", State::Unknown, State::Up));
        assert!(events.try_recv().is_err());
        // Removed targets are left in peace.
        handle.set_targets(Vec::new());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(count.load(Ordering::Relaxed), before);
        assert!(handle.snapshot().rows.is_empty() && handle.snapshot().timings.is_empty());
    });
}

#[test]
fn a_changed_check_begins_with_the_state_of_the_old_one() {
    on_runtime(async {
        let (handle, mut events) = engine(16);
        let port = crate::closed_port().await;
        let check = quick(Probe::Tcp { port });
        handle.set_targets(vec![target(&check, Part::Probe, &[("web", "a")])]);
        assert_eq!(next(&mut events).await.state, State::Down);
        let changed = HealthCheck { fall: 5, ..check };
        handle.set_targets(vec![target(&changed, Part::Probe, &[("web", "a"), ("other", "b")])]);
        assert_eq!(handle.snapshot().state("web", "a"), Some(State::Down));
        let event = next(&mut events).await;
        assert_eq!((event.pool.as_str(), event.state), ("other", State::Down), "only the new one is told");
    });
}

#[test]
fn the_agent_beside_the_probe_is_told_when_its_word_changes() {
    on_runtime(async {
        let (handle, mut events) = engine(16);
        let mut check = quick(Probe::Tcp { port: 1 });
        check.agent_port = Some(canned(b"drain 50% #upgrade\n", false).await);
        handle.set_targets(vec![target(&check, Part::Agent, &[("web", "a")])]);
        let event = next(&mut events).await;
        assert_eq!((event.probe, event.state), ("agent", State::Up));
        let report = event.agent.expect("made by this test");
        assert_eq!((report.weight_percent, report.administrative), (Some(50), Some(Administrative::Drain)));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(events.try_recv().is_err(), "the same word again is no news");
    });
}

#[test]
fn a_full_channel_loses_no_change() {
    on_runtime(async {
        let (handle, mut events) = engine(1);
        let (port, _) = counting().await;
        let check = quick(Probe::Tcp { port });
        let names: Vec<String> = (0..50).map(|number| format!("b{number}")).collect();
        let names: Vec<(&str, &str)> = names.iter().map(|name| ("web", name.as_str())).collect();
        handle.set_targets(vec![target(&check, Part::Probe, &names)]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..50 {
            assert_eq!(next(&mut events).await.state, State::Up);
        }
    });
}

#[test]
fn probes_on_request_tell_their_steps_and_change_nothing() {
    on_runtime(async {
        let (handle, _events) = engine(16);
        let (port, _) = counting().await;
        let check = HealthCheck { interval: Duration::from_secs(3600), ..check(Probe::Tcp { port }) };
        handle.set_targets(vec![target(&check, Part::Probe, &[("web", "a")])]);
        let reports = handle.probe_now("web", "a").await;
        assert!(reports.len() == 1 && reports[0].outcome.ok() && reports[0].steps[0].name == "connect");
        assert!(handle.probe_now("web", "nobody").await.is_empty());
    });
}

#[test]
fn no_descriptor_is_left_behind_by_hundreds_of_dead_targets() {
    on_runtime(async {
        let open = || std::fs::read_dir("/proc/self/fd").expect("made by this test").count();
        let (handle, mut events) = engine(2000);
        let port = crate::closed_port().await;
        let before = open();
        let targets: Vec<Target> = (0..500u16)
            .map(|number| {
                let check = HealthCheck {
                    fall: number % 100 + 1,
                    rise: number / 100 + 1,
                    ..quick(Probe::Tcp { port })
                };
                target(&check, Part::Probe, &[("web", &format!("b{number}"))])
            })
            .collect();
        handle.set_targets(targets);
        for _ in 0..500 {
            assert_eq!(next(&mut events).await.state, State::Down);
        }
        handle.set_targets(Vec::new());
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Other tests of this process open files of their own.
        assert!(open() < before + 100, "{before} before, {} after", open());
    });
}

#[test]
fn probes_under_way_are_bounded_and_what_waits_counts_as_late() {
    on_runtime(async {
        // Accepts and never answers; counts who is connected at one time.
        let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
        let port = listener.local_addr().expect("made by this test").port();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let highest = most.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let open = open.clone();
                highest.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut buffer = [0u8; 512];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        let (sender, mut events) = channel(100);
        let options = Options { in_flight_max: 4, ..Options::default() };
        let handle = Engine::spawn(&Handle::current(), sender, options);
        let probe = |number: u16| {
            let mut check = quick(Probe::Http(crate::http(port, None)));
            check.fall = number + 1;
            target(&check, Part::Probe, &[("web", &format!("b{number}"))])
        };
        handle.set_targets((0..40).map(probe).collect());
        for _ in 0..40 {
            let event = next(&mut events).await;
            assert_eq!((event.state, event.cause), (State::Down, Some(Cause::Timeout)));
        }
        // The server may learn of a reset after the next connection.
        assert!((1..=8).contains(&most.load(Ordering::Relaxed)), "{most:?}");
        assert!(handle.snapshot().late > 0);
    });
}
