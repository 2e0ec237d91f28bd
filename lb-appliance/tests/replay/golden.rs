//! The golden replay: every encapsulation, both families on either side, and every kind of refusal.
//!
//! The JSON is compared to the byte. What is sent must hold the client's datagram as a router would pass
//! it on, in the headers that the configuration asks for and no byte more.

use super::wire::{BALANCER_MAC, Client, Delivered, Tunnel, delivered, ethernet, routed};
use super::{capture, configuration, replayed, summary};
use lb_appliance::replay::ReplayOptions;
use pnet_packet::ethernet::EtherTypes;
use std::net::IpAddr;

pub(crate) const CONFIG: &str = r#"
version: 1
forwarding:
  maglev: {table_size: 251}
  connections: {per_worker: 1024}
  encapsulation: {source: {ipv4: 198.51.100.11, ipv6: "2001:db8:100::11"}}
pools:
  - {name: ipip4, encap: {ipip: {}}, backends: [{name: a, address: 10.0.1.1}]}
  - {name: ipip6, encap: {ipip: {}}, backends: [{name: b, address: "2001:db8:1::2"}]}
  - {name: gue4, encap: {gue: {}}, backends: [{name: c, address: 10.0.1.3}]}
  - {name: gue6, encap: {gue: {port: 6081}}, backends: [{name: d, address: "2001:db8:1::4"}]}
  - {name: bare4, encap: {gue: {variant: 1}}, backends: [{name: e, address: 10.0.1.5}]}
  - name: vxlan4
    encap: {vxlan: {vni: 70001, inner_mac: "02:00:00:00:11:06"}}
    backends: [{name: f, address: 10.0.1.6, mac: "02:00:00:00:00:f6"}]
  - name: vxlan6
    encap: {vxlan: {vni: 7, port: 4790}}
    backends: [{name: g, address: "2001:db8:1::7", inner_mac: "02:00:00:00:11:07"}]
  - {name: near, encap: {l2dsr: {}}, backends: [{name: h, address: 10.0.1.8, mac: "02:00:00:00:00:08"}]}
  - {name: away, encap: {ipip: {}}, backends: [{name: i, address: 10.0.1.9, state: maintenance}]}
vips:
  - {name: v-ipip4, addresses: [203.0.113.1, "2001:db8:cafe::1"], ports: [80], protocol: tcp, pool: ipip4}
  - {name: v-ipip6, addresses: [203.0.113.2, "2001:db8:cafe::2"], ports: [80], protocol: tcp, pool: ipip6}
  - {name: v-gue4, addresses: [203.0.113.3, "2001:db8:cafe::3"], ports: [80], protocol: tcp, pool: gue4}
  - {name: v-gue6, addresses: [203.0.113.4, "2001:db8:cafe::4"], ports: [80], protocol: udp, pool: gue6}
  - {name: v-bare4, addresses: [203.0.113.5, "2001:db8:cafe::5"], ports: [80], protocol: tcp, pool: bare4}
  - {name: v-vxlan4, addresses: [203.0.113.6, "2001:db8:cafe::6"], ports: [80], protocol: udp, pool: vxlan4}
  - {name: v-vxlan6, addresses: [203.0.113.7, "2001:db8:cafe::7"], ports: [80], protocol: tcp, pool: vxlan6}
  - {name: v-near, addresses: [203.0.113.8, "2001:db8:cafe::8"], ports: [80], protocol: tcp, pool: near}
  - {name: v-away, addresses: [203.0.113.9, "2001:db8:cafe::9"], ports: [80], protocol: tcp, pool: away}
"#;

const GUE_PORTS: [u16; 2] = [6080, 6081];

/// A packet of each family to VIP number `n`.
fn clients(n: u8) -> [Client; 2] {
    let is_udp = n == 4 || n == 6;
    let mut v4 = Client::new("192.0.2.7:40000", &format!("203.0.113.{n}:80"));
    let mut v6 = Client::new("[2001:db8:c::7]:40000", &format!("[2001:db8:cafe::{n}]:80"));
    (v4.is_udp, v6.is_udp) = (is_udp, is_udp);
    [v4, v6]
}

/// The 16 packets that are forwarded.
pub(crate) fn forwarded() -> Vec<Client> {
    (1..=8).flat_map(clients).collect()
}

/// Frames that end in another way, in the order of [`REFUSED`].
pub(crate) fn refused() -> Vec<Vec<u8>> {
    let [v4, v6] = clients(1);
    let arp = ethernet(BALANCER_MAC, EtherTypes::Arp, &[0; 28]);
    let broadcast = ethernet([0xff; 6], EtherTypes::Ipv4, &v4.datagram());
    let other = Client::new("192.0.2.7:40000", "203.0.113.1:81").frame();
    let mut fragment4 = v4.datagram();
    fragment4[6] = 0x20;
    fragment4[10..12].fill(0);
    let sum = fragment4[..20].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    fragment4[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    let mut broken = v4.frame();
    broken[24] ^= 1;
    let last_hop = Client { ttl: 1, ..v6 }.frame();
    let cut = v6.frame()[..60].to_vec();
    let [away, _] = clients(9);
    let fragment4 = ethernet(BALANCER_MAC, EtherTypes::Ipv4, &fragment4);
    vec![arp, broadcast, other, fragment4, broken, last_hop, cut, Vec::new(), away.frame()]
}

const FORWARDED: &str = r#"{"n":0,"verdict":"forward","reason":null,"vip":"v-ipip4","backend":"a"}
{"n":1,"verdict":"forward","reason":null,"vip":"v-ipip4","backend":"a"}
{"n":2,"verdict":"forward","reason":null,"vip":"v-ipip6","backend":"b"}
{"n":3,"verdict":"forward","reason":null,"vip":"v-ipip6","backend":"b"}
{"n":4,"verdict":"forward","reason":null,"vip":"v-gue4","backend":"c"}
{"n":5,"verdict":"forward","reason":null,"vip":"v-gue4","backend":"c"}
{"n":6,"verdict":"forward","reason":null,"vip":"v-gue6","backend":"d"}
{"n":7,"verdict":"forward","reason":null,"vip":"v-gue6","backend":"d"}
{"n":8,"verdict":"forward","reason":null,"vip":"v-bare4","backend":"e"}
{"n":9,"verdict":"forward","reason":null,"vip":"v-bare4","backend":"e"}
{"n":10,"verdict":"forward","reason":null,"vip":"v-vxlan4","backend":"f"}
{"n":11,"verdict":"forward","reason":null,"vip":"v-vxlan4","backend":"f"}
{"n":12,"verdict":"forward","reason":null,"vip":"v-vxlan6","backend":"g"}
{"n":13,"verdict":"forward","reason":null,"vip":"v-vxlan6","backend":"g"}
{"n":14,"verdict":"forward","reason":null,"vip":"v-near","backend":"h"}
{"n":15,"verdict":"forward","reason":null,"vip":"v-near","backend":"h"}"#;

const REFUSED: &str = r#"{"n":0,"verdict":"punt","reason":"not_ip","vip":null,"backend":null}
{"n":1,"verdict":"punt","reason":"not_unicast","vip":null,"backend":null}
{"n":2,"verdict":"punt","reason":"no_vip","vip":null,"backend":null}
{"n":3,"verdict":"drop","reason":"fragment_invalid","vip":"v-ipip4","backend":null}
{"n":4,"verdict":"drop","reason":"checksum","vip":null,"backend":null}
{"n":5,"verdict":"answer","reason":"time_exceeded","vip":null,"backend":null}
{"n":6,"verdict":"drop","reason":"malformed","vip":null,"backend":null}
{"n":7,"verdict":"drop","reason":"malformed","vip":null,"backend":null}
{"n":8,"verdict":"drop","reason":"no_backend","vip":"v-away","backend":null}"#;

#[test]
fn what_is_forwarded_arrives_whole_in_the_headers_asked_for() {
    let clients = forwarded();
    let frames: Vec<Vec<u8>> = clients
        .iter()
        .map(|client| {
            let mut frame = client.frame();
            // Ethernet padding, which no tunnel may carry on.
            if client.to.ip().to_string().ends_with(".1") {
                frame.resize(frame.len() + 6, 0xee);
            }
            frame
        })
        .collect();
    let outcome = replayed(&configuration(CONFIG), &capture::plain(&frames), &ReplayOptions::default());
    assert_eq!(outcome.lines.join("\n"), FORWARDED);
    assert_eq!(summary(&outcome).forwarded, 16);
    for (n, (client, (_, sent))) in clients.iter().zip(&outcome.sent).enumerate() {
        let found = delivered(sent, &GUE_PORTS, n < 14);
        assert_eq!(found.datagram, routed(&client.datagram()), "frame {n}");
        assert_eq!((found.outer, found.tunnel, found.to_mac), expected(n, client), "frame {n}");
    }
}

/// Outer addresses, tunnel headers and next hop that `CONFIG` asks for.
fn expected(n: usize, client: &Client) -> (Option<(IpAddr, IpAddr)>, Tunnel, [u8; 6]) {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let backends =
        ["10.0.1.1", "2001:db8:1::2", "10.0.1.3", "2001:db8:1::4", "10.0.1.5", "10.0.1.6", "2001:db8:1::7"];
    let outer = backends.get(n / 2).map(|backend| {
        let source = if ip(backend).is_ipv4() { ip("198.51.100.11") } else { ip("2001:db8:100::11") };
        (source, ip(backend))
    });
    let protocol = if client.to.is_ipv4() { 4 } else { 41 };
    let gue = |port| Tunnel::Gue { port, header: vec![0, protocol, 0, 0] };
    let (tunnel, to_mac) = match n / 2 {
        0 | 1 => (Tunnel::Ipip, [0; 6]),
        2 => (gue(6080), [0; 6]),
        3 => (gue(6081), [0; 6]),
        4 => (Tunnel::Gue { port: 6080, header: Vec::new() }, [0; 6]),
        5 => (
            Tunnel::Vxlan { port: 4789, vni: 70_001, inner_mac: [2, 0, 0, 0, 0x11, 6] },
            [2, 0, 0, 0, 0, 0xf6],
        ),
        6 => (Tunnel::Vxlan { port: 4790, vni: 7, inner_mac: [2, 0, 0, 0, 0x11, 7] }, [0; 6]),
        _ => (Tunnel::None, [2, 0, 0, 0, 0, 8]),
    };
    (outer, tunnel, to_mac)
}

#[test]
fn what_is_refused_says_why_and_whom_it_was_for() {
    let outcome = replayed(&configuration(CONFIG), &capture::plain(&refused()), &ReplayOptions::default());
    assert_eq!(outcome.lines.join("\n"), REFUSED);
    let summary = summary(&outcome);
    assert_eq!((summary.forwarded, summary.answered, summary.punted(), summary.dropped()), (0, 1, 3, 5));
}

#[test]
fn the_mtu_of_a_configured_port_is_held_and_its_gateway_is_the_next_hop() {
    let config = r#"
version: 1
dataplane:
  ports:
    - name: uplink0
      device: "net_null0"
      mtu: 1500
      gateways: [{address: 198.51.100.1, mac: "02:00:00:00:00:99"}]
forwarding:
  connections: {per_worker: 1024}
  encapsulation: {source: {ipv4: 198.51.100.11}}
pools: [{name: web, encap: {ipip: {}}, backends: [{name: web-1, address: 10.0.1.1}]}]
vips: [{name: web, addresses: [203.0.113.1], ports: [80], protocol: tcp, pool: web}]
"#;
    let fits = Client { payload_len: 1500 - 20 - 20 - 20, ..Client::new("192.0.2.7:1", "203.0.113.1:80") };
    let too_long = Client { payload_len: fits.payload_len + 1, ..fits };
    let frames = [fits.frame(), too_long.frame()];
    let outcome = replayed(&configuration(config), &capture::plain(&frames), &ReplayOptions::default());
    let expected = [
        r#"{"n":0,"verdict":"forward","reason":null,"vip":"web","backend":"web-1"}"#,
        r#"{"n":1,"verdict":"answer","reason":"fragmentation_needed","vip":null,"backend":null}"#,
    ];
    assert_eq!(outcome.lines, expected);
    let Delivered { to_mac, .. } = delivered(&outcome.sent[0].1, &[], true);
    assert_eq!(to_mac, [2, 0, 0, 0, 0, 0x99]);
}
