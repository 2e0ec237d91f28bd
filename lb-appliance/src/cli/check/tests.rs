//! The verdicts and the two reports of `guideway check`, without a process around them.

use super::*;
use crate::config::examine;

const VALID: &str = "version: 1\npools:\n  - {name: p, encap: {l2dsr: {}}, backends: [{name: b, address: 10.0.0.1, mac: \"02:00:00:00:00:01\"}]}\nvips:\n  - {name: v, addresses: [192.0.2.1], protocol: tcp, pool: p}\n";

fn args(strict: bool, output: OutputForm) -> CheckArgs {
    CheckArgs { file: PathBuf::from("t.yaml"), strict, output }
}

fn checked(text: &str, args: &CheckArgs) -> (bool, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let examination = examine("t.yaml", text);
    report(&examination, args, Look::Plain, &mut out, &mut err).unwrap();
    let is_valid = is_valid(&examination, args);
    (is_valid, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_valid_file_is_one_line_on_standard_output() {
    let (valid, out, err) = checked(VALID, &args(false, OutputForm::Text));
    assert!(valid);
    assert_eq!(out, "t.yaml: valid (1 vip, 1 pool, 1 backend)\n");
    assert_eq!(err, "");
}

#[test]
fn warnings_fail_only_when_strict() {
    let text = VALID.replace("02:00:00:00:00:01\"}", "02:00:00:00:00:01\", state: drain}");
    let (valid, out, err) = checked(&text, &args(false, OutputForm::Text));
    assert!(valid);
    assert_eq!(out, "t.yaml: valid (1 vip, 1 pool, 1 backend, 1 warning)\n");
    assert!(err.contains("GW0215"), "{err}");
    let (valid, out, err) = checked(&text, &args(true, OutputForm::Text));
    assert!(!valid);
    assert_eq!(out, "");
    assert!(err.ends_with("t.yaml: invalid (1 warning)\n"), "{err}");
}

#[test]
fn findings_show_the_line_the_place_and_the_mend() {
    let text = VALID.replace("pool: p}", "pool: q}");
    let (valid, out, err) = checked(&text, &args(false, OutputForm::Text));
    assert!(!valid);
    assert_eq!(out, "");
    for part in ["GW0202", "vips[0].pool", "t.yaml:5:60", "there is no pool `q`", "help: "] {
        assert!(err.contains(part), "{part} in\n{err}");
    }
    assert!(err.is_ascii(), "plain means plain:\n{err}");
    assert!(err.ends_with("t.yaml: invalid (1 error, 1 warning)\n"), "{err}");
}

#[test]
fn the_json_report_keeps_its_shape() {
    let (valid, out, err) = checked("version: 2\npools: []\nvips: []\n", &args(false, OutputForm::Json));
    assert!(!valid);
    assert_eq!(err, "");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({
        "version": 1, "file": "t.yaml", "valid": false, "errors": 1, "warnings": 0,
        "diagnostics": [{
            "code": "GW0116", "severity": "error", "file": "t.yaml", "line": 1, "column": 10, "field": "version",
            "message": "this guideway does not know that version",
            "hint": "write `version: 1`, or use the guideway that the file was written for",
        }],
    });
    assert_eq!(report, expected);
}

/// The process's own exit codes, seen from `run`.
#[test]
fn the_exit_code_is_the_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let verdict = |text: &str, strict: bool| {
        let file = directory.path().join("t.yaml");
        std::fs::write(&file, text).unwrap();
        run(&CheckArgs { file, strict, output: OutputForm::Text })
    };
    let warned = VALID.replace("02:00:00:00:00:01\"}", "02:00:00:00:00:01\", state: drain}");
    assert_eq!(verdict(VALID, true), ExitCode::SUCCESS);
    assert_eq!(verdict(&warned, false), ExitCode::SUCCESS);
    assert_eq!(verdict(&warned, true), ExitCode::from(crate::cli::EXIT_CONFIG));
    assert_eq!(verdict("version: 2", false), ExitCode::from(crate::cli::EXIT_CONFIG));
}

#[test]
fn a_missing_file_is_one_clear_message() {
    let path = Path::new("no-such-directory/guideway.yaml");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = args(false, OutputForm::Text);
    let examination = config::examine_file(path);
    report(&examination, &args, Look::Plain, &mut out, &mut err).unwrap();
    assert!(!is_valid(&examination, &args));
    let err = String::from_utf8(err).unwrap();
    assert!(err.contains("GW0001") && err.contains("no-such-directory/guideway.yaml"), "{err}");
}
