//! `guideway bench`: how long the production pipeline takes for a packet.
//!
//! Needs no root, no NIC and no hugepages. Exit codes: 0 measured, 1 not measured (or interrupted, or packets were not
//! forwarded), 2 usage. Figures go to standard output, everything else to standard error.

use crate::bench::{self, BenchError, Report, Settings};
use clap::Args;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `guideway bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[command(flatten)]
    pub settings: Settings,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Measures and prints.
pub fn run(arguments: &BenchArgs) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("guideway: warning: this is a debug build; its figures mean nothing");
    }
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&stop);
    let report = match bench::run(&arguments.settings, &stop) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("guideway: {error}");
            return ExitCode::from(match error {
                BenchError::Usage(_) => super::EXIT_USAGE,
                BenchError::Failed(_) => super::EXIT_FAILED,
            });
        }
    };
    if let Err(error) = print(&report, arguments.json) {
        eprintln!("guideway: standard output: {error}");
        return ExitCode::from(super::EXIT_FAILED);
    }
    if report.is_interrupted {
        let (samples, seconds) = (report.samples, report.seconds);
        eprintln!("guideway: interrupted: {samples} samples were taken, not all of {seconds} s");
        return ExitCode::from(super::EXIT_FAILED);
    }
    ExitCode::SUCCESS
}

fn print(report: &Report, is_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if is_json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    out.flush()
}

/// Sets `stop` at Ctrl-C. Without a thread or a signal handler, Ctrl-C ends the process as it always does.
fn stop_on_interrupt(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(tokio::signal::ctrl_c())?;
        stop.store(true, Ordering::Relaxed);
        io::Result::Ok(())
    };
    // Not joined: it waits for what mostly never comes, and ends with the process.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait);
}
