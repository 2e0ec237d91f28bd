//! What the size of the Maglev table asks of the pools.
//!
//! A backend's share is a number of slots; with few slots, rounding makes the share wrong by percents.

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::Findings;
use super::super::model::BackendState;

/// Slots below which a share is off by more than about 1 % (Maglev paper, 3.4: table much larger than the pool).
pub(super) const SHARE_SLOTS_MIN: u64 = 100;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    let size = &draft.forwarding.table_size;
    for pool in &draft.pools {
        let Some(name) = &pool.name else { continue };
        if pool.backends.len() > size.value as usize {
            let message = format!(
                "pool `{}` has {} backends for {} slots",
                name.value,
                pool.backends.len(),
                size.value
            );
            let hint = "raise `forwarding.maglev.table_size` to a prime of at least 100 slots per backend";
            findings.add_hint(Code::TableTooSmall, &name.place, message, hint);
            continue;
        }
        let serving = pool
            .backends
            .iter()
            .filter(|backend| backend.state == BackendState::Active && backend.weight > 0);
        let total: u64 = serving.clone().map(|backend| u64::from(backend.weight)).sum();
        let Some(least) = serving.min_by_key(|backend| backend.weight) else { continue };
        let slots = u64::from(size.value) * u64::from(least.weight) / total;
        if slots < SHARE_SLOTS_MIN {
            let message =
                format!("this backend gets about {slots} of {} slots, so its share is coarse", size.value);
            let hint = "raise `forwarding.maglev.table_size`, for example to 655373, or the smallest weight";
            findings.add_hint(Code::SmallShare, &least.place, message, hint);
        }
    }
}
