//! The program under test, running in its namespace of the lab.
//!
//! What must hold: it is only handed out once `/readyz` says 200, and it is gone when the value is gone.

use std::path::Path;
use std::time::Duration;

use crate::client::get;
use crate::lab::{Lab, METRICS, VIP4};
use crate::netns::Namespace;
use crate::process::{Finished, Process, wait_until};
use crate::program::guideway_path;
use crate::prom::Scrape;
use crate::skip::Skip;

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    process: Process,
    namespace: Namespace,
}

impl Balancer {
    /// Starts it with the lab's own configuration.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// With the last it said, when it does not become ready.
    pub fn start(lab: &Lab) -> Result<Self, Skip> {
        Self::start_with(lab, &lab.config())
    }

    /// Starts it with another configuration.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// With the last it said, when it does not become ready.
    pub fn start_with(lab: &Lab, config: &Path) -> Result<Self, Skip> {
        Self::start_in(lab, config, &[])
    }

    /// Starts it with another configuration, and some more in its environment.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// With the last it said, when it does not become ready.
    pub fn start_in(lab: &Lab, config: &Path, environment: &[(&str, &str)]) -> Result<Self, Skip> {
        let program = guideway_path()?;
        let namespace = lab.namespace("lb");
        let config = config.to_string_lossy();
        // Beside the configuration, which is in a folder of this lab: no test finds what another has kept.
        let state = format!("{config}.state");
        let socket = admin_socket(Path::new(&*config));
        let socket = socket.to_string_lossy();
        let arguments = ["run", "-c", &config, "--state-dir", &state, "--admin-socket", &socket];
        let mut command = namespace.command(&program.to_string_lossy());
        let process = Process::start(command.args(arguments).envs(environment.iter().copied()));
        let mut balancer = Self { process, namespace };
        let ready = wait_until(READY_LIMIT, || {
            balancer.process.ended().is_some() || balancer.status("/readyz") == 200
        });
        if !ready || balancer.process.ended().is_some() {
            balancer.process.signal("KILL");
            let finished = balancer.process.finish(STOP_LIMIT);
            panic!(
                "guideway did not become ready: {}\n{}{}",
                finished.status, finished.stdout, finished.stderr
            );
        }
        Ok(balancer)
    }

    /// The process, for its id, its CPU time and signals.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// When it cannot be fetched.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let url = format!("http://{METRICS}/metrics");
        let arguments = ["--silent", "--show-error", "--fail", "--max-time", "5", &url];
        self.namespace.run("curl", &arguments, Duration::from_secs(10)).expect_success("scrape")
    }

    /// The samples of `/metrics` once traffic has come to rest: two scrapes in a row with the same packet counts.
    #[must_use]
    pub fn metrics_at_rest(&self) -> Scrape {
        let mut last = Scrape::parse(&self.metrics_text());
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(200));
            let next = Scrape::parse(&self.metrics_text());
            if next.balance() == last.balance() {
                return next;
            }
            last = next;
        }
        last
    }

    /// The HTTP status of a path of the metrics listener; 0 when nothing answers.
    #[must_use]
    pub fn status(&self, path: &str) -> u16 {
        let url = format!("http://{METRICS}{path}");
        let arguments =
            ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "2", &url];
        let finished = self.namespace.run("curl", &arguments, Duration::from_secs(5));
        finished.stdout.trim().parse().unwrap_or(0)
    }

    /// Sends a signal and waits for the end.
    pub fn stop(self, signal: &str) -> Finished {
        self.process.signal(signal);
        self.process.finish(STOP_LIMIT)
    }

    /// Sends SIGTERM while a client keeps sending requests, and waits for the end.
    pub fn stop_under_load(self, lab: &Lab) -> Finished {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| get(lab, VIP4, 2_000));
            let backends = lab.backends();
            let busy = || backends.iter().map(|backend| backend.requests().len()).sum::<usize>() > 100;
            assert!(wait_until(Duration::from_secs(10), busy), "traffic flows");
            let finished = self.stop("TERM");
            // What is still on its way now fails quickly: the client need not wait for its own limits.
            lab.namespace("client").run("ip", &["link", "set", "eth0", "down"], Duration::from_secs(5));
            let _ = client.join();
            finished
        })
    }
}

/// Where a balancer with this configuration has its admin socket: beside it, under a short name, because the path of
/// a socket has 107 bytes at most.
#[must_use]
pub fn admin_socket(config: &Path) -> std::path::PathBuf {
    config.with_extension("sock")
}
