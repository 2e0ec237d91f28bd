//! `guideway vip list|show`.

use super::live::{Live, LiveArgs, Outcome, run};
use super::output::units::{bytes, count};
use crate::client::Target;
use crate::control::view::VipStatus;
use std::process::ExitCode;

/// Arguments of `guideway vip`.
#[derive(Debug, clap::Args)]
pub struct VipArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// What to do with VIPs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List all VIPs
    List,
    /// Show one VIP
    Show {
        /// Name of the VIP
        name: String,
    },
}

/// Runs it.
pub fn vip(args: &VipArgs) -> ExitCode {
    run(&args.live, |live| match &args.verb {
        Verb::List => list(live),
        Verb::Show { name } => show(live, name),
    })
}

fn list(live: &mut Live<'_>) -> Outcome {
    let vips: Vec<VipStatus> = live.client.get(&Target::new(&["vips"]))?;
    live.show("VipList", &vips, |live| match vips.as_slice() {
        [] => "the configuration has no VIPs\n".into(),
        vips => super::status::vips(vips, live),
    })?;
    Ok(0)
}

fn show(live: &mut Live<'_>, name: &str) -> Outcome {
    let vip: VipStatus = live.client.get(&Target::new(&["vips", name]))?;
    live.show("Vip", &vip, |live| {
        let addresses: Vec<String> = vip.addresses.iter().map(ToString::to_string).collect();
        let state = match (vip.serving, vip.panic) {
            (true, false) => live.style.good("serving"),
            (true, true) => live.style.warning("serving by all backends: the panic threshold overrides health"),
            (false, _) => live.style.bad("down: new flows find no backend, or too few"),
        };
        format!(
            "vip {}\n  addresses    {}\n  protocol     {}, ports {}\n  pool         {}\n  state        {state}\n  \
             backends     {} of {} take new flows\n  flows        {} now, {} since the start\n  received     {} \
             packets, {}\n  dropped      {} packets\n",
            vip.name,
            addresses.join(", "),
            vip.protocol,
            vip.ports,
            vip.pool,
            vip.healthy_backends,
            vip.backends,
            vip.active_connections,
            count(vip.connections),
            count(vip.packets),
            bytes(vip.bytes),
            vip.dropped,
        )
    })?;
    Ok(0)
}
