//! A real control plane without a dataplane, for the program as its client.

use lb_appliance::admin;
use lb_appliance::config::model::{Admin, AdminSocket};
use lb_appliance::control::{Errands, Loaded, Prepared, Start};
use std::path::PathBuf;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

const CONFIG: &str = "
version: 1
node: {name: lb1}
forwarding: {maglev: {table_size: 1009}, encapsulation: {source: {ipv4: 198.51.100.11}}}
pools:
  - name: web
    encap: {ipip: {}}
    backends:
      - {name: web-1, address: 10.0.1.11, weight: 100}
      - {name: web-2, address: 10.0.1.12, weight: 100}
vips:
  - {name: web, addresses: [203.0.113.10], ports: [443], protocol: tcp, pool: web}
";

pub(crate) struct Plane {
    pub(crate) socket: PathBuf,
    /// The file that runs.
    pub(crate) path: PathBuf,
    pub(crate) directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let (socket, path) = (directory.path().join("admin.sock"), directory.path().join("guideway.yaml"));
        std::fs::write(&path, CONFIG).expect("write");
        let settings = AdminSocket { path: socket.clone(), mode: 0o600, group: None };
        let listeners = admin::open(&Admin { socket: settings, http: None }).expect("socket");
        let loaded = Loaded::file(&path).expect("valid");
        let start = Start { path: path.clone(), loaded, ports: vec![], workers: 0, state_directory: None };
        let control = Prepared::new(start).expect("tables");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let handle = control.start(vec![], Errands::default(), |_| None);
                let shutdown = async {
                    // Dropped is told as well.
                    let _ = stopped.await;
                };
                admin::serve(handle, listeners, shutdown).await.expect("serve");
            });
        });
        Self { socket, path, directory, stop: Some(stop), thread: Some(thread) }
    }

    /// The file of the fixture with another weight of web-1.
    pub(crate) fn write_weight(&self, weight: u16) {
        let text = CONFIG.replacen("weight: 100", &format!("weight: {weight}"), 1);
        std::fs::write(&self.path, text).expect("write");
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the control plane panicked");
        }
    }
}
