//! One probe from start to verdict, whatever its kind, within its time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::health::Finish;

use super::outcome::{Cause, Good, Outcome, Trouble};
use super::plan::{Part, Subscriber};
use super::steps::{Step, Steps};
use super::tls::TlsClient;
use super::tunnel::{Passage, Tunnels};
use super::wire::{self, Peer};
use crate::config::model::{HealthCheck, Probe, Via};

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
    /// Commands are told; tunnels are found by it.
    pub(super) subscriber: &'s Subscriber,
    pub(super) tunnels: &'s Tunnels,
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
/// Needs a tokio runtime with I/O and time; comes back within the timeout of the check. Knows no tunnels.
pub async fn probe_once(
    check: Arc<HealthCheck>,
    part: Part,
    address: IpAddr,
    subscriber: &Subscriber,
) -> ProbeReport {
    let tunnels = Tunnels::default();
    report(&Prepared::new(check), part, &Subject { address, subscriber, tunnels: &tunnels }).await
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

/// Agents answer for their host and commands have no socket of ours; the configuration refuses both.
fn is_tunnelled(prepared: &Prepared, part: Part) -> bool {
    let is_socket = !matches!(prepared.check.probe, Probe::Command { .. });
    part == Part::Probe && is_socket && prepared.check.via == Via::Tunnel
}

fn too_late(prepared: &Prepared, part: Part, timeout: Duration, steps: &Steps) -> Trouble {
    let datagrams = matches!(prepared.check.probe, Probe::Udp(_) | Probe::Dns(_));
    let cause = if datagrams && part == Part::Probe { Cause::NoReply } else { Cause::Timeout };
    let hint = match is_tunnelled(prepared, part) && matches!(steps.current(), "connect" | "reply") {
        true => "; does the backend decapsulate, hold the VIP, and have a route back to this port's address?",
        false => "",
    };
    Trouble::new(cause, format!("not done within {timeout:?}, still at: {}{hint}", steps.current()))
}

async fn attempt(
    prepared: &Prepared,
    part: Part,
    subject: &Subject<'_>,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    let passage = match is_tunnelled(prepared, part) {
        true => Some(subject.tunnels.passage(subject.subscriber, steps).await?),
        false => None,
    };
    let address = passage.as_ref().map_or(subject.address, Passage::vip);
    let peer = Peer { address, passage: passage.as_ref() };
    let tls = prepared.tls.as_ref();
    match (part, &prepared.check.probe) {
        (Part::Agent, _) => agent::run(address, prepared.check.agent_port, steps).await,
        (Part::Probe, Probe::Tcp { port }) => {
            wire::connect(peer, *port, steps).await.map(|_| Good::new("connection accepted"))
        }
        (Part::Probe, Probe::Udp(udp)) => udp::run(peer, udp, steps).await,
        (Part::Probe, Probe::Dns(dns)) => dns::run(peer, dns, steps).await,
        // Large futures live only while they run: ten thousand waiting targets stay small.
        (Part::Probe, Probe::Http(http)) => Box::pin(http::run(peer, http, tls, steps)).await,
        (Part::Probe, Probe::Grpc(grpc)) => Box::pin(grpc::run(peer, grpc, tls, steps)).await,
        (Part::Probe, Probe::Command { argv }) => Box::pin(command::run(subject, argv, steps)).await,
    }
}
