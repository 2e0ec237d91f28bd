//! agent-check: connect, read one line, believe it.

use std::net::IpAddr;

use super::super::agent::AgentReport;
use super::super::outcome::{Cause, Good, Trouble, bounded};
use super::super::steps::Steps;
use super::super::wire::{self, Peer};

/// Bytes of an answer that nobody understands which are shown.
const SHOWN: usize = 60;

pub(super) async fn run(address: IpAddr, port: Option<u16>, steps: &mut Steps) -> Result<Good, Trouble> {
    let port = port.ok_or_else(|| Trouble::new(Cause::Local, "the check has no agent"))?;
    let mut stream = wire::connect(Peer { address, passage: None }, port, steps).await?;
    steps.begin("response");
    let answer = wire::read_answer(&mut stream, Some(b'\n')).await.map_err(|error| wire::named(&error))?;
    let report = AgentReport::parse(&answer).ok_or_else(|| {
        let begin = answer.get(..answer.len().min(SHOWN)).unwrap_or_default();
        let shown = bounded(String::from_utf8_lossy(begin).into_owned());
        Trouble::new(Cause::Protocol, format!("the agent said {shown:?}, of which no word is known"))
    })?;
    let line = report.line();
    steps.end(|| line.clone());
    if report.operational.is_some_and(|state| state.is_down()) {
        return Err(Trouble {
            agent: Some(report),
            ..Trouble::new(Cause::Agent, format!("the agent says {line}"))
        });
    }
    Ok(Good { agent: Some(report), ..Good::new(line) })
}
