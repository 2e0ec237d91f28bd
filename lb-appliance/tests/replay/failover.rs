//! `--down`: the flows of that backend move, the others stay, as if the file had said `maintenance`.

use super::wire::{ACK, Client};
use super::{Outcome, capture, configuration, replayed, summary};
use lb_appliance::replay::{ReplayError, ReplayOptions};
use std::collections::BTreeMap;

const CONFIG: &str = r#"
version: 1
forwarding:
  maglev: {table_size: 65537}
  connections: {per_worker: 16384}
  encapsulation: {source: {ipv4: 198.51.100.11}}
pools:
  - name: web
    encap: {ipip: {}}
    backends:
      - {name: web-1, address: 10.0.1.1}
      - {name: web-2, address: 10.0.1.2}
      - {name: web-3, address: 10.0.1.3}
      - {name: web-4, address: 10.0.1.4}
vips: [{name: web, addresses: [203.0.113.1], ports: [80], protocol: tcp, pool: web}]
"#;

/// Clients, each with two packets.
const FLOWS: u16 = 4000;

fn traffic() -> Vec<u8> {
    let flow = |n: u16| Client::new(&format!("192.0.2.{}:{}", n % 250, 1024 + n), "203.0.113.1:80");
    let opening = (0..FLOWS).map(|n| flow(n).frame());
    let second = (0..FLOWS).map(|n| Client { flags: ACK, ..flow(n) }.frame());
    capture::plain(&opening.chain(second).collect::<Vec<_>>())
}

fn outcome(config: &str, down: &[&str]) -> Outcome {
    let down = down.iter().map(|name| name.parse().expect("a name")).collect();
    let outcome =
        replayed(&configuration(config), &traffic(), &ReplayOptions { down, ..ReplayOptions::default() });
    summary(&outcome);
    outcome
}

/// The backend of every flow; both of its packets went there.
fn backends(outcome: &Outcome) -> Vec<String> {
    let backend = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["backend"].as_str().expect("forwarded").to_owned()
    };
    let all: Vec<String> = outcome.lines.iter().map(backend).collect();
    let (opening, second) = all.split_at(usize::from(FLOWS));
    assert_eq!(opening, second, "a flow stays where it is");
    opening.to_vec()
}

#[test]
fn only_the_flows_of_the_failed_backend_move() {
    let (before, after) = (backends(&outcome(CONFIG, &[])), backends(&outcome(CONFIG, &["web/web-2"])));
    let mut heirs = BTreeMap::<&str, usize>::new();
    let mut collateral = 0;
    for (old, new) in before.iter().zip(&after) {
        assert_ne!(new, "web-2");
        if old == "web-2" {
            *heirs.entry(new).or_default() += 1;
        } else {
            collateral += usize::from(old != new);
        }
    }
    eprintln!("heirs of web-2: {heirs:?}; collateral {collateral} of {FLOWS} flows");
    let moved: usize = heirs.values().sum();
    assert!((900..1100).contains(&moved), "{moved} of {FLOWS} flows were a quarter's");
    assert!(heirs.len() == 3 && heirs.values().all(|count| *count > moved / 4), "{heirs:?}");
    // New flows see only Maglev, which moves a few slots between healthy backends (the paper, section 5.3).
    assert!(collateral * 100 <= usize::from(FLOWS), "{collateral} flows of healthy backends moved");
}

#[test]
fn down_means_what_maintenance_in_the_file_means() {
    let config = CONFIG
        .replace("{name: web-2, address: 10.0.1.2}", "{name: web-2, address: 10.0.1.2, state: maintenance}");
    assert_ne!(config, CONFIG);
    let (by_option, by_file) = (outcome(CONFIG, &["web/web-2", "web/web-2"]), outcome(&config, &[]));
    assert_eq!(by_option.lines, by_file.lines);
    assert_eq!(by_option.sent, by_file.sent);
}

#[test]
fn when_all_are_down_every_frame_is_dropped_for_want_of_a_backend() {
    let found = outcome(CONFIG, &["web/web-1", "web/web-2", "web/web-3", "web/web-4"]);
    let expected = r#""verdict":"drop","reason":"no_backend","vip":"web","backend":null}"#;
    assert!(found.lines.iter().all(|line| line.ends_with(expected)), "{}", found.lines[0]);
    assert_eq!(found.output.len(), 24);
}

#[test]
fn an_unknown_name_is_answered_with_all_known_ones() {
    let options =
        ReplayOptions { down: vec!["web/web-9".parse().expect("a name")], ..ReplayOptions::default() };
    let found = replayed(&configuration(CONFIG), &capture::plain(&[]), &options);
    let Err(ReplayError::UnknownBackend(unknown)) = found.result else { panic!("accepted") };
    assert_eq!(
        unknown.to_string(),
        "there is no backend `web/web-9`; known are: web/web-1, web/web-2, web/web-3, web/web-4"
    );
    assert!(found.output.is_empty());
}
