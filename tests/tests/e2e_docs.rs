//! The documentation, executed: every command block of the pages that a newcomer and an operator follow is run as it
//! stands, in namespaces, with the real program. A block that cannot run says why, and the test lists those.

use lb_tests::lab::{Encap, Lab, Outer, Pmd};
use lb_tests::page::{EXECUTED, Step, steps};
use lb_tests::program::repository;
use lb_tests::session::Session;
use lb_tests::skip::{self, Skip};
use lb_tests::source::Source;

fn page(path: &str) -> Source {
    let text =
        std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Source { path: path.to_owned(), text }
}

/// Runs a page; a failing block ends it, as the following ones build on it.
fn run_page(path: &str, session: impl FnOnce() -> Result<Session, Skip>) {
    assert!(EXECUTED.contains(&path), "{path} is not among the pages that are executed");
    let steps = steps(&page(path)).unwrap_or_else(|unmarked| panic!("\n{}", unmarked.join("\n")));
    let (mut ran, mut not) = (0, Vec::new());
    let Some(mut session) = skip::unless(session()) else { return };
    for placed in &steps {
        if let Err(wrong) = session.take(placed) {
            panic!("{wrong}\n--- said in the background:\n{}", session.log());
        }
        match &placed.step {
            Step::Not(reason) => not.push(format!("  {}: {reason}", placed.place)),
            _ => ran += 1,
        }
    }
    eprintln!("{path}: {ran} blocks were run, {} not:\n{}", not.len(), not.join("\n"));
    assert!(ran > 0, "{path}: nothing was run");
}

/// A lab whose balancer has another way to the backends, for health checks.
fn managed_lab() -> Result<Session, Skip> {
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    lab.manage();
    Session::in_lab(lab)
}

#[test]
fn the_quick_start_works_as_it_stands() {
    run_page("docs/quick-start.md", Session::empty);
}

#[test]
fn the_commands_of_operations_work_as_they_stand() {
    run_page("docs/operations.md", managed_lab);
}

#[test]
fn the_commands_of_troubleshooting_work_as_they_stand() {
    run_page("docs/troubleshooting.md", managed_lab);
}

#[test]
fn the_commands_of_the_readme_work_as_they_stand() {
    run_page("README.md", managed_lab);
}
