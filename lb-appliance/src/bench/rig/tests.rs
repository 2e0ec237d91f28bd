//! Tests of a rig: the table is in the state that its mix is about, and stays in it.

use super::super::meter::Stopwatch;
use super::super::settings::tests::settings;
use super::super::traffic;
use super::super::{line_count, table};
use super::*;

/// Fills, sends some samples, and returns the entries before and after, the capacity, and the tally between.
fn exercise(line: &str, samples: usize) -> (usize, usize, usize, Tally) {
    let settings = settings(line).expect("valid");
    let timeouts = BenchClock::new(&settings, batch_len(&settings)).timeouts();
    let tables = Arc::new(Tables::build(&traffic::spec(&settings, timeouts)).expect("tables"));
    let mut arena = table(settings.table_entries()).expect("memory");
    let source = MemorySource::new(settings.burst.into());
    let mut rig = Rig::new(&settings, 0, source, tables, &mut arena).expect("a rig");
    rig.fill(&settings, &AtomicBool::new(false)).expect("filled");
    let (filled, capacity) = rig.entries();
    assert_eq!(capacity, line_count(settings.table_entries()) * LINE_ENTRIES);
    let before = rig.tally();
    for _ in 0..samples {
        rig.draw();
        for side in [Side::Source, Side::MacSwap, Side::Pipeline] {
            rig.sample(side, &mut Stopwatch::new());
        }
    }
    let tally = rig.tally().since(before);
    assert_eq!(tally.verify(settings.mix, (samples * rig.sample_len()) as u64), Ok(()), "{tally:?}");
    (filled, rig.entries().0, capacity, tally)
}

#[test]
fn established_flows_are_all_in_the_table_and_stay() {
    for line in ["--flows 10K", "--flows 10K --mix zipf --family mixed", "--flows 1 --family v6", "--burst 7"]
    {
        let line = if line.contains("--flows") { line.to_owned() } else { format!("{line} --flows 5000") };
        let (filled, after, _, tally) = exercise(&line, 3);
        assert_eq!(Ok(filled as u64), settings(&line).map(|settings| settings.flows), "{line}");
        assert_eq!((after, tally.insertions, tally.hits), (filled, 0, tally.received), "{line}");
    }
}

#[test]
fn new_flows_come_and_go_at_the_same_rate() {
    let (filled, after, capacity, tally) = exercise("--flows 20K --mix new", 8);
    assert_eq!((tally.hits, tally.refusals, tally.evictions), (0, 0, 0));
    for entries in [filled, after] {
        assert!((16_000..24_000).contains(&entries), "{entries} of {capacity}");
    }
    assert_eq!(filled + tally.insertions as usize - tally.expirations as usize, after);
}

#[test]
fn a_flood_meets_a_full_table_and_evicts_with_every_packet() {
    let (filled, after, capacity, tally) = exercise("--flows 10K --mix flood --family mixed", 3);
    assert_eq!((filled, after), (capacity, capacity));
    assert_eq!((tally.hits, tally.evictions), (0, tally.received));
}

#[test]
fn a_swap_of_macs_is_one() {
    let mut frame = lb_core::packet::Frame::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    swap_macs(&mut frame);
    assert_eq!(frame.frame(), [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 13]);
}
