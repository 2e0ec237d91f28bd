//! Translated packets in the eyes of tshark and of scapy, there and back.

use super::wire::{ACK, Client, SYN};
use super::{Outcome, capture, configuration, replayed, skip, summary};
use lb_appliance::replay::ReplayOptions;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

const CONFIG: &str = r#"
version: 1
pools:
  - {name: plain, encap: {nat: {}}, backends: [{name: a, address: 10.0.0.1, port: 8080}]}
  - {name: plain6, encap: {nat: {}}, backends: [{name: a, address: "2001:db8:1::1", port: 5353}]}
  - name: full
    encap: {full_nat: {local_addresses: [192.0.2.1, "2001:db8:aa::1"], client_address: toa}}
    backends: [{name: a, address: 10.0.0.2}]
  - name: full6
    encap: {full_nat: {local_addresses: ["2001:db8:aa::1"]}}
    backends: [{name: a, address: "2001:db8:1::2", port: 8081}]
  - name: six4
    encap: {full_nat: {local_addresses: [192.0.2.2]}}
    backends: [{name: a, address: 10.0.0.3, port: 5353}]
  - name: proxied
    encap: {full_nat: {local_addresses: [192.0.2.1], client_address: proxy_v2}}
    backends: [{name: a, address: 10.0.0.4}]
vips:
  - {name: plain, addresses: [203.0.113.1], ports: [80], protocol: tcp, pool: plain}
  - {name: plain-udp, addresses: [203.0.113.1], ports: [53], protocol: udp, pool: plain}
  - {name: plain6, addresses: ["2001:db8:cafe::1"], ports: [80], protocol: tcp, pool: plain6}
  - {name: plain6-udp, addresses: ["2001:db8:cafe::1"], ports: [53], protocol: udp, pool: plain6}
  - {name: full, addresses: [203.0.113.2, "2001:db8:cafe::2"], ports: [80], protocol: tcp, pool: full}
  - {name: full6, addresses: ["2001:db8:cafe::3"], ports: [80], protocol: tcp, pool: full6}
  - {name: six4-udp, addresses: ["2001:db8:cafe::4"], ports: [53], protocol: udp, pool: six4}
  - {name: proxied, addresses: [203.0.113.5], ports: [80], protocol: tcp, pool: proxied}
"#;

/// A question per mode, family and protocol.
fn questions() -> Vec<Client> {
    let of = |from: &str, to: &str, is_udp: bool| Client { is_udp, ..Client::new(from, to) };
    let bare = |client: Client| Client { payload_len: 0, ..client };
    vec![
        of("198.51.100.7:4001", "203.0.113.1:80", false),
        of("198.51.100.7:4002", "203.0.113.1:53", true),
        of("[2001:db8:100::7]:4003", "[2001:db8:cafe::1]:80", false),
        of("[2001:db8:100::7]:4004", "[2001:db8:cafe::1]:53", true),
        of("198.51.100.7:4005", "203.0.113.2:80", false),
        of("[2001:db8:100::7]:4006", "[2001:db8:cafe::2]:80", false),
        of("[2001:db8:100::7]:4007", "[2001:db8:cafe::3]:80", false),
        of("[2001:db8:100::7]:4008", "[2001:db8:cafe::4]:53", true),
        bare(of("198.51.100.7:4009", "203.0.113.5:80", false)),
        // The header rides on this one, whose sequence number is one behind the SYN's in any implementation of ours.
        Client { flags: ACK, sequence: 2, ..of("198.51.100.7:4009", "203.0.113.5:80", false) },
    ]
}

/// Source and destination of a frame, by pnet.
fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let ethernet = EthernetPacket::new(frame).expect("Ethernet");
    let (source, destination, l4): (IpAddr, IpAddr, Vec<u8>) = match ethernet.get_ethertype() {
        EtherTypes::Ipv4 => {
            let ip = Ipv4Packet::new(ethernet.payload()).expect("IPv4");
            (ip.get_source().into(), ip.get_destination().into(), ip.payload().to_vec())
        }
        EtherTypes::Ipv6 => {
            let ip = Ipv6Packet::new(ethernet.payload()).expect("IPv6");
            (ip.get_source().into(), ip.get_destination().into(), ip.payload().to_vec())
        }
        other => panic!("{other}"),
    };
    let port = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
    (SocketAddr::new(source, port(0)), SocketAddr::new(destination, port(2)))
}

fn replay(frames: &[Vec<u8>]) -> Outcome {
    replayed(&configuration(CONFIG), &capture::plain(frames), &ReplayOptions::default())
}

/// Questions and then the answers to what the backends got.
fn there_and_back() -> Outcome {
    let questions = questions();
    let frames: Vec<Vec<u8>> = questions.iter().map(Client::frame).collect();
    let there = replay(&frames);
    assert_eq!(summary(&there).forwarded, questions.len() as u64, "{:?}", there.lines);
    let answer = |(question, (_, sent)): (&Client, &(_, Vec<u8>))| {
        let (from, to) = ends(sent);
        let flags = if question.flags == SYN { SYN | ACK } else { ACK };
        Client { from: to, to: from, flags, ..*question }.frame()
    };
    let answers: Vec<Vec<u8>> = questions.iter().zip(&there.sent).map(answer).collect();
    let outcome = replay(&[frames, answers].concat());
    assert_eq!(summary(&outcome).forwarded, 2 * questions.len() as u64, "{:?}", outcome.lines);
    outcome
}

#[test]
fn answers_come_from_the_vip() {
    let outcome = there_and_back();
    let (there, back) = outcome.sent.split_at(questions().len());
    for ((question, (_, there)), (_, back)) in questions().iter().zip(there).zip(back) {
        assert_ne!(ends(there).1, question.to, "the backend");
        assert_eq!(ends(back), (question.to, question.from));
    }
    let verdicts = |word: &str| outcome.lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!((verdicts("\"forward\""), verdicts("\"return\"")), (10, 10), "{:?}", outcome.lines);
}

#[test]
fn tshark_finds_nothing_to_complain_of_in_translated_packets() {
    let outcome = there_and_back();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("nat.pcap");
    std::fs::write(&file, &outcome.output).expect("written");
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(&file);
    for preference in ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"] {
        tshark.args(["-o", &format!("{preference}:TRUE")]);
    }
    // What the ports carry is made up.
    tshark.args(["-d", "tcp.port==1-65535,data", "-d", "udp.port==1-65535,data"]);
    tshark.args(["-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "fields", "-E", "separator=|"]);
    tshark.args(["-e", "frame.protocols", "-e", "_ws.expert.severity", "-e", "_ws.expert.message"]);
    let Ok(ran) = tshark.output() else { return skip("tshark is not installed (apt-get install tshark)") };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(text.lines().count(), 20, "{text}");
    for line in text.lines() {
        let severities = line.split('|').nth(1).unwrap_or_default();
        // Notes and chats lie below PI_WARN.
        let worst = severities.split(',').filter_map(|one| one.parse::<u64>().ok()).max().unwrap_or(0);
        assert!(worst < 0x0060_0000, "{line}");
    }
}

/// Removes every length and checksum, has scapy make them anew, and prints the frames that differ.
const SCAPY: &str = r#"
import sys
from scapy.all import Ether, IP, IPv6, TCP, UDP, Raw, rdpcap
packets = rdpcap(sys.argv[1])
for number, packet in enumerate(packets):
    before = bytes(packet)
    ip = packet[IP] if IP in packet else packet[IPv6]
    if IP in packet:
        del ip.chksum, ip.len
    else:
        del ip.plen
    for kind in (TCP, UDP):
        if kind in packet:
            del packet[kind].chksum
    after = bytes(packet)
    if before != after:
        print(number, before.hex(), after.hex())
print("frames", len(packets))
"#;

#[test]
fn scapy_computes_the_same_checksums() {
    let outcome = there_and_back();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("nat.pcap");
    std::fs::write(&file, &outcome.output).expect("written");
    let python = "/usr/bin/python3";
    let known = Command::new(python).args(["-c", "import scapy"]).stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        return skip("scapy is not installed (apt-get install python3-scapy)");
    }
    let mut child = Command::new(python)
        .arg("-")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    child.stdin.take().expect("stdin").write_all(SCAPY.as_bytes()).expect("a script");
    let output = child.wait_with_output().expect("python");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "frames 20\n");
}
