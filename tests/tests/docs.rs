//! The documentation as a test: every link leads somewhere, every complete example configuration is valid.

use std::process::Command;
use std::time::Duration;

use lb_tests::process::run;
use lb_tests::program::{guideway, repository};
use lb_tests::skip;
use lb_tests::source::{Source, files};

const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// Targets of `[text](target)` outside of code fences.
fn links(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in source.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// GitHub's anchors: lower case, spaces to hyphens, punctuation gone.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let kept = |one: char| match one {
            ' ' => Some('-'),
            '-' | '_' => Some(one),
            one if one.is_alphanumeric() => Some(one.to_ascii_lowercase()),
            _ => None,
        };
        line.trim_start_matches('#').trim().chars().filter_map(kept).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for source in files(&[".md"]) {
        let folder =
            repository().join(&source.path).parent().map(std::path::Path::to_owned).unwrap_or_default();
        for (line, target) in links(&source) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let file = if path.is_empty() { repository().join(&source.path) } else { folder.join(path) };
            if !file.exists() {
                broken.push(format!("{}:{line}: {target} does not exist", source.path));
            } else if !anchor.is_empty()
                && !std::fs::read_to_string(&file)
                    .is_ok_and(|text| anchors(&text).iter().any(|one| one == anchor))
            {
                broken.push(format!("{}:{line}: {target} has no such heading", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Fenced YAML blocks whose first line is `version: 1`: complete files a reader may copy.
fn complete_examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for source in files(&[".md"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, _) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "```yaml") {
            let block: Vec<&str> =
                lines[start + 1..].iter().take_while(|line| line.trim() != "```").copied().collect();
            if block.first().is_some_and(|line| line.trim() == "version: 1") {
                examples.push((format!("{}:{}", source.path, start + 1), block.join("\n") + "\n"));
            }
        }
    }
    examples
}

#[test]
fn every_complete_example_is_valid() {
    let Some(_) = skip::unless(guideway()) else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut refused = Vec::new();
    let shipped = files(&[".yaml"]).into_iter().filter(|source| source.path.starts_with("config/"));
    let shipped = shipped.map(|source| (source.path, source.text));
    for (place, text) in complete_examples().into_iter().chain(shipped) {
        let file = folder.path().join("example.yaml");
        std::fs::write(&file, text).expect("write the example");
        let mut check: Command = guideway().expect("present above");
        let finished = run(check.arg("check").arg(&file), CHECK_LIMIT);
        if !finished.status.success() {
            refused.push(format!("{place}: {}\n{}{}", finished.status, finished.stdout, finished.stderr));
        }
    }
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("README.md");
    assert!(
        readme.lines().count() <= 150,
        "README.md has {} lines, 150 is the promise",
        readme.lines().count()
    );
}
