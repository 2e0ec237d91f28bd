//! Where packets are to go: a map of the flows that have an entry, kept beside the connection table of the worker, and
//! for all others what the tables say of the 5-tuple.

use super::clients::Flow;
use super::traffic_mix::{Role, Sent};
use super::*;
use crate::flow::FlowKey;
use crate::headers::{NoFlow, parse_first};

pub(super) struct Expected {
    entries: HashMap<FlowKey, RecordIndex>,
    /// By record.
    alive: Vec<bool>,
    /// By service: its first record, whether its flows have entries, whether ports alone decide.
    first: Vec<usize>,
    tracked: Vec<bool>,
    sliced: Vec<bool>,
}

/// What is to become of a flow in a burst.
#[derive(Default)]
struct Owners {
    /// One for each of its packets, without repetition. In one burst, packets that follow the entry and such as do not
    /// may come in any order.
    records: Vec<Option<RecordIndex>>,
    /// A damaged frame has its tuple.
    is_any: bool,
    /// It has an ordinary packet, so that it has an entry afterwards.
    has_packet: bool,
    is_tracked: bool,
}

/// The flows of a burst.
#[derive(Default)]
pub(super) struct OfBurst(HashMap<FlowKey, Owners>);

/// Why a backend's way out does not take a frame.
pub(super) fn refusal(backend: &BackendSpec, frame: &[u8]) -> Option<DropReason> {
    let headers = headers_of(frame);
    if headers.ttl <= naive::ttl_spent(backend) {
        Some(DropReason::TtlExceeded)
    } else if usize::from(headers.ip_len) + naive::overhead(backend) > usize::from(MTU) {
        Some(DropReason::MtuExceeded)
    } else {
        None
    }
}

/// The tuple that a damaged frame has after all; of a first fragment as well, because that makes an entry, too.
fn damaged_key(frame: &[u8]) -> Option<FlowKey> {
    let first = |fragment| parse_first(frame, &fragment).ok();
    let parsed = match parse(frame, OURS) {
        Ok(parsed) => Some(parsed),
        Err(NoFlow::Fragment(fragment)) if fragment.is_first() => first(fragment),
        Err(_) => None,
    };
    parsed.map(|(_, key)| key)
}

impl Expected {
    pub(super) fn new(spec: &Spec) -> Self {
        let services = 0..spec.services.len();
        let mut expected = Self {
            entries: HashMap::new(),
            alive: Vec::new(),
            first: services.map(|service| records_of(spec, service).start).collect(),
            tracked: spec.services.iter().map(|service| service.is_tracked).collect(),
            sliced: spec.services.iter().map(|service| !service.selection.slices.is_empty()).collect(),
        };
        expected.take_up(spec);
        expected
    }

    /// Another generation.
    pub(super) fn take_up(&mut self, spec: &Spec) {
        let backends = spec.services.iter().flat_map(|service| &spec.pools[service.pool].backends);
        self.alive = backends.map(|backend| backend.state != BackendState::Down).collect();
    }

    pub(super) fn is_alive(&self, record: RecordIndex) -> bool {
        self.alive[usize::from(record)]
    }

    /// What the sweep leaves.
    pub(super) fn sweep(&mut self) {
        let alive = &self.alive;
        self.entries.retain(|_, record| alive[usize::from(*record)]);
    }

    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }

    /// Where a flow without an entry goes.
    pub(super) fn choice(&self, flow: &Flow, tables: &Tables) -> Option<RecordIndex> {
        let service = flow.service as u16;
        if matches!(flow.key.protocol, 1 | 58) {
            // Pings know neither ports nor servers.
            return tables.select(service, tables.hash(Level::Portable, &flow.key));
        }
        let named = flow.named.map(|server| (self.first[flow.service] + usize::from(server)) as RecordIndex);
        let by_tuple = || tables.choice(service, &flow.key, &[]).record;
        named.filter(|record| self.is_alive(*record)).or_else(by_tuple)
    }

    /// Where a packet of a flow goes.
    pub(super) fn owner(&self, flow: &Flow, tables: &Tables) -> Option<RecordIndex> {
        let is_named =
            flow.named.is_some_and(|server| self.alive[self.first[flow.service] + usize::from(server)]);
        let known = self.entries.get(&flow.key).copied().filter(|record| self.is_alive(*record));
        let known = known.filter(|_| !flow.opens && !is_named && !self.sliced[flow.service]);
        known.or_else(|| self.choice(flow, tables))
    }

    /// Of all flows in a burst, before it is sent.
    pub(super) fn of_burst(&self, burst: &[Sent], tables: &Tables) -> OfBurst {
        let mut all = OfBurst::default();
        for sent in burst {
            let Some(flow) = sent.flow().filter(|_| !sent.is_later) else {
                let is_noise = matches!(sent.role, Role::Noise);
                if let Some(key) = damaged_key(&sent.frame).filter(|_| is_noise) {
                    all.0.entry(key).or_default().is_any = true;
                }
                continue;
            };
            let owners = all.0.entry(flow.key).or_default();
            let mut note = |owner| {
                if !owners.records.contains(&owner) {
                    owners.records.push(owner);
                }
            };
            note(self.owner(&flow, tables));
            owners.has_packet |= matches!(sent.role, Role::Flow(_));
            owners.is_tracked = self.tracked[flow.service];
        }
        all
    }

    /// One packet of a flow, or about it. Gives the reason why it could not go to its backend.
    pub(super) fn check(
        &self,
        sent: &Sent,
        flow: &Flow,
        verdict: Verdict,
        before: &OfBurst,
        backends: &[BackendSpec],
    ) -> Option<(RecordIndex, DropReason)> {
        let owners = &before.0[&flow.key];
        if let Verdict::Forward(record) = verdict {
            let is_right = owners.is_any || owners.records.contains(&Some(record));
            assert!(is_right, "to {record} and not {:?}: {sent:02x?}", owners.records);
            assert_eq!(refusal(&backends[usize::from(record)], &sent.frame), None, "{sent:02x?}");
            return None;
        }
        match owners.records[..] {
            _ if owners.is_any => None,
            [Some(record)] => {
                let reason = refusal(&backends[usize::from(record)], &sent.frame);
                assert!(reason.is_some(), "{verdict:?} and not to {record}: {sent:02x?}");
                Some((record, reason?))
            }
            [None] => {
                assert_eq!(verdict, Verdict::Drop(DropReason::NoBackend), "{sent:02x?}");
                None
            }
            _ => None,
        }
    }

    /// Entries after a burst: invariant 6, and where several are possible the one that was made.
    pub(super) fn settle(&mut self, burst: OfBurst, lab: &Lab) {
        for (key, owners) in burst.0 {
            let found = lab.pipeline.find_flow(&lab.tables, &key, lab.now).map(|view| view.record);
            if let ([Some(owner)], false, true) = (&owners.records[..], owners.is_any, owners.has_packet) {
                let expected = owners.is_tracked.then_some(*owner);
                assert_eq!(found, expected, "the entry of {key:?}");
            }
            match found {
                Some(record) => self.entries.insert(key, record),
                None => {
                    assert!(owners.is_any || !self.entries.contains_key(&key), "an entry is gone: {key:?}");
                    None
                }
            };
        }
    }

    /// Whether a record may have been chosen for a flow of a burst.
    pub(super) fn allows(before: &OfBurst, flow: &Flow, record: RecordIndex) -> bool {
        before.0.get(&flow.key).is_none_or(|owners| owners.is_any || owners.records.contains(&Some(record)))
    }
}
