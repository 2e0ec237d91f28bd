//! The documentation as a test: every link leads somewhere, no page is forgotten, every example configuration is
//! valid, every drawing is a drawing. That it names every key, metric, reason and verb is tested beside the program
//! (`lb-appliance/tests/{config,metrics,health,reference}`); that its commands work, in `e2e_docs.rs`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lb_tests::page::{EXECUTED, blocks, prose, steps};
use lb_tests::process::run;
use lb_tests::program::{guideway, repository};
use lb_tests::skip::{self, require_program};
use lb_tests::source::{Source, files};

const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// Targets of `[text](target)` outside of code, with their lines.
fn links(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // Code spans in the text of a link would be taken out with it.
    let kept = prose(&source.text.replace("`](", "]("));
    for (index, line) in kept.lines().enumerate() {
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
    let mut is_code = false;
    let headings = text.lines().filter(move |line| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code && line.starts_with('#')
    });
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

/// Where a link of a page leads, as a path from the root of the repository, and its anchor.
fn lead<'a>(page: &str, target: &'a str) -> (PathBuf, &'a str) {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if path.is_empty() {
        return (PathBuf::from(page), anchor);
    }
    let mut whole = PathBuf::new();
    for part in Path::new(page).parent().unwrap_or(Path::new("")).join(path).components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::Normal(name) => whole.push(name),
            _ => {}
        }
    }
    (whole, anchor)
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for source in files(&[".md"]) {
        for (line, target) in links(&source) {
            if is_elsewhere(&target) {
                continue;
            }
            let (path, anchor) = lead(&source.path, &target);
            let file = repository().join(path);
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

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let text = std::fs::read_to_string(repository().join("docs/SUMMARY.md")).expect("docs/SUMMARY.md");
    let summary = Source { path: "docs/SUMMARY.md".to_owned(), text };
    let mut listed = Vec::new();
    for (_, target) in links(&summary) {
        listed.push(lead(&summary.path, &target).0.to_string_lossy().into_owned());
    }
    let once: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice: {listed:#?}");
    let pages = files(&[".md"]).into_iter().map(|page| page.path);
    let is_page = |path: &String| path.starts_with("docs/") && path != "docs/SUMMARY.md";
    let orphans: Vec<String> = pages.filter(is_page).filter(|path| !once.contains(path)).collect();
    assert!(orphans.is_empty(), "not in docs/SUMMARY.md: {orphans:#?}");
}

#[test]
fn every_drawing_is_a_drawing_and_is_shown() {
    let Some(()) = skip::unless(require_program("python3", "python3")) else { return };
    let shown: BTreeSet<PathBuf> = files(&[".md"])
        .iter()
        .flat_map(|page| {
            links(page).into_iter().map(|(_, target)| lead(&page.path, &target).0).collect::<Vec<_>>()
        })
        .collect();
    // Another parser than one of ours: expat, by Python.
    let parse = "import sys, xml.dom.minidom as m; d = m.parse(sys.argv[1]).documentElement
assert d.tagName == 'svg' and d.hasAttribute('viewBox'), 'no svg with a viewBox'
assert d.getElementsByTagName('title'), 'no title'";
    for drawing in files(&[".svg"]).into_iter().filter(|file| file.path.starts_with("docs/img/")) {
        let path = repository().join(&drawing.path);
        let finished = run(Command::new("python3").args(["-c", parse]).arg(&path), CHECK_LIMIT);
        assert!(finished.status.success(), "{}: {}", drawing.path, finished.stderr);
        assert!(shown.contains(Path::new(&drawing.path)), "{} is shown on no page", drawing.path);
    }
}

/// A piece of a configuration with what it lacks to be checked as a whole; the pools that its VIPs name are made up.
fn wrapped(text: &str) -> String {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("version:") {
        return text.to_owned() + "\n";
    }
    let name = |part: &str| part.split([',', '}', '\n', '#']).next().unwrap_or_default().trim().to_owned();
    let named: BTreeSet<String> = text.split(" pool: ").skip(1).map(name).collect();
    let pool = |name: &String| {
        format!("\n  - {{name: {name}, encap: {{ipip: {{}}}}, backends: [{{name: b, address: 10.255.0.1}}]}}")
    };
    let pools: String = named.iter().map(pool).collect();
    let mut whole = String::from("version: 1\n");
    for (key, filler) in [
        ("forwarding:", " {encapsulation: {source: {ipv4: 192.0.2.1, ipv6: \"2001:db8::1\"}}}"),
        ("pools:", if pools.is_empty() { " []" } else { &pools }),
        ("vips:", " []"),
    ] {
        if !has(key) {
            whole += &format!("{key}{filler}\n");
        }
    }
    whole + text + "\n"
}

/// YAML blocks of all pages: whole files as they are, pieces with what they lack. Those of other programs and pieces of
/// pieces say so in a comment in front.
fn examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for source in files(&[".md"]) {
        for block in blocks(&source).into_iter().filter(|block| ["yaml", "yml"].contains(&block.language())) {
            let reason = block.comment.as_deref().and_then(|text| text.strip_prefix("not checked:"));
            if reason.is_none_or(|reason| reason.trim().len() < 5) {
                examples.push((format!("{}:{}", source.path, block.line), wrapped(&block.text)));
            }
        }
    }
    examples
}

#[test]
fn every_example_is_valid() {
    let Some(_) = skip::unless(guideway()) else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut refused = Vec::new();
    let shipped = files(&[".yaml"]).into_iter().filter(|source| source.path.starts_with("config/"));
    let shipped = shipped.map(|source| (source.path, source.text));
    for (place, text) in examples().into_iter().chain(shipped) {
        let file = folder.path().join("example.yaml");
        std::fs::write(&file, &text).expect("write the example");
        let mut check: Command = guideway().expect("present above");
        let finished = run(check.arg("check").arg(&file), CHECK_LIMIT);
        if !finished.status.success() {
            let said = format!("{}{}", finished.stdout, finished.stderr);
            refused.push(format!("{place}: {}\n{said}", finished.status));
        }
    }
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

#[test]
fn what_says_that_it_runs_is_run() {
    let mut wrong = Vec::new();
    for source in files(&[".md"]) {
        if EXECUTED.contains(&source.path.as_str()) {
            wrong.extend(steps(&source).err().into_iter().flatten());
            continue;
        }
        for block in blocks(&source) {
            let is_marked = block.info.split_whitespace().nth(1) == Some("run");
            if is_marked || block.comment.is_some_and(|text| text.starts_with("run:")) {
                wrong.push(format!("{}:{}: no test runs this page", source.path, block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// How names of things are written; the left one is wrong in prose.
const NAMES: [(&str, &str); 18] = [
    ("GuideWay", "Guideway"),
    ("guide-way", "Guideway"),
    ("dpdk", "DPDK"),
    ("Dpdk", "DPDK"),
    ("Systemd", "systemd"),
    ("SystemD", "systemd"),
    ("Nginx", "nginx"),
    ("NGINX", "nginx"),
    ("MagLev", "Maglev"),
    ("katran", "Katran"),
    ("prometheus", "Prometheus"),
    ("kubernetes", "Kubernetes"),
    ("Github", "GitHub"),
    ("IPV4", "IPv4"),
    ("IPV6", "IPv6"),
    ("ipv4", "IPv4"),
    ("ipv6", "IPv6"),
    ("Openapi", "OpenAPI"),
];

/// The line without the targets of its links, which are paths.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push(' ');
        text += part.split_once(')').map_or("", |(_, after)| after);
    }
    text
}

#[test]
fn names_are_spelt_as_their_owners_do() {
    let mut wrong = Vec::new();
    for source in files(&[".md"]) {
        for (index, line) in prose(&source.text).lines().enumerate() {
            for word in without_targets(line).split_whitespace() {
                let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
                if let Some((_, right)) = NAMES.iter().find(|(wrong, _)| *wrong == word) {
                    wrong.push(format!("{}:{}: {word} is written {right}", source.path, index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
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
