//! docs/configuration.md knows every key and every code, and invents none.
//!
//! A key has a table row that begins with its full path in backquotes; a code has a row that begins with it.

use std::collections::BTreeSet;

use lb_appliance::config::{Code, keys, parse};

use crate::repository;

fn text() -> String {
    std::fs::read_to_string(repository("docs/configuration.md")).expect("the reference exists")
}

/// First cells of table rows, without backquotes.
fn first_cells(text: &str) -> BTreeSet<String> {
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    text.lines().filter_map(cell).collect()
}

fn documented_keys() -> BTreeSet<String> {
    first_cells(&text()).into_iter().filter(|cell| !cell.starts_with("GW")).collect()
}

#[test]
fn every_key_is_documented_and_nothing_else() {
    let mut known = BTreeSet::new();
    for table in keys::ALL {
        for key in table.keys {
            known.insert(if table.path.is_empty() {
                key.name.into()
            } else {
                format!("{}.{}", table.path, key.name)
            });
        }
    }
    assert_eq!(documented_keys(), known);
}

#[test]
fn every_code_is_documented_with_its_severity_and_title() {
    let text = text();
    for code in Code::ALL {
        let row = format!("| `{}` | {} | {}", code.id(), code.severity().word(), code.title());
        assert!(text.contains(&row), "missing: {row}");
    }
    let codes = first_cells(&text).into_iter().filter(|cell| cell.starts_with("GW")).count();
    assert_eq!(codes, Code::ALL.len());
}

#[test]
fn every_whole_example_is_valid() {
    let text = text();
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let whole: Vec<&&str> = blocks.iter().filter(|block| block.contains("version: 1")).collect();
    assert!(!whole.is_empty());
    for block in whole {
        if let Err(diagnostics) = parse("docs/configuration.md", block) {
            panic!("{diagnostics}\n{block}");
        }
    }
}
