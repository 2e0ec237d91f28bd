//! A control plane without a dataplane, for tests of what is in front of it.

use super::{Listeners, open, serve};
use crate::client::Client;
use crate::config::model::{Admin, AdminHttp, AdminSocket};
use crate::control::events::{EventLog, Kind};
use crate::control::{Errands, Loaded, Prepared, Start};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

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
    /// The file that runs.
    pub(crate) path: PathBuf,
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
        let settings = Admin { socket: AdminSocket { path: socket.clone(), mode: 0o600, group: None }, http };
        let listeners = open(&settings).expect("listeners");
        let http = listeners.http_address().expect("address");
        let path = directory.path().join("guideway.yaml");
        std::fs::write(&path, CONFIG).expect("write");
        let loaded = Loaded::file(&path).expect("valid");
        let start = Start { path: path.clone(), loaded, ports: vec![], workers: 0, state_directory: None };
        let control = Prepared::new(start).expect("tables");
        let events = Arc::clone(control.events());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || run(listeners, control, stopped));
        Self { socket, path, http, events, stop: Some(stop), thread: Some(thread), _directory: directory }
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

fn run(listeners: Listeners, control: Prepared, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let handle = control.start(vec![], Errands::default(), |_| None);
        let shutdown = async {
            // Dropped is told as well.
            let _ = stopped.await;
        };
        serve(handle, listeners, shutdown).await.expect("serve");
    });
}
