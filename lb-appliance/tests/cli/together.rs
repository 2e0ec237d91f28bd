//! The program and a real control plane: what an operator does in a morning.

use super::plane::Plane;
use super::run_at;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A command that must succeed; its output.
fn ok(plane: &Plane, line: &str) -> String {
    let (code, out, err) = run_at(line, &plane.socket);
    assert_eq!((code, err.as_str()), (0, ""), "{line}: {out}");
    out
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

#[test]
fn a_backend_is_drained_weighed_and_cleared() {
    let plane = Plane::start();
    has(&ok(&plane, "backend list"), &["web/web-1", "web/web-2", "up"]);
    has(
        &ok(&plane, "backend drain web/web-1 --for 30m"),
        &["web/web-1", "generation", "undo with: guideway"],
    );
    has(&ok(&plane, "backend show web/web-1"), &["drain (operator)", "override     drain, for "]);
    has(&ok(&plane, "diff"), &["nothing would change", "web/web-1 drain for another"]);
    has(&ok(&plane, "backend drain web/web-1 --wait"), &["is drained after"]);
    has(&ok(&plane, "maglev show web"), &["web-2", "100.000 %"]);
    has(&ok(&plane, "backend clear web/web-1"), &["web/web-1"]);
    has(&ok(&plane, "backend weight web/web-1 50"), &["50"]);
    has(&ok(&plane, "maglev disrupt web --remove web-2"), &["slots that move"]);
    has(&ok(&plane, "events"), &["backend_changed", "web/web-1"]);
    let (code, _, err) = run_at("backend drain web/web-9", &plane.socket);
    assert_eq!(code, 1);
    has(&err, &["GW9001", "did you mean `web-"]);
}

#[test]
fn a_configuration_is_compared_tried_confirmed_and_taken_back() {
    let plane = Plane::start();
    plane.write_weight(50);
    has(&ok(&plane, "diff"), &["~ backend web/web-1 weight: 100 -> 50", "SLOTS MOVED"]);
    let tried = ok(&plane, "reload --confirm-within 60s");
    has(&tried, &["weight: 100 -> 50", "rolls back by itself in", "guideway confirm"]);
    has(&run_at("status", &plane.socket).1, &["ON TRIAL"]);
    ok(&plane, "confirm");
    has(&ok(&plane, "rollback"), &["weight: 50 -> 100"]);
    std::fs::write(&plane.path, "version: 1\npools: []\nvipz: []\n").expect("write");
    let (code, _, err) = run_at("reload", &plane.socket);
    assert_eq!(code, 3);
    has(&err, &["guideway.yaml:3:1: error[GW0101]", "vipz"]);
    let other = plane.directory.path().join("empty.yaml");
    std::fs::write(&other, "version: 1\npools: []\nvips: []\n").expect("write");
    let (code, _, err) = run_at(&format!("reload {}", other.display()), &plane.socket);
    assert_eq!(code, 1);
    has(&err, &["GW9005"]);
    has(&ok(&plane, "backend list"), &["web/web-1"]);
    let forced = ok(&plane, &format!("reload {} --force", other.display()));
    has(&forced, &["- ", "the next start reads"]);
}

#[test]
fn a_packet_is_explained_with_and_without_a_balancer() {
    let plane = Plane::start();
    let flow = "explain --src 198.51.100.7:40000 --dst 203.0.113.10:443 --syn";
    let live = ok(&plane, flow);
    has(&live, &["forward to web/web-"]);
    let file = plane.path.display();
    let offline = run_at(&format!("{flow} -c {file}"), Path::new("/nowhere/at/all.sock"));
    assert_eq!((offline.0, offline.2.as_str()), (0, ""));
    let verdict = |text: &str| text.lines().last().map(str::to_owned);
    assert_eq!(verdict(&offline.1), verdict(&live));
    for protocol in ["--proto icmp", "--protocol 1"] {
        let ping = format!("explain --src 198.51.100.7 --dst 203.0.113.10 {protocol}");
        has(&ok(&plane, &ping), &["`icmp_echo: answer`", "answer: echo_reply"]);
    }
    let esp = "explain --src 198.51.100.7 --dst 203.0.113.10 --proto esp";
    has(&ok(&plane, esp), &["no VIP serves ESP 203.0.113.10", "punt: no_vip"]);
    let nothing = run_at(&format!("{flow} -c /nowhere/at/all.yaml"), Path::new("/nowhere/at/all.sock"));
    assert_eq!(nothing.0, 3);
}

/// `top` on a terminal of 80 x 24 that tmux makes.
#[test]
fn top_drains_a_backend_and_restores_the_terminal() {
    if Command::new("tmux").arg("-V").output().is_err() {
        // No terminal to be had; the screen itself is tested without one.
        return;
    }
    let plane = Plane::start();
    let terminal = Terminal::start(&plane);
    terminal.wait_for("web/web-1");
    terminal.wait_for("q quit");
    terminal.press("d");
    terminal.wait_for("drain web/web-1? (y/n)");
    terminal.press("y");
    terminal.wait_for("drained");
    terminal.press("q");
    terminal.wait_for("ENDED 0");
    // Line mode and echo are back.
    terminal.press("stty -a | tr ' ' '_'");
    terminal.press("Enter");
    terminal.wait_for("_icanon_");
    terminal.wait_for("_echo_");
}

struct Terminal {
    socket: std::path::PathBuf,
}

impl Terminal {
    fn start(plane: &Plane) -> Self {
        let terminal = Self { socket: plane.directory.path().join("tmux.sock") };
        let program = env!("CARGO_BIN_EXE_guideway");
        let line = format!(
            "{program} top --interval 200ms --socket {}; echo ENDED $?; exec sh",
            plane.socket.display()
        );
        let size = ["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"];
        let words: Vec<&str> = size.into_iter().chain([line.as_str()]).collect();
        let output = terminal.tmux(&words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self, words: &[&str]) -> std::process::Output {
        // The environment of a test may name a server or a terminal of its own.
        Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(words)
            .env_remove("TMUX")
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux")
    }

    fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status.success());
    }

    fn wait_for(&self, words: &str) {
        let begin = Instant::now();
        loop {
            let screen = String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned();
            if screen.contains(words) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "`{words}` is not on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
