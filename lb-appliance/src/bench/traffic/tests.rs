//! Tests of what the benchmark sends: an independent reader must find sound packets of distinct flows.

use super::super::settings::tests::settings;
use super::*;
use pnet_packet::ip::IpNextHeaderProtocols::Tcp;
use pnet_packet::ipv4::{Ipv4Packet, checksum};
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::TcpPacket;
use std::collections::HashSet;

fn frame(line: &str, number: u64) -> (Flow, Vec<u8>) {
    let settings = settings(line).expect("valid");
    let (flow, frames) = (Population::new(&settings).flow(number), Frames::new(&settings));
    let mut bytes = vec![0; frames.len(flow)];
    frames.write(flow, &mut bytes);
    (flow, bytes)
}

#[test]
fn frames_are_what_they_should_be() {
    for (size, ip_len) in [(60, 40), (61, 47), (1514, 1500)] {
        for number in [0, 1, 0x7fff, 0x8000, FLOW_NUMBERS - 1] {
            let (flow, bytes) = frame(&format!("--vips 300 --backends 10 --size {size} --mix new"), number);
            assert_eq!((bytes.len(), &bytes[..6]), (size, &PORT_MAC[..]));
            let ip = Ipv4Packet::new(&bytes[14..]).expect("an IPv4 header");
            assert_eq!((ip.get_total_length(), ip.get_next_level_protocol()), (ip_len, Tcp));
            assert_eq!(ip.get_checksum(), checksum(&ip));
            assert_eq!(ip.get_destination(), vip4(flow.vip()));
            assert_eq!(ip.get_source().octets()[0], 10);
            let tcp = TcpPacket::new(&bytes[34..]).expect("a TCP header");
            assert_eq!((tcp.get_destination(), tcp.get_flags()), (443, TCP_SYN));
            assert_eq!(tcp.get_source(), 1024 + (number & 0x7fff) as u16);
        }
    }
}

#[test]
fn ipv6_frames_are_what_they_should_be() {
    for (size, len) in [(60, 74), (74, 74), (1514, 1514)] {
        let (flow, bytes) = frame(&format!("--family v6 --vips 9 --size {size}"), 0x1234_5678);
        assert_eq!(bytes.len(), len);
        let ip = Ipv6Packet::new(&bytes[14..]).expect("an IPv6 header");
        assert_eq!((ip.get_version(), ip.get_next_header(), ip.get_hop_limit()), (6, Tcp, 64));
        assert_eq!(usize::from(ip.get_payload_length()), len - 54);
        assert_eq!(ip.get_destination(), vip6(flow.vip()));
        assert_eq!(TcpPacket::new(&bytes[54..]).expect("a TCP header").get_flags(), TCP_ACK);
    }
}

#[test]
fn numbers_are_flows_of_their_own() {
    let mut tuples = HashSet::new();
    for number in 0..100_000 {
        let (_, bytes) = frame("--vips 3", number);
        // Source, destination and ports.
        assert!(tuples.insert(bytes[26..38].to_vec()), "flow {number} is another's");
    }
}

#[test]
fn families_and_vips_are_shared_out_as_asked() {
    let line = "--family mixed --v6-percent 20 --vips 10";
    let population = Population::new(&settings(line).expect("valid"));
    let flows: Vec<Flow> = (0..100_000).map(|number| population.flow(number)).collect();
    let v6 = flows.iter().filter(|flow| flow.is_v6()).count();
    // Five standard deviations of a binomial distribution, fixed input: it holds or it does not.
    assert!(v6.abs_diff(20_000) < 640, "{v6} of 100000");
    for vip in 0..10 {
        let of_vip = flows.iter().filter(|flow| flow.vip() == vip).count();
        assert!(of_vip.abs_diff(10_000) < 480, "{of_vip} of VIP {vip}");
    }
    let changes = flows.windows(2).filter(|pair| pair[0].is_v6() != pair[1].is_v6()).count();
    assert!(changes.abs_diff(32_000) < 1_000, "{changes} changes of family: no pattern to be learned");
}
