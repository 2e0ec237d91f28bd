//! Child processes with an end: bounded runs, and long runs that are stopped when their owner goes.
//!
//! What must hold: no call waits longer than it was told to, and no child outlives its [`Process`]. Children are ended
//! by their process id; nothing is looked up by name.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a waiting loop looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a child that is no longer wanted may take over SIGTERM before it is killed.
const POLITE: Duration = Duration::from_secs(3);

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; a command that was killed for taking too long is not a success.
    pub status: ExitStatus,
    /// Its standard output, as text.
    pub stdout: String,
    /// Its standard error, as text.
    pub stderr: String,
    /// True when it was killed because its time was over.
    pub timed_out: bool,
    /// The process id it had.
    pub pid: u32,
}

impl Finished {
    /// Standard output of a command that must succeed.
    ///
    /// # Panics
    /// With all the command said, when it failed.
    pub fn expect_success(self, what: &str) -> String {
        assert!(self.status.success(), "{what}: {}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }
}

/// A running child; ended when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: File,
    stderr: File,
}

impl Process {
    /// Starts a command with its output going to unnamed temporary files, so that no pipe can fill up.
    ///
    /// # Panics
    /// When the program cannot be started at all: the harness cannot do without it.
    pub fn start(command: &mut Command) -> Self {
        let stdout = tempfile::tempfile().expect("temporary file");
        let stderr = tempfile::tempfile().expect("temporary file");
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("file handle"))
            .stderr(stderr.try_clone().expect("file handle"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, stdout, stderr }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as `kill -NAME PID`.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
    }

    /// The exit status, if the process has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end; kills the process when `limit` is over.
    pub fn finish(mut self, limit: Duration) -> Finished {
        let timed_out = !wait_until(limit, || self.ended().is_some());
        if timed_out {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("wait for a child");
        Finished {
            status,
            stdout: read_all(&self.stdout),
            stderr: read_all(&self.stderr),
            timed_out,
            pid: self.pid(),
        }
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr_so_far(&self) -> String {
        read_all(&self.stderr)
    }

    /// CPU time used so far by the whole process, user and system, from `/proc/PID/stat`.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // proc(5): the fields after the name in parentheses; utime and stime are numbers 14 and 15 of the line.
        let after_name: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 =
            after_name.get(11)?.parse::<u64>().ok()? + after_name.get(12)?.parse::<u64>().ok()?;
        // USER_HZ is 100 on every Linux port this runs on.
        Some(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // First politely: a program that is asked removes what it had made.
            self.signal("TERM");
            wait_until(POLITE, || self.ended().is_some());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read_all(file: &File) -> String {
    // Children hold a descriptor of their own with an offset shared with ours: read from a fresh open file.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let mut bytes = Vec::new();
    if let Ok(mut own) = File::open(path) {
        let _ = own.rewind();
        let _ = own.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a command to its end, at most for `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    Process::start(command).finish(limit)
}

/// Looks again and again until the condition holds or `limit` is over; true when it held.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
