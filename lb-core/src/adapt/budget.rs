//! How much may change within a minute: changes, and live flows that they move.

use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(60);

/// What was spent in the last minute. Holds at most as many entries as changes are allowed per minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget {
    spent: VecDeque<(Duration, f64)>,
}

impl Budget {
    /// Forgets what is older than a minute.
    pub(super) fn expire(&mut self, now: Duration) {
        while self.spent.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.spent.pop_front();
        }
    }

    /// Changes within the last minute.
    pub(super) fn changes(&self) -> usize {
        self.spent.len()
    }

    /// Share of the live flows moved within the last minute.
    pub(super) fn moved(&self) -> f64 {
        self.spent.iter().map(|(_, moved)| moved).sum()
    }

    pub(super) fn spend(&mut self, now: Duration, moved: f64) {
        self.spent.push_back((now, moved));
    }
}
