//! One probe from start to verdict, whatever its kind, within its time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::health::Finish;

use super::outcome::{Cause, Good, Outcome, Trouble};
use super::plan::{Part, Subscriber};
use super::steps::{Step, Steps};
use super::tls::TlsClient;
use super::wire;
use crate::config::model::{HealthCheck, Probe};

mod agent;
mod command;
mod dns;
mod grpc;
mod http;
mod udp;

/// A check with what its probes share.
pub(super) struct Prepared {
    pub(super) check: Arc<HealthCheck>,
    tls: Option<TlsClient>,
}

impl Prepared {
    pub(super) fn new(check: Arc<HealthCheck>) -> Self {
        let tls = match &check.probe {
            Probe::Http(http) => http.tls.as_ref().map(|tls| TlsClient::new(tls, b"http/1.1")),
            Probe::Grpc(grpc) => grpc.tls.as_ref().map(|tls| TlsClient::new(tls, b"h2")),
            _ => None,
        };
        Self { check, tls }
    }
}

/// Whom a probe is for.
pub(super) struct Subject<'s> {
    pub(super) address: IpAddr,
    /// The command is told; no other kind of probe cares.
    pub(super) subscriber: &'s Subscriber,
}

/// One probe that somebody asked for, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeReport {
    /// `http`, `agent`...
    pub kind: &'static str,
    /// Where it went.
    pub address: IpAddr,
    /// What it found.
    pub outcome: Outcome,
    /// How it got there; a step that did not end is not in it, but in the outcome.
    pub steps: Vec<Step>,
}

/// Runs one probe now and tells its steps; no state is changed and no counter moves.
///
/// Needs a tokio runtime with I/O and time; comes back within the timeout of the check.
pub async fn probe_once(
    check: Arc<HealthCheck>,
    part: Part,
    address: IpAddr,
    subscriber: &Subscriber,
) -> ProbeReport {
    report(&Prepared::new(check), part, &Subject { address, subscriber }).await
}

pub(super) async fn report(prepared: &Prepared, part: Part, subject: &Subject<'_>) -> ProbeReport {
    let mut steps = Steps::kept();
    let outcome = run(prepared, part, subject, &mut steps).await;
    let kind = part.kind(&prepared.check);
    ProbeReport { kind, address: subject.address, outcome, steps: steps.into_list() }
}

/// Runs one probe; comes back within `timeout` of the check.
pub(super) async fn run(
    prepared: &Prepared,
    part: Part,
    subject: &Subject<'_>,
    steps: &mut Steps,
) -> Outcome {
    let began = Instant::now();
    let timeout = prepared.check.timeout;
    let attempt = tokio::time::timeout(timeout, attempt(prepared, part, subject, steps)).await;
    let latency = began.elapsed();
    let result = attempt.unwrap_or_else(|_| Err(too_late(prepared, part, timeout, steps)));
    match result {
        Ok(good) => outcome(Finish::Pass, None, good, latency),
        Err(trouble) => {
            // An agent that cannot be asked keeps its last word, as with HAProxy: the probe watches the service.
            let silent_agent = part == Part::Agent && trouble.cause != Cause::Agent;
            let nothing = silent_agent || trouble.cause == Cause::Local;
            let finish = if nothing { Finish::Nothing } else { Finish::Fail };
            let seen = Good { detail: trouble.detail, agent: trouble.agent, load: None };
            outcome(finish, Some(trouble.cause), seen, latency)
        }
    }
}

fn outcome(finish: Finish, cause: Option<Cause>, seen: Good, latency: Duration) -> Outcome {
    Outcome { finish, cause, detail: seen.detail, latency, agent: seen.agent, load: seen.load }
}

fn too_late(prepared: &Prepared, part: Part, timeout: Duration, steps: &Steps) -> Trouble {
    let datagrams = matches!(prepared.check.probe, Probe::Udp(_) | Probe::Dns(_));
    let cause = if datagrams && part == Part::Probe { Cause::NoReply } else { Cause::Timeout };
    Trouble::new(cause, format!("not done within {timeout:?}, still at: {}", steps.current()))
}

async fn attempt(
    prepared: &Prepared,
    part: Part,
    subject: &Subject<'_>,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    let address = subject.address;
    let tls = prepared.tls.as_ref();
    match (part, &prepared.check.probe) {
        (Part::Agent, _) => agent::run(address, prepared.check.agent_port, steps).await,
        (Part::Probe, Probe::Tcp { port }) => {
            wire::connect(address, *port, steps).await.map(|_| Good::new("connection accepted"))
        }
        (Part::Probe, Probe::Udp(udp)) => udp::run(address, udp, steps).await,
        (Part::Probe, Probe::Dns(dns)) => dns::run(address, dns, steps).await,
        // Large futures live only while they run: ten thousand waiting targets stay small.
        (Part::Probe, Probe::Http(http)) => Box::pin(http::run(address, http, tls, steps)).await,
        (Part::Probe, Probe::Grpc(grpc)) => Box::pin(grpc::run(address, grpc, tls, steps)).await,
        (Part::Probe, Probe::Command { argv }) => Box::pin(command::run(subject, argv, steps)).await,
    }
}
