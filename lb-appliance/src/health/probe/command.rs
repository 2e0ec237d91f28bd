//! command: a program of the operator's; exit code 0 is "up".
//!
//! It runs in a process group of its own. When its time is over, or nobody wants the result any more, the whole
//! group is killed, so that a shell script takes its children with it. It sees `GUIDEWAY_POOL`, `GUIDEWAY_BACKEND`,
//! `GUIDEWAY_ADDRESS` and `PATH`, and nothing else of our environment.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::super::outcome::{Cause, Good, Trouble};
use super::super::steps::Steps;
use super::super::wire;
use super::Subject;

/// How long after its end the output of a program is waited for: a grandchild may hold the pipe for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

pub(super) async fn run(subject: &Subject<'_>, argv: &[String], steps: &mut Steps) -> Result<Good, Trouble> {
    steps.begin("start");
    let (program, arguments) =
        argv.split_first().ok_or_else(|| Trouble::new(Cause::Local, "no program is named"))?;
    let child = spawn(subject, program, arguments)
        .map_err(|error| Trouble::new(Cause::Local, format!("cannot start {program}: {error}")))?;
    let mut group = Group::of(child);
    steps.end(|| format!("{program}, process {}", group.pid.map_or(0, |pid| pid.as_raw_nonzero().get())));
    steps.begin("run");
    let (status, output) = group.finish().await.map_err(|error| wire::named(&error))?;
    let line = output.lines().next().unwrap_or_default().to_owned();
    if !status.success() {
        return Err(Trouble::new(Cause::ExitCode, format!("{status}: {line}")));
    }
    steps.end(|| format!("exit status 0: {line}"));
    Ok(Good::new(if line.is_empty() { "exit status 0".to_owned() } else { line }))
}

fn spawn(subject: &Subject<'_>, program: &str, arguments: &[String]) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("GUIDEWAY_POOL", &subject.subscriber.pool)
        .env("GUIDEWAY_BACKEND", &subject.subscriber.backend)
        .env("GUIDEWAY_ADDRESS", subject.address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// A child and all it has started; killed when dropped before its end.
struct Group {
    child: Child,
    /// The group's number; `None` once the child has ended, when the number may belong to somebody else.
    pid: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Self { child, pid }
    }

    /// Exit status and the beginning of the output.
    async fn finish(&mut self) -> io::Result<(ExitStatus, String)> {
        let Some(mut pipe) = self.child.stdout.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let reading = wire::read_all(&mut pipe);
        let mut reading = std::pin::pin!(reading);
        let mut output = None;
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status?,
                read = &mut reading, if output.is_none() => output = Some(read),
            }
        };
        self.pid = None;
        let output = match output {
            Some(output) => output,
            None => tokio::time::timeout(OUTPUT_GRACE, reading).await.unwrap_or(Ok(Vec::new())),
        };
        Ok((status, String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
