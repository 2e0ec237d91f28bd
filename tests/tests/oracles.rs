//! Every encapsulation before two judges that nobody here wrote: scapy, which rebuilds each frame to the byte, and tshark,
//! which verifies every checksum.
//!
//! `guideway replay` takes the frames of `fixtures/oracle.py`: TCP and UDP, IPv4 options, IPv6 extension headers, padding,
//! VLAN tags, ECN, with and without a UDP checksum, to every form of tunnel over either family, with the usual policy and
//! with every key of the policy.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lb_tests::capture::{Frame, explain};
use lb_tests::process::run;
use lb_tests::program::{guideway, repository};
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(120);
/// Source of frames that leave in a replay, where there is no port.
const NO_MAC: &str = "00:00:00:00:00:00";
/// What tshark cannot know of the ports that the configuration uses beside the usual ones.
const PORTS: [&str; 3] = ["udp.port==16080,gue", "udp.port==8472,vxlan", "udp.port==6082,geneve"];

/// Tunnels over IPv6 with `checksum: false`, and the frames that go into each.
const UNCHECKED_TUNNELS: usize = 3;
const FRAMES_PER_TUNNEL: usize = 19;

/// What tshark must see, and in how many frames: two tunnels of IPIP over each family (11 IPv4 and 8 IPv6 frames go into
/// each), eight of GUE and Geneve, six of GRE and VXLAN.
const CARRIED: [(&str, usize); 8] = [
    (":ip:ip:", 22),
    (":ip:ipv6:", 16),
    (":ipv6:ip:", 22),
    (":ipv6:ipv6:", 16),
    (":gue:", 8 * FRAMES_PER_TUNNEL),
    (":gre:", 6 * FRAMES_PER_TUNNEL),
    (":vxlan:", 6 * FRAMES_PER_TUNNEL),
    (":geneve:", 8 * FRAMES_PER_TUNNEL),
];

/// The one complaint that the configuration asks for: no UDP checksum over IPv6 (RFC 6935 section 5).
fn is_unchecked(frame: &&Frame) -> bool {
    frame.complaints == ["Illegal checksum value (0)"] && frame.protocols.contains("ipv6:udp:")
}

fn oracle(verb: &str, folder: &Path) -> String {
    let script = repository().join("tests/fixtures/oracle.py");
    run(Command::new("/usr/bin/python3").arg(script).arg(verb).arg(folder), LIMIT).expect_success("oracle.py")
}

fn judged() -> Result<(), Skip> {
    let mut replay = guideway()?;
    require_program("tshark", "tshark")?;
    let scapy = run(Command::new("/usr/bin/python3").args(["-c", "import scapy.contrib.geneve"]), LIMIT);
    if !scapy.status.success() {
        return Err(Skip("scapy is not installed (apt-get install python3-scapy)".to_owned()));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    oracle("prepare", folder.path());
    replay.arg("replay").arg("--config").arg(path("guideway.yaml"));
    replay.arg("--in").arg(path("in.pcap")).arg("--out").arg(path("out.pcap"));
    run(&mut replay, LIMIT).expect_success("guideway replay");

    // Scapy: every frame is there, in order, and is what scapy makes of the client's.
    eprintln!("{}", oracle("check", folder.path()).trim());

    // tshark: nothing malformed, no bad checksum, no expert warning.
    let frames = explain(&path("out.pcap"), NO_MAC, &PORTS);
    assert!(frames.len() > 600, "{} frames", frames.len());
    let (unchecked, complaints): (Vec<_>, Vec<_>) =
        frames.iter().filter(|frame| !frame.complaints.is_empty()).partition(is_unchecked);
    assert!(complaints.is_empty(), "{} of {}: {:#?}", complaints.len(), frames.len(), complaints.first());
    assert_eq!(unchecked.len(), UNCHECKED_TUNNELS * FRAMES_PER_TUNNEL, "{:#?}", unchecked.first());
    for (tunnel, expected) in CARRIED {
        let carried = frames.iter().filter(|frame| frame.protocols.contains(tunnel)).count();
        assert_eq!(carried, expected, "frames in which tshark sees {tunnel}");
    }
    Ok(())
}

#[test]
fn scapy_and_tshark_agree_with_every_encapsulated_frame() {
    unless(judged());
}
