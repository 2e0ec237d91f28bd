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

/// Commands that a page shows: code spans and lines of code blocks that begin with the program's name.
fn shown(text: &str) -> Vec<String> {
    // "guideway maglev 1" and its like are what digests begin with.
    let is_command = |part: &str| {
        part.strip_prefix("guideway ").is_some_and(|rest| rest.starts_with(char::is_lowercase))
            && !part.ends_with(" 1")
    };
    let mut found = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            let line = line.trim_start().trim_start_matches("$ ");
            found.extend(
                line.split(['|', ';', '&', '#'])
                    .map(str::trim)
                    .filter(|part| is_command(part))
                    .map(str::to_owned),
            );
        } else {
            found.extend(
                line.split('`').skip(1).step_by(2).filter(|part| is_command(part)).map(str::to_owned),
            );
        }
    }
    found
}

/// What is wrong with a command as it is shown: a verb or an option that there is not.
fn unknown(root: &clap::Command, shown: &str) -> Option<String> {
    let mut words =
        shown.split_whitespace().skip(1).map(|word| word.trim_matches(['[', ']', '(', ')', ',', '.']));
    let verb = words.next()?;
    let verb = verb.split('|').next().unwrap_or(verb);
    let Some(mut command) = root.find_subcommand(verb) else { return Some(format!("verb {verb}")) };
    for word in words {
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split(['=', ']']).next().unwrap_or(flag);
            let is_known = command.get_arguments().any(|arg| arg.get_long() == Some(flag)) || flag == "help";
            if !flag.is_empty() && !is_known {
                return Some(format!("option --{flag} of {}", command.get_name()));
            }
        } else if command.has_subcommands() {
            let name = word.split('|').next().unwrap_or(word);
            match command.find_subcommand(name) {
                Some(below) => command = below,
                None => return Some(format!("verb {name} of {}", command.get_name())),
            }
        }
    }
    None
}

#[test]
fn every_command_that_is_shown_exists() {
    let mut root = definition();
    root.build();
    let mut pages = vec![docs().join("../README.md")];
    let entries = std::fs::read_dir(docs()).expect("the folder").map(|entry| entry.expect("readable").path());
    pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let (mut wrong, mut commands) = (Vec::new(), 0);
    for page in pages {
        for shown in shown(&std::fs::read_to_string(&page).expect("a page")) {
            commands += 1;
            if let Some(what) = unknown(&root, &shown) {
                wrong.push(format!("{}: no {what}: {shown}", page.display()));
            }
        }
    }
    assert!(commands > 100, "only {commands} commands were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
