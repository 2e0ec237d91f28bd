//! The catalogue against the scrape, against Prometheus' own linter, and against its own rules.

use super::fixture::{CONFIG, checked_sources, sample, sources, sources_with, text};
use super::scrape::Scrape;
use lb_appliance::metrics::catalogue::{Kind, Metric};
use lb_appliance::metrics::{Exporter, Group, Selection};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

fn selection(groups: &[&str]) -> Selection {
    Selection::from_query(groups.iter().map(|group| ("collect[]", *group))).expect("groups")
}

/// What `promtool check metrics` has to say; `None`, with a message, where it is not installed.
fn promtool(scrape: &str) -> Option<(bool, String)> {
    let command = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match command {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: promtool cannot be started ({error}); Debian package `prometheus`");
            return None;
        }
    };
    child.stdin.take().expect("stdin").write_all(scrape.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("promtool");
    let words = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&words).into_owned()))
}

#[test]
fn promtool_has_nothing_to_say() {
    let sources = sources();
    for nanos in [1_000, 50_000, 3_000_000] {
        sources.workers[0].latency.record(nanos);
    }
    for selection in [Selection::ALL, selection(&["ports"]), selection(&["vips"])] {
        if let Some(judgement) = promtool(&text(&sources, selection)) {
            assert_eq!(judgement, (true, String::new()));
        }
    }
}

#[test]
fn promtool_would_have_something_to_say() {
    // The oracle itself must be able to fail.
    if let Some((is_fine, words)) = promtool("# TYPE guideway_packets counter\nguideway_packets 1\n") {
        assert!(!is_fine && words.contains("guideway_packets"), "{words}");
    }
}

#[test]
fn a_scrape_has_the_whole_catalogue_as_declared_and_nothing_else() {
    let scrape = Scrape::parse(&text(&checked_sources(), Selection::ALL));
    let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(names.len(), Metric::ALL.len(), "a name is declared twice");
    let found: BTreeSet<&str> = scrape.types.keys().map(String::as_str).collect();
    let ours: BTreeSet<&str> = found.iter().copied().filter(|name| !name.starts_with("process_")).collect();
    assert_eq!(ours, names);
    assert_eq!(found.len() - ours.len(), 7, "process_* of the prometheus crate");
    for metric in Metric::ALL {
        assert_eq!(scrape.types[metric.name()], metric.kind().name(), "{}", metric.name());
        assert_eq!(scrape.helps[metric.name()], metric.help(), "{}", metric.name());
    }
}

#[test]
fn names_keep_the_rules_of_the_house() {
    for metric in Metric::ALL {
        let name = metric.name();
        assert!(name.starts_with("guideway_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
        assert!(metric.help().ends_with('.'), "{name}");
        for label in metric.labels() {
            assert!(!["type", "service", "cluster"].contains(label), "{name} has the label {label}");
        }
    }
}

#[test]
fn a_registry_takes_the_collector() {
    let registry = prometheus::Registry::new();
    registry.register(Box::new(Exporter::new(checked_sources()).expect("catalogue"))).expect("register");
    assert_eq!(registry.gather().len(), Metric::ALL.len());
}

#[test]
fn no_metric_comes_into_being_with_traffic() {
    let sources = sources();
    let before = Scrape::parse(&text(&sources, Selection::ALL));
    for worker in &sources.workers {
        worker.packets.records[0].packets.add(1);
        worker.latency.record(5_000);
        worker.turns.bursts[0].add(1);
    }
    let after = Scrape::parse(&text(&sources, Selection::ALL));
    assert!(before.series.keys().eq(after.series.keys()));
}

#[test]
fn a_selection_has_its_groups_and_the_node() {
    let sources = checked_sources();
    for group in Group::NAMED {
        let scrape = Scrape::parse(&text(&sources, selection(&[group.name()])));
        let found: BTreeSet<&str> =
            scrape.types.keys().map(String::as_str).filter(|name| !name.starts_with("process_")).collect();
        let wanted = Metric::ALL.iter().filter(|metric| [Group::Node, group].contains(&metric.group()));
        assert_eq!(found, wanted.map(|metric| metric.name()).collect(), "{}", group.name());
    }
    let both = Scrape::parse(&text(&sources, selection(&["vips", "backends"])));
    assert!(both.count("guideway_vip_info") > 0 && both.count("guideway_backend_up") > 0);
    assert_eq!(both.count("guideway_port_up") + both.count("guideway_worker_polls_total"), 0);
}

#[test]
fn series_that_cost_can_be_switched_off() {
    let config = CONFIG.replace("metrics: {", "metrics: {per_backend: false, per_queue: false, ");
    let scrape = Scrape::parse(&text(&sources_with(&config, Some(sample())), Selection::ALL));
    let costly = ["guideway_backend_", "guideway_queue_"];
    let found: Vec<&String> =
        scrape.types.keys().filter(|name| costly.iter().any(|prefix| name.starts_with(prefix))).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(scrape.count("guideway_vip_backends") > 0 && scrape.count("guideway_port_up") > 0);
}
