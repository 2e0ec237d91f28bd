//! How many probes one control core can run on time: the real engine, real TCP, a responder on another core.
//!
//! Prints one line of `key=value` words. `scripts/bench-health` runs it and judges. The engine's thread is pinned to
//! the first CPU this process may use and the responder to the last; each of the targets has an address of its own
//! in 127.0.0.0/8, so that every probe is a connection of its own, as with real backends.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_appliance::config::model::{HealthCheck, Probe, Via};
use lb_appliance::health::{
    Engine, EngineHandle, Options, Part, Subscriber, Target, TargetKey, raise_open_files,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};

const PORT_BACKLOG: u32 = 4096;

/// A number from the environment, or its default.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Pins this thread to the first or the last CPU of the process; says which.
fn pin(last: bool) -> usize {
    let allowed = sched_getaffinity(None).expect("the CPUs of this process");
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let cpu = if last { cpus.next_back() } else { cpus.next() }.expect("at least one CPU");
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).expect("pin a thread");
    cpu
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Accepts and forgets connections on every local address; returns the port.
fn responder() -> u16 {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        pin(true);
        runtime().block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a port");
            let listener: TcpListener = socket.listen(PORT_BACKLOG).expect("listen");
            sender.send(listener.local_addr().expect("an address").port()).expect("the bench waits");
            loop {
                // A reset before accept is an error here and no trouble.
                let _ = listener.accept().await;
            }
        });
    });
    receiver.recv().expect("the responder starts")
}

fn targets(count: u64, port: u16) -> Vec<Target> {
    let check = Arc::new(HealthCheck {
        probe: Probe::Tcp { port },
        agent_port: None,
        interval: Duration::from_secs(1),
        fast_interval: Duration::from_millis(250),
        timeout: Duration::from_secs(1),
        fall: 3,
        rise: 2,
        via: Via::Direct,
    });
    let target = |number: u64| {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number as u32);
        let key =
            TargetKey { address: IpAddr::V4(address), check: check.clone(), part: Part::Probe, owner: None };
        let subscriber = Subscriber { pool: "bench".to_owned(), backend: format!("b{number}") };
        Target { key, subscribers: vec![subscriber] }
    };
    (0..count).map(target).collect()
}

/// Probes ended, failures among them, and late starts, so far.
fn tally(handle: &EngineHandle) -> (u64, u64, u64) {
    let snapshot = handle.snapshot();
    let failures = snapshot.rows.iter().flat_map(|row| &row.failures).map(|(_, count)| count).sum();
    (snapshot.rows.iter().map(|row| row.checks).sum(), failures, snapshot.late)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1e3
}

async fn measure(count: u64, seconds: u64, port: u16) -> String {
    let (sender, mut events) = tokio::sync::mpsc::channel(1024);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let handle = Engine::spawn(&Handle::current(), sender, Options::default());
    let first_ms = milliseconds(|| handle.set_targets(targets(count, port)));
    tokio::time::sleep(Duration::from_secs(3)).await;
    // A reload that changes nothing, and a scrape: both hold up the control thread.
    let again = targets(count, port);
    let reload_ms = milliseconds(|| handle.set_targets(again));
    let snapshot_ms = milliseconds(|| drop(handle.snapshot()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, cpu, begin) = (tally(&handle), cpu_seconds(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let after = tally(&handle);
    let checks = after.0 - before.0;
    let late = after.2 - before.2;
    format!(
        "targets={count} seconds={took:.1} probes={checks} rate={:.0} failed={} late={late} late_percent={:.4} core_percent={:.0} \
         set_ms={first_ms:.1} reload_ms={reload_ms:.1} snapshot_ms={snapshot_ms:.1}",
        checks as f64 / took,
        after.1 - before.1,
        100.0 * late as f64 / checks.max(1) as f64,
        100.0 * cpu / took,
    )
}

fn main() {
    let (count, seconds) = (setting("GUIDEWAY_BENCH_TARGETS", 10_000), setting("GUIDEWAY_BENCH_SECONDS", 20));
    raise_open_files(65_536);
    let port = responder();
    pin(false);
    let line = runtime().block_on(measure(count, seconds, port));
    // A closed pipe is the reader's wish.
    let _ = writeln!(std::io::stdout(), "{line}");
}
