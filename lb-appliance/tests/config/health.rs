//! Health checks in the typed configuration: defaults, and that every value arrives.

use std::path::PathBuf;
use std::time::Duration;

use lb_appliance::config::model::*;
use lb_appliance::config::{load, parse};

use crate::repository;

fn pool(keys: &str) -> PoolHealth {
    let text = format!(
        "version: 1\nforwarding: {{encapsulation: {{source: {{ipv4: 10.9.9.9}}}}}}\npools:\n  - name: p\n    \
         encap: {{ipip: {{}}}}\n    backends: [{{name: a, address: 10.0.0.1}}]\n{keys}\nvips:\n  \
         - {{name: v, addresses: [203.0.113.1], protocol: tcp, pool: p}}\n"
    );
    let config = parse("t.yaml", &text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    config.pools[0].health.clone()
}

fn timing(keys: &str) -> [u128; 3] {
    let check = pool(&format!("    health_check: {{tcp: {{port: 80}}{keys}}}")).check.expect("a check");
    [check.interval, check.fast_interval, check.timeout].map(|time| time.as_millis())
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    assert_eq!(pool(""), PoolHealth::default());
    let health = pool("    health_check: {tcp: {port: 80}}");
    assert_eq!((health.panic_below, health.all_down, health.quorum), (0, AllDown::Drop, 0));
    let check = health.check.expect("a check");
    assert_eq!((&check.probe, check.agent_port), (&Probe::Tcp { port: 80 }, None));
    assert_eq!((check.fall, check.rise, check.via), (3, 2, Via::Direct));
    assert_eq!(timing(""), [2000, 500, 1000]);
    assert_eq!(timing(", interval: 10s"), [10_000, 2500, 1000]);
    assert_eq!(timing(", interval: 300ms"), [300, 100, 300]);
    assert_eq!(timing(", interval: 20ms"), [20, 20, 20]);
}

#[test]
fn who_sets_a_panic_threshold_means_it_when_all_are_down_too() {
    let check = "    health_check: {tcp: {port: 80}}\n    panic_threshold: 0.3";
    let health = pool(check);
    assert_eq!((health.panic_below, health.all_down), (3000, AllDown::SendToAll));
    assert_eq!(pool(&format!("{check}\n    all_down: drop")).all_down, AllDown::Drop);
    assert_eq!(pool(&format!("{check}\n    quorum: 1")).quorum, 1);
}

#[test]
fn one_of_each_probe_arrives_value_by_value() {
    let config = load(&repository("lb-appliance/tests/config/valid/one-of-each-probe.yaml")).unwrap();
    let check = |name: &str| {
        let pool = config.pools.iter().find(|pool| pool.name == name).expect("the pool");
        pool.health.check.clone().expect("its check")
    };
    let kinds: Vec<_> = config.pools.iter().map(|pool| check(&pool.name).probe.kind()).collect();
    assert_eq!(kinds, ["tcp", "http", "https", "https", "udp", "udp", "dns", "grpc", "command"]);
    assert_eq!((check("tcp").fall, check("tcp").rise), (1, 100));
    assert_eq!(
        (check("http").agent_port, check("http").interval),
        (Some(8765), Duration::from_secs(9 * 3600))
    );
    let http = HttpProbe {
        port: 8080,
        path: "/healthz?deep=1".into(),
        host: Some("web.internal:8080".into()),
        method: HttpMethod::Get,
        expect_status: vec![(200, 299), (301, 301)],
        expect_body: Some("all is well".into()),
        load_header: "x-load".into(),
        tls: None,
    };
    assert_eq!(check("http").probe, Probe::Http(http));
    let Probe::Http(https) = &check("https").probe else { panic!("{:?}", check("https")) };
    let tls = Tls {
        sni: Some("www.internal".into()),
        ca_file: Some(PathBuf::from("/etc/guideway/ca.pem")),
        skip_verify: false,
    };
    assert_eq!((https.tls.as_ref(), https.expect_status.as_slice()), (Some(&tls), &[(204, 204)][..]));
    let udp = UdpProbe { port: 5060, send: b"ping".to_vec(), expect_prefix: b"p\xff".to_vec() };
    assert_eq!(check("udp").probe, Probe::Udp(udp));
    let dns = DnsProbe { port: 5353, name: "health.example.".into(), record_type: "SOA", rcode: 3 };
    assert_eq!(check("dns").probe, Probe::Dns(dns));
    let tls = Tls { sni: Some("shop.internal".into()), ..Tls::default() };
    let grpc = GrpcProbe { port: 50_051, service: "acme.Shop".into(), tls: Some(tls) };
    assert_eq!(check("grpc").probe, Probe::Grpc(grpc));
    let argv = ["/usr/lib/guideway/check", "--deep", "two words"].map(str::to_owned).to_vec();
    assert_eq!(check("command").probe, Probe::Command { argv });
}

#[test]
fn equal_checks_of_one_address_are_one_target_and_commands_are_not() {
    let text = std::fs::read_to_string(repository("lb-appliance/tests/config/valid/one-of-each-probe.yaml"))
        .unwrap();
    let config = parse("t.yaml", &text).unwrap();
    let twice: Vec<Pool> = config
        .pools
        .iter()
        .flat_map(|pool| [pool.clone(), Pool { name: format!("{}-too", pool.name), ..pool.clone() }])
        .collect();
    let targets = lb_appliance::health::plan::targets(&twice);
    // Nine checks, one agent, and the command once more.
    assert_eq!(targets.len(), 11);
    let shared = targets.iter().filter(|target| target.subscribers.len() == 2).count();
    assert_eq!(shared, 9);
    assert!(targets.iter().all(|target| target.key.owner.is_some() == (target.subscribers.len() == 1)));
}
