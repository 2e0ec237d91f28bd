//! The table: against a naive reassembler, at its bounds, and through time.

use super::*;
use proptest::prelude::*;

const TICKS: u16 = 2;
const FATE: Verdict = Verdict::Forward(7);

fn key(number: u64) -> FlowHash {
    FlowHash { tag: number.wrapping_mul(0x9e37_79b9_7f4a_7c15), spread: number }
}

fn piece(start: u16, end: u16, is_last: bool) -> Piece {
    Piece { start, end, is_last }
}

fn decided(table: &mut FragmentTable, key: FlowHash, slot: u16) {
    table.decide(slot, FATE, key);
}

#[test]
fn what_comes_behind_the_first_follows_it_and_the_last_frees_the_slot() {
    let mut table = FragmentTable::new(64, 4);
    let Noted::First(slot) = table.note(key(1), piece(0, 8, false), Tick(0), TICKS) else { panic!() };
    decided(&mut table, key(1), slot);
    assert_eq!(table.note(key(1), piece(8, 16, false), Tick(0), TICKS), Noted::Decided(slot));
    table.release_if_whole(slot);
    assert_eq!(table.len(), 1, "one is missing");
    assert_eq!(table.note(key(1), piece(16, 20, true), Tick(1), TICKS), Noted::Decided(slot));
    assert_eq!(table.fate(slot), (FATE, key(1)));
    table.release_if_whole(slot);
    assert!(table.is_empty());
}

#[test]
fn what_comes_before_the_first_is_held_within_bounds_and_comes_back() {
    let mut table = FragmentTable::new(64, 2);
    let early = piece(8, 12, true);
    let Noted::Early(slot) = table.note(key(1), early, Tick(0), TICKS) else { panic!() };
    assert!(table.hold(slot));
    assert_eq!(table.note(key(1), early, Tick(0), TICKS), Noted::Early(slot), "a duplicate");
    assert!(table.hold(slot) && !table.hold(slot), "two are held, no more");
    assert!(!table.takes_back());
    assert_eq!(table.held_state(slot), HeldState::Waiting);
    assert_eq!(table.note(key(1), piece(0, 8, false), Tick(1), TICKS), Noted::First(slot));
    decided(&mut table, key(1), slot);
    assert!(table.takes_back() && !table.takes_back(), "told once");
    assert_eq!(table.held_state(slot), HeldState::Ready);
    table.release_if_whole(slot);
    assert_eq!(table.recall(key(1)), Some(slot), "whole, but not free while packets are held");
    table.release_if_whole(slot);
    assert_eq!(table.recall(key(1)), Some(slot));
    table.release_if_whole(slot);
    assert!(table.is_empty());
    assert_eq!(table.recall(key(1)), None);
}

#[test]
fn a_slot_with_held_packets_outlives_its_time_until_they_are_given_up() {
    let mut table = FragmentTable::new(8, 8);
    let Noted::Early(slot) = table.note(key(1), piece(8, 16, false), Tick(65_535), TICKS) else { panic!() };
    assert!(table.hold(slot) && table.hold(slot));
    table.expire(Tick(0), TICKS);
    assert_eq!(table.held_state(slot), HeldState::Waiting, "one second old");
    table.expire(Tick(1), TICKS);
    assert!(table.takes_back());
    assert_eq!(table.held_state(slot), HeldState::Gone);
    let Noted::Early(other) = table.note(key(1), piece(8, 16, false), Tick(1), TICKS) else { panic!() };
    assert_ne!(other, slot, "the same datagram again is another one");
    table.give_up(slot);
    assert_eq!(table.len(), 2);
    table.give_up(slot);
    assert_eq!((table.len(), table.held), (1, 0));
    table.expire(Tick(9), TICKS);
    assert!(table.is_empty() && !table.takes_back(), "nothing was held for it");
}

#[test]
fn a_full_table_refuses_and_forgets_nobody() {
    let mut table = FragmentTable::new(8, 8);
    let noted: Vec<Noted> =
        (0..20).map(|one| table.note(key(one), piece(0, 8, false), Tick(0), TICKS)).collect();
    assert_eq!(noted.iter().filter(|one| **one == Noted::Full).count(), 12);
    assert!((0..8).all(|one| table.find(key(one)).is_some()));
    assert!(
        matches!(table.note(key(20), piece(0, 8, false), Tick(2), TICKS), Noted::First(_)),
        "time is over"
    );
}

#[test]
fn a_spoilt_datagram_stays_spoilt() {
    let mut table = FragmentTable::new(8, 8);
    let Noted::First(slot) = table.note(key(1), piece(0, 16, false), Tick(0), TICKS) else { panic!() };
    decided(&mut table, key(1), slot);
    let invalid = Verdict::Drop(DropReason::FragmentInvalid);
    assert_eq!(table.note(key(1), piece(8, 24, true), Tick(0), TICKS), Noted::Decided(slot));
    assert_eq!(table.fate(slot).0, invalid);
    assert_eq!(table.note(key(1), piece(16, 24, true), Tick(0), TICKS), Noted::Decided(slot));
    table.release_if_whole(slot);
    assert_eq!((table.fate(slot).0, table.len()), (invalid, 1));
}

/// A datagram as a map of its bytes.
#[derive(Default)]
struct Naive {
    bytes: Vec<bool>,
    known: Vec<Piece>,
    total: Option<u16>,
    is_spoilt: bool,
}

impl Naive {
    fn add(&mut self, piece: Piece) {
        let range = usize::from(piece.start)..usize::from(piece.end);
        let is_end_known =
            self.total.is_some_and(|total| piece.end > total || piece.is_last && piece.end != total);
        let is_end_behind = piece.is_last && self.bytes.iter().rposition(|one| *one) >= Some(range.end);
        let is_duplicate = self.known.iter().any(|one| (one.start, one.end) == (piece.start, piece.end));
        self.bytes.resize(self.bytes.len().max(range.end), false);
        let overlaps = self.bytes[range.clone()].iter().any(|one| *one);
        self.is_spoilt |= is_end_known || is_end_behind || overlaps && !is_duplicate;
        if self.is_spoilt {
            return;
        }
        self.bytes[range].fill(true);
        self.known.push(piece);
        self.total = self.total.or(piece.is_last.then_some(piece.end));
    }

    fn is_whole(&self) -> bool {
        self.total.is_some_and(|total| self.bytes[..usize::from(total)].iter().all(|one| *one))
    }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_reassembler(
        pieces in prop::collection::vec((0u16..12, 1u16..5, any::<bool>()), 1..20),
    ) {
        let mut table = FragmentTable::new(8, 0);
        let mut naive = Naive::default();
        for (start, len, is_last) in pieces {
            let len = if is_last { len * 8 - 3 } else { len * 8 };
            let piece = piece(start * 8, start * 8 + len, is_last);
            let noted = table.note(key(1), piece, Tick(0), TICKS);
            naive.add(piece);
            let (Noted::First(slot) | Noted::Early(slot) | Noted::Decided(slot)) = noted else { panic!() };
            if matches!(noted, Noted::First(_)) {
                decided(&mut table, key(1), slot);
            }
            let is_spoilt = table.fate(slot).0 == Verdict::Drop(DropReason::FragmentInvalid);
            prop_assert_eq!(is_spoilt, naive.is_spoilt);
            table.release_if_whole(slot);
            prop_assert_eq!(table.is_empty(), naive.is_whole() && !naive.is_spoilt);
            if table.is_empty() {
                naive = Naive::default();
            }
        }
    }

    /// Whatever happens, held packets are counted right and every slot becomes free again.
    #[test]
    fn nothing_is_left_behind(
        steps in prop::collection::vec((0u64..40, 0u16..4, any::<bool>(), 0u16..2), 1..300),
    ) {
        let mut table = FragmentTable::new(16, 10);
        let mut held: Vec<(u16, FlowHash)> = Vec::new();
        let mut now = 0;
        let fetch = |table: &mut FragmentTable, held: &mut Vec<(u16, FlowHash)>| {
            table.takes_back();
            held.retain(|(slot, key)| match table.held_state(*slot) {
                HeldState::Waiting => true,
                HeldState::Ready => {
                    assert_eq!(table.recall(*key), Some(*slot));
                    table.release_if_whole(*slot);
                    false
                }
                HeldState::Gone => {
                    table.give_up(*slot);
                    false
                }
            });
        };
        for (number, start, is_last, later) in steps {
            now += later;
            match table.note(key(number), piece(start * 8, start * 8 + 8, is_last), Tick(now), TICKS) {
                Noted::First(slot) => decided(&mut table, key(number), slot),
                Noted::Decided(slot) => table.release_if_whole(slot),
                Noted::Early(slot) if table.hold(slot) => held.push((slot, key(number))),
                Noted::Early(_) | Noted::Full => {}
            }
            prop_assert_eq!(table.held, held.len());
            fetch(&mut table, &mut held);
            prop_assert_eq!(table.held, held.len());
        }
        table.expire(Tick(now + TICKS), TICKS);
        fetch(&mut table, &mut held);
        prop_assert_eq!((table.len(), table.held, held.len()), (0, 0, 0));
    }
}
