//! `docs/metrics.md` against the code: every metric and every drop reason, as the code has them.

use lb_appliance::metrics::catalogue::Metric;
use lb_appliance::metrics::{CONNECTIONS_MAX, REQUEST_SECONDS_MAX, RESPONSE_SECONDS_MAX};
use lb_core::reason::DropReason;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// First cells of the table rows under a heading.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no heading {heading}"));
    section.lines().filter(|line| line.starts_with("| `")).collect()
}

fn metric_row(metric: Metric) -> String {
    let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
    let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
    format!(
        "| `{}` | {} | {labels} | {} | {} |",
        metric.name(),
        metric.kind().name(),
        metric.group().name(),
        metric.help()
    )
}

#[test]
fn every_metric_is_documented_as_it_is() {
    let wanted: Vec<String> = Metric::ALL.iter().map(|metric| metric_row(*metric)).collect();
    let page = page();
    let found = rows(&page, "Catalogue");
    assert_eq!(found, wanted, "the table should be\n\n{}\n", wanted.join("\n"));
}

#[test]
fn every_drop_reason_is_documented_with_a_hint() {
    let page = page();
    let found = rows(&page, "Drop reasons");
    let expected =
        DropReason::ALL.iter().map(|reason| format!("| `{}` | {} |", reason.name(), reason.help()));
    let expected: Vec<String> = expected.collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (row, beginning) in found.iter().zip(expected) {
        let hint = row.strip_prefix(&beginning).unwrap_or_else(|| panic!("{row}\nshould begin\n{beginning}"));
        assert!(hint.trim_end_matches('|').trim().len() > 20, "no hint: {row}");
    }
}

#[test]
fn the_limits_are_documented() {
    let page = page();
    let limits = [
        format!("{CONNECTIONS_MAX} connections"),
        format!("{REQUEST_SECONDS_MAX} s"),
        format!("{RESPONSE_SECONDS_MAX} s"),
    ];
    for limit in limits {
        assert!(page.contains(&limit), "{limit}");
    }
}
