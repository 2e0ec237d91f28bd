//! A web server of the lab, seen through its access log: who it says had asked.

use std::path::{Path, PathBuf};

/// One request as nginx logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The peer of the TCP connection.
    pub client: String,
    /// The address the client had asked for.
    pub server: String,
    /// The HTTP status of the answer.
    pub status: u16,
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

fn parse_line(line: &str) -> Request {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_else(|| panic!("access log line too short: {line}"));
    let (client, server) = (next().to_owned(), next().to_owned());
    Request { client, server, status: next().parse().expect("HTTP status") }
}
