//! How many messages of our own leave in a second: to everybody, and to one source.
//!
//! Budgets are per whole second of the worker's clock and not carried over. Sources are told apart by a keyed hash in a
//! small table; two that meet in it share a budget, which is the price of a bound that does not grow.

use crate::clock::Tick;
use crate::spec::Budget;

/// Places of the table of sources.
const SOURCES: usize = 1024;

/// Which budget a message is paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// ICMP errors.
    Errors = 0,
    /// Echo replies.
    Echoes = 1,
}

/// What one worker has spent in this second.
#[derive(Clone, Debug)]
pub struct Limiter {
    second: Tick,
    totals: [u32; 2],
    sources: Box<[[u32; 2]; SOURCES]>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { second: Tick::default(), totals: [0; 2], sources: Box::new([[0; 2]; SOURCES]) }
    }
}

impl Limiter {
    /// Takes one message to a source out of a budget. False, with nothing taken, if there is none left. `source` is a
    /// keyed hash of the source.
    pub fn take(&mut self, purse: Purse, budget: Budget, source: u64, now: Tick) -> bool {
        if now != self.second {
            self.second = now;
            self.totals = [0; 2];
            self.sources.fill([0; 2]);
        }
        let (total, own) =
            (&mut self.totals[purse as usize], &mut self.sources[source as usize % SOURCES][purse as usize]);
        let has_left = *total < budget.total && *own < budget.per_source;
        *total += u32::from(has_left);
        *own += u32::from(has_left);
        has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_per_second_per_source_and_per_purse() {
        let mut limiter = Limiter::default();
        let budget = Budget { total: 5, per_source: 2 };
        let taken = |limiter: &mut Limiter, purse, source, now| {
            (0..10).filter(|_| limiter.take(purse, budget, source, Tick(now))).count()
        };
        assert_eq!(taken(&mut limiter, Purse::Errors, 1, 7), 2, "one source");
        assert_eq!(taken(&mut limiter, Purse::Errors, 2, 7), 2, "another one");
        assert_eq!(taken(&mut limiter, Purse::Errors, 3, 7), 1, "the rest of the total");
        assert_eq!(taken(&mut limiter, Purse::Errors, 4, 7), 0);
        assert_eq!(taken(&mut limiter, Purse::Echoes, 4, 7), 2, "the other purse is full");
        assert_eq!(taken(&mut limiter, Purse::Errors, 1, 8), 2, "a new second");
        let nothing = Budget { total: 0, per_source: 9 };
        assert!(!limiter.take(Purse::Errors, nothing, 9, Tick(9)), "0 is never");
    }
}
