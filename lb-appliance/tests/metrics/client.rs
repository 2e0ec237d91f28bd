//! A server on a free port of 127.0.0.1, and a client that writes bytes and reads bytes.

use lb_appliance::metrics::{Sources, bind, serve};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longer than any deadline of the server: what takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(sources: Arc<Sources>) -> Self {
        let listener = bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let address = listener.local_addr().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let stopped = async move { stopped.await.unwrap_or_default() };
            runtime.block_on(serve(listener, sources, stopped)).expect("serve");
        });
        Self { address, stop, thread }
    }

    /// Asks for a stop and waits for the end.
    pub(crate) fn stop(self) {
        self.stop.send(()).expect("the server runs");
        self.thread.join().expect("the server ends well");
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
        stream
    }

    /// One request; the answer with its head.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Answer {
        let mut stream = self.connect();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("write");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer and the end of the connection");
        Answer::parse(&String::from_utf8(bytes).expect("UTF-8"))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target)
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}
