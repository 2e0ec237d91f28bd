//! `docs/reference/`: pages that are made from the program, and kept in the repository for readers of plain Markdown.
//!
//! The test compares them with what the code says; `scripts/docs --generate` writes them. They are complete by
//! construction: what they cannot do is explain, and that is what the pages beside them are for.

mod api;
mod cli;
mod configuration;
mod coverage;
mod figures;

use std::path::{Path, PathBuf};

/// Set by `scripts/docs --generate`.
const WRITE: &str = "GUIDEWAY_WRITE_REFERENCE";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Every page: name, title, how it begins, and the rest.
fn pages() -> Vec<(&'static str, String)> {
    [
        ("configuration", "Configuration: all keys", "[Configuration](../configuration.md)", configuration::text()),
        ("cli", "Command line: all options", "[Command line](../cli.md)", cli::text()),
        ("metrics", "Metrics: all series", "[Metrics](../metrics.md)", figures::metrics()),
        ("drop-reasons", "Drop and punt reasons", "[Troubleshooting](../troubleshooting.md#packets-are-dropped)", figures::reasons()),
        ("events", "Events and refusals", "[Control plane](../control-plane.md)", figures::events()),
        ("api", "Admin API: all operations", "[Admin API](../api.md)", api::text()),
    ]
    .map(|(name, title, explained, text)| {
        let head = format!(
            "<!-- Made by `scripts/docs --generate` from the program; a test compares it. Do not edit. -->\n\n# {title}\n\n\
             Made from the program, so it is complete; {explained} explains.\n\n"
        );
        (name, format!("{head}{}\n", text.trim_end()))
    })
    .into()
}

#[test]
fn the_reference_is_what_the_program_says() {
    let mut stale = Vec::new();
    for (name, text) in pages() {
        let path = docs().join("reference").join(format!("{name}.md"));
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if found == text {
            continue;
        }
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, text).expect("write the page");
            continue;
        }
        let differs = found.lines().zip(text.lines()).position(|(found, wanted)| found != wanted);
        let line = differs.unwrap_or_else(|| found.lines().count().min(text.lines().count()));
        let wanted = text.lines().nth(line).unwrap_or_default();
        stale.push(format!("docs/reference/{name}.md:{}: should be: {wanted}", line + 1));
    }
    assert!(stale.is_empty(), "run scripts/docs --generate\n{}", stale.join("\n"));
}

#[test]
fn nothing_else_is_in_the_folder() {
    let names: Vec<String> = pages().iter().map(|(name, _)| format!("{name}.md")).collect();
    for entry in std::fs::read_dir(docs().join("reference")).expect("the folder") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        assert!(names.contains(&name), "docs/reference/{name} is made by nothing");
    }
}

/// A cell of a table: one line, no bars.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A sentence, from the help of a program that does without the full stop.
fn sentence(text: &str) -> String {
    let text = cell(text);
    if text.is_empty() || text.ends_with(['.', ':', '!', '?']) { text } else { text + "." }
}
