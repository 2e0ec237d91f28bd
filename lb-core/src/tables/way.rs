//! Where new flows of one service go.

use crate::hash::FlowHash;
use crate::maglev::Slots;
use crate::verdict::RecordIndex;

/// What a new flow of a service needs: at hand for a run of packets, because most of a burst are for one VIP.
/// The default goes nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way<'a> {
    pub(super) maglev: Slots<'a>,
    /// By ordinal, and more behind them.
    pub(super) records: &'a [RecordIndex],
    /// Flows have connection entries.
    pub(crate) is_tracked: bool,
}

impl Way<'_> {
    /// Hints that [`Self::select`] follows within a few packets.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: &FlowHash) {
        self.maglev.prefetch(hash.maglev());
    }

    /// The backend record that Maglev picks; `None` if the pool takes no new flows.
    #[inline(always)]
    pub(crate) fn select(&self, hash: &FlowHash) -> Option<RecordIndex> {
        self.records.get(usize::from(self.maglev.lookup(hash.maglev())?)).copied()
    }
}
