//! What is shipped for Prometheus, Grafana and Kubernetes, held to the catalogue of metrics and to promtool.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lb_appliance::metrics::catalogue::{Kind, Metric};
use lb_core::reason::DropReason;
use lb_tests::process::run;
use lb_tests::program::repository;
use lb_tests::skip::{Skip, require_program, unless};
use serde_yaml::Value;

const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str = "deploy/prometheus/guideway.rules.yml";
const RULE_TESTS: &str = "deploy/prometheus/tests.yml";
const DASHBOARD: &str = "deploy/grafana/guideway.json";
const PROMETHEUS_RULE: &str = "deploy/kubernetes/base/prometheusrule.yaml";

fn path(file: &str) -> PathBuf {
    repository().join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_yaml::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn dashboard() -> serde_json::Value {
    serde_json::from_str(&text(DASHBOARD)).expect("the dashboard is JSON")
}

/// Every word of a text that begins with `guideway_`.
fn metric_words(text: &str) -> BTreeSet<&str> {
    let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_';
    text.split(|one| !is_part(one)).filter(|word| word.starts_with("guideway_")).collect()
}

/// Is it the name of a series that the catalogue exports?
fn is_exported(name: &str) -> bool {
    Metric::ALL.iter().any(|metric| match metric.kind() {
        Kind::Histogram => {
            ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(metric.name()))
        }
        Kind::Counter | Kind::Gauge => metric.name() == name,
    })
}

#[test]
fn every_metric_that_is_used_exists() {
    for file in [RULES, RULE_TESTS, DASHBOARD] {
        let text = text(file);
        let words = metric_words(&text);
        assert!(words.len() > 5, "{file} is not about metrics: {words:?}");
        let unknown: Vec<_> = words.iter().filter(|word| !is_exported(word)).collect();
        assert!(unknown.is_empty(), "{file}: the catalogue has no {unknown:?}");
    }
    // The test itself: a histogram has no series of its bare name.
    assert!(is_exported("guideway_forward_latency_seconds_bucket"));
    assert!(!is_exported("guideway_forward_latency_seconds") && !is_exported("guideway_port_ups"));
}

#[test]
fn every_drop_reason_that_is_used_exists() {
    let known: BTreeSet<&str> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    for file in [RULES, RULE_TESTS] {
        let text = text(file);
        let mut values = BTreeSet::new();
        for part in text.split("reason").skip(1) {
            let operator = ["=~\"", "!~\"", "=\""].iter().find_map(|operator| part.strip_prefix(operator));
            values.extend(
                operator.and_then(|rest| rest.split('"').next()).into_iter().flat_map(|list| list.split('|')),
            );
        }
        assert!(!values.is_empty(), "{file}");
        let unknown: Vec<_> = values.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: no such reason: {unknown:?}");
    }
}

/// Names of the alerts, in the order of the file.
fn alerts() -> Vec<String> {
    let rules = yaml(RULES);
    let groups = rules["groups"].as_sequence().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_sequence().expect("rules").clone());
    rules.map(|rule| rule["alert"].as_str().expect("an alert").to_owned()).collect()
}

#[test]
fn every_alert_is_tested_and_explained() {
    let (tests, page) = (text(RULE_TESTS), text("docs/monitoring.md"));
    let alerts = alerts();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{RULE_TESTS} lets {alert} never fire");
        assert!(page.contains(&format!("| `{alert}` |")), "docs/monitoring.md does not explain {alert}");
    }
}

fn promtool(arguments: &[&str]) -> Result<(), Skip> {
    require_program("promtool", "prometheus")?;
    let finished = run(
        Command::new("promtool").args(arguments).current_dir(repository().join("deploy/prometheus")),
        LIMIT,
    );
    assert!(finished.status.success(), "{arguments:?}\n{}{}", finished.stdout, finished.stderr);
    Ok(())
}

#[test]
fn alerts_fire_when_they_must_and_only_then() {
    unless(promtool(&["check", "rules", "guideway.rules.yml"]));
    unless(promtool(&["test", "rules", "tests.yml"]));
}

/// Every `expr` below a value.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            found.extend(map.get("expr").and_then(|expr| expr.as_str()).map(str::to_owned));
            map.values().for_each(|value| expressions(value, found));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn prometheus_understands_every_expression_of_the_dashboard() {
    let mut found = Vec::new();
    expressions(&dashboard(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    // As recording rules, with Grafana's variables replaced.
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for (index, expression) in found.iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "1m");
        let one = serde_json::to_string(&expression).expect("a string");
        let _ = writeln!(rules, "      - {{record: \"panel:{index}\", expr: {one}}}");
    }
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("dashboard.rules.yml");
    fs::write(&file, rules).expect("written");
    unless(promtool(&["check", "rules", &file.to_string_lossy()]));
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len(), "panels share an id");
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        let (x, y, w) = (&panel["gridPos"]["x"], &panel["gridPos"]["y"], &panel["gridPos"]["w"]);
        assert!(places.insert((x.as_u64(), y.as_u64())), "{title} lies on another panel");
        assert!(x.as_u64().zip(w.as_u64()).is_some_and(|(x, w)| x + w <= 24), "{title} is too wide");
        if panel["type"] != "row" {
            // Whatever the data source is called in the reader's Grafana.
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{title}");
        }
    }
}

#[test]
fn kubernetes_has_the_same_alerts() {
    let (rules, custom) = (yaml(RULES), yaml(PROMETHEUS_RULE));
    assert_eq!(custom["kind"], Value::from("PrometheusRule"));
    assert_eq!(
        custom["spec"]["groups"], rules["groups"],
        "{PROMETHEUS_RULE} is stale: scripts/test-kubernetes --write"
    );
}
