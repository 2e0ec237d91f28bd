//! Probes and the engine against servers in this process: no root, no network but loopback.

mod command;
mod documentation;
mod engine;
mod grpc;
mod http;
mod plain;
mod tls;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use lb_appliance::config::model::{HealthCheck, HttpMethod, HttpProbe, Probe, Tls, Via};
use lb_appliance::health::{Cause, Outcome, Part, ProbeReport, Subscriber, probe_once};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A current-thread runtime as the control plane has it.
pub(crate) fn on_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(test)
}

/// A check with a generous timeout, for tests that expect an answer.
pub(crate) fn check(probe: Probe) -> HealthCheck {
    HealthCheck {
        probe,
        agent_port: None,
        interval: Duration::from_secs(20),
        fast_interval: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        fall: 3,
        rise: 2,
        via: Via::Direct,
    }
}

/// The same for a test that expects none.
pub(crate) fn impatient(probe: Probe) -> HealthCheck {
    HealthCheck { timeout: Duration::from_millis(300), ..check(probe) }
}

pub(crate) fn http(port: u16, tls: Option<Tls>) -> HttpProbe {
    HttpProbe {
        port,
        path: "/healthz".to_owned(),
        host: Some("web.internal".to_owned()),
        method: HttpMethod::Get,
        expect_status: vec![(200, 399)],
        expect_body: None,
        load_header: "x-guideway-load".to_owned(),
        tls,
    }
}

pub(crate) fn subscriber() -> Subscriber {
    Subscriber { pool: "web".to_owned(), backend: "web-1".to_owned() }
}

pub(crate) async fn report(check: HealthCheck, part: Part) -> ProbeReport {
    probe_once(Arc::new(check), part, LOCALHOST, &subscriber()).await
}

pub(crate) async fn probe(check: HealthCheck) -> Outcome {
    report(check, Part::Probe).await.outcome
}

pub(crate) fn failed(outcome: &Outcome, cause: Cause, words: &str) {
    assert_eq!(outcome.cause, Some(cause), "{outcome:?}");
    assert!(outcome.detail.contains(words), "{outcome:?}");
}

pub(crate) fn passed(outcome: &Outcome) {
    assert!(outcome.ok() && outcome.cause.is_none(), "{outcome:?}");
}

/// A port that answers every connection with these bytes, once a line or more has come in (or at once), and closes.
pub(crate) async fn canned(answer: &'static [u8], waits: bool) -> u16 {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0u8; 2048];
                if waits {
                    let _ = stream.read(&mut buffer).await;
                }
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
                // Until the peer has gone: closing now could cut the answer off with a reset.
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    port
}

/// A port where nobody listens: bound once, and free again.
pub(crate) async fn closed_port() -> u16 {
    TcpListener::bind((LOCALHOST, 0)).await.expect("bind").local_addr().expect("address").port()
}
