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
    /// Show everything at a glance; exit code 5 if it does not serve well
    Status(super::status::StatusArgs),
    /// VIPs: list, show
    Vip(super::vip::VipArgs),
    /// Backends: list, show, drain, undrain, disable, enable, maintenance, weight, clear
    Backend(super::backend::BackendArgs),
    /// Health checks: show, probe
    Health(super::health::HealthArgs),
    /// Connections: list, count, find, delete
    Conn(super::conn::ConnArgs),
    /// Maglev tables: show, disrupt
    Maglev(super::maglev::MaglevArgs),
    /// Say what would become of a packet, step by step
    Explain(super::explain::ExplainArgs),
    /// Show what a configuration would change
    Diff(super::diff::DiffArgs),
    /// Apply a configuration: all or nothing
    Reload(super::reload::ReloadArgs),
    /// Keep what was applied with `reload --confirm-within`
    Confirm(super::reload::PlainArgs),
    /// Go back to the configuration before
    Rollback(super::reload::PlainArgs),
    /// Show what happened, and with -f what happens
    Events(super::events::EventsArgs),
    /// Show what the workers do with their time
    Runtime(super::runtime::RuntimeArgs),
    /// Show dropped packets by reason
    Drops(super::drops::DropsArgs),
    /// Watch it on a terminal, with keys to drain and weigh backends
    Top(super::top::TopArgs),
    /// Show or change what is logged
    LogLevel(super::log_level::LogLevelArgs),
    /// Exit with 0 if the balancer lives, else 1: for HEALTHCHECK of containers
    Healthcheck(super::healthcheck::HealthcheckArgs),
    /// Examine this host: what stands in the way of good forwarding, and the command that mends it
    Doctor(super::doctor::DoctorArgs),
    /// Print, or do, what a backend host needs for its pool
    BackendSetup(super::backend_setup::BackendSetupArgs),
    /// Write a commented starter configuration from the hardware and addresses of this host
    Init(super::init::InitArgs),
    /// Print the JSON Schema of the configuration, for editors and pipelines
    Schema(super::schema::SchemaArgs),
    /// Print the completions of a shell
    Completions(super::completions::CompletionsArgs),
    /// Write the man pages, one per subcommand
    Man(super::man::ManArgs),
    /// Print what this program was built from
    Version(super::version::VersionArgs),
    /// Collect what a bug report needs into one archive, secrets masked
    SupportBundle(super::support_bundle::SupportBundleArgs),
}

/// Parses the process's arguments, runs the subcommand and gives its exit code; ends the process on a usage error.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => super::run::run(&arguments),
        Command::Check(arguments) => super::check::run(&arguments),
        Command::Replay(arguments) => super::replay::run(&arguments),
        Command::Bench(arguments) => super::bench::run(&arguments),
        Command::Status(arguments) => super::status::status(&arguments),
        Command::Vip(arguments) => super::vip::vip(&arguments),
        Command::Backend(arguments) => super::backend::backend(&arguments),
        Command::Health(arguments) => super::health::health(&arguments),
        Command::Conn(arguments) => super::conn::conn(&arguments),
        Command::Maglev(arguments) => super::maglev::maglev(&arguments),
        Command::Explain(arguments) => super::explain::explain(&arguments),
        Command::Diff(arguments) => super::diff::diff(&arguments),
        Command::Reload(arguments) => super::reload::reload(&arguments),
        Command::Confirm(arguments) => super::reload::confirm(&arguments),
        Command::Rollback(arguments) => super::reload::rollback(&arguments),
        Command::Events(arguments) => super::events::events(&arguments),
        Command::Runtime(arguments) => super::runtime::runtime(&arguments),
        Command::Drops(arguments) => super::drops::drops(&arguments),
        Command::Top(arguments) => super::top::top(&arguments),
        Command::LogLevel(arguments) => super::log_level::log_level(&arguments),
        Command::Healthcheck(arguments) => super::healthcheck::healthcheck(&arguments),
        Command::Doctor(arguments) => super::doctor::run(&arguments),
        Command::BackendSetup(arguments) => super::backend_setup::run(&arguments),
        Command::Init(arguments) => super::init::run(&arguments),
        Command::Schema(arguments) => super::schema::run(&arguments),
        Command::Completions(arguments) => super::completions::run(&arguments),
        Command::Man(arguments) => super::man::run(&arguments),
        Command::Version(arguments) => super::version::run(&arguments),
        Command::SupportBundle(arguments) => super::support_bundle::run(&arguments),
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
