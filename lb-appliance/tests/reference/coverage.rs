//! What the hand-written pages must not leave out.

use lb_appliance::cli::root::definition;
use lb_appliance::control::events::Kind as Event;
use lb_appliance::control::problem::ProblemCode;
use lb_core::reason::{DropReason, PuntReason};

use super::docs;

fn page(name: &str) -> String {
    let path = docs().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a page under a heading of the second level.
fn chapter(page: &str, heading: &str) -> String {
    let chapter = page.split("\n## ").find(|part| part.lines().next() == Some(heading));
    chapter.unwrap_or_else(|| panic!("no heading {heading}")).to_owned()
}

/// Rows of tables that begin with a word in backquotes: that word and the row.
fn rows(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter_map(|line| Some((line.strip_prefix("| `")?.split_once('`')?.0, line))).collect()
}

#[test]
fn every_drop_reason_has_a_cause_and_a_mend() {
    let page = page("troubleshooting.md");
    let chapter = chapter(&page, "Packets are dropped");
    let found = rows(&chapter);
    for reason in DropReason::ALL {
        let row = found.iter().find(|(name, _)| *name == reason.name());
        let (_, row) = row.unwrap_or_else(|| panic!("docs/troubleshooting.md: no row for {}", reason.name()));
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| cell.len() > 3), "look, cause, mend: {row}");
    }
    assert_eq!(found.len(), DropReason::COUNT, "rows of reasons that there are not: {found:#?}");
}

#[test]
fn every_punt_reason_is_explained() {
    let page = page("punt.md");
    for reason in PuntReason::ALL {
        assert!(page.contains(&format!("`{}`", reason.name())), "docs/punt.md: {}", reason.name());
    }
}

#[test]
fn every_event_is_listed_with_its_severity() {
    let page = page("control-plane.md");
    let chapter = chapter(&page, "Events");
    for event in Event::ALL {
        let begin = format!("| `{}` | {} | ", event.name(), event.severity().name());
        assert!(chapter.lines().any(|line| line.starts_with(&begin)), "docs/control-plane.md: {begin}");
    }
    assert_eq!(rows(&chapter).len(), Event::ALL.len());
}

#[test]
fn every_refusal_is_listed_with_its_status() {
    let page = page("control-plane.md");
    for code in ProblemCode::ALL {
        let begin = format!("| `{}` | {} | ", code.id(), code.status());
        assert!(page.lines().any(|line| line.starts_with(&begin)), "docs/control-plane.md: {begin}");
    }
}

/// `run` and `completions` stand as headings, `drain` in a row of the table of commands.
#[test]
fn every_verb_is_in_the_manual() {
    let page = page("cli.md");
    let is_there = |name: &str| {
        let is_word = |part: &str| part.split([' ', '`', ',', '|', '\\']).any(|word| word == name);
        page.lines().any(|line| {
            (line.starts_with('#') || line.starts_with("| `") || line.contains('`')) && is_word(line)
        })
    };
    for command in definition().get_subcommands() {
        let name = command.get_name();
        assert!(is_there(name), "docs/cli.md does not know `guideway {name}`");
        for below in command.get_subcommands() {
            assert!(
                is_there(below.get_name()),
                "docs/cli.md does not know `guideway {name} {}`",
                below.get_name()
            );
        }
    }
}
