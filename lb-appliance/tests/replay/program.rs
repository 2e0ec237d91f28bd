//! The binary: options, exit codes, what is written where, and what is left alone.

use super::capture;
use super::golden::{CONFIG, forwarded, refused};
use super::wire::Client;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with a configuration and a capture.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("a temporary folder"));
        let frames: Vec<Vec<u8>> = forwarded().iter().map(Client::frame).chain(refused()).collect();
        std::fs::write(bench.path("gw.yaml"), CONFIG).expect("written");
        std::fs::write(bench.path("in.pcap"), capture::plain(&frames)).expect("written");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `guideway replay` in the folder.
    fn replay(&self, arguments: &[&str]) -> Output {
        let mut guideway = Command::new(env!("CARGO_BIN_EXE_guideway"));
        guideway.current_dir(self.0.path()).env("NO_COLOR", "1").arg("replay").args(arguments);
        guideway.output().expect("the binary runs")
    }
}

const ALL: [&str; 6] = ["--config", "gw.yaml", "--in", "in.pcap", "--out", "out.pcap"];

#[track_caller]
fn expect(output: &Output, code: i32, said: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(said), "{stderr:?} does not say {said:?}");
}

#[test]
fn a_replay_from_the_command_line() {
    let bench = Bench::new();
    let ran = bench.replay(&[&ALL[..], &["--json", "-", "--burst", "3", "--down", "gue4/c"]].concat());
    expect(&ran, 0, "25 frames = 14 forwarded + 1 answered + 3 punted + 7 dropped\n");
    expect(&ran, 0, "  punted not_ip: 1\n");
    expect(&ran, 0, "  dropped no_backend: 3\n");
    let lines = String::from_utf8(ran.stdout).expect("JSON");
    assert_eq!(lines.lines().count(), 25);
    let third = r#"{"n":4,"verdict":"drop","reason":"no_backend","vip":"v-gue4","backend":null}"#;
    assert_eq!(lines.lines().nth(4), Some(third));
    let sent = capture::read(&std::fs::read(bench.path("out.pcap")).expect("written"));
    assert_eq!(sent.len(), 14 + 1, "what is forwarded, and the answer");

    let ran = bench.replay(&["--config=gw.yaml", "--in=in.pcap", "--out=o2.pcap", "--json=o2.json"]);
    expect(&ran, 0, "25 frames = 16 forwarded");
    assert!(ran.stdout.is_empty(), "everything for people goes to stderr");
    assert_eq!(std::fs::read_to_string(bench.path("o2.json")).expect("written").lines().count(), 25);
}

#[test]
fn wrong_usage_is_code_2_and_touches_nothing() {
    let bench = Bench::new();
    for (arguments, said) in [
        (vec!["--config", "gw.yaml", "--in", "in.pcap"], "--out"),
        ([&ALL[..], &["--burst", "0"]].concat(), "0 is not in 1..=64"),
        ([&ALL[..], &["--burst", "65"]].concat(), "65 is not in 1..=64"),
        ([&ALL[..], &["--down", "gue4"]].concat(), "expected POOL/BACKEND"),
        ([&ALL[..], &["--down", "gue4/z"]].concat(), "there is no backend `gue4/z`; known are: ipip4/a, "),
        (vec!["--config", "gw.yaml", "--in", "in.pcap", "--out", "./in.pcap"], "--out and --in are the same"),
        (
            vec!["--config", "gw.yaml", "--in", "in.pcap", "--out", "gw.yaml"],
            "--out and --config are the same",
        ),
        ([&ALL[..], &["--json", "in.pcap"]].concat(), "--json and --in are the same"),
        ([&ALL[..], &["--json", "./out.pcap"]].concat(), "--out and --json are the same"),
    ] {
        expect(&bench.replay(&arguments), 2, said);
        assert!(!bench.path("out.pcap").exists());
    }
    let input = std::fs::read(bench.path("in.pcap")).expect("still there");
    assert_eq!(capture::read(&input).len(), 25);
    std::fs::hard_link(bench.path("in.pcap"), bench.path("link.pcap")).expect("a link");
    let linked = ["--config", "gw.yaml", "--in", "in.pcap", "--out", "link.pcap"];
    expect(&bench.replay(&linked), 2, "--out and --in are the same");
}

#[test]
fn an_invalid_configuration_is_code_3_with_the_findings_of_check() {
    let bench = Bench::new();
    std::fs::write(bench.path("gw.yaml"), CONFIG.replace("pool: ipip4", "pool: ipip9")).expect("written");
    let ran = bench.replay(&ALL);
    expect(&ran, 3, "ipip9");
    let mut check = Command::new(env!("CARGO_BIN_EXE_guideway"));
    check.current_dir(bench.0.path()).env("NO_COLOR", "1").args(["check", "gw.yaml"]);
    let checked = String::from_utf8(check.output().expect("the binary runs").stderr).expect("text");
    let findings = String::from_utf8(ran.stderr).expect("text");
    assert!(checked.starts_with(findings.trim_end()), "{findings}\nis not what check says:\n{checked}");
    std::fs::remove_file(bench.path("gw.yaml")).expect("removed");
    expect(&bench.replay(&ALL), 3, "gw.yaml");
    assert!(!bench.path("out.pcap").exists());
}

#[test]
fn what_cannot_be_read_or_written_is_code_1() {
    let bench = Bench::new();
    expect(
        &bench.replay(&["-c", "gw.yaml", "-r", "none.pcap", "-w", "out.pcap"]),
        1,
        "none.pcap: No such file",
    );
    expect(
        &bench.replay(&["-c", "gw.yaml", "-r", "in.pcap", "-w", "no/out.pcap"]),
        1,
        "no/out.pcap: No such",
    );
    expect(
        &bench.replay(&["-c", "gw.yaml", "-r", "gw.yaml", "-w", "out.pcap"]),
        1,
        "neither pcap nor pcapng",
    );
    assert!(!bench.path("out.pcap").exists(), "nothing is created for what is no capture");
    let ran = bench.replay(&["-c", "gw.yaml", "-r", "in.pcap", "-w", "/dev/full"]);
    expect(&ran, 1, "/dev/full: cannot write the output capture: No space left");
    let ran = bench.replay(&[&ALL[..], &["--json", "/dev/full"]].concat());
    expect(&ran, 1, "cannot write the JSON lines: No space left");
}

#[test]
fn a_cut_capture_is_code_1_after_everything_before_the_cut() {
    let bench = Bench::new();
    let input = std::fs::read(bench.path("in.pcap")).expect("read");
    let cut: usize =
        24 + forwarded().iter().take(5).map(|client| 16 + client.frame().len()).sum::<usize>() + 20;
    std::fs::write(bench.path("in.pcap"), &input[..cut]).expect("written");
    let ran = bench.replay(&[&ALL[..], &["--json", "-"]].concat());
    expect(&ran, 1, "in.pcap: frame 5 (counted from 0), at byte ");
    expect(&ran, 1, "5 frames = 5 forwarded");
    assert_eq!(String::from_utf8(ran.stdout).expect("JSON").lines().count(), 5);
    assert_eq!(capture::read(&std::fs::read(bench.path("out.pcap")).expect("written")).len(), 5);
}

#[test]
fn a_disk_that_fills_up_leaves_whole_packets() {
    let bench = Bench::new();
    let frames: Vec<Vec<u8>> = forwarded().iter().map(Client::frame).cycle().take(6000).collect();
    std::fs::write(bench.path("in.pcap"), capture::plain(&frames)).expect("written");
    // The limit on the size of a file stands for the disk; ignored, its signal becomes an error of `write`.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_guideway")]);
    let ran = shell.current_dir(bench.0.path()).arg("replay").args(ALL).output().expect("the binary runs");
    expect(&ran, 1, "out.pcap: cannot write the output capture: File too large");
    let output = std::fs::read(bench.path("out.pcap")).expect("there");
    let sent = capture::read(&output).len();
    assert!((500..6000).contains(&sent), "{sent} packets");
}
