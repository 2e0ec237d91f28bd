//! The metrics, judged by Prometheus itself: promtool finds nothing to say, and a real server scrapes and answers queries.

use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, METRICS, Outer, Pmd, VIP4, VIP6};
use lb_tests::netns::Namespace;
use lb_tests::process::{Process, wait_until};
use lb_tests::prom::promtool_complaints;
use lb_tests::skip::{Skip, require_program, unless};

const SERVER: &str = "127.0.0.1:9090";

fn start_prometheus(lab: &Lab) -> Process {
    let config = lab.folder().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 500ms}}\nscrape_configs:\n  - job_name: guideway\n    static_configs: [{{targets: ['{METRICS}']}}]\n"
    );
    std::fs::write(&config, text).expect("write prometheus.yml");
    lab.namespace("lb").start(
        "prometheus",
        &[
            &format!("--config.file={}", config.display()),
            &format!("--storage.tsdb.path={}", lab.folder().join("tsdb").display()),
            &format!("--web.listen-address={SERVER}"),
        ],
    )
}

/// The value of an instant query that yields one number; none while there is no answer.
fn query(namespace: &Namespace, expression: &str) -> Option<f64> {
    let url = format!("http://{SERVER}/api/v1/query");
    let query = format!("query={expression}");
    let arguments = ["--silent", "--max-time", "2", "--get", "--data-urlencode", &query, &url];
    let answer = namespace.run("curl", &arguments, Duration::from_secs(5)).stdout;
    let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

fn scraped() -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("prometheus", "prometheus")?;
    require_program("promtool", "prometheus")?;
    let lab = Lab::up(Encap::Gue, Outer::V4, Pmd::AfPacket)?;
    let balancer = Balancer::start(&lab)?;
    let before = balancer.metrics_text();
    assert_eq!(promtool_complaints(&before), "", "before the first packet");
    assert_eq!(get(&lab, VIP4, 100).good() + get(&lab, VIP6, 100).good(), 200);
    let after = balancer.metrics_text();
    assert_eq!(promtool_complaints(&after), "", "with traffic");
    let names = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("# TYPE")).map(str::to_owned).collect()
    };
    assert_eq!(names(&before), names(&after), "no metric comes into being with traffic");

    let at_rest = balancer.metrics_at_rest();
    let sent = at_rest.sum("guideway_backend_transmit_packets_total");
    let namespace = lab.namespace("lb");
    let prometheus = start_prometheus(&lab);
    let up = wait_until(Duration::from_secs(20), || query(&namespace, "up{job=\"guideway\"}") == Some(1.0));
    assert!(up, "Prometheus does not scrape: {}", prometheus.stderr_so_far());
    assert_eq!(query(&namespace, "sum(guideway_backend_transmit_packets_total)"), Some(sent));
    assert_eq!(query(&namespace, "count(guideway_build_info)"), Some(1.0));
    assert_eq!(query(&namespace, "guideway_port_up"), Some(1.0));
    assert_eq!(balancer.status("/livez"), 200);
    assert_eq!(balancer.status("/no-such-page"), 404);
    Ok(())
}

#[test]
fn a_real_prometheus_scrapes_and_answers() {
    unless(scraped());
}

#[test]
fn promtool_does_complain() {
    // The oracle itself: a counter without _total, and without help.
    if unless(require_program("promtool", "prometheus")).is_some() {
        assert_ne!(promtool_complaints("# TYPE guideway_packets counter\nguideway_packets 1\n"), "");
    }
}
