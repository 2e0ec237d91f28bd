//! The API over real sockets, in front of a control plane that says yes.

mod limits;
mod network;

use super::fake::Fake;
use super::{CheckReport, DropsReport, LogLevel, VersionInfo};
use crate::client::{ClientError, Next, Target};
use crate::control::view::{Applied, ConnectionStatus, DiffReport, Event, Explanation, Problem, Status};
use hyper::Method;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longer than any deadline of the server: what takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(45);

pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub(super) fn problem(&self) -> Problem {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem: Problem = serde_json::from_str(&self.body).expect("a problem");
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.kind, format!("urn:guideway:{}", problem.code));
        problem
    }
}

pub(super) fn connect(fake: &Fake) -> UnixStream {
    let stream = UnixStream::connect(&fake.socket).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
    stream
}

/// One request as bytes; a server that has had enough of them is no failure.
pub(super) fn raw(fake: &Fake, request: &[u8]) -> Answer {
    let mut stream = connect(fake);
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}

fn ask(fake: &Fake, method: &str, target: &str, media: &str, body: &str) -> Answer {
    let length = body.len();
    let media = if media.is_empty() { String::new() } else { format!("Content-Type: {media}\r\n") };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{media}Content-Length: {length}\r\n\r\n");
    raw(fake, (head + body).as_bytes())
}

#[test]
fn documents_are_served_and_close_the_connection() {
    let fake = Fake::start();
    let client = fake.client();
    let version: VersionInfo = client.get(&Target::new(&["version"])).expect("version");
    assert_eq!((version.api.as_str(), version.version.as_str()), ("v1", env!("CARGO_PKG_VERSION")));
    let status: Status = client.get(&Target::new(&["status"])).expect("status");
    assert_eq!((status.node.as_str(), status.generation), ("lb1", 7));
    let _: DropsReport = client.get(&Target::new(&["drops"])).expect("drops");
    let answer = ask(&fake, "GET", "/api/v1/config", "", "");
    assert!(answer.body.contains("203.0.113.10") && answer.head.contains("connection: close"), "{}", answer.head);
    let head = ask(&fake, "HEAD", "/api/v1/status", "", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn every_refusal_is_a_problem_with_a_code() {
    let fake = Fake::start();
    let json = "application/json";
    let patch = "/api/v1/pools/web/backends/web-1";
    for (method, target, media, body, status, words) in [
        ("GET", "/api/v1/nothing", "", "", 404, "openapi.json"),
        ("GET", "/", "", "", 404, "openapi.json"),
        ("GET", "/api/v1/captures", "", "", 404, "no captures"),
        ("POST", "/api/v1/traces", json, "{}", 404, "no traces"),
        ("GET", "/api/v1/vips/wbe", "", "", 404, "no VIP `wbe`"),
        ("GET", "/api/v1/vips/%ff", "", "", 400, "path"),
        ("DELETE", "/api/v1/status", "", "", 405, "Allow"),
        ("BREW", "/api/v1/status", "", "", 405, "BREW"),
        ("PUT", "/api/v1/log-level", json, "{\"filter\":\"info", 422, "EOF"),
        ("PUT", "/api/v1/log-level", json, "{\"filter\":\"nonsense=nonsense\"}", 422, "not a filter"),
        ("PUT", "/api/v1/log-level", "text/plain", "info", 415, "application/json"),
        ("PATCH", patch, json, "{\"state\":\"gone\"}", 422, "unknown variant"),
        ("PATCH", patch, json, "7", 422, "expected"),
        ("PATCH", patch, json, "{}", 422, "nothing is to change"),
        ("POST", "/api/v1/config/apply", "application/x-www-form-urlencoded", "a: 1", 415, "application/yaml"),
        ("POST", "/api/v1/config/apply?force=perhaps", "", "", 400, "neither true nor false"),
        ("POST", "/api/v1/config/apply?confirm_within=5", "", "", 400, "not a duration"),
        ("POST", "/api/v1/config/apply?file=etc/x", "", "", 400, "absolute"),
        ("POST", "/api/v1/config/apply?file=/x", "text/yaml", "a: 1", 400, "one of them"),
        ("POST", "/api/v1/config/apply", "text/yaml", "empty-a-pool", 409, "--force"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5", "", "", 400, "dst"),
        ("GET", "/api/v1/explain?src=1.2.3.4&dst=1.2.3.4:5", "", "", 400, "socket address"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5&dst=[::1]:5", "", "", 400, "families"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5&dst=1.2.3.5:5&proto=sctp", "", "", 400, "sctp"),
        ("GET", "/api/v1/connections?src=1.2.3.4:5", "", "", 400, "both"),
        ("GET", "/api/v1/connections?pool=web", "", "", 400, "both"),
        ("GET", "/api/v1/connections?max=0", "", "", 400, "1 to 10000"),
        ("GET", "/api/v1/connections?vips=web", "", "", 400, "unknown field"),
        ("DELETE", "/api/v1/connections", "", "", 400, "src"),
        ("GET", "/api/v1/events?since=-1", "", "", 400, "query"),
        ("GET", "/api/v1/maglev/web?remove=,", "", "", 400, "no backend"),
    ] {
        let answer = ask(&fake, method, target, media, body);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
        let problem = answer.problem();
        assert!(problem.detail.contains(words), "{method} {target}: {}", problem.detail);
    }
    let bad_method = ask(&fake, "DELETE", "/api/v1/status", "", "");
    assert!(bad_method.head.contains("allow: get,head"), "{}", bad_method.head);
}

#[test]
fn changes_reach_the_controller_as_they_were_said() {
    let fake = Fake::start();
    let client = fake.client();
    let apply = Target::new(&["config", "apply"]).with("confirm_within", "60s").with("name", "new.yaml");
    let applied: Applied = client.post_yaml(&apply, "version: 1".into()).expect("applied");
    for words in ["new.yaml", "version: 1", "Some(60s)", "force: false"] {
        assert!(applied.message.contains(words), "{}", applied.message);
    }
    let running: Applied =
        client.post_yaml(&Target::new(&["config", "apply"]).with("force", "true"), String::new()).expect("applied");
    assert!(running.message.contains("Running") && running.message.contains("force: true"), "{}", running.message);
    let diff: DiffReport = client.get(&Target::new(&["config", "diff"]).with("file", "/etc/x")).expect("diff");
    assert!(diff.changes[0].object.contains("File"), "{:?}", diff.changes);
    let rolled: Applied = client.post_yaml(&Target::new(&["config", "rollback"]), String::new()).expect("rolled");
    assert_eq!(rolled.message, "Rollback");
    let refused = client.post_yaml::<Applied>(&Target::new(&["config", "apply"]), "empty-a-pool".into());
    assert!(matches!(refused, Err(ClientError::Refused(problem)) if problem.code == "GW9005"));
}

#[test]
fn flows_are_asked_for_and_lists_are_bounded() {
    let fake = Fake::start();
    let client = fake.client();
    let flow = |segment: &str| {
        Target::new(&[segment]).with("src", "[2001:db8::7]:4000").with("dst", "[2001:db8::10]:443").with("proto", "udp")
    };
    let entries: Vec<ConnectionStatus> = client.get(&flow("connections")).expect("entries");
    assert_eq!(entries.len(), 1);
    let removed: Vec<ConnectionStatus> = client.delete(&flow("connections")).expect("removed");
    assert_eq!(removed, entries);
    let _: Explanation = client.get(&flow("explain").with("syn", "")).expect("explained");
    let listed: Vec<ConnectionStatus> =
        client.get(&Target::new(&["connections"]).with("vip", "web").with("max", "5")).expect("listed");
    assert_eq!(listed.len(), 5, "the control plane gave more than was asked for");
}

#[test]
fn a_text_is_checked_without_the_controller() {
    let fake = Fake::start();
    let check = Target::new(&["config", "check"]).with("name", "next.yaml");
    let good: CheckReport = fake.client().post_yaml(&check, super::fake::CONFIG.into()).expect("report");
    assert!(good.valid && good.findings.is_empty());
    let bad: CheckReport = fake.client().post_yaml(&check, super::fake::CONFIG.replace("node:", "nodes:")).expect("report");
    let finding = &bad.findings[0];
    assert!(!bad.valid);
    assert_eq!((finding.code.as_str(), finding.file.as_deref(), finding.line), ("GW0101", Some("next.yaml"), Some(3)));
}

#[test]
fn the_log_level_without_a_logger_is_refused_rather_than_lost() {
    let fake = Fake::start();
    let level: LogLevel = fake.client().get(&Target::new(&["log-level"])).expect("level");
    assert_eq!(level.filter, "off");
    let body = serde_json::json!({"filter": "debug"});
    let refused = fake.client().send_json::<LogLevel>(Method::PUT, &Target::new(&["log-level"]), &body);
    assert!(matches!(&refused, Err(ClientError::Refused(problem)) if problem.detail.contains("no logger")));
}

#[test]
fn events_are_listed_and_followed_without_gap_or_repetition() {
    let fake = Fake::start();
    for number in 0..3 {
        fake.note(&number.to_string());
    }
    let client = fake.client();
    let all: Vec<Event> = client.get(&Target::new(&["events"])).expect("events");
    let late: Vec<Event> = client.get(&Target::new(&["events"]).with("since", "2")).expect("events");
    assert_eq!((all.len(), late.len()), (3, 1));
    let mut follower = client.follow(Some(1)).expect("follow");
    for number in 3..5 {
        fake.note(&number.to_string());
    }
    for number in 1..5_u64 {
        let Next::Event(event) = follower.next(PATIENCE).expect("event") else { panic!("no event {number}") };
        assert_eq!((event.sequence, event.message), (number, number.to_string()));
    }
    assert_eq!(follower.next(Duration::from_millis(50)).expect("quiet"), Next::Quiet);
}

#[test]
fn server_sent_events_have_the_form_that_browsers_read() {
    let fake = Fake::start();
    fake.note("first");
    let mut stream = connect(&fake);
    stream
        .write_all(
            b"GET /api/v1/events?follow HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 0\r\n\r\n",
        )
        .expect("write");
    let mut seen = String::new();
    // Something seen, no repetition of what the client has: the second is the first that is sent.
    while !seen.contains("\r\n\r\n") {
        seen += &some(&mut stream);
    }
    fake.note("second");
    while !seen.contains("second") {
        seen += &some(&mut stream);
    }
    assert!(seen.to_lowercase().contains("content-type: text/event-stream"), "{seen}");
    assert!(seen.contains("id: 1\nevent: backend_up\ndata: {\"sequence\":1,"), "{seen}");
    assert!(!seen.contains("first"), "{seen}");
}

fn some(stream: &mut UnixStream) -> String {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).expect("something");
    assert!(count > 0, "the stream ended");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn the_description_is_valid_enough_to_name_every_route_once() {
    let document = serde_json::to_value(super::openapi()).expect("document");
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    let paths = document["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation["responses"]["200"].is_object() && operation["responses"]["400"].is_object());
        }
    }
    assert_eq!(ids.len(), 28, "{ids:?}");
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
