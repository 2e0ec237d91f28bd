//! The control plane without a dataplane, with its admin API: for `scripts/fuzz-api`, and to try clients on a laptop.
//!
//! `control_plane CONFIG [STATE_DIRECTORY]` reads the configuration, its `admin` section included, and serves until standard input
//! ends. There are no workers: nothing is forwarded, every change takes at once.

use anyhow::{Context, Result, anyhow};
use lb_appliance::control::{Errands, Loaded, Prepared, Start};
use lb_appliance::{admin, logging};
use std::io::Read;
use std::path::PathBuf;
use tokio::sync::oneshot;

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let path = words.next().context("usage: control_plane CONFIG [STATE_DIRECTORY]")?;
    let loaded =
        Loaded::file(&path).map_err(|problem| anyhow!("{}: {:?}", problem.detail, problem.findings))?;
    logging::start(&loaded.config.logging)?;
    let listeners = admin::open(&loaded.config.admin)?;
    let start = Start { path, loaded, ports: Vec::new(), workers: 0, state_directory: words.next() };
    let control = Prepared::new(start).map_err(|problem| anyhow!("{}", problem.detail))?;
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Dropped is told as well.
        drop(stop);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let handle = control.start(Vec::new(), Errands::default(), |_| None);
        admin::serve(handle, listeners, async {
            let _ = stopped.await;
        })
        .await
    })?;
    Ok(())
}
