//! The command line as a whole: every subcommand, in the order in which `guideway --help` lists them.
//!
//! In the library, not in `main.rs`: completions and man pages are made from the same definition that is parsed.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A poll-mode layer-4 load balancer on DPDK.
#[derive(Debug, Parser)]
#[command(name = "guideway", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Forward packets, in the foreground, until SIGTERM or Ctrl-C
    Run(super::run::RunArgs),
    /// Validate a configuration file: exit code 0 if it is valid, 3 if not
    Check(super::check::CheckArgs),
    /// Send a capture through the production pipeline, without NIC or privileges
    Replay(super::replay::ReplayArgs),
    /// Measure how long the production pipeline takes for a packet, without NIC or privileges
    Bench(super::bench::BenchArgs),
}

/// Parses the process's arguments, runs the subcommand and gives its exit code; ends the process on a usage error.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => super::run::run(&arguments),
        Command::Check(arguments) => super::check::run(&arguments),
        Command::Replay(arguments) => super::replay::run(&arguments),
        Command::Bench(arguments) => super::bench::run(&arguments),
    }
}

/// The definition, for what is generated from it.
pub fn definition() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        super::definition().debug_assert();
    }
}
