//! What happened: a bounded history, and a stream for whoever follows.
//!
//! An event is a change of state with a stable name, written once here and once to the log. Followers that are
//! too slow lose events and are told how many; nobody waits for them.

use super::view::Event;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;

/// Events remembered.
pub const HISTORY_MAX: usize = 4_096;
/// Events that a follower may be behind.
const FOLLOWER_LAG_MAX: usize = 1_024;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As wanted.
    Info,
    /// Somebody should know.
    Warning,
    /// Somebody should act.
    Error,
}

impl Severity {
    /// As in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! kinds {
    ($($name:ident $id:literal $severity:ident $help:literal;)+) => {
        /// What can happen. Names are a promise, as scripts match on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = concat!("`", $id, "`: ", $help, ".")] $name,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name in answers and in the log.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// What it says.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }

            /// How much it matters.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

kinds! {
    Started "started" Info "the balancer forwards";
    Stopping "stopping" Info "a stop has begun";
    Reloaded "reloaded" Info "another configuration is in force";
    ReloadRefused "reload_refused" Error "a configuration was refused; the old one stays";
    ConfirmationPending "confirmation_pending" Warning "a configuration rolls back by itself unless it is confirmed";
    Confirmed "confirmed" Info "a configuration on trial was confirmed";
    RolledBack "rolled_back" Warning "the configuration before is in force again";
    LastGoodUsed "last_good_used" Error "the file is broken, the last good configuration was loaded";
    NotKept "not_kept" Error "the state directory cannot be written";
    BackendUp "backend_up" Info "a backend takes new connections";
    BackendDown "backend_down" Warning "a backend failed its health check";
    BackendChanged "backend_changed" Info "an operator changed a backend";
    BackendDrained "backend_drained" Info "a draining backend has no connections left";
    OverrideEnded "override_ended" Info "the operator's word on a backend has run out";
    WeightChanged "weight_changed" Info "slow start or adaptive weights changed a weight";
    AgentReport "agent_report" Info "a backend's agent reported another state or weight";
    PoolPanic "pool_panic" Error "so few backends are healthy that all are used";
    PoolRecovered "pool_recovered" Info "enough backends are healthy again";
    VipDown "vip_down" Error "a VIP has no backend for new connections";
    VipUp "vip_up" Info "a VIP has backends again";
    WorkerLate "worker_late" Error "a worker has not taken over new tables in time";
    ConnectionsDeleted "connections_deleted" Info "an operator removed connection entries";
}

/// The history.
#[derive(Debug)]
pub struct EventLog {
    remembered: Mutex<Remembered>,
    followers: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Remembered {
    next: u64,
    events: VecDeque<Event>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { remembered: Mutex::default(), followers: broadcast::Sender::new(FOLLOWER_LAG_MAX) }
    }
}

impl EventLog {
    /// Notes that something happened to `object`, and logs it.
    pub fn note(&self, kind: Kind, object: &str, message: &str) {
        match kind.severity() {
            Severity::Info => tracing::info!(event = kind.name(), object, "{message}"),
            Severity::Warning => tracing::warn!(event = kind.name(), object, "{message}"),
            Severity::Error => tracing::error!(event = kind.name(), object, "{message}"),
        }
        let mut remembered = self.lock();
        let event = Event {
            sequence: remembered.next,
            at_seconds: now_seconds(),
            kind: kind.name().into(),
            severity: kind.severity().name().into(),
            object: object.into(),
            message: message.into(),
        };
        remembered.next += 1;
        if remembered.events.len() == HISTORY_MAX {
            remembered.events.pop_front();
        }
        remembered.events.push_back(event.clone());
        // Sent under the lock, so that followers see them in order. Nobody following is no mistake.
        let _ = self.followers.send(event);
    }

    /// The remembered events from sequence number `since` on, oldest first.
    pub fn since(&self, since: u64) -> Vec<Event> {
        self.lock().events.iter().filter(|event| event.sequence >= since).cloned().collect()
    }

    /// Events from now on.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.followers.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now_seconds() -> f64 {
    unix_seconds(SystemTime::now())
}

/// A moment in seconds since the Unix epoch.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_numbered_without_gaps() {
        let log = EventLog::default();
        let mut follower = log.follow();
        for number in 0..HISTORY_MAX + 10 {
            log.note(Kind::Reloaded, "config", &number.to_string());
        }
        let all = log.since(0);
        assert_eq!((all.len(), all[0].sequence, all[0].message.as_str()), (HISTORY_MAX, 10, "10"));
        assert!(all.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence));
        assert_eq!(log.since(HISTORY_MAX as u64 + 9).len(), 1);
        let lost = follower.try_recv();
        assert!(matches!(lost, Err(broadcast::error::TryRecvError::Lagged(_))), "{lost:?}");
        assert!(follower.try_recv().is_ok());
    }

    #[test]
    fn names_of_kinds_are_unique() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
