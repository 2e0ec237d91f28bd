//! The output in the eyes of a dissector that nobody here wrote.

use super::golden::{CONFIG, forwarded};
use super::wire::Client;
use super::{capture, configuration, replayed, skip, summary};
use lb_appliance::replay::ReplayOptions;
use std::path::Path;
use std::process::Command;

#[test]
fn tshark_finds_nothing_to_complain_of() {
    let frames: Vec<Vec<u8>> = forwarded().iter().map(Client::frame).collect();
    let outcome = replayed(&configuration(CONFIG), &capture::plain(&frames), &ReplayOptions::default());
    assert_eq!(summary(&outcome).forwarded, 16);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.pcap");
    std::fs::write(&file, &outcome.output).expect("written");

    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(&file);
    // Wireshark 4.0 does not know GUE; the tests of the whole appliance teach it.
    let gue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gue.lua");
    assert!(gue.is_file(), "{} is missing", gue.display());
    tshark.arg("-X").arg(format!("lua_script:{}", gue.display()));
    for port in ["udp.port==6081,gue", "udp.port==4790,vxlan"] {
        tshark.args(["-d", port]);
    }
    for preference in ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"] {
        tshark.args(["-o", &format!("{preference}:TRUE")]);
    }
    tshark.args(["-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "fields", "-E", "separator=|"]);
    tshark.args(["-e", "frame.protocols", "-e", "_ws.expert.severity", "-e", "_ws.expert.message"]);
    let Ok(ran) = tshark.output() else { return skip("tshark is not installed (apt-get install tshark)") };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let text = String::from_utf8_lossy(&ran.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 16, "{text}");
    for (line, (client, tunnel)) in lines.iter().zip(forwarded().iter().zip(tunnels())) {
        let [protocols, severities, messages] = line.splitn(3, '|').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let inner = if client.to.is_ipv4() { "ip" } else { "ipv6" };
        let transport = if client.is_udp { "udp" } else { "tcp" };
        let expected = format!("eth:ethertype:{tunnel}{inner}:{transport}");
        assert!(protocols.starts_with(&expected), "{protocols} instead of {expected}");
        // Notes and chats lie below PI_WARN.
        let worst = severities.split(',').filter_map(|one| one.parse::<u64>().ok()).max().unwrap_or(0);
        assert!(worst < 0x0060_0000, "{protocols}: {messages}");
    }
}

/// What lies between Ethernet and the client's IP header, per frame of [`forwarded`].
fn tunnels() -> impl Iterator<Item = &'static str> {
    let by_vip = [
        "ip:",
        "ipv6:",
        "ip:udp:gue:",
        "ipv6:udp:gue:",
        "ip:udp:gue:",
        "ip:udp:vxlan:eth:ethertype:",
        "ipv6:udp:vxlan:eth:ethertype:",
        "",
    ];
    by_vip.into_iter().flat_map(|tunnel| [tunnel, tunnel])
}
