//! A network namespace of the lab, and commands that run inside it.
//!
//! Namespaces are made and removed by `scripts/lab` alone; this is only a name and a way in.

use std::process::Command;
use std::time::Duration;

use crate::process::{Finished, Process, run};

/// One namespace, by its name.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Names a namespace that exists.
    #[must_use]
    pub fn named(name: String) -> Self {
        Self { name }
    }

    /// Its name as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. `ip` replaces itself by the program, so the process id is the program's.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program inside, at most for `limit`.
    pub fn run(&self, program: &str, arguments: &[&str], limit: Duration) -> Finished {
        run(self.command(program).args(arguments), limit)
    }

    /// Starts a program inside.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Process {
        Process::start(self.command(program).args(arguments))
    }

    /// The names of the network devices inside.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        let listing = self.run("ip", &["-brief", "link"], Duration::from_secs(5)).stdout;
        let name = |line: &str| line.split(['@', ' ']).next().map(str::to_owned);
        listing.lines().filter_map(name).collect()
    }
}
