//! tcp, udp, dns and the agent.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use lb_appliance::config::model::{DnsProbe, HealthCheck, Probe, UdpProbe};
use lb_appliance::health::{Administrative, Cause, Part};
use tokio::net::{TcpListener, UdpSocket};

use crate::{LOCALHOST, canned, check, closed_port, failed, impatient, on_runtime, passed, probe, report};

#[test]
fn tcp_is_up_where_somebody_listens_and_refused_where_nobody_does() {
    on_runtime(async {
        let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
        let port = listener.local_addr().expect("made by this test").port();
        let found = report(check(Probe::Tcp { port }), Part::Probe).await;
        passed(&found.outcome);
        assert_eq!((found.kind, found.steps.len(), found.steps[0].name), ("tcp", 1, "connect"));
        drop(listener);
        failed(&probe(check(Probe::Tcp { port })).await, Cause::Refused, &format!("127.0.0.1:{port}"));
    });
}

#[test]
fn a_full_backlog_is_a_black_hole_and_the_timeout_ends_it() {
    on_runtime(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("made by this test");
        socket.bind((LOCALHOST, 0).into()).expect("made by this test");
        let listener = socket.listen(1).expect("made by this test");
        let peer = listener.local_addr().expect("made by this test");
        // Nobody accepts: after these Linux drops further SYNs.
        let mut held = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(peer)).await
        {
            held.push(stream);
        }
        let outcome = probe(impatient(Probe::Tcp { port: peer.port() })).await;
        failed(&outcome, Cause::Timeout, "still at: connect");
        assert!(outcome.latency >= Duration::from_millis(300) && outcome.latency < Duration::from_secs(5));
    });
}

/// Answers every datagram by `reply`.
async fn udp_server(reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.expect("made by this test");
    let port = socket.local_addr().expect("made by this test").port();
    tokio::spawn(async move {
        let mut buffer = [0u8; 2048];
        while let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = reply(&buffer[..count]) {
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    });
    port
}

fn udp(port: u16, expect_prefix: &[u8]) -> Probe {
    Probe::Udp(UdpProbe { port, send: b"ping".to_vec(), expect_prefix: expect_prefix.to_vec() })
}

#[test]
fn udp_wants_the_reply_that_was_agreed() {
    on_runtime(async {
        let echo = udp_server(|request| Some([b"re:", request].concat())).await;
        passed(&probe(check(udp(echo, b""))).await);
        passed(&probe(check(udp(echo, b"re:ping"))).await);
        failed(&probe(check(udp(echo, b"pong"))).await, Cause::Body, "0x72653a70696e67");
        let silent = udp_server(|_| None).await;
        failed(&probe(impatient(udp(silent, b""))).await, Cause::NoReply, "still at: reply");
        // ICMP port unreachable.
        failed(&probe(check(udp(closed_udp_port().await, b""))).await, Cause::Refused, "refused");
    });
}

async fn closed_udp_port() -> u16 {
    UdpSocket::bind((LOCALHOST, 0))
        .await
        .expect("made by this test")
        .local_addr()
        .expect("made by this test")
        .port()
}

fn dns(port: u16, rcode: u8) -> Probe {
    Probe::Dns(DnsProbe { port, name: "health.example".to_owned(), record_type: "A", rcode })
}

fn dns_answer(request: &[u8], code: ResponseCode, id_offset: u16) -> Option<Vec<u8>> {
    let question = Message::from_vec(request).ok()?;
    let mut answer =
        Message::new(question.metadata.id.wrapping_add(id_offset), MessageType::Response, OpCode::Query);
    answer.metadata.response_code = code;
    answer.add_queries(question.queries.clone());
    answer.to_vec().ok()
}

#[test]
fn dns_is_judged_by_its_response_code() {
    on_runtime(async {
        let good = udp_server(|request| dns_answer(request, ResponseCode::NoError, 0)).await;
        passed(&probe(check(dns(good, 0))).await);
        failed(&probe(check(dns(good, 3))).await, Cause::Rcode, "expected Non-Existent Domain");
        let broken = udp_server(|request| dns_answer(request, ResponseCode::ServFail, 0)).await;
        failed(&probe(check(dns(broken, 0))).await, Cause::Rcode, "Server Failure");
        let garbage = udp_server(|_| Some(b"hello".to_vec())).await;
        failed(&probe(check(dns(garbage, 0))).await, Cause::Protocol, "not a DNS message");
        let forger = udp_server(|request| dns_answer(request, ResponseCode::NoError, 1)).await;
        failed(&probe(impatient(dns(forger, 0))).await, Cause::NoReply, "reply");
    });
}

async fn agent(answer: &'static [u8]) -> lb_appliance::health::Outcome {
    let port = canned(answer, false).await;
    let check = HealthCheck { agent_port: Some(port), ..check(Probe::Tcp { port: 1 }) };
    report(check, Part::Agent).await.outcome
}

#[test]
fn an_agent_is_believed_and_a_silent_one_proves_nothing() {
    on_runtime(async {
        let outcome = agent(b"ready up 75%\n").await;
        passed(&outcome);
        let report = outcome.agent.expect("made by this test");
        assert_eq!((report.weight_percent, report.administrative), (Some(75), Some(Administrative::Ready)));
        let outcome = agent(b"down #disk full\n").await;
        failed(&outcome, Cause::Agent, "down #disk full");
        assert_eq!(outcome.agent.expect("made by this test").reason.as_deref(), Some("disk full"));
        use lb_core::health::Finish;
        let outcome = agent(b"what?\n").await;
        failed(&outcome, Cause::Protocol, "what?");
        assert_eq!(outcome.finish, Finish::Nothing);
        let check = HealthCheck { agent_port: Some(closed_port().await), ..check(Probe::Tcp { port: 1 }) };
        let outcome = report_of(check).await;
        assert_eq!((outcome.cause, outcome.finish), (Some(Cause::Refused), Finish::Nothing));
    });
}

async fn report_of(check: HealthCheck) -> lb_appliance::health::Outcome {
    report(check, Part::Agent).await.outcome
}

#[test]
fn an_agent_that_never_ends_its_line_is_cut_off() {
    on_runtime(async {
        static ENDLESS: [u8; 200_000] = [b'a'; 200_000];
        failed(&agent(&ENDLESS).await, Cause::Protocol, "no word is known");
    });
}
