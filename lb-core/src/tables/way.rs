//! Where new flows of one service go.

use crate::hash::FlowHash;
use crate::hw;
use crate::maglev;
use crate::verdict::RecordIndex;

/// What a new flow of a service needs: at hand for a run of packets, because most of a burst are for one VIP.
/// The default goes nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way<'a> {
    /// Of the Maglev table, and how many they are unless there are none.
    pub(super) slots: &'a [u16],
    pub(super) size: u32,
    /// By ordinal, and more behind them.
    pub(super) records: &'a [RecordIndex],
    /// Flows have connection entries.
    pub(crate) is_tracked: bool,
}

impl Way<'_> {
    /// Hints that [`Self::select`] follows within a few packets.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: &FlowHash) {
        let slot = maglev::slot_of(hash.maglev(), self.size);
        hw::prefetch_near(self.slots.as_ptr().wrapping_add(slot as usize));
    }

    /// The backend record that Maglev picks; `None` if the pool takes no new flows.
    #[inline(always)]
    pub(crate) fn select(&self, hash: &FlowHash) -> Option<RecordIndex> {
        let ordinal = *self.slots.get(maglev::slot_of(hash.maglev(), self.size) as usize)?;
        self.records.get(usize::from(ordinal)).copied()
    }
}
