//! The other ends of the lab: an echo server that says its name, and a client that holds thousands of flows open.
//!
//! Started inside namespaces by the tests; see `lb_tests::peer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match lb_tests::peer::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-peer: {error}");
            ExitCode::FAILURE
        }
    }
}
