//! Which way a probe goes, and that workers know it exactly as long as they must.

use super::*;
use crate::config::model::Config;
use crate::config::parse;
use crate::health::{Part, probe_once};
use crate::plan::Plan;
use lb_core::flow::FlowKey;
use lb_core::health::Finish;
use lb_core::tables::Tables;

const TEXT: &str = r#"
version: 1
dataplane:
  ports:
    - name: uplink0
      device: "0000:3b:00.0"
      punt: gw-uplink0
      addresses: [198.51.100.11/24, 198.51.100.12/24]
      gateways: [{address: 198.51.100.1, mac: "02:00:00:00:00:01"}]
forwarding: {encapsulation: {source: {ipv4: 198.51.100.11}}}
pools:
  - name: web
    encap: {gue: {}}
    backends: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2, state: maintenance}]
    health_check: {tcp: {port: 8080}, via: tunnel}
  - name: direct
    encap: {ipip: {}}
    backends: [{name: a, address: 10.0.0.1}]
    health_check: {tcp: {port: 8080}}
vips:
  - {name: other, addresses: [203.0.113.9], ports: [80], protocol: tcp, pool: direct}
  - {name: first, addresses: ["2001:db8::1", 203.0.113.10, 203.0.113.11], ports: [80], protocol: tcp, pool: web}
  - {name: second, addresses: [203.0.113.12], ports: [80], protocol: tcp, pool: web}
"#;

fn config() -> Config {
    parse("tunnel.yaml", TEXT).unwrap_or_else(|findings| panic!("{findings}"))
}

fn found(config: &Config) -> (Ways, BTreeSet<Need>) {
    let tables = Tables::build(&Plan::new(config, &[]).spec).unwrap();
    ways(config, &tables)
}

fn subscriber(backend: &str) -> Subscriber {
    Subscriber { pool: "web".into(), backend: backend.into() }
}

#[test]
fn a_pool_is_probed_by_its_first_vip_at_an_address_that_can_be_answered() {
    let (ways, needs) = found(&config());
    assert_eq!(ways.len(), 2, "direct checks have no way: {ways:?}");
    let way = ways[&subscriber("b")].clone().unwrap();
    let expected = Way {
        vip_name: "first".into(),
        vip: "203.0.113.10".parse().unwrap(),
        source: "198.51.100.11".parse().unwrap(),
        device: "gw-uplink0".into(),
        // One pair of VIP `other`, then those of `first`.
        record: 2,
        encap: "gue",
        backend: "10.0.0.2".parse().unwrap(),
    };
    assert_eq!(way, expected);
    // IPv4, UDP and GUE in front.
    let need = Need { device: "gw-uplink0".into(), vip: expected.vip, mtu: 1500 - 32 };
    assert_eq!(needs, BTreeSet::from([need]), "one for all backends");
}

#[test]
fn a_way_that_is_missing_says_why() {
    let mut config = config();
    config.dataplane.ports[0].punt = None;
    let why = found(&config).0[&subscriber("a")].clone().unwrap_err();
    assert!(why.contains("uplink0") && why.contains("restart"), "{why}");
    let mut config = self::config();
    config.dataplane.ports[0].addresses.clear();
    let why = found(&config).0[&subscriber("a")].clone().unwrap_err();
    assert!(why.contains("no address") && why.contains("first"), "{why}");
    let mut config = self::config();
    config.vips.retain(|vip| vip.name == "other");
    let (ways, needs) = found(&config);
    assert!(ways[&subscriber("a")].clone().unwrap_err().contains("no VIP uses pool web"));
    assert!(needs.is_empty());
}

/// On the loopback, which is as good a device as any for a socket to be bound to.
fn passage(routes: &Arc<ProbeRoutes>, source: &str) -> Passage {
    let way = Way {
        vip_name: "web".into(),
        vip: "127.0.0.1".parse().unwrap(),
        source: source.parse().unwrap(),
        device: "lo".into(),
        record: 7,
        encap: "ipip",
        backend: "10.0.0.1".parse().unwrap(),
    };
    Passage { way, routes: Arc::clone(routes), entry: OnceLock::new() }
}

fn find(routes: &ProbeRoutes, protocol: u8, local: SocketAddr) -> Option<RecordIndex> {
    let key = FlowKey {
        source: local.ip(),
        destination: "127.0.0.1".parse().unwrap(),
        source_port: local.port(),
        destination_port: 80,
        protocol,
    };
    routes.find(&key)
}

#[tokio::test]
async fn a_socket_is_entered_before_it_connects_and_outlived_by_its_entry() {
    let routes = Arc::new(ProbeRoutes::default());
    let (tcp, udp) = (passage(&routes, "127.0.0.1"), passage(&routes, "127.0.0.1"));
    let mut steps = Steps::kept();
    let socket = TcpSocket::new_v4().unwrap();
    steps.begin("tunnel");
    tcp.tcp(&socket, &mut steps).unwrap();
    let of_tcp = socket.local_addr().unwrap();
    steps.begin("tunnel");
    let datagrams = udp.udp(&mut steps).await.unwrap();
    let of_udp = datagrams.local_addr().unwrap();
    assert_eq!((find(&routes, 6, of_tcp), find(&routes, 17, of_udp)), (Some(7), Some(7)));
    let told = steps.into_list();
    assert_eq!(told[0].detail, format!("ipip to 10.0.0.1, record 7 of web, {of_tcp} by lo"));

    drop((socket, datagrams));
    drop((tcp, udp));
    assert_eq!(find(&routes, 6, of_tcp), Some(7), "the reset of the connection leaves now");
    tokio::time::sleep(LINGER + Duration::from_millis(300)).await;
    assert_eq!((find(&routes, 6, of_tcp), find(&routes, 17, of_udp)), (None, None));
}

#[tokio::test]
async fn an_address_that_is_not_there_is_a_fault_of_this_host() {
    let routes = Arc::new(ProbeRoutes::default());
    let socket = TcpSocket::new_v4().unwrap();
    let trouble = passage(&routes, "192.0.2.77").tcp(&socket, &mut Steps::quiet()).unwrap_err();
    assert_eq!(trouble.cause, Cause::Local);
    assert!(
        trouble.detail.contains("192.0.2.77") && trouble.detail.contains("ip address show lo"),
        "{trouble:?}"
    );
}

#[tokio::test]
async fn without_a_way_nothing_is_said_about_the_backend() {
    let config = config();
    let check = config.pools[0].health.check.clone().unwrap();
    let report = probe_once(check, Part::Probe, "10.0.0.1".parse().unwrap(), &subscriber("a")).await;
    assert_eq!((report.outcome.finish, report.outcome.cause), (Finish::Nothing, Some(Cause::Local)));
    assert!(report.outcome.detail.contains("punt interface"), "{report:?}");
}

#[tokio::test]
async fn a_kernel_that_refuses_is_quoted() {
    let tunnels = Tunnels::default();
    let (ways, needs) = found(&config());
    tunnels.replace(ways, needs);
    let place = ("gw-uplink0".to_owned(), "203.0.113.10".parse().unwrap());
    tunnels.known.send_replace(Known::from([(place.clone(), Err("no such interface".to_owned()))]));
    let refused = tunnels.passage(&subscriber("a"), &mut Steps::quiet()).await.err().unwrap();
    assert_eq!((refused.cause, refused.detail.as_str()), (Cause::Local, "no such interface"));
    tunnels.known.send_replace(Known::from([(place, Ok(()))]));
    let passage = tunnels.passage(&subscriber("a"), &mut Steps::quiet()).await.ok().unwrap();
    assert_eq!(passage.vip(), "203.0.113.10".parse::<IpAddr>().unwrap());
}
