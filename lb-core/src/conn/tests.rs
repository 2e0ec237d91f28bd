//! The connection table: hand-made cases of layout, relocation, eviction and time.
//!
//! `model` compares it with a map over random histories, `crowd` shows it under load and in a flood.

mod crowd;
mod model;

use super::*;
use crate::clock::{Tick, Timeouts};
use crate::hw::Portable;
use zerocopy::IntoBytes;

const TIMEOUTS: Timeouts = Timeouts { tcp_ticks: 300, tcp_closing_ticks: 30, udp_ticks: 60 };

/// A tag from its parts, for tables of at most 2^16 lines: home line and the two halves of the fingerprint.
fn tag(home: u32, lo: u32, hi: u16) -> u64 {
    u64::from(hi) << 48 | u64::from(lo) << 16 | u64::from(home)
}

/// The other line, written down a second time.
fn other_line(line: u32, lo: u32, lines: usize) -> u32 {
    line ^ ((lo.wrapping_mul(0x9e37_79b1) >> 7 | 1) & (lines as u32 - 1))
}

/// `count` values of `lo` by which flows of line `home` may also live in line `other`. One of the two is
/// even and the other odd: bit 0 always changes.
fn los(home: u32, other: u32, lines: usize, count: usize) -> Vec<u32> {
    assert_ne!(home % 2, other % 2);
    (0..).filter(|lo| other_line(home, *lo, lines) == other).take(count).collect()
}

/// The fields of a line that no method tells, at the offsets of docs/connection-table.md.
fn rest(line: &Line) -> u16 {
    u16::from_ne_bytes([line.as_bytes()[62], line.as_bytes()[63]])
}

fn overflow(line: &Line) -> u8 {
    (rest(line) >> 12) as u8
}

fn guests(line: &Line) -> u8 {
    (rest(line) & 0x3f) as u8
}

/// What must add up in any table at any moment.
fn check_lines(table: &ConnTable) {
    let lines = table.lines();
    let mut away = vec![0u32; lines.len()];
    let mut taken = 0;
    for (index, line) in lines.iter().enumerate() {
        taken += line.taken().count_ones() as usize;
        let bits = guests(line) | (rest(line) >> 6 & 0x3f) as u8 | line.as_bytes()[61];
        assert_eq!(u32::from(bits) & !line.taken(), 0, "line {index}: a bit of a free entry");
        for entry in (0..6).filter(|entry| line.taken() >> entry & 1 == 1 && line.is_guest(*entry)) {
            away[other_line(index as u32, line.lo(entry), lines.len()) as usize] += 1;
        }
    }
    assert_eq!(table.len(), taken, "entries in use");
    for (index, line) in lines.iter().enumerate() {
        let counted = u32::from(overflow(line));
        assert!(
            counted == away[index] || counted == 15,
            "line {index}: {counted}, {} live away",
            away[index]
        );
    }
}

fn sweep_all(table: &mut ConnTable, now: Tick) -> Vec<u16> {
    let mut removed = Vec::new();
    table.sweep(table.line_count(), now, &TIMEOUTS, |_| false, |record| removed.push(record));
    removed
}

/// Removes the entry of one record.
fn remove(table: &mut ConnTable, record: u16) {
    let mut removed = 0;
    table.sweep(table.line_count(), Tick(0), &TIMEOUTS, |found| found == record, |_| removed += 1);
    assert_eq!(removed, 1, "record {record}");
}

fn insert(table: &mut ConnTable, tag: u64, record: u16, class: Class, now: Tick) -> Inserted {
    assert_eq!(table.find(Portable, tag), None);
    let inserted = table.insert(tag, record, class, now, &TIMEOUTS);
    check_lines(table);
    inserted
}

fn record(table: &ConnTable, tag: u64) -> Option<u16> {
    table.find(Portable, tag).map(|slot| table.record(slot))
}

#[test]
fn an_entry_lies_where_the_document_says() {
    let mut table = ConnTable::with_capacity(12);
    let flow = tag(1, 0x1122_3344, 0x5566);
    insert(&mut table, flow, 0x7788, Class::Closing, Tick(0x99aa));
    let bytes = table.lines()[1].as_bytes();
    assert_eq!(bytes[24..28], 0x1122_3344u32.to_ne_bytes(), "lo: hash bits 16-47");
    assert_eq!(bytes[48..50], 0x5566u16.to_ne_bytes(), "hi: hash bits 48-63");
    assert_eq!(bytes[..2], 0x99aau16.to_ne_bytes(), "tick");
    assert_eq!(bytes[12..14], 0x7788u16.to_ne_bytes(), "record");
    assert_eq!(bytes[60..62], [1, 1], "taken, unsteady");
    assert_eq!(bytes[62..64], (1u16 << 6).to_ne_bytes(), "guests, second class bits, overflow");
    assert!(table.lines()[0].as_bytes().iter().all(|byte| *byte == 0), "the other line is untouched");
}

#[test]
fn the_size_is_a_power_of_two_of_lines_with_room_for_all() {
    for (entries, lines) in
        [(0, 2), (1, 2), (12, 2), (13, 4), (200_000, 65_536), (393_216, 65_536), (393_217, 131_072)]
    {
        assert_eq!(ConnTable::<Box<[Line]>>::lines_for(entries), lines, "{entries} entries");
    }
    let table = ConnTable::with_capacity(100);
    assert_eq!((table.line_count(), table.capacity(), table.len()), (32, 192, 0));
    assert!(table.is_empty());
}

#[test]
fn the_seventh_flow_of_a_line_lives_in_the_other_and_is_found() {
    let mut table = ConnTable::with_capacity(24);
    for (index, lo) in los(0, 1, 4, 7).into_iter().enumerate() {
        assert!(!table.home_overflows(tag(0, lo, 1)), "before flow {index}");
        assert_eq!(
            insert(&mut table, tag(0, lo, 1), index as u16, Class::Established, Tick(0)),
            Inserted::Fresh
        );
    }
    assert_eq!((overflow(&table.lines()[0]), guests(&table.lines()[1])), (1, 1));
    let seventh = tag(0, los(0, 1, 4, 7)[6], 1);
    assert_eq!(table.find_home(Portable, seventh), None);
    assert_eq!(table.find_alternate(Portable, seventh), table.find(Portable, seventh));
    assert_eq!(record(&table, seventh), Some(6));
    remove(&mut table, 6);
    assert_eq!(
        (overflow(&table.lines()[0]), guests(&table.lines()[1])),
        (0, 0),
        "the home forgets its guest"
    );
}

/// Line 1 is full with a guest of line 0 in it, line 2 is full, line 0 has room again.
fn table_with_a_guest() -> ConnTable {
    let mut table = ConnTable::with_capacity(24);
    for (index, lo) in los(0, 1, 4, 7).into_iter().enumerate() {
        insert(&mut table, tag(0, lo, 1), index as u16, Class::Established, Tick(0));
    }
    for (index, lo) in los(2, 3, 4, 6).into_iter().enumerate() {
        insert(&mut table, tag(2, lo, 3), 30 + index as u16, Class::Established, Tick(0));
    }
    for (index, lo) in los(1, 2, 4, 5).into_iter().enumerate() {
        insert(&mut table, tag(1, lo, 5), 10 + index as u16, Class::Established, Tick(0));
    }
    remove(&mut table, 0);
    check_lines(&table);
    table
}

#[test]
fn a_guest_goes_home_when_its_host_needs_the_place() {
    let mut table = table_with_a_guest();
    let guest = tag(0, los(0, 1, 4, 7)[6], 1);
    assert_eq!(table.find_home(Portable, guest), None);
    let newcomer = tag(1, los(1, 2, 4, 6)[5], 5);
    assert_eq!(insert(&mut table, newcomer, 77, Class::Embryonic, Tick(0)), Inserted::Fresh);
    assert!(table.find_home(Portable, guest).is_some(), "the guest is at home");
    assert!(table.find_home(Portable, newcomer).is_some(), "the newcomer has its place");
    assert_eq!((overflow(&table.lines()[0]), guests(&table.lines()[1])), (0, 0));
    assert_eq!((record(&table, guest), record(&table, newcomer), table.len()), (Some(6), Some(77), 18));
}

#[test]
fn a_native_moves_out_when_both_lines_of_a_newcomer_are_full() {
    let mut table = ConnTable::with_capacity(24);
    let (natives, others) = (los(0, 1, 4, 6), los(0, 3, 4, 1));
    for (index, lo) in natives.iter().enumerate() {
        insert(&mut table, tag(0, *lo, 1), index as u16, Class::Established, Tick(0));
    }
    for (index, lo) in los(3, 2, 4, 6).into_iter().enumerate() {
        insert(&mut table, tag(3, lo, 3), 30 + index as u16, Class::Established, Tick(0));
    }
    let newcomer = tag(0, others[0], 9);
    assert_eq!(insert(&mut table, newcomer, 99, Class::Embryonic, Tick(0)), Inserted::Fresh);
    assert_eq!((overflow(&table.lines()[0]), guests(&table.lines()[1])), (1, 1));
    for (index, lo) in natives.iter().enumerate() {
        assert_eq!(record(&table, tag(0, *lo, 1)), Some(index as u16), "flow {index} after the move");
    }
}

/// Two lines, twelve entries of `class`, all with home 0 and ticks 0 to 11.
fn full(class: Class) -> ConnTable {
    let mut table = ConnTable::with_capacity(12);
    for index in 0..12 {
        insert(&mut table, tag(0, index, 1), index as u16, class, Tick(index as u16));
    }
    table
}

#[test]
fn a_flow_is_pushed_out_only_when_both_lines_are_full_unless_it_is_embryonic() {
    for class in [Class::Established, Class::Datagram, Class::Closing] {
        assert_eq!(full(class).len(), 12, "{class:?}");
    }
    assert_eq!(
        full(Class::Embryonic).len(),
        11,
        "11 of 12 are above 85 %: the flood goes in circles at home"
    );
}

#[test]
fn full_of_established_flows_means_refused() {
    let mut table = full(Class::Established);
    assert_eq!(insert(&mut table, tag(0, 50, 1), 50, Class::Embryonic, Tick(12)), Inserted::Refused);
    assert_eq!(record(&table, tag(0, 50, 1)), None);
    assert!((0..12).all(|index| record(&table, tag(0, index, 1)) == Some(index as u16)));
}

#[test]
fn the_evicted_is_embryonic_first_then_the_longest_idle() {
    use Class::{Closing, Datagram, Embryonic, Established};
    let table: &[(&str, [Class; 6], u16, Option<u16>)] = &[
        ("the oldest datagram flow", [Datagram; 6], 20, Some(0)),
        (
            "the only one embryonic, though the youngest",
            [Closing, Closing, Closing, Datagram, Datagram, Embryonic],
            20,
            Some(5),
        ),
        (
            "the older of two embryonic",
            [Closing, Established, Embryonic, Embryonic, Closing, Closing],
            20,
            Some(2),
        ),
        (
            "a closing one rather than established ones",
            [Established, Established, Established, Established, Closing, Established],
            20,
            Some(4),
        ),
        ("an established one that has timed out", [Established; 6], 301, Some(0)),
        ("nobody on the last tick of the timeout", [Established; 6], 300, None),
    ];
    for (sentence, classes, now, evicted) in table {
        let mut lines = full(Established);
        for (index, class) in classes.iter().enumerate() {
            let slot = lines.find(Portable, tag(0, index as u32, 1)).unwrap();
            lines.set_class(slot, *class);
        }
        let result = insert(&mut lines, tag(0, 50, 1), 50, Embryonic, Tick(*now));
        let gone = if *now > 300 { Inserted::Expired } else { Inserted::Evicted };
        assert_eq!(result, evicted.map_or(Inserted::Refused, gone), "{sentence}");
        assert_eq!(lines.len(), 12, "{sentence}");
        let lost: Vec<u16> =
            (0..12).filter(|index| record(&lines, tag(0, u32::from(*index), 1)).is_none()).collect();
        assert_eq!(lost, Vec::from_iter(*evicted), "{sentence}");
    }
}

#[test]
fn a_guest_that_is_evicted_is_taken_off_its_homes_count() {
    let mut table = ConnTable::with_capacity(12);
    // Six natives and two guests of line 0, four natives of line 1: full.
    for index in 0..8 {
        insert(&mut table, tag(0, index, 1), index as u16, Class::Established, Tick(5));
    }
    for index in 0..4 {
        insert(&mut table, tag(1, index, 3), 20 + index as u16, Class::Established, Tick(5));
    }
    assert_eq!(overflow(&table.lines()[0]), 2);
    let guest = table.find(Portable, tag(0, 7, 1)).unwrap();
    table.set_class(guest, Class::Embryonic);
    assert_eq!(insert(&mut table, tag(1, 60, 3), 60, Class::Embryonic, Tick(6)), Inserted::Evicted(7));
    assert_eq!((overflow(&table.lines()[0]), guests(&table.lines()[1]).count_ones()), (1, 1));
}

#[test]
fn every_class_is_swept_one_tick_after_its_timeout_across_the_wrap() {
    use Class::{Closing, Datagram, Embryonic, Established};
    for start in [0, 65_200, 65_400, 65_500, 65_535] {
        for (class, timeout) in [(Embryonic, 60), (Established, 300), (Closing, 30), (Datagram, 60)] {
            let mut table = ConnTable::with_capacity(12);
            insert(&mut table, tag(0, 1, 1), 7, class, Tick(start));
            let at = |ticks: u16| Tick(start.wrapping_add(ticks));
            assert_eq!(sweep_all(&mut table, at(timeout)), [0u16; 0], "{class:?} from {start}");
            assert_eq!(sweep_all(&mut table, at(timeout + 1)), [7], "{class:?} from {start}");
            assert_eq!((table.len(), record(&table, tag(0, 1, 1))), (0, None));
        }
    }
}

#[test]
fn a_packet_a_tick_keeps_a_flow_through_two_wraps() {
    let mut table = ConnTable::with_capacity(12);
    insert(&mut table, tag(0, 1, 1), 7, Class::Established, Tick(65_000));
    for second in 0..140_000u32 {
        let now = Tick(65_000u16.wrapping_add(second as u16));
        let slot = table.find(Portable, tag(0, 1, 1)).unwrap();
        table.touch(slot, now);
        assert_eq!(sweep_all(&mut table, now), [0u16; 0], "second {second}");
    }
}

#[test]
fn a_sweep_takes_the_lines_in_turn_and_never_more_than_there_are() {
    let mut table = ConnTable::with_capacity(24);
    for line in 0..4 {
        insert(&mut table, tag(line, 1, 1), line as u16, Class::Closing, Tick(0));
    }
    let mut removed = Vec::new();
    table.sweep(3, Tick(100), &TIMEOUTS, |_| false, |record| removed.push(record));
    assert_eq!(removed, [0, 1, 2]);
    table.sweep(1_000, Tick(100), &TIMEOUTS, |_| false, |record| removed.push(record));
    assert_eq!(removed, [0, 1, 2, 3]);
    check_lines(&table);
}

#[test]
fn a_count_of_15_guests_sticks_and_only_costs_a_second_look() {
    let mut table = ConnTable::with_capacity(6 * 1024);
    let spread: Vec<u64> = (0..400).map(|index| tag(3, index * 977, 1)).collect();
    for (index, flow) in spread.iter().enumerate() {
        assert_eq!(insert(&mut table, *flow, index as u16, Class::Closing, Tick(0)), Inserted::Fresh);
    }
    assert_eq!(overflow(&table.lines()[3]), 15);
    for (index, flow) in spread.iter().enumerate() {
        assert_eq!(record(&table, *flow), Some(index as u16));
    }
    assert_eq!(sweep_all(&mut table, Tick(31)).len(), 400);
    assert_eq!((overflow(&table.lines()[3]), table.len()), (15, 0));
    assert_eq!(record(&table, spread[0]), None);
}

#[test]
fn a_reassigned_entry_is_a_new_flow_in_the_same_place() {
    let mut table = full(Class::Closing);
    let flow = tag(0, 7, 1);
    let slot = table.find(Portable, flow).unwrap();
    table.reassign(slot, 500, Class::Embryonic, Tick(29));
    check_lines(&table);
    assert_eq!(table.find(Portable, flow), Some(slot));
    assert_eq!((table.record(slot), table.class(slot), table.len()), (500, Class::Embryonic, 12));
    // Closing ones are gone by now; an embryonic one of tick 29 stays to tick 89.
    assert_eq!(sweep_all(&mut table, Tick(89)).len(), 11);
    assert_eq!(sweep_all(&mut table, Tick(90)), [500]);
}
