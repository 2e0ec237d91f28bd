//! What an operator does to a running balancer: write its file, reload it, talk to it with the command line.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::balancer::{Balancer, admin_socket};
use crate::lab::Lab;
use crate::process::{Finished, wait_until};
use crate::program::guideway;
use crate::prom::Scrape;
use crate::service::Service;
use crate::skip::Skip;

const COMMAND_LIMIT: Duration = Duration::from_secs(60);
const RELOAD_LIMIT: Duration = Duration::from_secs(60);

/// A running balancer with the file that it was started with.
#[derive(Debug)]
pub struct Operator {
    /// The balancer.
    pub balancer: Balancer,
    frame: String,
    file: PathBuf,
    socket: PathBuf,
}

impl Operator {
    /// Starts a balancer for a service.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(lab: &Lab, service: &Service) -> Result<Self, Skip> {
        let frame = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
        Self::start_text(lab, &service.text(&frame))
    }

    /// Starts a balancer with a configuration.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_text(lab: &Lab, text: &str) -> Result<Self, Skip> {
        Self::start_in(lab, text, &[])
    }

    /// Starts a balancer with a configuration, and some more in its environment.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_in(lab: &Lab, text: &str, environment: &[(&str, &str)]) -> Result<Self, Skip> {
        let frame = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
        let file = lab.folder().join("operator.yaml");
        let socket = admin_socket(&file);
        std::fs::write(&file, text).expect("write the configuration");
        let balancer = Balancer::start_in(lab, &file, environment)?;
        Ok(Self { balancer, frame, file, socket })
    }

    /// Stops the balancer and starts it again with the file as it is now.
    ///
    /// # Errors
    /// `Skip` when it has not been built.
    ///
    /// # Panics
    /// When it does not stop cleanly, or does not become ready.
    pub fn restart(self, lab: &Lab) -> Result<Self, Skip> {
        let finished = self.balancer.stop("TERM");
        assert!(finished.status.success(), "SIGTERM: {}\n{}", finished.status, finished.stderr);
        let balancer = Balancer::start_with(lab, &self.file)?;
        Ok(Self { balancer, ..self })
    }

    /// The file that the balancer was started with.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its admin socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The configuration of a service for this balancer.
    #[must_use]
    pub fn text(&self, service: &Service) -> String {
        service.text(&self.frame)
    }

    /// Writes the file, as a whole.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, text: &str) {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, text).expect("write the configuration");
        std::fs::rename(&beside, &self.file).expect("rename the configuration");
    }

    /// Samples of the balancer's metrics.
    #[must_use]
    pub fn metrics(&self) -> Scrape {
        Scrape::parse(&self.balancer.metrics_text())
    }

    /// Sends SIGHUP and waits until the attempt has been made; true if what the file says is in force now.
    ///
    /// # Panics
    /// When no attempt is seen in time.
    pub fn hang_up(&self) -> bool {
        let attempts = |scrape: &Scrape| scrape.sum("guideway_config_reloads_total");
        let before = attempts(&self.metrics());
        self.balancer.process().signal("HUP");
        let mut after = Scrape::default();
        let made = wait_until(RELOAD_LIMIT, || {
            after = self.metrics();
            attempts(&after) > before
        });
        assert!(made, "SIGHUP was not followed:\n{}", self.balancer.process().stderr_so_far());
        after.sum("guideway_config_last_reload_successful") == 1.0
    }

    /// Writes the file of a service, reloads by SIGHUP and waits until every worker goes by it.
    ///
    /// # Panics
    /// When the reload is refused, or a worker does not take it over.
    pub fn change(&self, service: &Service) {
        self.write(&self.text(service));
        assert!(self.hang_up(), "refused:\n{}", self.balancer.process().stderr_so_far());
        let mut status = Value::Null;
        let is_seen = wait_until(RELOAD_LIMIT, || {
            status = self.ask(&["status"]);
            status["seen"].as_u64() == status["workers"].as_array().map(|workers| workers.len() as u64)
        });
        assert!(is_seen, "workers go by it: {status}");
    }

    /// Runs a subcommand against the balancer.
    ///
    /// # Panics
    /// When the program is gone.
    pub fn command(&self, arguments: &[&str]) -> Finished {
        let mut command = guideway().expect("the program that was started is there");
        command.args(arguments).env("GUIDEWAY_SOCKET", &self.socket);
        crate::process::run(&mut command, COMMAND_LIMIT)
    }

    /// The document that a subcommand answers with. It must succeed, or be `status`, whose exit code has a meaning.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        let finished = self.command(&all);
        let document: Option<Value> = serde_json::from_str(&finished.stdout).ok();
        let data = document.and_then(|mut document| document.get_mut("data").map(Value::take));
        data.unwrap_or_else(|| {
            panic!("{arguments:?}: {}\n{}{}", finished.status, finished.stdout, finished.stderr)
        })
    }

    /// Kinds and messages of all events that are remembered, the latest last.
    #[must_use]
    pub fn events(&self) -> Vec<(String, String)> {
        let events = self.ask(&["events"]);
        let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let pair = |event: &Value| {
            (word(event, "kind"), format!("{}: {}", word(event, "object"), word(event, "message")))
        };
        events.as_array().expect("a list of events").iter().map(pair).collect()
    }

    /// As [`Operator::ask`], and how long it took, the start of the program included.
    pub fn ask_timed(&self, arguments: &[&str]) -> (Value, Duration) {
        let start = Instant::now();
        (self.ask(arguments), start.elapsed())
    }
}
