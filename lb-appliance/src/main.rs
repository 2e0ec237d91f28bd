//! The command line of Guideway: parse it, call the subcommand, exit with its code.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 configuration invalid.

use std::process::ExitCode;

fn main() -> ExitCode {
    lb_appliance::cli::root::main()
}
