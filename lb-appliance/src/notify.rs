//! What the service manager is told (`sd_notify(3)`): ready, reloading, stopping, one line of status, signs of life.
//!
//! Ready is said when packets flow by what is known of the backends, not when the process is there. The watchdog is fed
//! from the control thread, so that its own end is noticed, and only while every worker's heartbeat moves. Without
//! `NOTIFY_SOCKET` nothing of this is done.

use crate::control::effective::Vitality;
use crate::control::{AdminState, Handle, Running};
use crate::instruments::WorkerInstruments;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The first health pass may take this long; then the service counts as started without it.
const FIRST_PASS_MAX: Duration = Duration::from_secs(10);
/// Between two looks at the first health pass.
const FIRST_PASS_LOOK: Duration = Duration::from_millis(50);
/// Between two looks at workers and status, at most; a quarter of the watchdog's time if that is less.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// A heartbeat that has not moved for this long has stopped: a worker that sleeps has one every 100 ms.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    is_wanted: bool,
    watchdog: Option<Duration>,
    /// A reload during the start must not be what says ready.
    is_ready: AtomicBool,
}

impl Notifier {
    /// As the environment of this process says (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    pub fn from_environment() -> Arc<Self> {
        Arc::new(Self {
            is_wanted: std::env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog: sd_notify::watchdog_enabled().filter(|time| !time.is_zero()),
            is_ready: AtomicBool::new(false),
        })
    }

    /// Says ready once the first health pass is over, and then goes on about status and signs of life.
    pub async fn attend(self: Arc<Self>, handle: Handle) {
        if !self.is_wanted {
            return;
        }
        self.send(&[NotifyState::Status("waiting for the first health checks")]);
        let start = Instant::now();
        while !is_checked(&handle.running()) && start.elapsed() < FIRST_PASS_MAX {
            tokio::time::sleep(FIRST_PASS_LOOK).await;
        }
        let mut said = status(&handle.running());
        self.is_ready.store(true, Ordering::Relaxed);
        self.send(&[NotifyState::Ready, NotifyState::Status(&said)]);
        let waited_ms = start.elapsed().as_millis() as u64;
        tracing::info!(event = "ready", waited_ms, "the service manager knows");

        let mut pulse = Pulse::new(Instant::now());
        let mut was_stuck = false;
        let mut looks = tokio::time::interval(self.watchdog.map_or(LOOK_MAX, |time| LOOK_MAX.min(time / 4)));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let running = handle.running();
            let stuck = pulse.look(&running.vitals.workers, Instant::now());
            let line = match &stuck {
                Some(stuck) => format!("worker {stuck} does not move"),
                None => status(&running),
            };
            if stuck.is_some() && !was_stuck {
                tracing::error!(event = "worker_stuck", "{line}; the watchdog is not fed while that is so");
            }
            was_stuck = stuck.is_some();
            if line != said {
                self.send(&[NotifyState::Status(&line)]);
                said = line;
            }
            if self.watchdog.is_some() && !was_stuck {
                self.send(&[NotifyState::Watchdog]);
            }
        }
    }

    /// Says that a reload has begun.
    pub fn reloading(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => self.send(&[NotifyState::Reloading, now]),
                Err(error) => tracing::warn!(event = "notify_failed", %error, "no monotonic clock"),
            }
        }
    }

    /// Says that a reload is over, whatever became of it: the service runs on either way.
    pub fn reloaded(&self, running: &Running) {
        if self.is_ready.load(Ordering::Relaxed) {
            self.send(&[NotifyState::Ready, NotifyState::Status(&status(running))]);
        }
    }

    /// Says that the end has begun.
    pub fn stopping(&self, why: &str) {
        self.send(&[NotifyState::Stopping, NotifyState::Status(&format!("stopping ({why})"))]);
    }

    fn send(&self, message: &[NotifyState<'_>]) {
        if self.is_wanted
            && let Err(error) = sd_notify::notify(message)
        {
            tracing::warn!(event = "notify_failed", %error, "the service manager cannot be told");
        }
    }
}

/// True when the result of a check is known of every backend that is probed. Without checks that is so from the start.
fn is_checked(running: &Running) -> bool {
    let mut backends = running.pools.iter().flat_map(|pool| &pool.backends);
    backends.all(|one| one.health != Some(Vitality::Unknown) || one.operator == AdminState::Maintenance)
}

/// One line for `systemctl status`. Up are the backends that take new connections.
fn status(running: &Running) -> String {
    let backends: usize = running.pools.iter().map(|pool| pool.backends.len()).sum();
    let up: usize = running.pools.iter().map(|pool| pool.serving()).sum();
    let is_refused = running.reload.as_ref().is_some_and(|last| !last.successful);
    describe(running.plan.names.vips.len(), up, backends, is_refused)
}

fn describe(vips: usize, up: usize, backends: usize, is_refused: bool) -> String {
    let plural = if vips == 1 { "" } else { "s" };
    let refused = if is_refused { "; the last reload was refused, `guideway events` says why" } else { "" };
    format!("forwarding {vips} VIP{plural}, {up} of {backends} backends up{refused}")
}

/// When each worker's heartbeat was last seen to move. Not its age: a control thread that slept itself blames nobody.
#[derive(Debug)]
struct Pulse {
    start: Instant,
    seen: Vec<(u64, Instant)>,
}

impl Pulse {
    fn new(start: Instant) -> Self {
        Self { start, seen: Vec::new() }
    }

    /// The label of a worker whose heart stands still, if there is one.
    fn look(&mut self, workers: &[Arc<WorkerInstruments>], now: Instant) -> Option<String> {
        self.seen.resize(workers.len(), (0, self.start));
        let mut stuck = None;
        for (worker, (beat, moved)) in workers.iter().zip(&mut self.seen) {
            let current = worker.turns.heartbeat.number();
            if current != *beat {
                (*beat, *moved) = (current, now);
            } else if now.duration_since(*moved) > STUCK_AFTER {
                stuck.get_or_insert_with(|| worker.label.clone());
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::counters::WorkerCounters;

    fn workers() -> Vec<Arc<WorkerInstruments>> {
        let worker = |label: &str| {
            let packets = Arc::new(WorkerCounters::for_any_tables());
            Arc::new(WorkerInstruments::new(label.into(), packets, 1))
        };
        ["2", "3"].map(worker).to_vec()
    }

    #[test]
    fn one_heart_that_stands_still_is_enough_and_a_sleeping_one_does_not() {
        let (workers, start) = (workers(), Instant::now());
        let mut pulse = Pulse::new(start);
        for step in 1..100_u64 {
            let after = |steps: u64| start + Duration::from_millis(100 * steps);
            let now = after(step);
            workers[0].turns.heartbeat.beat_at(now);
            // The other one sleeps and wakes every 100 ms until it is stuck at 3 s.
            workers[1].turns.heartbeat.beat_at(after(step.min(30)));
            let stuck = pulse.look(&workers, now);
            assert_eq!(stuck.as_deref(), (step > 40).then_some("3"), "after {step} looks");
        }
        workers[1].turns.heartbeat.beat_at(start + Duration::from_secs(5));
        assert_eq!(pulse.look(&workers, start + Duration::from_secs(10)), None, "it moves again");
    }

    #[test]
    fn a_worker_that_never_came_up_is_stuck() {
        let (workers, start) = (workers(), Instant::now());
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.look(&workers, start + STUCK_AFTER), None);
        assert_eq!(pulse.look(&workers, start + STUCK_AFTER * 2).as_deref(), Some("2"));
    }

    #[test]
    fn a_control_thread_that_slept_does_not_blame_the_workers() {
        let (workers, start) = (workers(), Instant::now());
        let mut pulse = Pulse::new(start);
        for worker in &workers {
            worker.turns.heartbeat.beat();
        }
        assert_eq!(pulse.look(&workers, start + Duration::from_secs(60)), None);
    }

    #[test]
    fn the_status_line() {
        assert_eq!(describe(12, 38, 40, false), "forwarding 12 VIPs, 38 of 40 backends up");
        assert!(describe(1, 0, 2, true).starts_with("forwarding 1 VIP, 0 of 2 backends up; the last reload"));
    }
}
