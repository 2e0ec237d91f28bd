//! The command line of Guideway: parse it, call the subcommand, exit with its code.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 configuration invalid.

use clap::{Parser, Subcommand};
use lb_appliance::cli;
use std::process::ExitCode;

/// A poll-mode layer-4 load balancer on DPDK.
#[derive(Debug, Parser)]
#[command(name = "guideway", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward packets, in the foreground, until SIGTERM or Ctrl-C
    Run(cli::run::RunArgs),
    /// Validate a configuration file: exit code 0 if it is valid, 3 if not
    Check(cli::check::CheckArgs),
    /// Send a capture through the production pipeline, without NIC or privileges
    Replay(cli::replay::ReplayArgs),
    /// Measure how long the production pipeline takes for a packet, without NIC or privileges
    Bench(cli::bench::BenchArgs),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => cli::run::run(&arguments),
        Command::Check(arguments) => cli::check::run(&arguments),
        Command::Replay(arguments) => cli::replay::run(&arguments),
        Command::Bench(arguments) => cli::bench::run(&arguments),
    }
}
