//! Why a packet goes where it goes: a packet of the flow is made, sent through the production pipeline, and what
//! became of it is put into words.
//!
//! Nothing here decides anything, so an explanation cannot disagree with the packet path.

mod frame;

use super::effective::Knowledge;
use super::overrides::Overrides;
use super::protocol::IpProtocol;
use super::running::Running;
use super::view::{ConnectionStatus, Explanation, Flow, Step};
use super::{effective, report};
use crate::config::Config;
use crate::plan::{Names, Plan};
use lb_core::address::{NoHost, no_host};
use lb_core::clock::Tick;
use lb_core::composition::{Composition, Form, Vlan};
use lb_core::conn::{Class, ConnTable};
use lb_core::counters::WorkerCounters;
use lb_core::flow::FlowKey;
use lb_core::hash::FlowHash;
use lb_core::headers::PortFilter;
use lb_core::hw::Level;
use lb_core::nat::Nat;
use lb_core::packet::{Frame, Packet};
use lb_core::pipeline::Pipeline;
use lb_core::prefix::Prefix;
use lb_core::reason::DropReason;
use lb_core::spec::{Echo, HashFields, Mode, Oversize, Spec};
use lb_core::tables::{Tables, TablesError};
use lb_core::verdict::{RecordIndex, Verdict};
use std::sync::Arc;

/// An entry that the flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the record that it leads to.
    pub record: RecordIndex,
    /// How far the flow has been seen.
    pub class: Class,
}

/// Explains one packet after the other.
#[derive(Debug)]
pub struct Explainer<'a> {
    tables: &'a Tables,
    spec: &'a Spec,
    names: &'a Names,
    pipeline: Pipeline,
}

impl<'a> Explainer<'a> {
    /// An explainer by `tables`, which were built from `spec`.
    pub fn new(tables: &'a Tables, spec: &'a Spec, names: &'a Names) -> Self {
        let counters = WorkerCounters::new(tables.records().len(), tables.service_count());
        let pipeline = Pipeline::new(ConnTable::with_capacity(1), Arc::new(counters), Level::detect())
            .with_nat(Nat::new(1, [0; 2], 0, 1));
        Self { tables, spec, names, pipeline }
    }

    /// What becomes of a packet of `flow` if its flow has `entry`.
    pub fn explain(&mut self, flow: Flow, entry: Option<Entry>) -> Explanation {
        let (key, now) = (flow.key(), Tick::default());
        let hash = self.tables.hash(self.pipeline.level(), &key);
        let is_ping = IpProtocol(flow.protocol).is_icmp();
        // A ping has no entry, and follows none.
        let entry = entry.filter(|_| !is_ping);
        if let Some(entry) = entry {
            self.pipeline.enter_flow(self.tables, &key, (entry.record, entry.class), now);
        }
        let mut packets = [Frame::new(&frame::of(flow))];
        let verdict = self.pipeline.process(self.tables, &PortFilter::ANY, now, &mut packets)[0];
        self.pipeline.delete_flow(self.tables, &key, now);

        let service = match is_ping {
            true => self.tables.service_at(key.destination),
            false => self.tables.service(key.destination, key.destination_port, key.protocol),
        };
        let position =
            service.and_then(|number| self.tables.layout().services.iter().position(|one| *one == number));
        let mut explanation = Explanation {
            verdict: verdict.name().into(),
            reason: verdict.reason().map(Into::into),
            vip: position.map(|at| self.names.vips[at].clone()),
            pool: position.map(|at| self.names.pools[self.spec.services[at].pool].name.clone()),
            backend: None,
            by: None,
            slot: None,
            hash: format!("{:016x}", hash.tag),
            generation: None,
            steps: Vec::new(),
        };
        explanation.step(
            "vip",
            match &explanation.vip {
                Some(vip) if is_ping => format!("`{vip}` has {}", key.destination),
                Some(vip) => format!("`{vip}` serves {}", served(flow)),
                None => format!("no VIP serves {}", served(flow)),
            },
        );
        self.explain_entry(entry, verdict, flow, &mut explanation);
        match position {
            Some(_) if verdict == Verdict::Drop(DropReason::MartianSource) => {
                explanation.step("source", martian(flow));
            }
            Some(at) if is_ping => self.explain_echo(at, hash, &mut explanation),
            Some(at) => self.explain_choice(at, &key, &mut explanation),
            None => {}
        }
        self.explain_verdict(
            verdict,
            entry.filter(|_| !opens_tcp(flow)),
            packets[0].frame(),
            &mut explanation,
        );
        explanation
    }

    fn explain_entry(&self, entry: Option<Entry>, verdict: Verdict, flow: Flow, into: &mut Explanation) {
        let text = match entry {
            None if IpProtocol(flow.protocol).is_icmp() => "none: a ping has no entry".to_owned(),
            None => "none: the flow is new, or goes by its hash alone".to_owned(),
            Some(entry) => {
                let to = self.record_name(entry.record);
                let is_followed = verdict == Verdict::Forward(entry.record);
                match (is_followed, opens_tcp(flow)) {
                    (true, false) => format!("leads to {to}"),
                    (true, true) => format!("leads to {to}, but a SYN opens anew; the hash picks the same"),
                    (false, true) => format!("leads to {to}, but a SYN opens anew: not followed"),
                    (false, false) => format!("leads to {to}, which takes no packets any more: not followed"),
                }
            }
        };
        into.step("connection", text);
    }

    /// Who replies to a ping of a VIP.
    fn explain_echo(&self, service: usize, hash: FlowHash, into: &mut Explanation) {
        let spec = &self.spec.services[service];
        let is_nat = self.spec.pools[spec.pool].backends.iter().any(|backend| backend.mode.is_nat());
        let (text, is_forwarded) = match (spec.portless.echo, is_nat) {
            (Echo::Answer, _) => ("`icmp_echo: answer`: we, while the pool takes new flows", false),
            (Echo::Forward, true) => (
                "`icmp_echo: forward`, but behind translation it is we, while the pool takes new flows",
                false,
            ),
            (Echo::Forward, false) => ("`icmp_echo: forward`: the backend that the addresses lead to", true),
            (Echo::Ignore, _) => ("`icmp_echo: ignore`: nobody", false),
        };
        into.step("echo", text.into());
        if is_forwarded {
            self.explain_slot(service, hash, into);
        }
    }

    /// What the service would choose for a new flow, by the same functions as the packet path.
    fn explain_choice(&self, service: usize, key: &FlowKey, into: &mut Explanation) {
        let Some(number) = self.tables.layout().services.get(service).copied() else { return };
        let selection = &self.spec.services[service].selection;
        if selection.server_ids.is_some() {
            let text =
                "a bare packet names no server; one that names a live server goes there, before any entry";
            into.step("server_id", text.into());
        }
        if !selection.slices.is_empty() {
            let text = match self.tables.choice(number, key, &[]).record {
                Some(owner) => {
                    format!("port {} belongs to {}", key.destination_port, self.record_name(owner))
                }
                None => format!("the owner of port {} takes no packets", key.destination_port),
            };
            into.step("slice", text);
            return;
        }
        if let HashFields::Source { ipv4, ipv6 } = selection.hash {
            let len = if key.source.is_ipv6() { ipv6 } else { ipv4 };
            let text = format!("by the source {} alone", Prefix::new(key.source, len));
            into.step("hash", text);
        }
        self.explain_slot(service, self.tables.slot_hash(number, key), into);
    }

    fn explain_slot(&self, service: usize, hash: FlowHash, into: &mut Explanation) {
        let pool = self.spec.services[service].pool;
        let Some(table) = self.tables.maglev(pool).filter(|table| !table.is_empty()) else {
            into.step("maglev", "the pool has no backend that takes new flows".into());
            return;
        };
        let slot = table.slot_of(hash.maglev());
        into.slot = Some(slot);
        let owner =
            self.tables.layout().services.get(service).and_then(|number| self.tables.select(*number, hash));
        let name = owner.map_or_else(|| "nobody".into(), |record| self.record_name(record));
        into.step("maglev", format!("slot {slot} of {} belongs to {name}", table.size()));
    }

    /// `entry` is one that may be followed.
    fn explain_verdict(&self, verdict: Verdict, entry: Option<Entry>, frame: &[u8], into: &mut Explanation) {
        let (Verdict::Forward(record) | Verdict::Split(record, _)) = verdict else {
            let help = match verdict {
                Verdict::Drop(reason) => reason.help(),
                Verdict::Punt(reason) => reason.help(),
                Verdict::Answer(reason) => reason.help(),
                Verdict::Forward(_) | Verdict::Split(..) | Verdict::Return(_) | Verdict::Hold(_) => "",
            };
            let reason = verdict.reason().unwrap_or_default();
            into.step("verdict", format!("{} ({reason}): {help}", verdict.name()));
            return;
        };
        let Some(owner) = self.tables.owner(record) else { return };
        into.backend = self.names.backend(owner).map(Into::into);
        let was_entry = entry.is_some_and(|entry| entry.record == record);
        let is_sliced = !self.spec.services[owner.service].selection.slices.is_empty();
        let by = match (was_entry, is_sliced) {
            (true, _) => "connection",
            (false, true) => "slice",
            (false, false) => "maglev",
        };
        into.by = Some(by.into());
        let backend = &self.spec.pools[owner.pool].backends[owner.backend];
        into.step("backend", format!("{} at {}", self.record_name(record), backend.address));
        into.step("encapsulation", encapsulation(&backend.mode, frame.len()));
        if let Some((len, oversize)) = self.tables.limit(record) {
            into.step("size", limit(len, oversize));
        }
        let mac: Vec<String> = backend.egress.next_hop_mac.iter().map(|byte| format!("{byte:02x}")).collect();
        into.step("next_hop", format!("MAC {} by port {}", mac.join(":"), backend.egress.port));
        into.step("verdict", format!("forward to {}", self.record_name(record)));
    }

    fn record_name(&self, record: RecordIndex) -> String {
        let owner = self.tables.owner(record);
        let name = owner.and_then(|owner| {
            Some(format!("{}/{}", self.names.pools.get(owner.pool)?.name, self.names.backend(owner)?))
        });
        name.unwrap_or_else(|| "a backend that is gone".into())
    }
}

impl Explanation {
    fn step(&mut self, stage: &str, result: String) {
        self.steps.push(Step { stage: stage.into(), result });
    }
}

/// True for packets that never follow an entry.
fn opens_tcp(flow: Flow) -> bool {
    flow.opens && flow.protocol == lb_core::wire::PROTOCOL_TCP
}

/// Why nobody can have sent a packet of this flow.
fn martian(flow: Flow) -> String {
    let source = flow.source.ip();
    if source == flow.destination.ip() {
        return format!("{source} is the VIP itself: a forged packet (LAND)");
    }
    let why = match no_host(source) {
        Some(NoHost::ThisNetwork) => "is of \"this network\"",
        Some(NoHost::Loopback) => "is a loopback address",
        Some(NoHost::Multicast) => "is a multicast address",
        Some(NoHost::Reserved | NoHost::Broadcast) => "is a reserved address",
        Some(NoHost::Unspecified) | None => "is the unspecified address",
    };
    format!("{source} {why}: no host sends from it, so no backend is chosen")
}

/// What a VIP would have to serve.
fn served(flow: Flow) -> String {
    let protocol = IpProtocol(flow.protocol);
    let name = match protocol.to_string() {
        number if number.starts_with(|first: char| first.is_ascii_digit()) => format!("protocol {number}"),
        name => name.to_uppercase(),
    };
    match protocol.has_ports() {
        true => format!("{name} {}", flow.destination),
        false => format!("{name} {}", flow.destination.ip()),
    }
}

fn encapsulation(mode: &Mode, len: usize) -> String {
    let what = match mode {
        Mode::Ipip { source } => format!("IPIP from {source}"),
        Mode::Gue { source, port, .. } => format!("GUE from {source} to UDP port {port}"),
        Mode::Vxlan { source, port, vni, .. } => format!("VXLAN {vni} from {source} to UDP port {port}"),
        Mode::L2Dsr => "none, only new MAC addresses (L2 DSR)".into(),
        Mode::Composed(composition) => composed(composition),
        Mode::Nat { port } => format!("none, a new destination (NAT){}", to_port(*port)),
        Mode::FullNat { port, .. } => {
            format!("none, a new source and destination (full NAT){}", to_port(*port))
        }
    };
    format!("{what}; a bare packet of the flow leaves as {len} bytes")
}

/// What fits, and what becomes of the rest.
fn limit(len: u16, oversize: Oversize) -> String {
    let longer = match oversize {
        Oversize::Signal => "the sender of a longer one is told (oversize: signal)",
        Oversize::Drop => "a longer one is dropped (oversize: drop)",
        Oversize::Fragment => {
            "a longer one of IPv4 without DF leaves in pieces, the sender of any other is told (oversize: fragment)"
        }
    };
    format!("IP datagrams of up to {len} bytes fit; {longer}")
}

fn to_port(port: Option<u16>) -> String {
    port.map_or_else(String::new, |port| format!(", port {port}"))
}

fn composed(composition: &Composition) -> String {
    let Composition { form, source, policy } = composition;
    let mut what = match form {
        Form::Ipip => format!("IPIP from {source}"),
        Form::Gue { port, .. } => format!("GUE from {source} to UDP port {port}"),
        Form::Gre { key: None } => format!("GRE from {source}"),
        Form::Gre { key: Some(key) } => format!("GRE with key {key} from {source}"),
        Form::Vxlan { port, vni, .. } => format!("VXLAN {vni} from {source} to UDP port {port}"),
        Form::Geneve { port, vni, .. } => format!("Geneve {vni} from {source} to UDP port {port}"),
        Form::L2Dsr => "none, only new MAC addresses (L2 DSR)".into(),
    };
    if let Some(dscp) = policy.dscp {
        what += &format!(", DSCP {dscp}");
    }
    match policy.vlan {
        Vlan::Keep => {}
        Vlan::Strip => what += ", without VLAN tags",
        Vlan::Set(identifier) => what += &format!(", in VLAN {identifier}"),
    }
    what
}

/// By what is in force and by the entries that the flow has.
pub(super) fn live(running: &Running, flow: Flow, entries: &[(ConnectionStatus, Entry)]) -> Explanation {
    let mut explainer = Explainer::new(&running.tables, &running.plan.spec, &running.plan.names);
    let mut explanation = explainer.explain(flow, entries.first().map(|(_, entry)| *entry));
    explanation.generation = Some(running.generation);
    if let [(first, _), more @ ..] = entries {
        let idle = format!("on worker {}, {}, idle for {} s", first.worker, first.state, first.idle_seconds);
        let also = if more.is_empty() {
            String::new()
        } else {
            format!("; {} other workers have one, too", more.len())
        };
        if let Some(step) = explanation.steps.iter_mut().find(|step| step.stage == "connection") {
            step.result = format!("{} ({idle}{also})", step.result);
        }
    }
    if let (Some(pool), Some(backend)) = (&explanation.pool, &explanation.backend)
        && let Some((pool, backend)) = running.backend(pool, backend)
    {
        let effective = &running.pools[pool].backends[backend];
        let state = format!("{} ({})", report::state_name(effective), effective.reason);
        explanation.step("state", state);
    }
    explanation
}

/// By a configuration alone, as if nothing had happened yet.
///
/// # Errors
/// The tables cannot be built, which validation should have found.
pub fn offline(config: &Config, flow: Flow) -> Result<Explanation, TablesError> {
    let mut plan = Plan::new(config, &[]);
    let pools = effective::effective(config, &Overrides::default(), &Knowledge::default());
    effective::apply(&pools, &mut plan.spec);
    let tables = Tables::build(&plan.spec)?;
    Ok(Explainer::new(&tables, &plan.spec, &plan.names).explain(flow, None))
}

#[cfg(test)]
mod tests;
