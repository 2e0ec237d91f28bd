//! http without TLS, against canned bytes.

use std::time::Duration;

use lb_appliance::config::model::{HttpProbe, Probe};
use lb_appliance::health::{Cause, Part};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::{LOCALHOST, canned, check, failed, http, impatient, on_runtime, passed, probe, report};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nx-guideway-load: 0.75\r\n\r\nall is well";

fn body(port: u16, text: &str) -> Probe {
    Probe::Http(HttpProbe { expect_body: Some(text.to_owned()), ..http(port, None) })
}

#[test]
fn status_body_and_load_are_read() {
    on_runtime(async {
        let port = canned(OK, true).await;
        let found = report(check(body(port, "is well")), Part::Probe).await;
        passed(&found.outcome);
        assert_eq!(found.outcome.load, Some(0.75));
        let names: Vec<_> = found.steps.iter().map(|step| step.name).collect();
        assert_eq!(names, ["connect", "request", "body"]);
        failed(&probe(check(body(port, "is bad"))).await, Cause::Body, "11 bytes");
        let only_204 = HttpProbe { expect_status: vec![(204, 204)], ..http(port, None) };
        failed(&probe(check(Probe::Http(only_204))).await, Cause::Status, "200 OK");
    });
}

#[test]
fn bad_answers_have_their_causes() {
    on_runtime(async {
        for (answer, cause, words) in [
            (&b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"[..], Cause::Status, "503"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Cause::Protocol, "http"),
            (b"", Cause::Reset, "http"),
            (b"HTTP/1.1 200 OK\r\ncontent-le", Cause::Reset, "http"),
        ] {
            let port = canned(answer, true).await;
            failed(&probe(check(Probe::Http(http(port, None)))).await, cause, words);
        }
    });
}

#[test]
fn answers_without_end_are_bounded() {
    on_runtime(async {
        // A megabyte of header, and a megabyte of body that holds the text beyond the bound.
        let header: &'static [u8] = Box::leak(
            [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &vec![b'a'; 1 << 20]].concat().into_boxed_slice(),
        );
        let port = canned(header, true).await;
        failed(&probe(check(Probe::Http(http(port, None)))).await, Cause::Protocol, "http");
        let long: &'static [u8] = Box::leak(
            [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'a'; 1 << 20], b"needle"]
                .concat()
                .into_boxed_slice(),
        );
        let port = canned(long, true).await;
        failed(&probe(check(body(port, "needle"))).await, Cause::Body, "65536 bytes");
    });
}

#[test]
fn a_server_slower_than_the_timeout_is_a_timeout() {
    on_runtime(async {
        let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0u8; 2048];
                    // Reads the request and thinks for ever.
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                });
            }
        });
        let outcome = probe(impatient(Probe::Http(http(port, None)))).await;
        failed(&outcome, Cause::Timeout, "still at: request");
        assert!(outcome.latency < Duration::from_secs(5));
    });
}
