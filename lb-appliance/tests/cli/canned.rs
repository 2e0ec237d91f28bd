//! A balancer that gives canned answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// A balancer that gives canned answers: method and path, status, document.
pub(crate) struct Canned {
    pub(crate) socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Canned {
    /// Answers as many requests as there are answers, in that order, and wants nothing else.
    pub(crate) fn start(answers: Vec<(&'static str, u16, serde_json::Value)>) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let socket = directory.path().join("admin.sock");
        let listener = UnixListener::bind(&socket).expect("socket");
        std::thread::spawn(move || {
            for (expected, status, document) in answers {
                let (mut stream, _) = listener.accept().expect("accept");
                let request = request(&mut stream);
                // A wrong request is answered so that the message of the client shows it.
                let (status, document) = if request.starts_with(&format!("{expected} HTTP/1.1")) {
                    (status, document)
                } else {
                    let line = request.lines().next().unwrap_or_default().to_owned();
                    let problem = serde_json::json!({
                        "type": "t", "title": "t", "status": 500, "code": "WRONG", "detail": format!("asked {line}, not {expected}"),
                    });
                    (500, problem)
                };
                let body = document.to_string();
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).expect("answer");
            }
        });
        Self { socket, _directory: directory }
    }
}

/// Reads the head and the body of a request.
fn request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).expect("request");
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}
