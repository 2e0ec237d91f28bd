//! Packets of a pool with `oversize: fragment`: the capture has the pieces, a line says that the frame was forwarded.

use super::wire::Client;
use super::{capture, configuration, replayed, summary};
use lb_appliance::replay::ReplayOptions;
use pnet_packet::Packet;
use pnet_packet::ipv4::Ipv4Packet;

fn config(oversize: &str) -> String {
    format!(
        "version: 1\n\
         forwarding: {{encapsulation: {{inner_mtu: 576, source: {{ipv4: 198.51.100.11}}}}}}\n\
         pools: [{{name: p, encap: {{gue: {{oversize: {oversize}}}}}, backends: [{{name: a, address: 10.0.0.1}}]}}]\n\
         vips: [{{name: v, addresses: [203.0.113.1], ports: [53], protocol: udp, pool: p}}]\n"
    )
}

fn long(payload_len: usize) -> Client {
    Client { is_udp: true, payload_len, ..Client::new("198.51.100.7:4001", "203.0.113.1:53") }
}

#[test]
fn the_capture_has_the_pieces() {
    let (clients, options) = ([long(100), long(1400)], ReplayOptions::default());
    let frames = clients.map(|client| client.frame());
    let outcome = replayed(&configuration(&config("fragment")), &capture::plain(&frames), &options);
    let forward = r#""verdict":"forward","reason":null,"vip":"v","backend":"a"}"#;
    assert_eq!(outcome.lines, [format!("{{\"n\":0,{forward}"), format!("{{\"n\":1,{forward}")]);
    let found = summary(&outcome);
    assert_eq!((found.forwarded, found.fragmented, found.pieces), (1, 1, 3));
    let said = "2 frames = 2 forwarded + 0 answered + 0 punted + 0 dropped\n  forwarded in 3 pieces: 1";
    assert_eq!(found.to_string(), said);
    // Behind Ethernet, outer IPv4, UDP and GUE.
    let (mut data, mut ports) = (Vec::<u8>::new(), Vec::new());
    for (_, frame) in &outcome.sent[1..] {
        let piece = Ipv4Packet::new(&frame[14 + 20 + 8 + 4..]).expect("a datagram");
        assert!(piece.get_total_length() <= 576);
        assert_eq!(usize::from(piece.get_fragment_offset()) * 8, data.len());
        data.extend(piece.payload());
        ports.push(frame[34..36].to_vec());
    }
    assert_eq!(data, clients[1].datagram()[20..]);
    assert!(ports.iter().all(|port| *port == ports[0]), "one flow on the way");
}

#[test]
fn the_other_policies_send_nothing_to_the_backend() {
    let frames = [long(1400).frame()];
    for (oversize, answered, dropped) in [("signal", 1, 0), ("drop", 0, 1)] {
        let outcome =
            replayed(&configuration(&config(oversize)), &capture::plain(&frames), &ReplayOptions::default());
        let found = summary(&outcome);
        assert_eq!((found.forwarded, found.answered, found.dropped()), (0, answered, dropped), "{oversize}");
    }
}
