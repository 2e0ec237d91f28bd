//! Live flows of the lab, seen one by one: which backend serves each, and whether it still does.
//!
//! Directs `lab-peer` (see [`crate::peer`]) in the client's and the backends' namespaces.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab::{Lab, VIP4};
use crate::netns::Namespace;
use crate::peer::Told;
use crate::process::{Process, wait_until};
use crate::skip::Skip;

/// Where the echo servers listen.
pub const PORT: u16 = 7777;
/// Open files of a process that holds thousands of flows.
const FILES: &str = "20000";
const START_LIMIT: Duration = Duration::from_secs(20);
/// For one order over thousands of flows on a busy machine.
const ORDER_LIMIT: Duration = Duration::from_secs(120);

fn peer_path() -> Result<PathBuf, Skip> {
    let beside =
        std::env::current_exe().ok().and_then(|test| Some(test.parent()?.parent()?.join("lab-peer")));
    beside
        .filter(|path| path.is_file())
        .ok_or_else(|| Skip("lab-peer is not built: cargo build -p lb-tests".to_owned()))
}

fn start(namespace: &Namespace, arguments: &[&str]) -> Result<Process, Skip> {
    let program = peer_path()?;
    let program = program.to_string_lossy();
    let limit = format!("--nofile={FILES}:{FILES}");
    let all: Vec<&str> = [&*limit, &*program].into_iter().chain(arguments.iter().copied()).collect();
    // prlimit replaces itself by the program, so the process id is the program's.
    Ok(namespace.start("prlimit", &all))
}

/// An echo server on the VIP, in a backend's namespace.
#[derive(Debug)]
pub struct Echo {
    process: Process,
}

impl Echo {
    /// Starts the server of backend `number`, which calls itself `web-N`.
    ///
    /// # Errors
    /// `Skip` when `lab-peer` is not built.
    ///
    /// # Panics
    /// When it does not come to listen.
    pub fn start(lab: &Lab, number: u8) -> Result<Self, Skip> {
        let ready = lab.folder().join(format!("echo-{number}.ready"));
        let _ = std::fs::remove_file(&ready);
        let address = format!("{VIP4}:{PORT}");
        let arguments = ["serve", &format!("web-{number}"), &address, &ready.to_string_lossy()];
        let mut process = start(&lab.namespace(&format!("web{number}")), &arguments)?;
        let is_up = wait_until(START_LIMIT, || ready.exists() || process.ended().is_some());
        assert!(is_up && process.ended().is_none(), "echo server: {}", process.stderr_so_far());
        Ok(Self { process })
    }

    /// Ends it at once, as a crash would; the kernel resets its connections.
    pub fn kill(self) {
        self.process.signal("KILL");
        let _ = self.process.finish(START_LIMIT);
    }
}

/// The client's flows to the VIP.
#[derive(Debug)]
pub struct Flows {
    process: Process,
    stream: BufReader<UnixStream>,
}

impl Flows {
    /// Starts the client, without flows.
    ///
    /// # Errors
    /// `Skip` when `lab-peer` is not built.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start(lab: &Lab) -> Result<Self, Skip> {
        let socket = lab.folder().join("flows.sock");
        let arguments = ["hold", &socket.to_string_lossy(), &format!("{VIP4}:{PORT}")];
        let process = start(&lab.namespace("client"), &arguments)?;
        let mut connected = None;
        wait_until(START_LIMIT, || {
            connected = UnixStream::connect(&socket).ok();
            connected.is_some()
        });
        let stream = connected.unwrap_or_else(|| panic!("lab-peer: {}", process.stderr_so_far()));
        stream.set_read_timeout(Some(ORDER_LIMIT)).expect("time limit");
        Ok(Self { process, stream: BufReader::new(stream) })
    }

    /// Opens TCP connections.
    pub fn open_tcp(&mut self, count: usize) {
        self.order(&format!("tcp-open {count}"));
    }

    /// Exchanges a line over every TCP connection.
    pub fn check_tcp(&mut self) -> Survey {
        Survey(self.order("tcp-check"))
    }

    /// Closes all TCP connections.
    pub fn close_tcp(&mut self) {
        self.order("tcp-close");
    }

    /// Prepares UDP flows from source port `first` on, in place of those there were.
    pub fn open_udp(&mut self, count: u16, first: u16) {
        self.order(&format!("udp-open {count} {first}"));
    }

    /// Asks on every UDP flow; a lost packet is asked again `attempts` - 1 times.
    pub fn check_udp(&mut self, attempts: u16) -> Survey {
        Survey(self.order(&format!("udp-check {attempts}")))
    }

    fn order(&mut self, line: &str) -> Vec<Told> {
        let mut answer = String::new();
        let exchanged = self
            .stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.stream.read_line(&mut answer));
        let answer = answer.trim_end();
        assert!(
            exchanged.is_ok() && !answer.starts_with('!'),
            "{line}: {exchanged:?} {answer} {}",
            self.process.stderr_so_far()
        );
        answer.split(';').filter(|row| !row.is_empty()).map(parse_row).collect()
    }
}

fn parse_row(row: &str) -> Told {
    let (first, now) = row.split_once(',').unwrap_or_else(|| panic!("not a row: {row}"));
    let now = now.strip_prefix('!').map_or_else(|| Ok(now.to_owned()), |trouble| Err(trouble.to_owned()));
    Told { first: first.to_owned(), now }
}

/// One look at all flows, always in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey(pub Vec<Told>);

impl Survey {
    /// Flows by the backend that served them first.
    #[must_use]
    pub fn by_backend(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for told in &self.0 {
            *counts.entry(told.first.as_str()).or_default() += 1;
        }
        counts
    }

    /// Flows that have got no answer, of those that were not served by `except` first.
    #[must_use]
    pub fn broken(&self, except: &[&str]) -> Vec<&Told> {
        let must_live = self.0.iter().filter(|told| !except.contains(&told.first.as_str()));
        must_live.filter(|told| told.now.is_err()).collect()
    }

    /// Flows that have got no answer.
    #[must_use]
    pub fn dead(&self) -> usize {
        self.0.iter().filter(|told| told.now.is_err()).count()
    }

    /// Flows that are answered by another backend than in an earlier look, or by none any more.
    #[must_use]
    pub fn moved_since(&self, earlier: &Self) -> usize {
        self.0.iter().zip(&earlier.0).filter(|(now, before)| now.now != before.now).count()
    }
}
