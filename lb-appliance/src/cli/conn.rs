//! `guideway conn ...`: entries of the connection tables.

use super::EXIT_FAILED;
use super::backend::BackendName;
use super::live::{Live, LiveArgs, LiveError, Outcome, run};
use super::output::units::count;
use super::output::{Align, Table};
use crate::client::Target;
use crate::control::protocol::{self, End, IpProtocol};
use crate::control::view::{ConnectionCount, ConnectionStatus, Flow};
use std::process::ExitCode;

/// Arguments of `guideway conn`.
#[derive(Debug, clap::Args)]
pub struct ConnArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// What to do with connections.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List some entries
    List {
        /// Only those of this VIP
        #[arg(long)]
        vip: Option<String>,
        /// Only those of this backend
        #[arg(long, value_name = "POOL/BACKEND")]
        backend: Option<BackendName>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        max: u32,
    },
    /// Count connections by VIP and backend
    Count,
    /// Find the entries of one flow; exit code 1 if there is none
    Find(FlowArgs),
    /// Remove the entries of one flow: its next packet is a new flow
    Delete(FlowArgs),
}

/// One flow.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct FlowArgs {
    /// Client address and port; the address alone if the protocol has no ports
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub src: End,
    /// VIP address and port; the address alone if the protocol has no ports
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub dst: End,
    /// Protocol: tcp, udp, sctp, icmp, icmpv6, esp, gre, ... or a number
    #[arg(long, visible_alias = "protocol", default_value = "tcp")]
    pub proto: IpProtocol,
}

impl FlowArgs {
    /// The request about it.
    pub(super) fn target(&self, segment: &str) -> Result<Target, LiveError> {
        self.flow(false)?;
        Ok(Target::new(&[segment])
            .with("src", &self.src.to_string())
            .with("dst", &self.dst.to_string())
            .with("proto", &self.proto.to_string()))
    }

    /// A packet of it.
    pub(super) fn flow(&self, opens: bool) -> Result<Flow, LiveError> {
        protocol::flow((self.src, self.dst), self.proto, opens, ["--src", "--dst"]).map_err(LiveError::Usage)
    }
}

/// Runs it.
pub fn conn(args: &ConnArgs) -> ExitCode {
    run(&args.live, |live| match &args.verb {
        Verb::List { vip, backend, max } => list(live, vip.as_deref(), backend.as_ref(), *max),
        Verb::Count => counts(live),
        Verb::Find(flow) => find(live, flow),
        Verb::Delete(flow) => delete(live, flow),
    })
}

fn list(live: &mut Live<'_>, vip: Option<&str>, backend: Option<&BackendName>, max: u32) -> Outcome {
    let target = Target::new(&["connections"])
        .with("max", &max.to_string())
        .with_some("vip", vip)
        .with_some("pool", backend.map(|name| name.pool.as_str()))
        .with_some("backend", backend.map(|name| name.backend.as_str()));
    let entries: Vec<ConnectionStatus> = live.client.get(&target)?;
    live.show("ConnectionList", &entries, |_| match entries.as_slice() {
        [] => "there are no such entries\n".into(),
        entries => table(entries),
    })?;
    if entries.len() == max as usize {
        live.say(&format!("the first {max}; there may be more (--max, or `guideway conn count`)"))?;
    }
    Ok(0)
}

fn table(entries: &[ConnectionStatus]) -> String {
    let mut table = Table::new(&[
        ("FINGERPRINT", Align::Left),
        ("WORKER", Align::Left),
        ("VIP", Align::Left),
        ("BACKEND", Align::Left),
        ("STATE", Align::Left),
        ("IDLE", Align::Right),
    ]);
    for entry in entries {
        let backend = match (&entry.pool, &entry.backend) {
            (Some(pool), Some(backend)) => format!("{pool}/{backend}"),
            _ => "(gone)".into(),
        };
        table.row([
            entry.fingerprint.clone(),
            entry.worker.clone(),
            entry.vip.clone().unwrap_or_else(|| "(gone)".into()),
            backend,
            entry.state.clone(),
            format!("{}s", entry.idle_seconds),
        ]);
    }
    table.text()
}

fn counts(live: &mut Live<'_>) -> Outcome {
    let counts: Vec<ConnectionCount> = live.client.get(&Target::new(&["connections", "count"]))?;
    live.show("ConnectionCounts", &counts, |_| {
        let columns = [
            ("VIP", Align::Left),
            ("BACKEND", Align::Left),
            ("NOW", Align::Right),
            ("SINCE START", Align::Right),
        ];
        let mut table = Table::new(&columns);
        for row in &counts {
            let backend = format!("{}/{}", row.pool, row.backend);
            table.row([row.vip.clone(), backend, row.active.to_string(), count(row.total)]);
        }
        let sum: u64 = counts.iter().map(|row| row.active).sum();
        table.row(["total".into(), String::new(), sum.to_string(), String::new()]);
        table.text()
    })?;
    Ok(0)
}

fn find(live: &mut Live<'_>, flow: &FlowArgs) -> Outcome {
    let entries: Vec<ConnectionStatus> = live.client.get(&flow.target("connections")?)?;
    live.show("ConnectionList", &entries, |_| match entries.as_slice() {
        [] => {
            "no worker has an entry of this flow; `guideway explain` says where its next packet goes\n".into()
        }
        entries => table(entries),
    })?;
    Ok(if entries.is_empty() { EXIT_FAILED } else { 0 })
}

fn delete(live: &mut Live<'_>, flow: &FlowArgs) -> Outcome {
    let removed: Vec<ConnectionStatus> = live.client.delete(&flow.target("connections")?)?;
    live.show("ConnectionList", &removed, |_| match removed.as_slice() {
        [] => "no worker has an entry of this flow; nothing was removed\n".into(),
        removed => format!(
            "{}removed {}; the next packet of the flow is a new flow (this cannot be undone)\n",
            table(removed),
            removed.len()
        ),
    })?;
    Ok(if removed.is_empty() { EXIT_FAILED } else { 0 })
}
