//! What a change would do before it is made: objects, slots, and live flows.
//!
//! A flow with a connection entry stays where it is unless its backend's record dies, so the flows that move are
//! those of dying records, and the tables that would be in force say which those are. New flows, and flows without
//! an entry, go by the slots.

use super::candidate::Candidate;
use super::numbers::active;
use super::running::Running;
use super::view::VipImpact;
use crate::plan::Plan;
use lb_core::spec::{SelectionSpec, Spec};
use lb_core::tables::Tables;
use lb_core::verdict::RecordIndex;
use std::collections::HashMap;

/// What `candidate` would do to each VIP that runs now and that it touches.
pub(super) fn impact(running: &Running, candidate: &Candidate) -> Vec<VipImpact> {
    let names = candidate.plan.names.vips.iter().enumerate();
    let after: HashMap<&str, usize> = names.map(|(at, name)| (name.as_str(), at)).collect();
    let flows = live_flows(running, &candidate.tables);
    let then = Side { tables: &candidate.tables, spec: &candidate.plan.spec };
    let mut found = Vec::new();
    for (at, name) in running.plan.names.vips.iter().enumerate() {
        let slots_moved = match after.get(name.as_str()) {
            Some(then_at) => slots_moved((Side::of(running), at), (then, *then_at)),
            None => 1.0,
        };
        let Flows { live, moved } = flows[at];
        if slots_moved > 0.0 || moved > 0 {
            found.push(VipImpact {
                vip: name.clone(),
                slots_moved,
                live_flows: live,
                live_flows_moved: moved,
            });
        }
    }
    found
}

/// No record has this number: they are at most 65,535.
const NOBODY: RecordIndex = RecordIndex::MAX;

/// Flows of one VIP.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flows {
    pub(super) live: u64,
    pub(super) moved: u64,
}

/// Flows of every VIP that runs, and those of them that `then` would move.
pub(super) fn live_flows(running: &Running, then: &Tables) -> Vec<Flows> {
    let mut sums = vec![Flows::default(); running.plan.names.vips.len()];
    for (record, owner) in running.tables.owners() {
        // The entries of a record that is dead already are as good as gone.
        if is_alive(&running.tables, record) {
            let flows = active(&running.vitals.workers, record);
            sums[owner.service].live += flows;
            sums[owner.service].moved += if is_alive(then, record) { 0 } else { flows };
        }
    }
    sums
}

/// True if packets may follow a record.
fn is_alive(tables: &Tables, record: RecordIndex) -> bool {
    tables.records().get(usize::from(record)).is_some_and(|record| !record.is_dead())
}

/// Tables with the spec that they were made from.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) tables: &'a Tables,
    pub(super) spec: &'a Spec,
}

impl<'a> Side<'a> {
    pub(super) fn of(running: &'a Running) -> Self {
        Self { tables: &running.tables, spec: &running.plan.spec }
    }

    fn selection(self, service: usize) -> &'a SelectionSpec {
        &self.spec.services[service].selection
    }

    /// Of a service with slices the owner of every port; of another one the slots.
    fn ports(self, service: usize) -> Vec<RecordIndex> {
        let (slots, records) = self.slots(service);
        let slices = &self.selection(service).slices;
        let record = |ordinal: usize| records.get(ordinal).copied().unwrap_or(NOBODY);
        if slices.is_empty() {
            return slots.iter().map(|ordinal| record(usize::from(*ordinal))).collect();
        }
        let mut ports = vec![NOBODY; 1 << u16::BITS];
        for slice in slices {
            ports[usize::from(slice.low)..=usize::from(slice.high)].fill(record(slice.backend));
        }
        ports
    }

    /// Maglev slots of a service and the records that their ordinals stand for.
    fn slots(self, service: usize) -> (&'a [u16], &'a [RecordIndex]) {
        let table = self.spec.services.get(service).and_then(|one| self.tables.maglev(one.pool));
        let records = self.tables.layout().records.get(service);
        (table.map_or(&[], |table| table.slots()), records.map_or(&[], |records| records))
    }
}

/// Share of the slots of a service that lead elsewhere afterwards, each side with its position there.
pub(super) fn slots_moved((before, at): (Side<'_>, usize), (after, then_at): (Side<'_>, usize)) -> f64 {
    let (selection, then) = (before.selection(at), after.selection(then_at));
    if !selection.slices.is_empty() || !then.slices.is_empty() {
        return share_moved(&before.ports(at), &after.ports(then_at));
    }
    let ((old, old_records), (new, new_records)) = (before.slots(at), after.slots(then_at));
    // Tables that have not changed are shared between generations.
    if old.as_ptr() == new.as_ptr() && old.len() == new.len() && old_records == new_records {
        return 0.0;
    }
    let resolve = |slots: &[u16], records: &[RecordIndex]| -> Vec<RecordIndex> {
        slots.iter().filter_map(|ordinal| records.get(usize::from(*ordinal)).copied()).collect()
    };
    let (old, new) = (resolve(old, old_records), resolve(new, new_records));
    if selection.hash != then.hash { share_redrawn(&old, &new) } else { share_moved(&old, &new) }
}

/// Share of the flows that lead to another record if each draws a slot anew: what becomes of them when Maglev sees
/// other fields of them.
fn share_redrawn(before: &[RecordIndex], after: &[RecordIndex]) -> f64 {
    if before.is_empty() || after.is_empty() {
        return share_moved(before, after);
    }
    let mut slots: HashMap<RecordIndex, (u64, u64)> = HashMap::new();
    for record in before {
        slots.entry(*record).or_default().0 += 1;
    }
    for record in after {
        slots.entry(*record).or_default().1 += 1;
    }
    let (old, new) = (before.len() as f64, after.len() as f64);
    1.0 - slots.values().map(|(had, has)| *had as f64 / old * (*has as f64 / new)).sum::<f64>()
}

/// Share of hash values whose slot leads to another record, 0 to 1; the tables may differ in size.
pub(super) fn share_moved(before: &[RecordIndex], after: &[RecordIndex]) -> f64 {
    if before.is_empty() || after.is_empty() {
        return if before.len() == after.len() { 0.0 } else { 1.0 };
    }
    if before.len() == after.len() {
        let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
        return moved as f64 / before.len() as f64;
    }
    // Every hash value has a slot in both; the boundaries of both tables cut the range into stretches.
    let size = before.len() as u128 * after.len() as u128;
    let (mut at, mut moved) = (0u128, 0u128);
    while at < size {
        let (one, other) = (at / after.len() as u128, at / before.len() as u128);
        let end = ((one + 1) * after.len() as u128).min((other + 1) * before.len() as u128);
        if before[one as usize] != after[other as usize] {
            moved += end - at;
        }
        at = end;
    }
    moved as f64 / size as f64
}

/// Why a change is refused without force, if it is.
pub(super) fn needs_force(running: &Running, candidate: &Candidate) -> Option<String> {
    if candidate.plan.names.vips.is_empty() && !running.plan.names.vips.is_empty() {
        return Some(format!("it removes every VIP ({})", running.plan.names.vips.len()));
    }
    let had_backends: HashMap<&str, bool> = pools_in_use(&running.plan)
        .map(|at| (running.plan.names.pools[at].name.as_str(), running.pools[at].serving() > 0))
        .collect();
    let emptied: Vec<&str> = pools_in_use(&candidate.plan)
        .filter(|at| candidate.pools[*at].serving() == 0)
        .map(|at| candidate.plan.names.pools[at].name.as_str())
        .filter(|name| had_backends.get(name).copied().unwrap_or(false))
        .collect();
    (!emptied.is_empty())
        .then(|| format!("it leaves no backend that takes new flows in pool {}", emptied.join(", ")))
}

/// Pools that some VIP uses, each once.
fn pools_in_use(plan: &Plan) -> impl Iterator<Item = usize> + use<> {
    let mut used: Vec<usize> = plan.spec.services.iter().map(|service| service.pool).collect();
    used.sort_unstable();
    used.dedup();
    used.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_one_size_are_compared_slot_by_slot() {
        assert_eq!(share_moved(&[1, 1, 2, 2], &[1, 2, 2, 2]), 0.25);
        assert_eq!(share_moved(&[], &[]), 0.0);
        assert_eq!(share_moved(&[1], &[]), 1.0);
    }

    #[test]
    fn tables_of_different_sizes_are_compared_by_hash_values() {
        // A hash value in [0, 1): the first table goes over to 2 at 1/2, the second at 1/3.
        let moved = share_moved(&[1, 2], &[1, 2, 2]);
        assert!((moved - (1.0 / 2.0 - 1.0 / 3.0)).abs() < 1e-12, "{moved}");
    }
}
