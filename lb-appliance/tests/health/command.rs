//! External commands: what they see, what they say, and that they die with their children.

use std::path::Path;
use std::time::{Duration, Instant};

use lb_appliance::config::model::Probe;
use lb_appliance::health::Cause;
use lb_core::health::Finish;

use crate::{check, failed, impatient, on_runtime, passed, probe};

fn shell(script: &str) -> Probe {
    Probe::Command { argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()] }
}

#[test]
fn the_exit_code_decides_and_the_first_line_tells() {
    on_runtime(async {
        let outcome = probe(check(shell("echo fine; echo more; exit 0"))).await;
        passed(&outcome);
        assert_eq!(outcome.detail, "fine");
        failed(&probe(check(shell("echo disk is full; exit 3"))).await, Cause::ExitCode, "3: disk is full");
        failed(&probe(check(shell("kill -9 $$"))).await, Cause::ExitCode, "signal: 9");
        let outcome =
            probe(check(shell("echo $GUIDEWAY_POOL/$GUIDEWAY_BACKEND at $GUIDEWAY_ADDRESS $HOME."))).await;
        assert_eq!(outcome.detail, "web/web-1 at 127.0.0.1 .");
        let missing = probe(check(Probe::Command { argv: vec!["/nonexistent/check".to_owned()] })).await;
        failed(&missing, Cause::Local, "/nonexistent/check");
        assert_eq!(missing.finish, Finish::Nothing);
    });
}

#[test]
fn much_output_does_not_block_and_a_held_pipe_does_not_either() {
    on_runtime(async {
        passed(&probe(check(shell("head -c 1000000 /dev/zero | tr '\\0' a; exit 0"))).await);
        // The shell ends at once; its child holds the pipe, and is gone by itself soon after.
        let begin = Instant::now();
        passed(&probe(check(shell("sleep 3 & exit 0"))).await);
        assert!(begin.elapsed() < Duration::from_secs(3));
    });
}

fn is_alive(pid: &str) -> bool {
    // A zombie that its new parent has not reaped yet is dead enough.
    std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

#[test]
fn a_hung_command_is_killed_with_its_grandchildren() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sh -c 'sleep 600 & echo $! > {0}; wait' & echo $! >> {0}.sh; wait", file.display());
    on_runtime(async {
        let mut hung = impatient(shell(&script));
        hung.timeout = Duration::from_secs(2);
        failed(&probe(hung).await, Cause::Timeout, "still at: run");
    });
    let grandchild = std::fs::read_to_string(&file).unwrap();
    let child = std::fs::read_to_string(format!("{}.sh", file.display())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    for pid in [grandchild.trim(), child.trim()] {
        assert!(pid.parse::<u32>().is_ok(), "{pid}");
        while is_alive(pid) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!is_alive(pid), "process {pid} outlived its probe");
    }
}
