//! One traffic in every form of capture gives one result; stamps and their resolution carry over.

use super::golden::{CONFIG, forwarded};
use super::{Outcome, capture, configuration, replayed, skip, summary};
use lb_appliance::replay::ReplayOptions;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, Endianness, TsResolution};
use std::process::Command;
use std::time::Duration;

/// Microseconds, so that every form can say it.
fn stamp(n: usize) -> Duration {
    Duration::from_micros(1_700_000_000_123_456 + 1_001 * n as u64)
}

fn frames() -> Vec<Vec<u8>> {
    forwarded().iter().map(super::wire::Client::frame).collect()
}

fn in_form(resolution: TsResolution, endianness: Endianness) -> Vec<u8> {
    let frames = frames();
    let stamped = frames.iter().enumerate().map(|(n, frame)| (stamp(n), frame.as_slice()));
    capture::classic(resolution, endianness, stamped)
}

/// A pcapng with two interfaces of different resolutions that take turns.
fn pcapng(endianness: Endianness) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).expect("memory");
    for options in [vec![], vec![InterfaceDescriptionOption::IfTsResol(9)]] {
        let linktype = DataLink::ETHERNET;
        writer
            .write_pcapng_block(InterfaceDescriptionBlock { linktype, snaplen: 0, options })
            .expect("memory");
    }
    for (n, frame) in frames().into_iter().enumerate() {
        // The crate writes `timestamp` as if ticks were nanoseconds, so ticks are what it is given.
        let ticks = if n % 2 == 0 { stamp(n).as_micros() } else { stamp(n).as_nanos() };
        let block = EnhancedPacketBlock {
            interface_id: n as u32 % 2,
            timestamp: Duration::from_nanos(ticks as u64),
            original_len: frame.len() as u32,
            data: frame.into(),
            options: vec![],
        };
        writer.write_pcapng_block(block).expect("memory");
    }
    writer.into_inner()
}

fn outcome(capture: &[u8]) -> Outcome {
    replayed(&configuration(CONFIG), capture, &ReplayOptions::default())
}

#[test]
fn the_form_of_the_capture_changes_nothing_but_the_resolution_of_the_output() {
    const MICROS: [u8; 4] = 0xa1b2_c3d4_u32.to_le_bytes();
    const NANOS: [u8; 4] = 0xa1b2_3c4d_u32.to_le_bytes();
    let reference = outcome(&in_form(TsResolution::MicroSecond, Endianness::Little));
    assert_eq!(summary(&reference).forwarded, 16);
    let stamps: Vec<Duration> = reference.sent.iter().map(|(stamp, _)| *stamp).collect();
    assert_eq!(stamps, (0..16).map(stamp).collect::<Vec<_>>(), "stamps carry over");
    for (name, capture, magic) in [
        ("micros big", in_form(TsResolution::MicroSecond, Endianness::Big), MICROS),
        ("nanos little", in_form(TsResolution::NanoSecond, Endianness::Little), NANOS),
        ("nanos big", in_form(TsResolution::NanoSecond, Endianness::Big), NANOS),
        ("pcapng little", pcapng(Endianness::Little), NANOS),
        ("pcapng big", pcapng(Endianness::Big), NANOS),
    ] {
        let found = outcome(&capture);
        summary(&found);
        assert_eq!(found.lines, reference.lines, "{name}");
        assert_eq!(found.sent, reference.sent, "{name}");
        assert_eq!(found.output[..4], magic, "{name}");
    }
    assert_eq!(reference.output[..4], MICROS);
}

#[test]
fn nanoseconds_are_kept() {
    let frame = forwarded()[0].frame();
    let stamp = Duration::from_nanos(1_700_000_000_123_456_789);
    let input = capture::classic(TsResolution::NanoSecond, Endianness::Big, [(stamp, frame.as_slice())]);
    assert_eq!(outcome(&input).sent[0].0, stamp);
}

#[test]
fn wireshark_s_own_pcapng_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (folder.path().join("in.pcap"), folder.path().join("in.pcapng"));
    let classic = in_form(TsResolution::MicroSecond, Endianness::Little);
    std::fs::write(&from, &classic).expect("written");
    let Ok(ran) = Command::new("editcap").args(["-F", "pcapng"]).arg(&from).arg(&to).output() else {
        return skip("editcap is not installed (apt-get install wireshark-common)");
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let (found, reference) = (outcome(&std::fs::read(&to).expect("read")), outcome(&classic));
    assert_eq!(summary(&found).forwarded, 16);
    assert_eq!(found.lines, reference.lines);
    assert_eq!(found.sent, reference.sent);
}

#[test]
fn a_capture_without_frames_gives_a_capture_without_frames() {
    for input in [capture::plain(&[]), PcapNgWriter::new(Vec::new()).expect("memory").into_inner()] {
        let found = outcome(&input);
        assert_eq!(summary(&found).frames, 0);
        assert_eq!(found.output.len(), 24, "a header and nothing else");
    }
}
