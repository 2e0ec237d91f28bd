//! What a backend sees on its wire: recorded by tcpdump, explained by tshark.
//!
//! tshark is an oracle nobody here wrote. Every checksum is verified; a frame with an expert warning or error
//! (severity >= warning) or with an unknown protocol is a failure. Only the GUE header is explained by our own
//! `fixtures/gue.lua`, because Wireshark 4.0 does not know it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::Lab;
use crate::process::{Process, run, wait_until};
use crate::program::repository;
use crate::skip::{Skip, require_program};

/// PI_WARN of Wireshark's expert information; notes and chats lie below.
const EXPERT_WARNING: u64 = 0x0060_0000;

/// True remarks that are not about our work. D-SACK: the client reports a duplicate that it got from the backend.
/// 0xffff: Linux' own software checksum writes it for 0 in every protocol (`CSUM_MANGLED_0` in `skb_checksum_help`);
/// it stands in the client's TCP header, which the balancer must not touch.
/// RST: where this machine stalls for 200 ms both ends send their FIN again, and the client's kernel, which is done with the
/// connection by then, answers the second acknowledgement. A connection that is cut is a request that fails.
const NOT_OURS: [&str; 3] =
    ["D-SACK Sequence", "TCP Checksum 0xffff instead of 0x0000 (see RFC 1624)", "Connection reset (RST)"];

/// A recording that is under way.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

/// One frame in tshark's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The stack of protocols, as `eth:ethertype:ip:udp:vxlan:eth:ethertype:ip:tcp`.
    pub protocols: String,
    /// All IP source addresses, outermost first.
    pub sources: Vec<String>,
    /// All IP destination addresses, outermost first.
    pub destinations: Vec<String>,
    /// Expert messages of severity warning or worse.
    pub complaints: Vec<String>,
}

impl Capture {
    /// Starts recording on a backend's NIC; returns when tcpdump listens.
    ///
    /// # Errors
    /// `Skip` when tcpdump or tshark is missing.
    ///
    /// # Panics
    /// When tcpdump does not come to listen.
    pub fn start(lab: &Lab, role: &str) -> Result<Self, Skip> {
        require_program("tcpdump", "tcpdump")?;
        require_program("tshark", "tshark")?;
        let file = lab.folder().join(format!("{role}.pcap"));
        let path = file.to_string_lossy().into_owned();
        let arguments = ["--immediate-mode", "-Z", "root", "-n", "-U", "-i", "eth0", "-w", &path];
        let tcpdump = lab.namespace(role).start("tcpdump", &arguments);
        let listening =
            wait_until(Duration::from_secs(10), || tcpdump.stderr_so_far().contains("listening on"));
        assert!(listening, "tcpdump does not listen: {}", tcpdump.stderr_so_far());
        Ok(Self { tcpdump, file })
    }

    /// Stops, and has tshark explain every frame that came from `source_mac`. A recording with complaints is kept.
    ///
    /// # Panics
    /// When tshark cannot read the recording.
    #[must_use]
    pub fn frames_from(self, source_mac: &str) -> Vec<Frame> {
        self.tcpdump.signal("INT");
        let _ = self.tcpdump.finish(Duration::from_secs(10));
        let frames = explain(&self.file, source_mac, &[]);
        if frames.iter().any(|frame| !frame.complaints.is_empty()) {
            keep(&self.file);
        }
        frames
    }
}

/// Leaves a copy in `tests/artifacts`: the lab takes its files with it, and what led to a frame cannot be made again.
fn keep(recording: &Path) {
    let folder = repository().join("tests/artifacts");
    let kept = folder.join(format!("complaint-{}.pcap", std::process::id()));
    let copied = std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(recording, &kept));
    eprintln!("the recording with the complaint is kept as {}: {copied:?}", kept.display());
}

/// Has tshark explain every frame of a recording that came from `source_mac`. `as_protocols` are its own words for
/// ports out of the ordinary, as `udp.port==8472,vxlan`.
///
/// # Panics
/// When tshark cannot read the recording.
#[must_use]
pub fn explain(file: &Path, source_mac: &str, as_protocols: &[&str]) -> Vec<Frame> {
    let lua = repository().join("tests/fixtures/gue.lua");
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(file).arg("-X").arg(format!("lua_script:{}", lua.display()));
    for checked in ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"] {
        tshark.args(["-o", &format!("{checked}:TRUE")]);
    }
    for rule in as_protocols {
        tshark.args(["-d", rule]);
    }
    // We judge frames, not conversations: of these we see one direction, and a retransmission is no fault of a frame.
    // Nor is what TCP carries: whatever port a client happens to get, no dissector takes its payload for its own.
    tshark.args(["-d", "tcp.port==1-65535,data", "-o", "tcp.desegment_tcp_streams:FALSE"]);
    tshark.args(["-o", "tcp.analyze_sequence_numbers:FALSE", "-Y", &format!("eth.src == {source_mac}")]);
    tshark.args(["-T", "fields", "-E", "separator=/t", "-E", "aggregator=;"]);
    for field in [
        "frame.protocols",
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
        "_ws.expert.severity",
        "_ws.expert.message",
    ] {
        tshark.args(["-e", field]);
    }
    run(&mut tshark, Duration::from_secs(60)).expect_success("tshark").lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Frame {
    let columns: Vec<&str> = line.split('\t').collect();
    let list = |column: usize| -> Vec<String> {
        let text = columns.get(column).copied().unwrap_or_default();
        text.split(';').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let protocols = columns.first().copied().unwrap_or_default().to_owned();
    let outer_is_v6 = protocols.starts_with("eth:ethertype:ipv6");
    let outermost_first = |v4: Vec<String>, v6: Vec<String>| -> Vec<String> {
        if outer_is_v6 { v6.into_iter().chain(v4).collect() } else { v4.into_iter().chain(v6).collect() }
    };
    let severities = list(5);
    let messages = list(6);
    let complaints = severities
        .iter()
        .enumerate()
        .filter(|(_, severity)| severity.parse().unwrap_or(u64::MAX) >= EXPERT_WARNING)
        .map(|(index, _)| messages.get(index).cloned().unwrap_or_else(|| "expert warning".to_owned()))
        .filter(|message| !NOT_OURS.contains(&message.as_str()))
        .collect();
    Frame {
        protocols,
        sources: outermost_first(list(1), list(2)),
        destinations: outermost_first(list(3), list(4)),
        complaints,
    }
}
