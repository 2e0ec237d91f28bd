//! The subcommands that need no daemon, as a process: exit codes, streams, and the way from `init` to a valid file.

use std::path::Path;
use std::time::Duration;

use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::process::{Finished, run};
use lb_tests::program::{guideway, guideway_path, repository};
use lb_tests::skip::{Skip, unless};

const LIMIT: Duration = Duration::from_secs(20);

fn call(arguments: &[&str]) -> Option<Finished> {
    let mut command = unless(guideway())?;
    Some(run(command.current_dir(repository()).args(arguments), LIMIT))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn what_init_writes_is_valid_and_known_to_the_doctor() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("g.yaml");
    let file = text(&file);
    let Some(written) = call(&["init", "-o", file]) else { return };
    assert_eq!(written.status.code(), Some(0), "{}", written.stderr);
    assert!(written.stderr.contains("guideway check"), "what comes next is said: {}", written.stderr);
    let again = call(&["init", "-o", file]).expect("built");
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    let nowhere = call(&["init", "-o", "/nonexistent/g.yaml"]).expect("built");
    assert!(nowhere.stderr.contains("mkdir -p /nonexistent"), "{}", nowhere.stderr);
    let checked = call(&["check", "--strict", file]).expect("built");
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    let examined = call(&["doctor", "-c", file, "-o", "json"]).expect("built");
    let report: serde_json::Value = serde_json::from_str(&examined.stdout).expect("JSON");
    let errors = report["errors"].as_u64().expect("a number");
    assert_eq!(examined.status.code(), Some(i32::from(errors > 0)), "{}", examined.stdout);
}

#[test]
fn the_doctor_finds_the_interface_that_is_not_there_and_says_how_to_mend_it() {
    let Some(examined) = call(&["doctor", "-c", "config/lab-af-packet.yaml"]) else { return };
    assert_eq!(examined.status.code(), Some(1), "{}", examined.stdout);
    let has = |part: &str| assert!(examined.stdout.contains(part), "{part} in\n{}", examined.stdout);
    ["there is no interface gw0", "fix: ip -br link", "1448 of the 1500 bytes"].into_iter().for_each(has);
    assert!(!examined.stdout.contains("vfio"), "a lab has no use for it:\n{}", examined.stdout);
    let broken =
        call(&["doctor", "-c", "lb-appliance/tests/config/broken/unknown-pool.yaml"]).expect("built");
    assert_eq!(broken.status.code(), Some(3), "{}", broken.stderr);
    let bare = call(&["doctor", "-o", "yaml"]).expect("built");
    assert_eq!(bare.status.code(), Some(0), "{}", bare.stdout);
}

/// A lab that forwards is a lab of which the doctor has no error to tell.
#[test]
fn the_doctor_has_no_false_alarm_in_a_lab_that_works() {
    let attempt = |pmd: Pmd| -> Result<(), Skip> {
        let program = guideway_path()?;
        let lab = Lab::up(Encap::Ipip, Outer::V4, pmd)?;
        let mut command = lab.namespace("lb").command(text(&program));
        let examined = run(command.args(["doctor", "-o", "json", "-c"]).arg(lab.config()), LIMIT);
        let report: serde_json::Value = serde_json::from_str(&examined.stdout).expect("JSON");
        assert_eq!(report["errors"], 0, "{}\n{}", examined.stdout, examined.stderr);
        assert_eq!(examined.status.code(), Some(0));
        let findings = report["findings"].as_array().expect("a list");
        let has =
            |id: &str| findings.iter().any(|finding| finding["id"] == id && finding["severity"] == "ok");
        assert!(has("device.link") && has("process.capabilities"), "{}", examined.stdout);
        Ok(())
    };
    unless(attempt(Pmd::AfPacket));
    unless(attempt(Pmd::AfXdp));
}

#[test]
fn included_files_are_checked_from_the_command_line() {
    let valid = call(&["check", "--strict", "lb-appliance/tests/config/valid/include.yaml"]);
    let Some(valid) = valid else { return };
    assert_eq!(valid.status.code(), Some(0), "{}", valid.stderr);
    assert!(valid.stdout.contains("in 3 files"), "{}", valid.stdout);
    let twice = call(&["check", "-o", "json", "lb-appliance/tests/config/broken/include-name-twice.yaml"]);
    let twice = twice.expect("built");
    assert_eq!(twice.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_str(&twice.stdout).expect("JSON");
    let finding = &report["diagnostics"][0];
    assert!(
        finding["file"].as_str().is_some_and(|file| file.ends_with("parts/name-twice.yaml")),
        "{finding}"
    );
    assert!(
        finding["other"]["file"].as_str().is_some_and(|file| file.ends_with("include-name-twice.yaml")),
        "{finding}"
    );
}

#[test]
fn what_is_generated_is_generated_from_the_same_definition() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let pages = folder.path().join("man1");
    let Some(man) = call(&["man", text(&pages)]) else { return };
    assert_eq!(man.status.code(), Some(0), "{}", man.stderr);
    let help = call(&["--help"]).expect("built").stdout;
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.contains(&"doctor") && names.contains(&"support-bundle"), "{names:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = call(&["completions", shell]).expect("built");
        assert_eq!(script.status.code(), Some(0));
        for name in &names {
            assert!(script.stdout.contains(name), "{shell} does not know {name}");
        }
    }
    for name in &names {
        let page = pages.join(format!("guideway-{name}.1"));
        assert!(page.is_file(), "{}", page.display());
    }
    let manual = std::fs::read_to_string(repository().join("docs/cli.md")).expect("the manual");
    for name in ["check", "doctor", "init", "schema", "completions", "man", "version", "support-bundle"] {
        assert!(
            manual.contains(&format!("`guideway {name}")) || manual.contains(&format!("guideway {name} ")),
            "{name}"
        );
    }
    let schema = call(&["schema"]).expect("built");
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn the_version_is_told_in_both_forms() {
    let Some(told) = call(&["version"]) else { return };
    assert!(told.stdout.starts_with("guideway "), "{}", told.stdout);
    let json = call(&["version", "-o", "json"]).expect("built");
    let version: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert!(version["dpdk"].as_str().is_some_and(|dpdk| dpdk.starts_with("DPDK ")), "{version}");
}

#[test]
fn a_bundle_holds_no_seed_and_overwrites_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let archive = folder.path().join("b.tar.gz");
    let archive = text(&archive);
    let Some(made) = call(&["support-bundle", "-c", "config/guideway.yaml", "-o", archive]) else { return };
    assert_eq!(made.status.code(), Some(0), "{}", made.stderr);
    let unpacked =
        run(std::process::Command::new("tar").args(["xzf", archive, "-C", text(folder.path())]), LIMIT);
    assert!(unpacked.status.success(), "{}", unpacked.stderr);
    let config = folder.path().join("guideway-support/config/texts.yaml.txt");
    let config = std::fs::read_to_string(config).expect("in the bundle");
    assert!(config.contains("table_size: 65537") && !config.contains("0x67756964657761790001"), "{config}");
    let again = call(&["support-bundle", "-o", archive]).expect("built");
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
}
