//! The client of the lab: a real curl, a new connection for every request.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lab::Lab;

/// What became of a batch of requests.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Requests sent.
    pub sent: usize,
    /// Requests answered with status 200, by the name of the backend.
    pub by_backend: BTreeMap<String, usize>,
    /// The lines of all others: status (000 = no answer), backend, curl's words.
    pub failures: Vec<String>,
}

impl Answers {
    /// Requests answered with status 200.
    #[must_use]
    pub fn good(&self) -> usize {
        self.by_backend.values().sum()
    }
}

const FORMAT: &str = "%{http_code} %header{x-backend} %{errormsg}\\n";

/// Sends `count` GET requests, at most eight at once, to an address of the service.
#[must_use]
pub fn get(lab: &Lab, address: &str, count: usize) -> Answers {
    let url = format!("{}/request-[1-{count}]", origin(address));
    curl(lab, count, &["--parallel", "--parallel-max", "8", "--header", "Connection: close", &url])
}

/// Whether a request gets no answer within two seconds: time for a SYN and its first repetition.
#[must_use]
pub fn is_unanswered(lab: &Lab, address: &str) -> bool {
    let url = origin(address);
    let limits = ["--silent", "--output", "/dev/null", "--connect-timeout", "2", "--max-time", "2"];
    let arguments = [&limits[..], &["--write-out", "%{http_code}", &url]].concat();
    let finished = lab.namespace("client").run("curl", &arguments, Duration::from_secs(10));
    // What curl writes when it has tried and had nothing; not what is there when curl itself could not run.
    finished.stdout == "000"
}

/// Sends one POST with a body of `bytes`: packets of full size from client to backend.
#[must_use]
pub fn post(lab: &Lab, address: &str, bytes: usize) -> Answers {
    let body = lab.folder().join("body");
    std::fs::write(&body, vec![b'x'; bytes]).expect("write the body");
    let body = format!("@{}", body.display());
    curl(lab, 1, &["--data-binary", &body, "--header", "Expect:", &format!("{}/post", origin(address))])
}

fn origin(address: &str) -> String {
    if address.contains(':') { format!("http://[{address}]") } else { format!("http://{address}") }
}

fn curl(lab: &Lab, sent: usize, arguments: &[&str]) -> Answers {
    let mut all = vec!["--silent", "--no-progress-meter", "--output", "/dev/null", "--max-time", "10"];
    all.extend(["--connect-timeout", "5", "--write-out", FORMAT]);
    all.extend(arguments);
    let finished = lab.namespace("client").run("curl", &all, Duration::from_secs(60));
    let mut answers = Answers { sent, ..Answers::default() };
    for line in finished.stdout.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["200", backend, ..] if !backend.is_empty() => {
                *answers.by_backend.entry(backend.to_owned()).or_default() += 1;
            }
            _ => answers.failures.push(line.to_owned()),
        }
    }
    answers
}
