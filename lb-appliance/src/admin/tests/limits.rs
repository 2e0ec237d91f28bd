//! Clients that are silent, slow, greedy or many: each has an end, and others are served meanwhile.

use super::{Answer, PATIENCE, connect, raw};
use crate::admin::CheckReport;
use crate::admin::fake::{CONFIG, Fake};
use crate::admin::{BODY_BYTES_MAX, FOLLOWERS_MAX, HEAD_BYTES_MAX, REQUEST_SECONDS_MAX};
use crate::client::{ClientError, Next, Target};
use crate::control::view::Status;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const REQUEST: Duration = Duration::from_secs(REQUEST_SECONDS_MAX);
/// What a loaded machine may be late.
const LATE: Duration = Duration::from_secs(6);

fn end(mut stream: UnixStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said
}

fn is_served(fake: &Fake) {
    let _: Status = fake.client().get(&Target::new(&["status"])).expect("served");
}

#[test]
fn silent_and_slow_clients_are_closed_and_others_are_served_meanwhile() {
    let fake = Fake::start();
    let begin = Instant::now();
    let silent = connect(&fake);
    let mut slow = connect(&fake);
    slow.write_all(b"POST /api/v1/config/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        .expect("write");
    is_served(&fake);
    assert!(begin.elapsed() < REQUEST, "others waited");
    // A byte of the body now and then gains nothing.
    while slow.write_all(b"a").is_ok() {
        assert!(begin.elapsed() < REQUEST + LATE, "still open");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!end(silent).starts_with(b"HTTP/1.1 200"));
    let open = begin.elapsed();
    assert!(open + Duration::from_millis(100) > REQUEST && open < REQUEST + LATE, "open for {open:?}");
}

#[test]
fn a_head_without_end_is_cut_off_and_a_large_body_is_refused() {
    let fake = Fake::start();
    let mut greedy = connect(&fake);
    let _ = greedy.write_all(b"GET /api/v1/status HTTP/1.1\r\nX-Long: ");
    let _ = greedy.write_all(&vec![b'a'; HEAD_BYTES_MAX + 1]);
    let begin = Instant::now();
    assert!(!end(greedy).starts_with(b"HTTP/1.1 200"));
    assert!(begin.elapsed() < REQUEST, "cut off by time, not by size");
    let length = BODY_BYTES_MAX + 1;
    let announced =
        format!("POST /api/v1/config/check HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let answer = raw(&fake, announced.as_bytes());
    assert_eq!((answer.status, answer.problem().code.as_str()), (413, "GW9022"));
    is_served(&fake);
}

#[test]
fn a_body_without_a_length_is_bounded_too() {
    let fake = Fake::start();
    let mut stream = connect(&fake);
    stream
        .write_all(b"POST /api/v1/config/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("write");
    let chunk = [b"10000\r\n".as_slice(), &[b'#'; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 2 * BODY_BYTES_MAX && stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 2 * BODY_BYTES_MAX, "all of it was taken");
    let said = end(stream);
    // Cut off by bytes, or refused just before.
    assert!(said.is_empty() || Answer::parse(&said).status == 413, "{}", String::from_utf8_lossy(&said));
    is_served(&fake);
}

#[test]
fn the_largest_body_is_taken() {
    let fake = Fake::start();
    let text = format!("{CONFIG}{}", "#".repeat(BODY_BYTES_MAX - CONFIG.len()));
    assert_eq!(text.len(), BODY_BYTES_MAX);
    let report: CheckReport =
        fake.client().post_yaml(&Target::new(&["config", "check"]), text).expect("taken");
    assert!(report.valid, "{:?}", report.findings);
}

#[test]
fn followers_are_counted_and_one_that_does_not_read_stalls_nobody() {
    let fake = Fake::start();
    let client = fake.client();
    // These never read.
    let mut idle: Vec<UnixStream> = Vec::new();
    for _ in 0..FOLLOWERS_MAX - 1 {
        let mut stream = connect(&fake);
        stream.write_all(b"GET /api/v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n").expect("write");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("head");
        assert_eq!(&head, b"HTTP/1.1 200");
        idle.push(stream);
    }
    let mut follower = client.follow(None).expect("follow");
    assert!(matches!(client.follow(None), Err(ClientError::Refused(problem)) if problem.code == "GW9025"));
    // Longer than the time for a request: following is not bounded by it.
    std::thread::sleep(REQUEST + Duration::from_millis(500));
    let count = 3_000;
    for number in 0..count {
        fake.note(&format!("{number} {}", "x".repeat(500)));
    }
    for number in 0..count {
        let Next::Event(event) = follower.next(PATIENCE).expect("event") else { panic!("no event {number}") };
        assert!(event.message.starts_with(&format!("{number} ")), "{}", event.message);
    }
    is_served(&fake);
    drop(idle);
    drop(follower);
    // Places of those that have gone are free again.
    let begin = Instant::now();
    while client.follow(None).is_err() {
        assert!(begin.elapsed() < PATIENCE, "places stay taken");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_stop_ends_streams_and_removes_the_socket() {
    let mut fake = Fake::start();
    let client = fake.client();
    let mut follower = client.follow(None).expect("follow");
    let silent = connect(&fake);
    let begin = Instant::now();
    fake.stop();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(follower.next(PATIENCE).expect("end"), Next::End);
    assert!(!fake.socket.exists());
    drop(silent);
}
