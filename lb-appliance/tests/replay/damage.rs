//! Captures that end badly: everything before the damage is done, then the place is named.

use super::golden::{CONFIG, forwarded};
use super::wire::Client;
use super::{Outcome, capture, configuration, replayed, summary};
use lb_appliance::replay::{CaptureFlaw, ReplayError, ReplayOptions};
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::{Endianness, TsResolution};
use proptest::prelude::*;
use std::time::Duration;

fn outcome(capture: &[u8]) -> Outcome {
    replayed(&configuration(CONFIG), capture, &ReplayOptions::default())
}

#[test]
fn what_precedes_damage_is_processed_and_written() {
    let frames: Vec<Vec<u8>> = forwarded().iter().map(Client::frame).collect();
    let whole = capture::plain(&frames);
    let reference = outcome(&whole);
    let ends: Vec<usize> = frames
        .iter()
        .scan(24, |at, frame| {
            *at += 16 + frame.len();
            Some(*at)
        })
        .collect();
    for len in (24..whole.len()).step_by(7) {
        let found = outcome(&whole[..len]);
        let count = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(found.lines, reference.lines[..count], "cut at {len}");
        assert_eq!(found.sent, reference.sent[..count], "cut at {len}");
        if len == 24 || ends.contains(&len) {
            assert_eq!(summary(&found).frames, count as u64);
            continue;
        }
        let Err(ReplayError::Capture { source, summary }) = found.result else { panic!("cut at {len}") };
        assert!(matches!(source.flaw, CaptureFlaw::Truncated { .. }), "{source}");
        assert_eq!((source.frame, summary.frames), (count as u64, count as u64));
        assert_eq!(source.offset, count.checked_sub(1).map_or(24, |last| ends[last]) as u64);
    }
}

#[test]
fn frames_captured_in_part_are_judged_by_what_is_there() {
    let frame = forwarded()[0].frame();
    let mut writer = PcapWriter::with_header(Vec::new(), PcapHeader { snaplen: 60, ..PcapHeader::default() })
        .expect("memory");
    for kept in [60, frame.len()] {
        let data = frame[..kept].into();
        let (incl_len, orig_len) = (kept as u32, frame.len() as u32);
        let record = RawPcapPacket { ts_sec: 1, ts_frac: 0, incl_len, orig_len, data };
        writer.write_raw_packet(&record).expect("memory");
    }
    let found = outcome(&writer.into_writer());
    assert_eq!(found.lines[0], r#"{"n":0,"verdict":"drop","reason":"malformed","vip":null,"backend":null}"#);
    assert!(found.lines[1].contains("forward"));
    let summary = summary(&found);
    assert_eq!(summary.snapped, 1);
    assert_eq!(summary.warnings().len(), 1);
}

#[test]
fn time_that_goes_back_is_warned_of_and_carried_over() {
    let clients = forwarded();
    let frames: Vec<Vec<u8>> = clients.iter().take(4).map(Client::frame).collect();
    let stamps = [100, 103, 101, 104].map(Duration::from_secs);
    let stamped = stamps.into_iter().zip(frames.iter().map(Vec::as_slice));
    let found = outcome(&capture::classic(TsResolution::MicroSecond, Endianness::Little, stamped));
    let summary = summary(&found);
    assert_eq!((summary.forwarded, summary.backwards), (4, 1));
    assert_eq!(found.sent.iter().map(|(stamp, _)| *stamp).collect::<Vec<_>>(), stamps);
}

#[test]
fn garbage_is_refused_before_anything_is_written() {
    for garbage in [b"".as_slice(), b"x", b"version: 1\npools: []\nvips: []\n", &[0; 64], &[0xff; 64]] {
        let found = outcome(garbage);
        assert!(matches!(found.result, Err(ReplayError::Capture { .. })));
        assert!(found.output.is_empty() && found.lines.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn frames_of_any_bytes_are_accounted_for(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..100),
    ) {
        let found = outcome(&capture::plain(&frames));
        prop_assert_eq!(summary(&found).frames, frames.len() as u64);
    }

    #[test]
    fn a_capture_with_any_bytes_changed_is_replayed_up_to_the_damage(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let frames: Vec<Vec<u8>> = forwarded().iter().map(Client::frame).collect();
        let mut bytes = capture::plain(&frames);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let found = outcome(&bytes);
        match &found.result {
            Ok(summary) => prop_assert_eq!(summary.frames, found.lines.len() as u64),
            Err(ReplayError::Capture { source, summary }) => {
                prop_assert_eq!(summary.frames, found.lines.len() as u64);
                prop_assert_eq!(source.frame, summary.frames);
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
}
