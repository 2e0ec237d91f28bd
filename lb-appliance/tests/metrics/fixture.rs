//! A small balancer filled in by hand: two workers, one port, two pools, three VIPs.
//!
//! Records are numbered service by service: web/web-1, web/web-2, api/web-1, api/web-2, dns/dns-1, dns/dns-2.

use lb_appliance::config::{self, Config};
use lb_appliance::health::{self, Engine, Options};
use lb_appliance::instruments::{PoolProbe, PortIdentity, PortProbe, PortSample, WorkerInstruments};
use lb_appliance::metrics::{Exporter, Generation, Identity, Selection, Sources};
use lb_appliance::plan::{Plan, PortFacts};
use lb_core::counters::WorkerCounters;
use lb_core::tables::Tables;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub(crate) const CONFIG: &str = r#"
version: 1
node: {name: lb1}
dataplane:
  ports:
    - name: uplink0
      device: net_null0
      mtu: 1500
      addresses: [198.51.100.11/24]
      gateways: [{address: 198.51.100.1, mac: "02:00:00:00:00:01"}]
forwarding:
  maglev: {table_size: 251, seed: "0x01"}
  encapsulation: {source: {ipv4: 198.51.100.11}}
pools:
  - name: web
    encap: {gue: {port: 6080}}
    backends:
      - {name: web-1, address: 10.0.1.11, weight: 100}
      - {name: web-2, address: 10.0.1.12, weight: 50, state: drain}
  - name: dns
    encap: {ipip: {}}
    backends:
      - {name: dns-1, address: 10.0.2.11, weight: 0}
      - {name: dns-2, address: 10.0.2.12, state: maintenance}
vips:
  - {name: web, addresses: [203.0.113.10, "2001:db8:cafe::10"], ports: [80, 443], protocol: tcp, pool: web}
  - {name: api, addresses: [203.0.113.20], ports: [443], protocol: tcp, pool: web}
  - {name: dns, addresses: [203.0.113.53], protocol: udp, pool: dns, sessions: none}
metrics: {latency_buckets: [1us, 10us, 1ms]}
"#;

/// Records and services of [`CONFIG`].
const RECORDS: usize = 6;
const SERVICES: usize = 3;

struct Port(PortIdentity, Option<PortSample>);

impl PortProbe for Port {
    fn identity(&self) -> &PortIdentity {
        &self.0
    }

    fn sample(&self) -> Option<PortSample> {
        self.1
    }
}

struct Pool(u32, u64, u64);

impl PoolProbe for Pool {
    fn numa_node(&self) -> u32 {
        self.0
    }

    fn size(&self) -> u64 {
        self.1
    }

    fn in_use(&self) -> u64 {
        self.2
    }
}

pub(crate) fn config(text: &str) -> Config {
    config::parse("fixture.yaml", text).unwrap_or_else(|found| panic!("{found}"))
}

pub(crate) fn plan(config: &Config) -> (Plan, Arc<Tables>) {
    let facts = PortFacts { mac: [2, 0, 0, 0, 0, 2], mtu: 1500 };
    let plan = Plan::new(config, &[facts]);
    let tables = Arc::new(Tables::build(&plan.spec).expect("tables"));
    (plan, tables)
}

fn worker(label: &str) -> Arc<WorkerInstruments> {
    let worker = WorkerInstruments::new(label.into(), Arc::new(WorkerCounters::new(RECORDS, SERVICES)), 1);
    worker.turns.heartbeat.beat();
    Arc::new(worker)
}

pub(crate) fn sample() -> PortSample {
    PortSample {
        receive_packets: 101,
        receive_bytes: 102,
        transmit_packets: 103,
        transmit_bytes: 104,
        receive_missed: 105,
        receive_errors: 106,
        transmit_errors: 107,
        receive_no_buffer: 108,
        is_up: true,
        speed_bytes: Some(1_250_000_000),
    }
}

/// Sources of a configuration, with a port in the given state; two idle workers, a generation, serving.
pub(crate) fn sources_with(text: &str, sample: Option<PortSample>) -> Arc<Sources> {
    let config = config(text);
    let (plan, tables) = plan(&config);
    let identity = Identity {
        node: config.node.name.clone(),
        dpdk_version: "DPDK 22.11.11".into(),
        tsc_hertz: Some(2_400_000_000),
        config_hash: Some("c0ffee".into()),
    };
    let port = PortIdentity {
        name: "uplink0".into(),
        device: "net_null0".into(),
        driver: "net_null".into(),
        numa_node: None,
    };
    let sources = Sources::new(
        identity,
        config.metrics.clone(),
        vec![worker("2"), worker("3")],
        vec![Arc::new(Port(port, sample))],
        vec![Arc::new(Pool(0, 1_000, 10)), Arc::new(Pool(0, 24, 2)), Arc::new(Pool(1, 8, 0))],
    );
    sources.publish(Arc::new(Generation::new(&config, &plan, tables)));
    sources.set_serving(true);
    Arc::new(sources)
}

pub(crate) fn sources() -> Arc<Sources> {
    sources_with(CONFIG, Some(sample()))
}

pub(crate) fn text(sources: &Arc<Sources>, selection: Selection) -> String {
    let exporter = Exporter::new(Arc::clone(sources)).expect("catalogue");
    String::from_utf8(exporter.text(selection).expect("encode")).expect("UTF-8")
}

/// The sources with one health check that has failed: such series are there for what is checked only.
pub(crate) fn checked_sources() -> Arc<Sources> {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
    let text = "version: 1\nforwarding: {encapsulation: {source: {ipv4: 198.51.100.11}}}\npools:\n\
                - {name: web, encap: {ipip: {}}, backends: [{name: web-1, address: 10.0.1.11}], \
                health_check: {command: [/bin/false]}}\nvips: []\n";
    let (events, _) = tokio::sync::mpsc::channel(16);
    let engine = Engine::spawn(RUNTIME.handle(), events, Options::default());
    engine.set_targets(health::plan::targets(&config(text).pools));
    RUNTIME.block_on(async {
        let begin = Instant::now();
        while engine.snapshot().rows[0].checks == 0 {
            assert!(begin.elapsed() < Duration::from_secs(30), "no check has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let sources = sources();
    sources.set_health(engine);
    sources
}
