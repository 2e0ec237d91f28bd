//! A control plane that says yes: a task that answers every request with a document, for tests of what is in front.

use super::{Listeners, open, serve};
use crate::client::Client;
use crate::config::model::{Admin, AdminHttp, AdminSocket};
use crate::config::{self};
use crate::control::action::Request;
use crate::control::events::{EventLog, Kind};
use crate::control::problem::{ProblemCode, problem};
use crate::control::view::{
    Applied, Change, ConnectionStatus, DiffReport, ProbeReport, ProbeStep, VipImpact,
};
use crate::control::{Action, Handle, QUEUE_MAX, Running};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) const CONFIG: &str = "
version: 1
node: {name: lb1}
forwarding:
  encapsulation: {source: {ipv4: 198.51.100.11}}
pools:
  - name: web
    encap: {ipip: {}}
    backends:
      - {name: web-1, address: 10.0.1.11}
      - {name: web-2, address: 10.0.1.12}
vips:
  - {name: web, addresses: [203.0.113.10], ports: [443], protocol: tcp, pool: web}
";

/// A server on a socket in a directory of its own.
pub(crate) struct Fake {
    pub(crate) socket: PathBuf,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) events: Arc<EventLog>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Fake {
    /// Only the socket.
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// Also TCP, as described; its port is free.
    pub(crate) fn with(http: Option<AdminHttp>) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let socket = directory.path().join("admin.sock");
        let settings =
            Admin { socket: AdminSocket { path: socket.clone(), mode: 0o600, group: None }, http };
        let listeners = open(&settings).expect("listeners");
        let http = listeners.http_address().expect("address");
        let events = Arc::new(EventLog::default());
        let (stop, stopped) = oneshot::channel();
        let thread = {
            let events = Arc::clone(&events);
            std::thread::spawn(move || run(listeners, events, stopped))
        };
        Self { socket, http, events, stop: Some(stop), thread: Some(thread), _directory: directory }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.socket).expect("client")
    }

    /// Something happens.
    pub(crate) fn note(&self, message: &str) {
        self.events.note(Kind::BackendUp, "backend web/web-1", message);
    }

    /// Asks for a stop and waits for the end.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn run(listeners: Listeners, events: Arc<EventLog>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let running = Running {
            generation: 7,
            config: Arc::new(config::parse("fake.yaml", CONFIG).expect("valid")),
            files: vec![("fake.yaml".into(), CONFIG.into())],
        };
        let (_keep, running) = watch::channel(Arc::new(running));
        let handle = Handle::new(requests, running, events);
        tokio::spawn(answer_all(queue));
        let shutdown = async {
            // Dropped is told as well.
            let _ = stopped.await;
        };
        serve(handle, listeners, shutdown).await.expect("serve");
    });
}

async fn answer_all(mut queue: mpsc::Receiver<Request>) {
    // Nobody waiting for an answer any more is fine.
    while let Some(request) = queue.recv().await {
        match request {
            Request::Do(action, reply) => drop(reply.send(applied(&action))),
            Request::Diff(source, reply) => drop(reply.send(Ok(diff(&format!("{source:?}"))))),
            Request::Probe { pool, backend, reply } => drop(reply.send(Ok(probe(pool, backend)))),
            Request::FindConnection(_, reply) | Request::DeleteConnection(_, reply) => {
                drop(reply.send(Ok(vec![entry()])));
            }
            Request::ListConnections(query, reply) => {
                drop(reply.send(Ok(vec![entry(); query.max.saturating_add(3).min(20_000)])));
            }
        }
    }
}

fn applied(action: &Action) -> Result<Applied, crate::control::view::Problem> {
    if let Action::Apply { source, force: false, .. } = action
        && format!("{source:?}").contains("empty-a-pool")
    {
        return Err(problem(ProblemCode::NeedsForce, "pool `web` would be empty; repeat with --force"));
    }
    Ok(Applied {
        generation: 8,
        seen: 2,
        workers: 2,
        message: format!("{action:?}"),
        changes: vec![change()],
        undo: Some("guideway rollback".into()),
        confirm_within_seconds: None,
        warnings: vec![],
    })
}

fn change() -> Change {
    Change {
        kind: "changed".into(),
        object: "backend web/web-1".into(),
        field: Some("weight".into()),
        from: Some("100".into()),
        to: Some("50".into()),
        restart: false,
    }
}

fn diff(source: &str) -> DiffReport {
    let object = format!("source {source}");
    DiffReport {
        changes: vec![Change { object, ..change() }],
        impact: vec![VipImpact { vip: "web".into(), slots_moved: 0.25, live_flows: 400, live_flows_moved: 100 }],
        overrides: vec![],
        needs_force: None,
        warnings: vec![],
    }
}

fn probe(pool: String, backend: String) -> ProbeReport {
    let step = ProbeStep { step: "connect".into(), result: "connected".into(), after_seconds: 0.0012 };
    ProbeReport { pool, backend, probe: "tcp".into(), ok: true, cause: None, steps: vec![step] }
}

fn entry() -> ConnectionStatus {
    ConnectionStatus {
        worker: "2".into(),
        fingerprint: "0123456789abcdef".into(),
        vip: Some("web".into()),
        pool: Some("web".into()),
        backend: Some("web-1".into()),
        state: "established".into(),
        idle_seconds: 3,
    }
}
