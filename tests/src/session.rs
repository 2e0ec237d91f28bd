//! A shell session that a page of the documentation describes, run in namespaces of its own.
//!
//! Commands stand in the page as a reader types them: `/etc/guideway/guideway.yaml`, the admin socket at its usual
//! place, namespaces with plain names. So that nothing of it touches this machine, `/etc`, `/run` and `/var/lib` of the
//! session are overlays in memory, and its network is a namespace.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, turn};
use crate::page::{Placed, Step, first_missing};
use crate::process::{Finished, Process, run, wait_until};
use crate::program::{guideway_path, repository};
use crate::skip::{Skip, require_program};

/// Longest that one block may take.
const BLOCK_LIMIT: Duration = Duration::from_secs(180);
/// Longest until a background block must answer on the admin socket.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// What is done inside before the first block; then the holder waits to be ended.
const PREPARE: &str = r#"
set -eu
mount -t tmpfs none "$1"
for folder in etc run var/lib; do
    mkdir -p "$1/$folder/up" "$1/$folder/work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=$1/$folder/up,workdir=$1/$folder/work" overlay "/$folder"
done
# What this machine has there is none of the session's business.
rm -rf /etc/guideway /run/guideway /run/netns /var/lib/guideway
mkdir -p /etc/guideway /run/netns
ip link set lo up
touch "$1/ready"
exec sleep infinity
"#;

/// A session; everything that it started ends with it.
#[derive(Debug)]
pub struct Session {
    background: Vec<Process>,
    holder: Process,
    folder: tempfile::TempDir,
    program: PathBuf,
    lab: Option<Lab>,
    _turn: Option<File>,
}

impl Session {
    /// In a network namespace that has nothing but `lo`.
    ///
    /// # Errors
    /// `Skip` without root, or where the kernel has no overlays.
    pub fn empty() -> Result<Self, Skip> {
        let turn = turn();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private"]);
        Self::start(command, None, Some(turn))
    }

    /// In the balancer's namespace of a lab.
    ///
    /// # Errors
    /// As [`Session::empty`].
    pub fn in_lab(lab: Lab) -> Result<Self, Skip> {
        let mut command = lab.namespace("lb").command("unshare");
        command.args(["--mount", "--propagation", "private"]);
        Self::start(command, Some(lab), None)
    }

    fn start(mut command: Command, lab: Option<Lab>, turn: Option<File>) -> Result<Self, Skip> {
        for (program, package) in [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")] {
            require_program(program, package)?;
        }
        let program = guideway_path()?;
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut holder = Process::start(command.args(["bash", "-c", PREPARE, "session"]).arg(folder.path()));
        // The mark is on the session's own tmpfs: seen through the holder's root.
        let mark = PathBuf::from(format!("/proc/{}/root{}/ready", holder.pid(), folder.path().display()));
        wait_until(READY_LIMIT, || mark.exists() || holder.ended().is_some());
        if let Some(status) = holder.ended() {
            return Err(Skip(format!(
                "no namespaces for a session: {status}: {}",
                holder.stderr_so_far().trim()
            )));
        }
        Ok(Self { background: Vec::new(), holder, folder, program, lab, _turn: turn })
    }

    /// Runs one step.
    ///
    /// # Errors
    /// What was wrong, with all that was said.
    pub fn take(&mut self, placed: &Placed) -> Result<(), String> {
        match &placed.step {
            Step::Not(_) => Ok(()),
            Step::Background(commands) => {
                self.background.push(Process::start(&mut self.command(commands)));
                let is_up = wait_until(READY_LIMIT, || {
                    self.bash("guideway healthcheck", READY_LIMIT).status.success()
                });
                let said = self.background.last().map(Process::stderr_so_far).unwrap_or_default();
                if is_up {
                    Ok(())
                } else {
                    Err(format!("{}: does not answer\n{commands}\n{said}", placed.place))
                }
            }
            Step::Run { commands, status, shows } => {
                let finished = self.bash(commands, BLOCK_LIMIT);
                let all = format!("{}{}", finished.stdout, finished.stderr);
                let missing = first_missing(shows, &all);
                if !finished.timed_out && finished.status.code() == Some(*status) && missing.is_none() {
                    return Ok(());
                }
                let missing = missing.map(|line| format!("\nnot shown: {line}")).unwrap_or_default();
                let wrong = format!("{}, wanted {status}{missing}", finished.status);
                Err(format!("{}: {wrong}\n{commands}\n---\n{all}", placed.place))
            }
        }
    }

    fn bash(&self, commands: &str, limit: Duration) -> Finished {
        run(&mut self.command(commands), limit)
    }

    fn command(&self, commands: &str) -> Command {
        let folders = self.program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("nsenter");
        let target = self.holder.pid().to_string();
        // Entering a mount namespace leads to its root, which is not ours in a chroot: the holder's root is named too.
        command.args(["--target", &target, "--mount", "--net", "--root", "env"]);
        command
            .arg(format!("--chdir={}", repository().display()))
            .args(["bash", "-euo", "pipefail", "-c", commands]);
        command.env("PATH", format!("{folders}:{path}:/usr/local/sbin:/usr/sbin:/sbin"));
        command.env("GUIDEWAY_BIN", &self.program).env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
        if let Some(lab) = &self.lab {
            command.env("GUIDEWAY_LAB", lab.folder());
        }
        command
    }

    /// What the background blocks have said.
    #[must_use]
    pub fn log(&self) -> String {
        self.background.iter().map(Process::stderr_so_far).collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.background.clear();
        // Namespaces that the page made are its own: the list is that of the session's /run.
        let end = "for name in $(ip netns list | cut -d' ' -f1); do
            kill $(ip netns pids $name) 2>/dev/null || true
            ip netns del $name || true
        done";
        let finished = self.bash(end, Duration::from_secs(20));
        if !finished.status.success() {
            eprintln!("session in {}: {}", self.folder.path().display(), finished.stderr);
        }
    }
}
