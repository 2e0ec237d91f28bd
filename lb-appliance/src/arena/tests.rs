//! The arena: shape, emptiness, no huge pages, and that a connection table cannot tell it from a box.

use super::*;
use lb_core::clock::{Tick, Timeouts};
use lb_core::conn::{Class, ConnTable};
use lb_core::hw::Portable;
use proptest::prelude::*;
use zerocopy::IntoBytes;

fn without_huge_pages(lines: usize) -> Arena {
    Arena::advised(lines, |_, _| Err(io::Error::from_raw_os_error(libc::EINVAL))).unwrap()
}

#[test]
fn lines_are_aligned_counted_and_empty() {
    for lines in [1, 2, 64, HUGE_PAGE_LEN / 64, HUGE_PAGE_LEN / 64 + 1, 1 << 17] {
        for arena in [Arena::new(lines).unwrap(), without_huge_pages(lines)] {
            assert_eq!(arena.len(), lines);
            assert_eq!(arena.bytes(), lines * 64);
            assert_eq!(arena.as_ptr().addr() % HUGE_PAGE_LEN, 0);
            assert!(arena.as_bytes().iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn what_is_written_stays() {
    let mut arena = Arena::new(1 << 16).unwrap();
    arena.as_mut_bytes()[(1 << 22) - 1] = 7;
    arena.as_mut_bytes()[0] = 9;
    assert_eq!((arena.as_bytes()[(1 << 22) - 1], arena.as_bytes()[0]), (7, 9));
}

#[test]
fn a_refusal_is_told_and_changes_nothing_else() {
    let mut arena = without_huge_pages(1 << 15);
    assert_eq!(arena.refusal().and_then(io::Error::raw_os_error), Some(libc::EINVAL));
    assert!(arena.huge_bytes().unwrap() <= arena.bytes());
    arena.as_mut_bytes().fill(1);
    assert!(arena.iter().all(|line| line.as_bytes() == [1; 64]));
    assert!(Arena::new(4).unwrap().refusal().is_none() || !setting().contains('['));
}

#[test]
fn no_machine_has_so_many_lines() {
    for lines in [usize::MAX, usize::MAX / 64, isize::MAX as usize / 64] {
        assert!(Arena::new(lines).is_err(), "{lines}");
    }
}

#[test]
fn huge_pages_are_read_from_the_account_of_the_mapping() {
    let smaps = "7f0000000000-7f0000400000 rw-p 00000000 00:00 0\n\
                 Size:               4096 kB\nAnonHugePages:      2048 kB\nVmFlags: rd wr hg\n\
                 7f0000400000-7f0000800000 rw-p 00000000 00:00 0 \n\
                 AnonHugePages:      4096 kB\n\
                 7f0000800000-7f0000c00000 r--p 00000000 fd:00 12 /lib/x-y.so\n\
                 AnonHugePages:         0 kB\n";
    let bytes =
        |start: usize, end: usize| huge_bytes(smaps, 0x7f00_0000_0000 + start..0x7f00_0000_0000 + end);
    assert_eq!(bytes(0, 0x40_0000), 2 << 20);
    assert_eq!(bytes(0, 0x80_0000), 6 << 20, "two mappings");
    assert_eq!(bytes(0x40_0000, 0x60_0000), 2 << 20, "no more than asked about");
    assert_eq!(bytes(0x80_0000, 0xc0_0000), 0);
    assert_eq!(bytes(0xc0_0000, 0xd0_0000), 0, "nobody's");
}

#[test]
fn memory_on_huge_pages_is_accounted_as_such() {
    let arena = Arena::new(1 << 16).unwrap();
    let huge = arena.huge_bytes().unwrap();
    assert!(huge <= arena.bytes());
    if setting().contains("[never]") {
        assert_eq!(huge, 0);
    }
}

const TIMEOUTS: fn() -> Timeouts = Timeouts::default;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u64, Class),
    Find(u64),
    Sweep(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    // Few tags, so that some come again; their parts are spread over all bits that count.
    let tag = (0u64..400).prop_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let class = prop_oneof![Just(Class::Embryonic), Just(Class::Established), Just(Class::Datagram)];
    prop_oneof![
        4 => (tag.clone(), class).prop_map(|(tag, class)| Step::Insert(tag, class)),
        4 => tag.prop_map(Step::Find),
        1 => (0u16..200).prop_map(Step::Sweep),
    ]
}

proptest! {
    #[test]
    fn a_table_works_in_an_arena_as_in_a_box(steps in prop::collection::vec(any_step(), 1..400)) {
        let mut arena = Arena::new(16).unwrap();
        let mut ours = ConnTable::new(&mut *arena);
        let mut boxed = ConnTable::new(vec![Line::EMPTY; 16].into_boxed_slice());
        let mut now = Tick(1);
        for (step, record) in steps.into_iter().zip(0u16..) {
            match step {
                Step::Insert(tag, class) if ours.find(Portable, tag).is_none() => {
                    let done = ours.insert(tag, record, class, now, &TIMEOUTS());
                    prop_assert_eq!(done, boxed.insert(tag, record, class, now, &TIMEOUTS()));
                }
                Step::Insert(tag, _) | Step::Find(tag) => {
                    let found = ours.find(Portable, tag);
                    prop_assert_eq!(found, boxed.find(Portable, tag));
                    prop_assert_eq!(found.map(|slot| ours.record(slot)), found.map(|slot| boxed.record(slot)));
                }
                Step::Sweep(ticks) => {
                    now = Tick(now.0.wrapping_add(ticks));
                    let (mut gone, mut also_gone) = (Vec::new(), Vec::new());
                    ours.sweep(5, now, &TIMEOUTS(), |_| false, |record| gone.push(record));
                    boxed.sweep(5, now, &TIMEOUTS(), |_| false, |record| also_gone.push(record));
                    prop_assert_eq!(gone, also_gone);
                }
            }
            prop_assert_eq!(ours.len(), boxed.len());
        }
    }
}
