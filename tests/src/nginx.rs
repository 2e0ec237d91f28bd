//! A web server of the lab, seen through its access log: who it says had asked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::Lab;

/// One request as nginx logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The peer of the TCP connection.
    pub client: String,
    /// The address the client had asked for.
    pub server: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What it has read of the request, header and body, bytes.
    pub length: usize,
}

/// One web server.
#[derive(Clone, Debug)]
pub struct Nginx {
    folder: PathBuf,
    number: u8,
}

impl Nginx {
    pub(crate) fn new(lab: &Path, number: u8) -> Self {
        Self { folder: lab.join(format!("web{number}")), number }
    }

    /// Its name in the configuration and in its answers.
    #[must_use]
    pub fn name(&self) -> String {
        format!("web-{}", self.number)
    }

    /// All requests it has answered. A line it cannot read is a broken test, not a skipped line.
    ///
    /// # Panics
    /// On a line that is not in the lab's log format.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let log = std::fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        log.lines().map(parse_line).collect()
    }
}

impl Nginx {
    /// Ends it at once, as a crash would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let file = self.folder.join("nginx.pid");
        let master = std::fs::read_to_string(&file).expect("nginx runs");
        let master = master.trim();
        let children =
            std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        for pid in std::iter::once(master).chain(children.split_whitespace()) {
            let _ = Command::new("kill").args(["-KILL", pid]).status();
        }
        let _ = std::fs::remove_file(&file);
    }

    /// Starts it again in its namespace.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self, lab: &Lab) {
        let (errors, configuration) = (self.folder.join("error.log"), self.folder.join("nginx.conf"));
        let arguments = ["-e", &errors.to_string_lossy(), "-c", &configuration.to_string_lossy()];
        let namespace = lab.namespace(&format!("web{}", self.number));
        namespace.run("nginx", &arguments, Duration::from_secs(10)).expect_success("nginx");
    }
}

fn parse_line(line: &str) -> Request {
    let words: Vec<&str> = line.split(' ').collect();
    let [client, server, status, _method, _path, length] = words[..] else {
        panic!("not in the format of the access log: {line}");
    };
    Request {
        client: client.to_owned(),
        server: server.to_owned(),
        status: status.parse().expect("HTTP status"),
        length: length.parse().expect("bytes"),
    }
}
