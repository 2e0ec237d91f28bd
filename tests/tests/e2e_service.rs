//! The service manager's side of `guideway run`: the real program, the real protocol, on a socket of this test.
//!
//! Promises kept here: ready is said after the first health checks and not before; the watchdog is fed while the workers
//! move, not while one of them stands still, and again when it moves on; a reload and the stop are announced. All that
//! without any privilege, on a ring of DPDK.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lb_tests::process::Process;
use lb_tests::program::guideway_path;
use lb_tests::skip::{Skip, require_program, unless};
use nix::sys::ptrace;
use nix::unistd::Pid;

/// What systemd would set for `WatchdogSec=2s`.
const WATCHDOG: Duration = Duration::from_secs(2);
/// How long the first health check takes.
const CHECK_SECONDS: &str = "1.5";
const LONG: Duration = Duration::from_secs(40);

/// The test in the place of the service manager.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("notification socket");
        Self { socket }
    }

    /// The next message, if one comes in time.
    fn next(&self, limit: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("a timeout");
        let len = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    /// Messages until one has this line; it is the last.
    fn until(&self, line: &str) -> Vec<String> {
        let (start, mut seen) = (Instant::now(), Vec::new());
        while let Some(message) = self.next(LONG.saturating_sub(start.elapsed())) {
            seen.push(message);
            if seen.last().is_some_and(|message| message.lines().any(|one| one == line)) {
                return seen;
            }
        }
        panic!("no `{line}` came, only {seen:?}");
    }

    /// How often the watchdog is fed in this time.
    fn feeds(&self, time: Duration) -> usize {
        let (start, mut count) = (Instant::now(), 0);
        while let Some(left) = time.checked_sub(start.elapsed()) {
            count += usize::from(self.next(left).is_some_and(|message| message.contains("WATCHDOG=1")));
        }
        count
    }
}

fn config(folder: &Path) -> String {
    let check = folder.join("check");
    let script = format!("#!/bin/sh\nsleep {CHECK_SECONDS}\n[ \"$GUIDEWAY_BACKEND\" = good ]\n");
    fs::write(&check, script).expect("written");
    fs::set_permissions(&check, Permissions::from_mode(0o755)).expect("a mode");
    format!(
        "version: 1\ndataplane:\n  idle: adaptive\n  \
         memory: {{hugepages: false, per_numa_node: 64MiB, mbufs_per_numa_node: 8191}}\n  \
         ports: [{{name: ring0, device: net_ring0}}]\n\
         pools:\n  - name: web\n    encap: {{l2dsr: {{}}}}\n    \
         health_check: {{command: [\"{}\"], interval: 5s, timeout: 4s, fall: 1, rise: 1}}\n    backends:\n      \
         - {{name: good, address: 10.0.0.1, mac: \"02:00:00:00:00:0a\"}}\n      \
         - {{name: bad, address: 10.0.0.2, mac: \"02:00:00:00:00:0b\"}}\n\
         vips:\n  - {{name: web, addresses: [203.0.113.10], ports: [80], protocol: tcp, pool: web}}\n\
         metrics: {{listen: \"127.0.0.1:0\"}}\n",
        check.display()
    )
}

/// The program without a single capability, whoever runs the test.
fn start(folder: &Path) -> Result<Process, Skip> {
    require_program("setpriv", "util-linux")?;
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]).arg(guideway_path()?);
    command.arg("run").arg("-c").arg(folder.join("run.yaml"));
    command.arg("--state-dir").arg(folder.join("state")).arg("--admin-socket").arg(folder.join("admin.sock"));
    command.env("NOTIFY_SOCKET", folder.join("notify.sock"));
    command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    Ok(Process::start(&mut command))
}

/// The thread of this process with this name.
fn thread(pid: u32, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("tasks").flatten();
    let named = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let found = tasks.into_iter().find(named).unwrap_or_else(|| panic!("no thread {name}"));
    Pid::from_raw(found.file_name().to_string_lossy().parse().expect("a number"))
}

fn whole_life() -> Result<(), Skip> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    fs::write(path.join("run.yaml"), config(path)).expect("written");
    let manager = Manager::listen(&path.join("notify.sock"));
    let process = start(path)?;

    let before = manager.until("READY=1");
    let ready = before.last().expect("the message itself");
    assert!(ready.contains("STATUS=forwarding 1 VIP, 1 of 2 backends up"), "the checks count: {ready}");
    assert_eq!(before[0].trim(), "STATUS=waiting for the first health checks");
    assert!(before.iter().all(|message| !message.contains("WATCHDOG")), "{before:?}");

    // As often as half the time that the manager gives, at least.
    assert!(manager.feeds(Duration::from_secs(4)) >= 4);

    // One thread alone stands still, as if it hung in a driver: the others go on, the control thread among them.
    let worker = thread(process.pid(), "worker-0");
    ptrace::seize(worker, ptrace::Options::empty()).expect("trace the worker");
    ptrace::interrupt(worker).expect("stop the worker");
    manager.until("STATUS=worker w0 does not move");
    assert_eq!(manager.feeds(Duration::from_secs(3)), 0, "a worker stands still and the watchdog is fed");
    assert!(process.stderr_so_far().contains("the watchdog is not fed"), "it is in the log");
    nix::sys::wait::waitpid(worker, Some(nix::sys::wait::WaitPidFlag::__WALL)).expect("it has stopped");
    ptrace::detach(worker, None).expect("let it go on");
    manager.until("WATCHDOG=1");

    process.signal("HUP");
    let reloading = manager.until("RELOADING=1").pop().expect("the message itself");
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    manager.until("READY=1");

    fs::write(path.join("run.yaml"), "version: 2\n").expect("written");
    process.signal("HUP");
    manager.until("RELOADING=1");
    let ready = manager.until("READY=1").pop().expect("the message itself");
    assert!(ready.contains("the last reload was refused"), "{ready}");

    process.signal("TERM");
    let stopping = manager.until("STOPPING=1").pop().expect("the message itself");
    assert!(stopping.contains("STATUS=stopping (SIGTERM)"), "{stopping}");
    let finished = process.finish(Duration::from_secs(10));
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    Ok(())
}

#[test]
fn the_service_manager_is_told_the_truth() {
    unless(whole_life());
}
