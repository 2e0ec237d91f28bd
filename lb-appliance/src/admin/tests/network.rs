//! The API on TCP: for reading, or for everything with a token.

use super::{Answer, PATIENCE};
use crate::admin::fake::Fake;
use crate::config::model::AdminHttp;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn ask(fake: &Fake, method: &str, target: &str, head: &str) -> Answer {
    let address = fake.http.expect("TCP");
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
    write!(stream, "{method} {target} HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n").expect("write");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and the end of the connection");
    Answer::parse(&bytes)
}

#[test]
fn without_a_token_it_is_for_reading() {
    let listen = "127.0.0.1:0".parse().expect("address");
    let fake = Fake::with(Some(AdminHttp { listen, write: false, token_file: None }));
    assert_eq!(ask(&fake, "GET", "/api/v1/status", "Host: 127.0.0.1\r\n").status, 200);
    let refused = ask(&fake, "POST", "/api/v1/config/rollback", "Host: 127.0.0.1\r\n");
    assert_eq!((refused.status, refused.problem().code.as_str()), (403, "GW9012"));
    assert_eq!(ask(&fake, "GET", "/api/v1/status", "Host: rebound.example\r\n").status, 403);
}

#[test]
fn with_a_token_it_is_for_everything() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let listen = "127.0.0.1:0".parse().expect("address");
    let fake = Fake::with(Some(AdminHttp { listen, write: true, token_file: Some(path) }));
    let without = ask(&fake, "GET", "/api/v1/status", "Host: localhost\r\n");
    assert_eq!((without.status, without.problem().code.as_str()), (401, "GW9020"));
    assert!(without.head.contains("www-authenticate: bearer"), "{}", without.head);
    let head = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&fake, "GET", "/api/v1/status", &head).status, 200);
    let refused = ask(&fake, "POST", "/api/v1/config/rollback", &head);
    assert_eq!(refused.problem().code, "GW9007", "there is nothing to roll back to, and it was allowed");
}
