//! docs/SPEC.md as a test: every rule, invariant and fault has its row, and every test that a row names exists.

use std::path::Path;

use lb_tests::program::repository;

/// Rules of RFCs: rows `F1` to `F40`.
const RULES: usize = 40;
/// Invariants: rows `I1` to `I7`.
const INVARIANTS: usize = 7;
/// Faults of peers: rows `P1` to `P16`.
const FAULTS: usize = 16;
/// Where a test named in the document may be.
const FOLDERS: [&str; 5] = ["", "lb-core/src", "lb-appliance/src", "lb-appliance/tests", "tests/tests"];

/// One row of a table: number and cells.
struct Row {
    number: String,
    kept_by: String,
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if cells[0] == "#" || cells[0].starts_with('-') {
            continue;
        }
        assert_eq!(cells.len(), 4, "a row has four cells: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
        rows.push(Row { number: cells[0].into(), kept_by: cells[3].into() });
    }
    rows
}

/// What stands between backticks and names a test.
fn named_tests(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::")).collect()
}

fn exists(file: &str, function: &str) -> bool {
    let has = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| line.contains(&format!("fn {function}(")))
    };
    FOLDERS.iter().any(|folder| has(&repository().join(folder).join(file)))
}

#[test]
fn every_rule_and_every_fault_has_a_row_and_every_test_it_names_exists() {
    let text = std::fs::read_to_string(repository().join("docs/SPEC.md")).expect("docs/SPEC.md");
    let rows = rows(&text);
    let wanted = [("F", RULES), ("I", INVARIANTS), ("P", FAULTS)]
        .into_iter()
        .flat_map(|(sort, count)| (1..=count).map(move |number| format!("{sort}{number}")));
    let missing: Vec<String> =
        wanted.filter(|number| !rows.iter().any(|row| row.number == *number)).collect();
    assert!(missing.is_empty(), "rows are missing: {missing:?}");
    for Row { number, kept_by } in &rows {
        let tests = named_tests(kept_by);
        let is_excused = kept_by.contains("*pending*") || kept_by.contains("not applicable: ");
        assert!(
            is_excused || !tests.is_empty(),
            "{number} names no test, is not pending and gives no reason"
        );
        for (file, function) in tests {
            assert!(exists(file, function), "{number}: there is no `{function}` in {file}");
        }
    }
}
