//! The house style as a test: the floors and their imports, the size walls, and where `unsafe` may stand.
//!
//! Every rule walks the whole tree; a violation is reported with all others, as `path:line: rule`.

use std::collections::BTreeMap;

use lb_tests::source::{Source, code_only, files, functions};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// The floors of the design: which of our crates a crate may use.
const MATRIX: [(&str, &[&str]); 5] = [
    ("dpdk-sys", &[]),
    ("lb-core", &[]),
    ("dpdk", &["dpdk-sys"]),
    ("lb-appliance", &["lb-core", "dpdk"]),
    ("tests", &["dpdk-sys", "dpdk", "lb-core", "lb-appliance"]),
];

/// The only places for `unsafe`.
const UNSAFE_PLACES: [&str; 4] = ["dpdk-sys/", "dpdk/", "lb-core/src/hw/", "lb-core/src/hw.rs"];

fn rust() -> Vec<Source> {
    let found = files(&[".rs"]);
    assert!(found.len() > 20, "the walk found only {} Rust files", found.len());
    found
}

fn none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Code before the inline tests, which stand last in a file.
fn production(source: &Source) -> String {
    let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
    let text = source.text.split("#[cfg(test)]").next().unwrap_or_default();
    if is_test { String::new() } else { code_only(text) }
}

/// Occurrences of `word` as a whole word, with their lines.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let whole = |character: Option<char>| !character.is_some_and(|one| one.is_alphanumeric() || one == '_');
    let hit = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            whole(line[..at].chars().next_back()) && whole(line[at + word.len()..].chars().next())
        })
    };
    code.lines().enumerate().filter(|(_, line)| hit(line)).map(|(index, _)| index + 1).collect()
}

#[test]
fn every_rust_file_says_what_it_is() {
    let silent = rust().into_iter().filter(|source| !source.text.starts_with("//! "));
    none(silent.map(|source| format!("{}:1: does not begin with //!", source.path)).collect());
}

#[test]
fn no_file_and_no_function_is_over_the_wall() {
    let mut violations = Vec::new();
    for source in rust() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            violations.push(format!("{}: {lines} lines, the wall is {FILE_LINES_MAX}", source.path));
        }
        for function in functions(&source.text).into_iter().filter(|one| one.body_lines > FUNCTION_LINES_MAX)
        {
            violations.push(format!(
                "{}:{}: fn {} has {} lines, the wall is {FUNCTION_LINES_MAX}",
                source.path, function.line, function.name, function.body_lines
            ));
        }
    }
    none(violations);
}

#[test]
fn unsafe_stands_only_at_the_border() {
    let mut violations = Vec::new();
    for source in rust() {
        if !UNSAFE_PLACES.iter().any(|place| source.path.starts_with(place)) {
            let lines = lines_with(&code_only(&source.text), "unsafe");
            violations.extend(lines.into_iter().map(|line| format!("{}:{line}: unsafe", source.path)));
        }
    }
    none(violations);
}

/// Names of our crates in the dependency tables of a manifest.
fn manifest_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            in_dependencies = table.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies {
            let name: String =
                line.chars().take_while(|one| one.is_alphanumeric() || "-_".contains(*one)).collect();
            if MATRIX.iter().any(|(ours, _)| *ours == name) {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn imports_point_down_only() {
    let manifests: BTreeMap<String, String> =
        files(&["Cargo.toml"]).into_iter().map(|source| (source.path, source.text)).collect();
    let sources = rust();
    let mut violations = Vec::new();
    for (name, allowed) in MATRIX {
        let path = format!("{name}/Cargo.toml");
        let manifest = manifests.get(&path).unwrap_or_else(|| panic!("{path} is missing"));
        let upward =
            manifest_dependencies(manifest).into_iter().filter(|one| !allowed.contains(&one.as_str()));
        violations.extend(upward.map(|one| format!("{path}: depends on {one}")));
        for source in sources.iter().filter(|source| source.path.starts_with(&format!("{name}/"))) {
            let code = code_only(&source.text);
            for (other, _) in MATRIX
                .iter()
                .filter(|(other, _)| *other != name && *other != "tests" && !allowed.contains(other))
            {
                let path = format!("{}::", other.replace('-', "_"));
                let starts = |line: &str| line.trim_start().starts_with(&format!("use {path}"));
                let named = code.lines().position(starts);
                violations.extend(named.map(|line| format!("{}:{}: uses {other}", source.path, line + 1)));
            }
        }
    }
    none(violations);
}

#[test]
fn the_core_does_no_io_and_asks_no_clock() {
    let forbidden = [
        "std::fs",
        "std::io",
        "std::net::TcpStream",
        "std::net::UdpSocket",
        "std::process",
        "std::thread",
        "std::env",
        "Instant",
        "SystemTime",
        "Mutex",
        "RwLock",
        "println",
        "eprintln",
        "tracing",
        "tokio",
    ];
    // Off the packet path, and each with its reason at the head of the file.
    let excused = [("lb-core/src/publish.rs", "Mutex"), ("lb-core/src/tables/maglevs.rs", "std::thread")];
    let mut violations = Vec::new();
    for source in rust().into_iter().filter(|source| source.path.starts_with("lb-core/src/")) {
        let code = production(&source);
        for word in forbidden.into_iter().filter(|word| !excused.contains(&(source.path.as_str(), *word))) {
            let lines = lines_with(&code, word);
            violations.extend(lines.into_iter().map(|line| format!("{}:{line}: {word}", source.path)));
        }
    }
    none(violations);
}

#[test]
fn one_file_names_the_fields_of_an_mbuf() {
    let fields = ["data_off", "buf_addr", "ol_flags", "nb_segs", "pkt_len"];
    let mut violations = Vec::new();
    for source in rust()
        .into_iter()
        .filter(|source| source.path.starts_with("dpdk/src/") || source.path.starts_with("lb-"))
    {
        if source.path.starts_with("dpdk/src/mbuf") {
            continue;
        }
        let code = production(&source);
        for field in fields {
            let lines = lines_with(&code, field);
            violations.extend(lines.into_iter().map(|line| format!("{}:{line}: {field}", source.path)));
        }
    }
    none(violations);
}

#[test]
fn no_file_is_named_for_nothing() {
    let empty = ["manager", "util", "utils", "helper", "helpers", "data", "common", "misc"];
    let named =
        rust().into_iter().filter(|source| source.path.split(['/', '.']).any(|part| empty.contains(&part)));
    none(named.map(|source| format!("{}: the name says nothing", source.path)).collect());
}

#[test]
fn nothing_is_left_to_do_and_no_path_is_of_one_machine() {
    // Written in pieces, or this file would break its own rules.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
    ];
    let mut violations = Vec::new();
    for source in files(&[".rs", ".sh", ".c", ".h", ".lua", ".toml", ".yaml", ".md", ""]) {
        for (index, line) in source.text.lines().enumerate() {
            let found = marks.iter().filter(|mark| line.contains(**mark));
            violations.extend(found.map(|mark| format!("{}:{}: {mark}", source.path, index + 1)));
        }
    }
    none(violations);
}

#[test]
fn scripts_say_what_they_are() {
    let mut violations = Vec::new();
    let mut seen = 0;
    for source in files(&[".sh", ""])
        .into_iter()
        .filter(|source| source.path.starts_with("scripts/") || source.path == ".ci/run")
    {
        seen += 1;
        let lines: Vec<&str> = source.text.lines().collect();
        let program = lines.first() == Some(&"#!/usr/bin/env bash");
        if !program && source.path.rsplit('/').next().is_some_and(|name| !name.contains('.')) {
            violations.push(format!("{}:1: not #!/usr/bin/env bash", source.path));
        }
        if !lines.get(usize::from(program)).is_some_and(|line| line.starts_with("# ")) {
            violations.push(format!("{}: no header comment", source.path));
        }
        if program && !source.text.contains("\nset -euo pipefail\n") {
            violations.push(format!("{}: no `set -euo pipefail`", source.path));
        }
    }
    assert!(seen > 5, "only {seen} scripts found");
    none(violations);
}
