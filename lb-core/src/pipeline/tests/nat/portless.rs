//! What has no ports and is for a VIP behind translation: fragments, pings, errors without a session.

use super::*;
use crate::spec::Echo;
use pnet_packet::icmp::{self, IcmpPacket};

const VIP: &str = "203.0.113.10";

/// The flow that the other tests translate.
fn client() -> Sample {
    web(1, SYN).with(|one| one.to.set_port(80))
}

fn lab() -> Lab {
    nat_lab(&[VIP], "10.0.0.1", NAT, PORTS, 4)
}

/// An ICMP message to the VIP.
fn message(mut bytes: Vec<u8>) -> Sample {
    let sum = icmp::checksum(&IcmpPacket::new(&bytes).unwrap());
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    Sample::udp("198.51.100.7:0", &text(VIP, 0)).with(|one| {
        one.transport = Transport::Other(1);
        one.payload = bytes;
    })
}

#[test]
fn fragments_are_dropped_by_name_the_first_and_the_others() {
    let mut lab = lab();
    let first = client().with(|one| {
        one.fragment = 0x2000;
        one.payload = vec![7; 44];
    });
    let second = client().with(|one| {
        one.fragment = 8;
        one.transport = Transport::Other(6);
        one.payload = vec![7; 20];
    });
    for fragment in [&first, &second] {
        assert_eq!(verdict(&mut lab, fragment), Verdict::Drop(DropReason::Fragment));
    }
    assert!(lab.pipeline.nat().sessions().is_empty());
}

#[test]
fn a_ping_is_answered_even_where_a_backend_should() {
    for echo in [Echo::Answer, Echo::Forward] {
        let mut lab = lab();
        lab.change(|spec| {
            for service in &mut spec.services {
                service.portless.echo = echo;
            }
        });
        let (verdict, reply) = lab.send(&message(vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, 1, 2, 3, 4]));
        assert_eq!(verdict, Verdict::Answer(AnswerReason::EchoReply), "{echo:?}");
        assert_eq!(reply[34], 0, "an echo reply");
    }
}

#[test]
fn an_error_about_a_flow_without_a_session_ends_here() {
    let mut lab = lab();
    let answer = client().with(|one| (one.from, one.to) = (one.to, one.from)).datagram();
    let about = message([&[3, 1, 0, 0, 0, 0, 0, 0], &answer[..28]].concat());
    assert_eq!(verdict(&mut lab, &about), Verdict::Drop(DropReason::IcmpUnmatched));
    assert_eq!(forwards(&lab), 0);
}
