//! Replay from outside: packets built and read back by pnet_packet, captures written and read by pcap-file.
//!
//! Nothing here needs root, a NIC or the network. What needs tshark or editcap is skipped aloud without it.

mod capture;
mod damage;
mod failover;
mod formats;
mod golden;
mod invariance;
mod nat;
mod pieces;
mod program;
mod tshark;
mod wire;

use lb_appliance::config::{self, Config};
use lb_appliance::replay::{self, ReplayError, ReplayOptions, Summary};
use std::time::Duration;

/// What came of a replay.
struct Outcome {
    result: Result<Summary, ReplayError>,
    /// The JSON lines without their ends.
    lines: Vec<String>,
    /// The output capture: stamp and frame.
    sent: Vec<(Duration, Vec<u8>)>,
    /// The output capture as it is.
    output: Vec<u8>,
}

fn configuration(text: &str) -> Config {
    config::parse("test.yaml", text).unwrap_or_else(|findings| panic!("{findings}"))
}

fn replayed(config: &Config, capture: &[u8], options: &ReplayOptions) -> Outcome {
    let (mut output, mut json) = (Vec::new(), Vec::new());
    let result = replay::run(config, options, capture, &mut output, Some(&mut json));
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    assert!(json.is_empty() || json.ends_with('\n'), "half a line");
    Outcome { result, lines: json.lines().map(str::to_owned).collect(), sent: capture::read(&output), output }
}

/// The summary of a replay that went well; its equation holds.
fn summary(outcome: &Outcome) -> &Summary {
    let summary = outcome.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
    let forwarded = summary.forwarded + summary.fragmented;
    let parts = forwarded + summary.answered + summary.punted() + summary.dropped();
    assert_eq!(summary.frames, parts, "{summary}");
    assert_eq!(summary.frames, outcome.lines.len() as u64, "one line per frame");
    let sent = summary.forwarded + summary.pieces + summary.answered;
    assert_eq!(sent, outcome.sent.len() as u64, "{summary}");
    summary
}

/// SplitMix64: any number will do, as long as it is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Says that a test does not run, and fails where it must.
fn skip(why: &str) {
    assert!(std::env::var_os("GUIDEWAY_NO_SKIP").is_none(), "must not be skipped here: {why}");
    eprintln!("skipped: {why}");
}
