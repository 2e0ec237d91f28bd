//! The connection table against a map, over random histories in tables that are too small.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// One flow as the map knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    record: u16,
    class: Class,
    tick: Tick,
}

impl Known {
    fn has_timed_out(&self, now: Tick) -> bool {
        let timeout = match self.class {
            Class::Established => 300,
            Class::Closing => 30,
            Class::Embryonic | Class::Datagram => 60,
        };
        now.0.wrapping_sub(self.tick.0) > timeout
    }
}

/// One step of a history. `pick` chooses among the known flows.
#[derive(Clone, Debug)]
enum Step {
    New(u64),
    Packet {
        pick: prop::sample::Index,
        class: Class,
    },
    Reassign {
        pick: prop::sample::Index,
    },
    Unknown(u64),
    Wait(u16),
    Sweep(usize),
    /// Records of this remainder modulo 5 are dead.
    SweepDead(u16),
}

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![
        1 => Just(Class::Embryonic),
        3 => Just(Class::Established),
        1 => Just(Class::Closing),
        1 => Just(Class::Datagram),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any::<u64>().prop_map(Step::New),
        8 => (any::<prop::sample::Index>(), any_class()).prop_map(|(pick, class)| Step::Packet { pick, class }),
        1 => any::<prop::sample::Index>().prop_map(|pick| Step::Reassign { pick }),
        1 => any::<u64>().prop_map(Step::Unknown),
        1 => (0u16..40).prop_map(Step::Wait),
        2 => (0usize..6).prop_map(Step::Sweep),
        1 => (0u16..5).prop_map(Step::SweepDead),
    ]
}

/// A table and its twin.
struct Pair {
    table: ConnTable,
    map: HashMap<u64, Known>,
    now: Tick,
    next_record: u16,
}

impl Pair {
    /// Every flow gets a record of its own, so that a record tells which flow was lost.
    fn flow_of(&self, record: u16) -> u64 {
        *self.map.iter().find(|(_, known)| known.record == record).expect("a record that nobody has").0
    }

    fn pick(&self, pick: prop::sample::Index) -> Option<u64> {
        let mut flows: Vec<u64> = self.map.keys().copied().collect();
        flows.sort_unstable();
        (!flows.is_empty()).then(|| *pick.get(&flows))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::New(flow) => self.insert(flow),
            Step::Unknown(flow) => assert_eq!(self.table.find(Portable, flow), None),
            Step::Wait(ticks) => self.now = Tick(self.now.0.wrapping_add(ticks)),
            Step::Sweep(lines) => self.sweep(lines, 5),
            Step::SweepDead(dead) => self.sweep(self.table.line_count(), dead),
            Step::Packet { pick, class } => {
                let Some(flow) = self.pick(pick) else { return };
                let slot = self.table.find(Portable, flow).unwrap();
                self.table.set_class(slot, class);
                self.table.touch(slot, self.now);
                let record = self.map[&flow].record;
                self.map.insert(flow, Known { record, class, tick: self.now });
            }
            Step::Reassign { pick } => {
                let Some(flow) = self.pick(pick) else { return };
                let slot = self.table.find(Portable, flow).unwrap();
                let known = Known { record: self.next_record, class: Class::Embryonic, tick: self.now };
                self.next_record += 1;
                self.table.reassign(slot, known.record, known.class, known.tick);
                self.map.insert(flow, known);
            }
        }
    }

    fn insert(&mut self, flow: u64) {
        let known = Known { record: self.next_record, class: Class::Embryonic, tick: self.now };
        self.next_record += 1;
        let (before, load) = (self.table.len(), self.table.len() * 100 / self.table.capacity());
        match self.table.insert(flow, known.record, known.class, self.now, &TIMEOUTS) {
            Inserted::Fresh => assert_eq!(self.table.len(), before + 1),
            Inserted::Refused => {
                assert_eq!(self.table.len(), before);
                assert!(load > 25, "refused at a load of {load} %");
                return;
            }
            Inserted::Evicted(record) => {
                assert_eq!(self.table.len(), before);
                let lost = self.map.remove(&self.flow_of(record)).unwrap();
                assert!(lost.class != Class::Established, "an established flow was evicted: {lost:?}");
                assert!(!lost.has_timed_out(self.now), "counted as alive: {lost:?}");
            }
            Inserted::Expired(record) => {
                assert_eq!(self.table.len(), before);
                let lost = self.map.remove(&self.flow_of(record)).unwrap();
                assert!(lost.has_timed_out(self.now), "counted as timed out: {lost:?}");
            }
        }
        self.map.insert(flow, known);
    }

    fn sweep(&mut self, lines: usize, dead: u16) {
        let is_gone = |record: u16| record % 5 == dead;
        let mut removed = Vec::new();
        self.table.sweep(lines, self.now, &TIMEOUTS, is_gone, |record| removed.push(record));
        for record in removed {
            let lost = self.map.remove(&self.flow_of(record)).unwrap();
            assert!(
                is_gone(record) || lost.has_timed_out(self.now),
                "swept too early: {lost:?} at {:?}",
                self.now
            );
        }
        if lines >= self.table.line_count() {
            let over = self.map.values().find(|known| is_gone(known.record) || known.has_timed_out(self.now));
            assert!(over.is_none(), "a whole sweep left {over:?} at {:?}", self.now);
        }
    }

    fn check(&self) {
        check_lines(&self.table);
        assert_eq!(self.table.len(), self.map.len());
        assert!(self.table.len() <= self.table.capacity());
        for (flow, known) in &self.map {
            let slot =
                self.table.find(Portable, *flow).unwrap_or_else(|| panic!("{flow:#x} is lost: {known:?}"));
            let found = (self.table.record(slot), self.table.class(slot));
            assert_eq!(found, (known.record, known.class), "{flow:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_table_never_loses_what_it_did_not_report(
        lines_log2 in 1u32..6,
        start in any::<u16>(),
        steps in prop::collection::vec(any_step(), 0..350),
    ) {
        let table = ConnTable::with_capacity((1 << lines_log2) * 6);
        let mut pair = Pair { table, map: HashMap::new(), now: Tick(start), next_record: 0 };
        for step in steps {
            pair.step(step);
            pair.check();
        }
    }
}
