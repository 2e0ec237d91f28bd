//! The typed configuration: defaults, and that every value of a file arrives where it belongs.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lb_appliance::config::model::*;
use lb_appliance::config::{Code, MacAddr, examine_file, load, parse};

use crate::repository;

const MINIMAL: &str = "version: 1\npools: []\nvips: []\n";

fn config(text: &str) -> Config {
    parse("t.yaml", text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = config(MINIMAL);
    assert!(!config.node.name.is_empty());
    let dataplane = &config.dataplane;
    assert_eq!((dataplane.workers.len(), dataplane.control_cpus.len(), dataplane.ports.len()), (0, 0, 0));
    assert_eq!((dataplane.burst, dataplane.idle), (64, Idle::Adaptive));
    let memory = Memory { hugepages: true, per_numa_node_bytes: 256 << 20, mbufs_per_numa_node: 32_767 };
    assert_eq!(dataplane.memory, memory);
    assert_eq!(config.forwarding.maglev, Maglev { table_size: 65_537, seed: 0x6775_6964_6577_6179_0001 });
    let connections = &config.forwarding.connections;
    assert_eq!(connections.per_worker, 1_048_576);
    let seconds =
        [connections.idle_tcp, connections.idle_tcp_closing, connections.idle_udp].map(|idle| idle.as_secs());
    assert_eq!(seconds, [300, 30, 60]);
    assert_eq!(config.forwarding.encapsulation, Encapsulation::default());
    assert_eq!(config.metrics.listen.to_string(), "127.0.0.1:9843");
    assert!(config.metrics.per_backend && config.metrics.per_queue);
    assert_eq!(config.metrics.latency_sample, 1024);
    assert_eq!(config.metrics.latency_buckets.first(), Some(&Duration::from_micros(1)));
    assert_eq!(config.metrics.latency_buckets.last(), Some(&Duration::from_millis(1)));
    assert_eq!(config.logging, Logging { level: "info".into(), format: LogFormat::Auto });
}

#[test]
fn the_full_example_arrives_value_by_value() {
    let config = load(&repository("config/guideway.yaml")).unwrap();
    assert_eq!(config.node.name, "lb1");
    let dataplane = config.require_dataplane().unwrap();
    assert_eq!((dataplane.workers.as_slice(), dataplane.control_cpus.as_slice()), (&[2, 3][..], &[0, 1][..]));
    assert_eq!((dataplane.burst, dataplane.idle), (64, Idle::BusyPoll));
    assert_eq!(
        (dataplane.memory.per_numa_node_bytes, dataplane.memory.mbufs_per_numa_node),
        (1 << 30, 131_071)
    );
    let port = &dataplane.ports[0];
    assert_eq!((port.name.as_str(), port.device.as_str(), port.mtu), ("uplink0", "0000:3b:00.0", 1500));
    assert_eq!((port.rx_descriptors, port.tx_descriptors, port.promiscuous), (2048, 2048, false));
    assert_eq!(
        port.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["198.51.100.11/24", "2001:db8:100::11/64"]
    );
    assert_eq!(port.punt.as_deref(), Some("gw-uplink0"));
    let gateway_mac = MacAddr([2, 0, 0x5e, 0, 0x53, 1]);
    assert_eq!(port.gateways[1], Gateway { address: ip("2001:db8:100::1"), mac: gateway_mac });
    assert_eq!(config.forwarding.encapsulation.source_ipv6.map(IpAddr::V6), Some(ip("2001:db8:100::11")));
    assert_eq!(config.pools[0].encap, Encap::Gue { port: 6080, variant: GueVariant::Zero });
    assert_eq!(config.pools[1].encap, Encap::Ipip);
    assert_eq!(config.pools[2].encap, Encap::Vxlan { vni: 100, port: 4789 });
    assert_eq!(config.pools[3].encap, Encap::L2Dsr);
    let overlay = config.pools[2].backends.iter().map(|backend| backend.inner_mac.unwrap().0[5]);
    assert_eq!(overlay.collect::<Vec<_>>(), [0, 2]);
    let expected = Backend {
        name: "web-3".into(),
        address: ip("2001:db8:1::13"),
        weight: 50,
        state: BackendState::Drain,
        next_hop: Some(NextHop { port: 0, mac: gateway_mac }),
        mac: None,
        inner_mac: None,
        server_id: None,
    };
    assert_eq!(config.pools[0].backends[2], expected);
    assert_eq!(config.vips[0].ports, VipPorts::List(vec![80.into(), 443.into()]));
    assert_eq!(
        (config.vips[1].protocol, config.vips[1].sessions, config.vips[1].pool),
        (Protocol::Udp, Sessions::None, 1)
    );
    assert_eq!((config.vips[3].ports.clone(), config.vips[3].pool), (VipPorts::Any, 3));
}

#[test]
fn workers_of_their_own_poll_unless_told_otherwise() {
    let text = |extra: &str| format!("{MINIMAL}dataplane: {{workers: [3], {extra}}}\n");
    assert_eq!(config(&text("")).dataplane.idle, Idle::BusyPoll);
    assert_eq!(config(&text("idle: adaptive")).dataplane.idle, Idle::Adaptive);
}

const TWO_PORTS: &str = "\
version: 1
dataplane:
  ports:
    - name: a
      device: net_null0
      addresses: [10.0.0.1/24]
      gateways: [{address: 10.0.0.254, mac: \"02:00:00:00:00:a4\"}]
    - name: b
      device: net_null1
      addresses: [10.0.1.1/24, \"2001:db8::1/64\"]
      gateways: [{address: 10.0.1.254, mac: \"02:00:00:00:00:b4\"}, {address: \"fe80::1\", mac: \"02:00:00:00:00:b6\"}]
forwarding: {encapsulation: {source: {ipv4: 10.0.0.1, ipv6: \"2001:db8::1\"}}}
pools:
  - name: p
    encap: {ipip: {}}
    backends:
      - {name: far4, address: 192.0.2.1}
      - {name: far6, address: \"2001:db8:9::1\"}
      - {name: near, address: 10.0.1.9, mac: \"02:00:00:00:00:09\"}
vips: [{name: v, addresses: [203.0.113.1], protocol: tcp, pool: p}]
";

#[test]
fn next_hops_are_the_first_gateway_of_the_family_or_the_backend_itself() {
    let hop = |port, last| Some(NextHop { port, mac: MacAddr([2, 0, 0, 0, 0, last]) });
    let hops: Vec<_> = config(TWO_PORTS).pools[0].backends.iter().map(|backend| backend.next_hop).collect();
    assert_eq!(hops, [hop(0, 0xa4), hop(1, 0xb6), hop(1, 0x09)]);
}

#[test]
fn without_ports_there_is_no_next_hop_and_nothing_to_run() {
    let config = load(&repository("config/minimal.yaml")).unwrap();
    assert!(config.pools[0].backends.iter().all(|backend| backend.next_hop.is_none()));
    let error = config.require_dataplane().unwrap_err();
    assert_eq!((error.code, error.field.as_str()), (Code::NoPorts, "dataplane.ports"));
}

#[test]
fn ports_are_sorted_and_spellings_are_one() {
    let text = TWO_PORTS.replace(
        "addresses: [203.0.113.1], protocol",
        "addresses: [\"2001:DB8:0::A\"], ports: [443, 80], protocol",
    );
    let vip = config(&text).vips.remove(0);
    assert_eq!(vip.ports, VipPorts::List(vec![80.into(), 443.into()]));
    assert_eq!(vip.addresses, [ip("2001:db8::a").into()]);
}

#[test]
fn any_port_stands_behind_listed_ports_of_the_same_address() {
    let any = "{name: v, addresses: [203.0.113.1], protocol: tcp, pool: p}";
    let text = TWO_PORTS.replace(any, &format!("{any}, {}", any.replace("name: v", "name: w, ports: [80]")));
    assert_eq!(config(&text).vips.len(), 2);
}

#[test]
fn seeds_are_big_numbers_in_hexadecimal() {
    let text = format!(
        "{MINIMAL}forwarding: {{maglev: {{seed: \"0xffffffffffffffffffffffffffffffff\", table_size: 7}}}}\n"
    );
    assert_eq!(config(&text).forwarding.maglev, Maglev { table_size: 7, seed: u128::MAX });
}

#[test]
fn a_file_that_is_not_there_is_one_finding() {
    let diagnostics = load(Path::new("no-such-file.yaml")).unwrap_err();
    assert_eq!(diagnostics.list.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::Unreadable]);
    assert_eq!(examine_file(&repository("config")).diagnostics.list[0].code, Code::Unreadable);
}
