//! Clients that are silent, slow, greedy or many: each has an end, and others are served meanwhile.

use super::client::Server;
use super::fixture::sources;
use lb_appliance::metrics::{CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUEST_SECONDS_MAX};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(REQUEST_SECONDS_MAX);
/// What a loaded machine may be late.
const LATE: Duration = Duration::from_secs(4);

/// Waits until the server has closed the connection; what it said before.
fn end(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => said,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => said,
        Err(error) => panic!("still open: {error}"),
    }
}

#[test]
fn a_silent_client_is_closed_and_others_are_served_meanwhile() {
    let server = Server::start(sources());
    let begin = Instant::now();
    let silent = server.connect();
    assert_eq!(server.get("/metrics").status, 200);
    assert!(begin.elapsed() < REQUEST, "the scrape waited for the silent client");
    assert!(!end(silent).starts_with(b"HTTP/1.1 200"));
    let open = begin.elapsed();
    assert!(open + Duration::from_millis(100) > REQUEST && open < REQUEST + LATE, "open for {open:?}");
    server.stop();
}

#[test]
fn a_byte_now_and_then_gains_nothing() {
    let server = Server::start(sources());
    let begin = Instant::now();
    let mut slow = server.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ").expect("write");
    while slow.write_all(b"a").is_ok() {
        assert!(begin.elapsed() < REQUEST + LATE, "still open");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begin.elapsed() + Duration::from_millis(200) > REQUEST, "closed after {:?}", begin.elapsed());
    server.stop();
}

#[test]
fn a_request_without_end_is_cut_off() {
    let server = Server::start(sources());
    let begin = Instant::now();
    let mut greedy = server.connect();
    let _ = greedy.write_all(b"GET /metrics HTTP/1.1\r\nX-Long: ");
    let _ = greedy.write_all(&vec![b'a'; REQUEST_BYTES_MAX + 1]);
    let said = end(greedy);
    assert!(!said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    assert!(begin.elapsed() < REQUEST, "cut off by time, not by size");
    assert_eq!(server.get("/livez").status, 200);
    server.stop();
}

#[test]
fn many_silent_clients_delay_others_by_the_time_for_a_request_at_most() {
    let server = Server::start(sources());
    let begin = Instant::now();
    let crowd: Vec<TcpStream> = (0..CONNECTIONS_MAX + 8).map(|_| server.connect()).collect();
    // Two rounds: the eight beyond the limit come first once there is room.
    assert_eq!(server.get("/livez").status, 200);
    let waited = begin.elapsed();
    assert!(waited + Duration::from_millis(100) > REQUEST, "no limit: served after {waited:?}");
    assert!(waited < 2 * REQUEST + LATE, "served after {waited:?}");
    drop(crowd);
    server.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_silent_client() {
    let server = Server::start(sources());
    let silent = server.connect();
    assert_eq!(server.get("/livez").status, 200);
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(end(silent).is_empty());
}
