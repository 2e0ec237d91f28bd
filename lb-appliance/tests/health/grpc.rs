//! grpc health against a small server that speaks HTTP/2.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use lb_appliance::config::model::{GrpcProbe, Probe};
use lb_appliance::health::Cause;
use tokio::net::TcpListener;

use crate::{LOCALHOST, canned, check, failed, on_runtime, passed, probe};

/// Answers every call with this message (behind the five bytes of a frame) and this gRPC status.
async fn server(message: &'static [u8], grpc_status: &'static str) -> u16 {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
    let port = listener.local_addr().expect("made by this test").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let head = Response::builder()
                        .header("content-type", "application/grpc")
                        .body(())
                        .expect("made by this test");
                    let Ok(mut body) = respond.send_response(head, false) else { return };
                    if !message.is_empty() {
                        let frame = [&[0, 0, 0, 0, message.len() as u8], message].concat();
                        let _ = body.send_data(Bytes::from(frame), false);
                    }
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static(grpc_status));
                    let _ = body.send_trailers(trailers);
                }
            });
        }
    });
    port
}

fn grpc(port: u16) -> Probe {
    Probe::Grpc(GrpcProbe { port, service: "acme.Shop".to_owned(), tls: None })
}

#[test]
fn only_serving_is_up() {
    on_runtime(async {
        // The message by hand: field 1, varint.
        passed(&probe(check(grpc(server(&[8, 1], "0").await))).await);
        failed(&probe(check(grpc(server(&[8, 2], "0").await))).await, Cause::NotServing, "NOT_SERVING");
        // An empty message is the default, UNKNOWN; without its frame it is no answer.
        failed(&probe(check(grpc(server(&[], "5").await))).await, Cause::NotServing, "gRPC status 5");
        failed(&probe(check(grpc(server(&[], "0").await))).await, Cause::Protocol, "no message");
        failed(&probe(check(grpc(server(&[], "12").await))).await, Cause::Protocol, "gRPC status 12");
        failed(&probe(check(grpc(server(&[0xff; 20], "0").await))).await, Cause::Protocol, "no message");
        let plain = canned(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
        let outcome = probe(check(grpc(plain))).await;
        assert!(matches!(outcome.cause, Some(Cause::Protocol | Cause::Reset)), "{outcome:?}");
    });
}
