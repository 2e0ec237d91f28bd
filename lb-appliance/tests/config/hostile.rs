//! Whatever the bytes, the answer is a configuration or findings; never a panic, never for ever.
//!
//! Two sources of bytes: anything at all, and valid files with a few pieces cut, doubled or replaced.

use std::io::Cursor;
use std::time::{Duration, Instant};

use lb_appliance::config::{Code, Diagnostics, FILE_BYTES_MAX, Look, examine, examine_reader, parse};
use proptest::prelude::*;

use crate::{repository, yaml_files};

/// Pieces that mean something to YAML or to the configuration.
const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "\t",
    "- ",
    ": ",
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "!t ",
    "<<: *a",
    "|\n",
    ">\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "~",
    "null",
    "true",
    "-1",
    "0x10",
    "1e400",
    ".nan",
    "99999999999999999999999",
    "::",
    "fc00::",
    "10.0.0.1",
    "\u{feff}",
    "\u{2028}",
    "é",
    "version",
    "pools",
    "vips",
    "encap: {ipip: {}}",
    "65536",
];

fn seeds() -> Vec<String> {
    let mut files = yaml_files(&repository("config"));
    files.extend(yaml_files(&repository("lb-appliance/tests/config/valid")));
    files.iter().map(|path| std::fs::read_to_string(path).expect("readable")).collect()
}

/// What must hold of every examination.
fn judge(diagnostics: &Diagnostics, has_config: bool) {
    assert_eq!(has_config, !diagnostics.has_errors(), "{diagnostics}");
    for finding in &diagnostics.list {
        if let Some(span) = finding.span {
            let text = diagnostics.source.text();
            assert!(text.get(span.offset..span.offset + span.len).is_some(), "{finding:?}");
            assert!(span.line >= 1 && span.column >= 1);
        }
    }
    let _ = (diagnostics.render(Look::Plain), diagnostics.to_string());
    assert!(serde_json::to_string(&diagnostics.report(true)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let examination = examine_reader("t", Cursor::new(bytes));
        judge(&examination.diagnostics, examination.config.is_some());
    }

    #[test]
    fn arbitrary_pieces_are_answered(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let examination = examine("t", &text);
        judge(&examination.diagnostics, examination.config.is_some());
    }

    #[test]
    fn mutated_files_are_answered(
        seed in any::<proptest::sample::Index>(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0..40usize, 0..PIECES.len()), 1..8),
    ) {
        let seeds = seeds();
        let mut text: Vec<char> = seed.get(&seeds).chars().collect();
        for (at, cut, piece) in edits {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        let examination = examine("t", &text.into_iter().collect::<String>());
        judge(&examination.diagnostics, examination.config.is_some());
    }
}

/// The bound is generous: the point is seconds against hours.
fn answered_in_time(what: &str, text: &str, expected: Option<Code>) {
    let start = Instant::now();
    let outcome = parse("t", text);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "{what} took {took:?}");
    if let Some(code) = expected {
        let findings = outcome.expect_err(what);
        assert!(findings.list.iter().any(|finding| finding.code == code), "{what}: {}", findings.list[0]);
    }
}

#[test]
fn texts_built_to_hurt_are_answered_in_time() {
    let size = 1 << 18;
    let fill = |unit: &str| unit.repeat(size / unit.len());
    for (unit, code) in [
        ("[", Code::TooComplex),
        ("{a: ", Code::TooComplex),
        ("- ", Code::TooComplex),
        ("? ", Code::YamlSyntax),
        ("[a, ", Code::TooComplex),
        ("a: ", Code::YamlSyntax),
        ("- a\n", Code::WrongType),
    ] {
        answered_in_time(unit, &fill(unit), Some(code));
    }
    let items = "{name: a, address: 10.0.0.1}, ".repeat(20_000);
    answered_in_time(
        "one long line",
        &format!("version: 1\npools: [{{name: p, backends: [{items}]}}]\n"),
        Some(Code::DuplicateName),
    );
    let aliases = "*e, ".repeat(100_000);
    answered_in_time("aliases of nothing", &format!("a: &e []\nb: [{aliases}]\n"), Some(Code::UnknownKey));
    answered_in_time(
        "unknown keys",
        &(0..60_000).map(|key| format!("k{key}: 1\n")).collect::<String>(),
        Some(Code::UnknownKey),
    );
}

#[test]
fn findings_are_counted_when_they_are_too_many_to_list() {
    let text: String = (0..5000).map(|key| format!("k{key}: 1\n")).collect();
    let findings = parse("t", &text).unwrap_err();
    let last = findings.list.last().unwrap();
    assert_eq!(last.code, Code::TooManyFindings);
    // 5,000 unknown keys and three missing ones, of which a thousand are listed.
    assert!(last.message.contains("4003"), "{last}");
    assert_eq!(findings.list.len(), 1001);
}

#[test]
fn files_that_are_too_large_are_not_read() {
    let examination = examine_reader("t", std::io::repeat(b'#'));
    assert_eq!(examination.diagnostics.list[0].code, Code::TooLarge);
    let largest = "#".repeat(FILE_BYTES_MAX);
    assert_eq!(examine("t", &largest).diagnostics.list[0].code, Code::Empty);
}

#[test]
fn bytes_that_are_not_utf8_are_placed() {
    let finding =
        examine_reader("t", Cursor::new(b"version: 1\nnode: {name: \xff}\n")).diagnostics.list[0].clone();
    assert_eq!(finding.code, Code::NotUtf8);
    assert_eq!(finding.span.map(|span| (span.line, span.column)), Some((2, 14)));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = std::fs::read_to_string(repository("config/guideway.yaml")).unwrap();
    let plain = parse("t", &text).unwrap();
    assert_eq!(parse("t", &format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap(), plain);
}
