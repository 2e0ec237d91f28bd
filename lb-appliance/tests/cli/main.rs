//! The live subcommands of the program in front of a balancer that gives canned answers: what they ask, print and
//! exit with. What they print stands in `golden/`: the forms for programs are a contract.

mod canned;
mod changes;
mod failures;
mod plane;
mod samples;
mod together;
mod views;

use canned::Canned;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// One answer: method and target of the request that must come, status, document.
type Answer = (&'static str, u16, Value);

/// Runs a command line against canned answers: exit code, standard output, standard error.
fn run(line: &str, answers: Vec<Answer>) -> (i32, String, String) {
    let canned = Canned::start(answers);
    run_at(line, &canned.socket)
}

fn run_at(line: &str, socket: &Path) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_guideway"))
        .args(line.split(' '))
        .arg("--socket")
        .arg(socket)
        .env_remove("GUIDEWAY_SOCKET")
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn value(document: impl serde::Serialize) -> Value {
    serde_json::to_value(document).expect("a document")
}
