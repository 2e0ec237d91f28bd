//! Broken files say at their top what must be found in them, valid ones that nothing is; both must be exact.
//!
//! `# expect: GW0203 6:14 vips[1].addresses[0]` is one finding: code, line:column (`-` for none; with the name of the
//! file if it is an included one), field (`.` for the root). The messages are in `broken/golden`. Places were set by marking the text when the files were written. Five were corrected after a look at the
//! first run: where the YAML reader stops at an open bracket, the field of two encapsulations, and the places of the
//! empty file and of two alias loops.

use std::collections::BTreeSet;
use std::path::Path;

use lb_appliance::config::{Code, Severity, examine_file, keys};

use crate::{repository, yaml_files};

fn expected(text: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("# expect: ")).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn found(path: &Path) -> Vec<String> {
    let diagnostics = examine_file(path).diagnostics;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut lines: Vec<String> = diagnostics
        .list
        .iter()
        .map(|finding| {
            // Places in the file itself go without its name.
            let place = finding.span.map_or("-".to_owned(), |span| {
                let name = Path::new(diagnostics.source_of(span).name());
                let name = name.strip_prefix(folder).unwrap_or(name).display().to_string();
                let name = if span.file == 0 { String::new() } else { format!("{name}:") };
                format!("{name}{}:{}", span.line, span.column)
            });
            let field = if finding.field.is_empty() { "." } else { &finding.field };
            format!("{} {place} {field}", finding.code.id())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn broken_files_give_exactly_the_findings_they_announce() {
    let files = yaml_files(&repository("lb-appliance/tests/config/broken"));
    assert!(files.len() >= 150, "{} files", files.len());
    let mut wrong = String::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (expected, found) = (expected(&text), found(&path));
        assert!(!expected.is_empty(), "{} announces nothing", path.display());
        if expected != found {
            let name = path.file_name().unwrap_or_default();
            wrong += &format!("{name:?}\n  expected {expected:#?}\n  found {found:#?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Every message with its place, exactly. After a change that is meant: `GUIDEWAY_BLESS=1 cargo test -p lb-appliance
/// --test config messages`, then read the difference.
#[test]
fn messages_are_those_of_the_golden_files() {
    let folder = repository("lb-appliance/tests/config/broken");
    let golden = folder.join("golden");
    let bless = std::env::var_os("GUIDEWAY_BLESS").is_some();
    let mut wrong = String::new();
    let files = yaml_files(&folder);
    for path in &files {
        let text = examine_file(path).diagnostics.to_string();
        let text = text.replace(&format!("{}/", folder.display()), "") + "\n";
        let file = golden.join(path.file_stem().unwrap()).with_extension("txt");
        if bless {
            std::fs::create_dir_all(&golden).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if expected != text {
            wrong += &format!("{}\n--- expected\n{expected}--- found\n{text}\n", file.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let kept = std::fs::read_dir(&golden).unwrap().count();
    assert_eq!(kept, files.len(), "a golden file without its broken one");
}

#[test]
fn every_code_that_a_text_can_raise_is_in_the_corpus() {
    let mut seen = BTreeSet::new();
    for directory in ["broken", "valid"] {
        for path in yaml_files(&repository("lb-appliance/tests/config").join(directory)) {
            seen.extend(examine_file(&path).diagnostics.list.iter().map(|finding| finding.code));
        }
    }
    // These need a file system, bytes or a size that no file of the corpus has; `hostile` and `model` raise them.
    let elsewhere = [Code::Unreadable, Code::TooLarge, Code::NotUtf8, Code::TooManyFindings, Code::NoPorts];
    let elsewhere = [&elsewhere[..], &[Code::TooManyFiles, Code::NoFolder]].concat();
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| !seen.contains(code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_key_to_come_is_refused_by_name() {
    let files = yaml_files(&repository("lb-appliance/tests/config/broken"));
    let findings = files.iter().flat_map(|path| examine_file(path).diagnostics.list);
    let refused: BTreeSet<String> = findings
        .filter(|finding| finding.code == Code::NotSupportedYet)
        .map(|finding| without_indices(&finding.field))
        .collect();
    for table in keys::ALL {
        for key in table.keys.iter().filter(|key| key.status == keys::Status::Later) {
            let path = format!("{}.{}", table.path, key.name);
            assert!(refused.contains(path.trim_start_matches('.')), "no broken file holds `{path}`");
        }
    }
}

/// `pools[1].encap` as the documentation writes it: `pools[].encap`.
fn without_indices(field: &str) -> String {
    field.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[test]
fn valid_files_give_a_configuration_and_the_warnings_they_announce() {
    let files = yaml_files(&repository("lb-appliance/tests/config/valid"));
    assert!(files.len() >= 8, "{} files", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let examination = examine_file(&path);
        assert!(examination.config.is_some(), "{}", examination.diagnostics);
        assert_eq!(found(&path), expected(&text), "{}", path.display());
    }
}

#[test]
fn examples_are_valid_without_a_warning() {
    let files = yaml_files(&repository("config"));
    let names: Vec<_> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    for name in ["guideway.yaml", "minimal.yaml", "lab-af-packet.yaml"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for path in files {
        let examination = examine_file(&path);
        assert!(examination.config.is_some(), "{}", examination.diagnostics);
        assert_eq!(examination.diagnostics.list, [], "{}", path.display());
    }
}

#[test]
fn every_finding_of_the_corpus_has_a_mend_and_renders() {
    for path in yaml_files(&repository("lb-appliance/tests/config/broken")) {
        let diagnostics = examine_file(&path).diagnostics;
        for finding in &diagnostics.list {
            assert!(
                finding.hint.as_ref().is_some_and(|hint| hint.len() > 5),
                "{}: {finding}",
                path.display()
            );
            assert!(!finding.message.ends_with('.'), "{}: {finding}", path.display());
        }
        let plain = diagnostics.render(lb_appliance::config::Look::Plain);
        for finding in diagnostics.list.iter().filter(|finding| finding.severity() == Severity::Error) {
            assert!(plain.contains(finding.code.id()), "{plain}");
            if let Some(span) = finding.span {
                let place = format!("{}:{}:{}", diagnostics.source_of(span).name(), span.line, span.column);
                assert!(plain.contains(&place), "{place} in\n{plain}");
            }
        }
    }
}
