//! The API over real sockets, in front of a control plane without a dataplane.

mod limits;
mod network;

use super::fake::{CONFIG, Fake};
use super::{CheckReport, DropsReport, LogLevel, MaglevAnswer, VersionInfo};
use crate::client::{ClientError, Next, Target};
use crate::control::AdminState;
use crate::control::view::{
    Applied, BackendStatus, ConnectionStatus, DiffReport, Event, Explanation, Problem, Status, VipStatus,
};
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
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{media}Content-Length: {length}\r\n\r\n");
    raw(fake, (head + body).as_bytes())
}

#[test]
fn documents_are_served_and_close_the_connection() {
    let fake = Fake::start();
    let client = fake.client();
    let version: VersionInfo = client.get(&Target::new(&["version"])).expect("version");
    assert_eq!((version.api.as_str(), version.version.as_str()), ("v1", env!("CARGO_PKG_VERSION")));
    let status: Status = client.get(&Target::new(&["status"])).expect("status");
    assert_eq!((status.node.as_str(), status.vips.len()), ("lb1", 1));
    let vips: Vec<VipStatus> = client.get(&Target::new(&["vips"])).expect("vips");
    let vip: VipStatus = client.get(&Target::new(&["vips", "web"])).expect("vip");
    assert_eq!(vips, [vip]);
    let backend: BackendStatus =
        client.get(&Target::new(&["pools", "web", "backends", "web-1"])).expect("backend");
    assert_eq!((backend.pool.as_str(), backend.configured_weight), ("web", 100));
    let table: MaglevAnswer = client.get(&Target::new(&["maglev", "web"])).expect("table");
    assert!(matches!(&table, MaglevAnswer::Status(table) if table.backends.len() == 2), "{table:?}");
    let without = Target::new(&["maglev", "web"]).with("remove", "web-2");
    let forecast: MaglevAnswer = client.get(&without).expect("forecast");
    assert!(
        matches!(&forecast, MaglevAnswer::Forecast(forecast) if forecast.slots_moved > 0.4),
        "{forecast:?}"
    );
    let _: DropsReport = client.get(&Target::new(&["drops"])).expect("drops");
    let answer = ask(&fake, "GET", "/api/v1/config", "", "");
    assert!(
        answer.body.contains("203.0.113.10") && answer.head.contains("connection: close"),
        "{}",
        answer.head
    );
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
        (
            "POST",
            "/api/v1/config/apply",
            "application/x-www-form-urlencoded",
            "a: 1",
            415,
            "application/yaml",
        ),
        ("POST", "/api/v1/config/apply?force=perhaps", "", "", 400, "neither true nor false"),
        ("POST", "/api/v1/config/apply?confirm_within=5", "", "", 400, "not a duration"),
        ("POST", "/api/v1/config/apply?file=etc/x", "", "", 400, "absolute"),
        ("GET", "/api/v1/config/diff?file=/dev/zero", "", "", 400, "regular file"),
        ("POST", "/api/v1/config/apply?file=/x", "text/yaml", "a: 1", 400, "one of them"),
        ("POST", "/api/v1/config/apply", "text/yaml", "version: 1", 422, "running configuration stays"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5", "", "", 400, "dst"),
        ("GET", "/api/v1/explain?src=1.2.3.4&dst=1.2.3.4:5", "", "", 400, "without a port"),
        ("GET", "/api/v1/explain?src=1.2.3&dst=1.2.3.4:5", "", "", 400, "socket address"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5&dst=[::1]:5", "", "", 400, "families"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5&dst=1.2.3.5:5&proto=icnp", "", "", 400, "sctp"),
        ("GET", "/api/v1/explain?src=1.2.3.4:5&dst=1.2.3.5:5&proto=icmp", "", "", 400, "no ports"),
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

/// The configuration of the fake with another weight.
fn weighed(weight: u16) -> String {
    CONFIG.replace("address: 10.0.1.11", &format!("address: 10.0.1.11, weight: {weight}"))
}

#[test]
fn changes_reach_the_controller_as_they_were_said() {
    let fake = Fake::start();
    let client = fake.client();
    let apply = Target::new(&["config", "apply"]);
    let on_trial = apply.clone().with("confirm_within", "60s").with("name", "new.yaml");
    let applied: Applied = client.post_yaml(&on_trial, weighed(70)).expect("applied");
    assert_eq!(applied.confirm_within_seconds, Some(60.0));
    let change = &applied.changes[0];
    assert_eq!(
        (change.object.as_str(), change.to.as_deref()),
        ("backend web/web-1", Some("70")),
        "{applied:?}"
    );
    let confirmed: Applied =
        client.post_yaml(&Target::new(&["config", "confirm"]), String::new()).expect("confirmed");
    assert_eq!(confirmed.generation, applied.generation);
    let differing: DiffReport = client.get(&Target::new(&["config", "diff"])).expect("diff");
    assert_eq!(differing.changes.len(), 1, "the file still says 100: {differing:?}");
    let file = fake.path.display().to_string();
    let by_path: DiffReport =
        client.get(&Target::new(&["config", "diff"]).with("file", &file)).expect("diff");
    assert_eq!(by_path, differing);
    let by_text: DiffReport = client.post_yaml(&Target::new(&["config", "diff"]), weighed(70)).expect("diff");
    assert!(by_text.changes.is_empty(), "{by_text:?}");
    let rolled: Applied =
        client.post_yaml(&Target::new(&["config", "rollback"]), String::new()).expect("rolled");
    assert!(rolled.generation > applied.generation);
    let emptied = CONFIG.replace(
        "vips:\n  - {name: web, addresses: [203.0.113.10], ports: [443], protocol: tcp, \
        pool: web}",
        "vips: []",
    );
    let refused = client.post_yaml::<Applied>(&apply, emptied.clone());
    assert!(
        matches!(&refused, Err(ClientError::Refused(problem)) if problem.code == "GW9005"),
        "{refused:?}"
    );
    let forced: Applied = client.post_yaml(&apply.with("force", ""), emptied).expect("forced");
    assert!(forced.generation > rolled.generation);
}

#[test]
fn words_on_backends_reach_the_controller() {
    let fake = Fake::start();
    let client = fake.client();
    let target = Target::new(&["pools", "web", "backends", "web-1"]);
    let patch = serde_json::json!({"state": "drain", "weight": 50, "for": "30m"});
    let _: Applied = client.send_json(Method::PATCH, &target, &patch).expect("applied");
    let backend: BackendStatus = client.get(&target).expect("backend");
    let word = backend.override_.expect("an override");
    assert_eq!((word.state, word.weight, word.persistent), (Some(AdminState::Drain), Some(50), false));
    assert!(word.remaining_seconds.is_some_and(|left| left > 1_700.0 && left <= 1_800.0), "{word:?}");
    let clear = serde_json::json!({"clear": true});
    let _: Applied = client.send_json(Method::PATCH, &target, &clear).expect("cleared");
    let backend: BackendStatus = client.get(&target).expect("backend");
    assert_eq!((backend.override_, backend.admin_state), (None, AdminState::Active));
    let missing = Target::new(&["pools", "web", "backends", "web-9"]);
    let refused = client.send_json::<Applied>(Method::PATCH, &missing, &clear);
    assert!(matches!(&refused, Err(ClientError::Refused(problem)) if problem.status == 404), "{refused:?}");
}

#[test]
fn flows_are_asked_for() {
    let fake = Fake::start();
    let client = fake.client();
    let flow = |segment: &str| {
        Target::new(&[segment]).with("src", "198.51.100.7:4000").with("dst", "203.0.113.10:443")
    };
    let entries: Vec<ConnectionStatus> = client.get(&flow("connections")).expect("entries");
    let removed: Vec<ConnectionStatus> = client.delete(&flow("connections")).expect("removed");
    assert!(entries.is_empty() && removed.is_empty(), "there are no workers");
    let explanation: Explanation = client.get(&flow("explain").with("syn", "")).expect("explained");
    assert_eq!((explanation.verdict.as_str(), explanation.vip.as_deref()), ("forward", Some("web")));
    let unknown = client.get::<Vec<ConnectionStatus>>(&Target::new(&["connections"]).with("vip", "wbe"));
    assert!(matches!(&unknown, Err(ClientError::Refused(problem)) if problem.status == 404), "{unknown:?}");
}

#[test]
fn a_text_is_checked_without_the_controller() {
    let fake = Fake::start();
    let check = Target::new(&["config", "check"]).with("name", "next.yaml");
    let good: CheckReport = fake.client().post_yaml(&check, CONFIG.into()).expect("report");
    assert!(good.valid && good.findings.is_empty());
    let bad: CheckReport =
        fake.client().post_yaml(&check, CONFIG.replace("node:", "nodes:")).expect("report");
    let finding = &bad.findings[0];
    assert!(!bad.valid);
    assert_eq!(
        (finding.code.as_str(), finding.file.as_deref(), finding.line),
        ("GW0101", Some("next.yaml"), Some(3))
    );
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
    let client = fake.client();
    let base = client.get::<Vec<Event>>(&Target::new(&["events"])).expect("events").len() as u64;
    for number in 0..3 {
        fake.note(&number.to_string());
    }
    let all: Vec<Event> = client.get(&Target::new(&["events"])).expect("events");
    let since = (base + 2).to_string();
    let late: Vec<Event> = client.get(&Target::new(&["events"]).with("since", &since)).expect("events");
    assert_eq!((all.len() as u64, late.len()), (base + 3, 1));
    let mut follower = client.follow(Some(base + 1)).expect("follow");
    for number in 3..5 {
        fake.note(&number.to_string());
    }
    for number in 1..5_u64 {
        let Next::Event(event) = follower.next(PATIENCE).expect("event") else { panic!("no event {number}") };
        assert_eq!((event.sequence, event.message), (base + number, number.to_string()));
    }
    assert_eq!(follower.next(Duration::from_millis(50)).expect("quiet"), Next::Quiet);
}

#[test]
fn server_sent_events_have_the_form_that_browsers_read() {
    let fake = Fake::start();
    fake.note("first");
    let first = fake.client().get::<Vec<Event>>(&Target::new(&["events"])).expect("events").len() - 1;
    let mut stream = connect(&fake);
    write!(
        stream,
        "GET /api/v1/events?follow HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: {first}\r\n\r\n"
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
    let second = first + 1;
    let expected = format!("id: {second}\nevent: backend_up\ndata: {{\"sequence\":{second},");
    assert!(seen.contains(&expected), "{seen}");
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
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{method} {path}: {status} has no description");
            }
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
