//! What the pipeline's own counters say about a benchmark: packets that were not forwarded are no result.

use super::settings::Mix;
use lb_core::counters::WorkerCounters;

/// Fewest hits among packets of established flows. A few flows may have found no room in a table at its load.
const HIT_SHARE_MIN: f64 = 0.99;

/// Counters, or the difference of two states of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) received: u64,
    pub(super) forwarded: u64,
    pub(super) dropped: u64,
    pub(super) hits: u64,
    pub(super) insertions: u64,
    pub(super) evictions: u64,
    pub(super) refusals: u64,
    pub(super) expirations: u64,
}

impl Tally {
    pub(super) fn of(counters: &WorkerCounters) -> Self {
        Self {
            received: counters.received.get(),
            forwarded: counters.records.iter().map(|record| record.packets.get()).sum(),
            dropped: counters.drops.total(),
            hits: counters.hits.get(),
            insertions: counters.insertions.get(),
            evictions: counters.evictions.get(),
            refusals: counters.refusals.get(),
            expirations: counters.expirations.get(),
        }
    }

    fn merge(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            received: with(self.received, other.received),
            forwarded: with(self.forwarded, other.forwarded),
            dropped: with(self.dropped, other.dropped),
            hits: with(self.hits, other.hits),
            insertions: with(self.insertions, other.insertions),
            evictions: with(self.evictions, other.evictions),
            refusals: with(self.refusals, other.refusals),
            expirations: with(self.expirations, other.expirations),
        }
    }

    /// What was counted since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        self.merge(before, u64::wrapping_sub)
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        self.merge(other, u64::wrapping_add)
    }

    /// Is this what `packets` packets of the mix should have done?
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn verify(&self, mix: Mix, packets: u64) -> Result<(), String> {
        let Self { received, forwarded, dropped, hits, insertions, refusals, .. } = *self;
        if received != packets {
            return Err(format!("{packets} packets were sent to the pipeline, but it counted {received}"));
        }
        if forwarded != received {
            return Err(format!("only {forwarded} of {received} packets were forwarded, {dropped} dropped"));
        }
        match mix {
            Mix::Uniform | Mix::Zipf if (hits as f64) < received as f64 * HIT_SHARE_MIN => Err(format!(
                "only {hits} of {received} packets had an entry: at this --load, flows find no room"
            )),
            Mix::New if insertions + refusals != received => Err(format!(
                "{received} new flows, but {insertions} entries made and {refusals} refused: flows were not new"
            )),
            Mix::Flood if insertions != received => {
                Err(format!("{received} new flows, but only {insertions} entries made on a full table"))
            }
            Mix::Uniform | Mix::Zipf | Mix::New | Mix::Flood => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HITS: Tally = Tally {
        received: 1_000,
        forwarded: 1_000,
        hits: 1_000,
        dropped: 0,
        insertions: 0,
        evictions: 0,
        refusals: 0,
        expirations: 0,
    };

    #[test]
    fn what_was_not_forwarded_is_no_result() {
        assert_eq!(HITS.verify(Mix::Uniform, 1_000), Ok(()));
        let refusal = |tally: Tally, mix| tally.verify(mix, 1_000).expect_err("must be refused");
        assert!(refusal(Tally { received: 999, ..HITS }, Mix::Uniform).contains("counted 999"));
        let dropped = Tally { forwarded: 990, dropped: 10, ..HITS };
        assert!(refusal(dropped, Mix::Zipf).contains("only 990 of 1000"));
        assert!(refusal(Tally { hits: 989, ..HITS }, Mix::Zipf).contains("--load"));
        assert_eq!(Tally { hits: 990, ..HITS }.verify(Mix::Uniform, 1_000), Ok(()));
        assert!(refusal(HITS, Mix::New).contains("0 entries made"));
        assert!(refusal(Tally { insertions: 999, refusals: 1, ..HITS }, Mix::Flood).contains("999"));
        assert_eq!(Tally { insertions: 999, refusals: 1, ..HITS }.verify(Mix::New, 1_000), Ok(()));
    }

    #[test]
    fn tallies_add_and_subtract() {
        let twice = HITS.plus(HITS);
        assert_eq!((twice.received, twice.since(HITS)), (2_000, HITS));
    }
}
