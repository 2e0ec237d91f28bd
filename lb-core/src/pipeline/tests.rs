//! The packet path as a whole: sentences, stories, what must hold of any traffic, and a slow twin.
//!
//! The laboratory below has one service of each sort: tracked and not, with ports and with any, alive
//! and without a backend, over every kind of edit.

mod any_traffic;
mod counting;
mod faults_of_peers;
mod fragments;
mod golden;
mod icmp;
mod invariants;
mod martians;
mod naive;
mod nat;
mod oversize;
mod special;
mod stories;
mod traffic;
mod twin;

use super::*;
use crate::clock::Timeouts;
use crate::composition::{Composition, Form, Policy, Vlan};
use crate::counters::WorkerCounters;
use crate::headers::parse;
use crate::packet::Frame;
use crate::reason::{AnswerReason, PuntReason};
use crate::sample::{OUR_MAC, Sample};
use crate::spec::{
    BackendSpec, BackendState, Budget, Egress, GueVariant, Mode, PoolSpec, ServiceSpec, Signals, Spec,
};
use crate::verdict::RecordIndex;
use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use std::net::IpAddr;

const OURS: PortFilter = PortFilter::new(OUR_MAC);
const MTU: u16 = 1500;

/// Indices of the services.
const WEB: usize = 0;
const DNS: usize = 1;
const ANY_PORT: usize = 2;
const QUIC: usize = 3;
const DARK: usize = 4;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pool(first: &str, backends: u8, mode: Mode) -> PoolSpec {
    let backend = |index: u8| BackendSpec {
        address: match address(first) {
            IpAddr::V4(first) => IpAddr::from((first.to_bits() + u32::from(index)).to_be_bytes()),
            IpAddr::V6(first) => IpAddr::from((first.to_bits() + u128::from(index)).to_be_bytes()),
        },
        weight: 1 + u32::from(index % 3),
        state: BackendState::Active,
        egress: Egress { port: 0, mtu: MTU, source_mac: OUR_MAC, next_hop_mac: [0x02, 0, 0, 0, 1, index] },
        mode,
    };
    PoolSpec { backends: (0..backends).map(backend).collect(), ..PoolSpec::default() }
}

/// Backends with encapsulations off the loops. What changes the length of a frame by a tag, or lets a TTL of 1
/// pass, is behind a service that no sentence about lengths and TTLs is about.
fn add_composed(web: &mut PoolSpec, dns: &mut PoolSpec, any_port: &mut PoolSpec) {
    let (v4, v6) = (address("192.0.2.1"), address("2001:db8:aa::1"));
    let add = |pool_spec: &mut PoolSpec, first: &str, form, policy| {
        let source = if first.contains(':') { v6 } else { v4 };
        let mode = Mode::Composed(Composition { form, source, policy });
        pool_spec.backends.extend(pool(first, 1, mode).backends);
    };
    let usual = Policy::default();
    let geneve = |inner_mac| Form::Geneve { port: 6081, vni: 0x12_3456, inner_mac };
    add(web, "10.0.2.1", Form::Gre { key: None }, usual);
    add(web, "2001:db8:bb::2:1", Form::Gre { key: Some(0xdead_beef) }, Policy { ttl: None, ..usual });
    let marked = Policy { dscp: Some(46), checksum: Some(true), ..usual };
    add(any_port, "10.0.2.2", geneve(Some([2, 0, 0, 0, 2, 2])), marked);
    add(any_port, "2001:db8:bb::2:2", geneve(None), Policy { checksum: Some(false), ..usual });
    let gue = Form::Gue { port: 6080, variant: GueVariant::Header };
    add(dns, "10.0.2.3", gue, Policy { vlan: Vlan::Set(100), decrement_ttl: false, ..usual });
    add(dns, "10.0.2.4", Form::L2Dsr, Policy { vlan: Vlan::Strip, ..usual });
}

/// Every kind of edit, behind every sort of service.
fn spec() -> Spec {
    let (v4, v6) = (address("192.0.2.1"), address("2001:db8:aa::1"));
    let gue = |source, variant| Mode::Gue { source, port: 6080, variant };
    let vxlan = |source| Mode::Vxlan { source, port: 4789, vni: 0xabcdef, inner_mac: [2, 0, 0, 0, 2, 1] };
    let mut web = pool("10.0.0.1", 4, Mode::Ipip { source: v4 });
    web.backends.extend(pool("2001:db8:bb::1", 3, Mode::Ipip { source: v6 }).backends);
    web.backends.extend(pool("10.0.1.1", 3, Mode::L2Dsr).backends);
    let mut dns = pool("2001:db8:bb::11", 3, gue(v6, GueVariant::Header));
    dns.backends.extend(pool("10.0.0.11", 2, gue(v4, GueVariant::Header)).backends);
    let mut any_port = pool("10.0.0.21", 3, vxlan(v4));
    any_port.backends.extend(pool("2001:db8:bb::21", 2, vxlan(v6)).backends);
    let mut quic = pool("10.0.0.31", 2, gue(v4, GueVariant::Direct));
    quic.backends.extend(pool("2001:db8:bb::31", 3, gue(v6, GueVariant::Direct)).backends);
    add_composed(&mut web, &mut dns, &mut any_port);
    let mut dark = pool("10.0.0.41", 2, Mode::Ipip { source: v4 });
    for backend in &mut dark.backends {
        backend.state = BackendState::Down;
    }
    let service = |addresses: &[&str], ports: &[u16], protocol, pool, is_tracked| ServiceSpec {
        addresses: addresses.iter().map(|one| one.parse().unwrap()).collect(),
        ports: ports.to_vec(),
        protocol,
        pool,
        is_tracked,
        ..ServiceSpec::default()
    };
    let unlimited = Budget { total: u32::MAX, per_source: u32::MAX };
    Spec {
        seed: 0x5eed,
        maglev_size: 1021,
        timeouts: Timeouts::default(),
        pools: vec![web, dns, any_port, quic, dark],
        services: vec![
            service(&["203.0.113.10", "2001:db8:cafe::10"], &[80, 443], 6, 0, true),
            service(&["203.0.113.53", "2001:db8:cafe::53"], &[53], 17, 1, false),
            service(&["203.0.113.20", "2001:db8:cafe::20"], &[], 6, 2, true),
            service(&["203.0.113.10", "2001:db8:cafe::10"], &[443], 17, 3, true),
            service(&["203.0.113.66"], &[80], 6, 4, true),
        ],
        nat: Default::default(),
        signals: Signals { errors: unlimited, echoes: unlimited, ..Signals::default() },
    }
}

/// Index of the first record of a service, and how many there are.
fn records_of(spec: &Spec, service: usize) -> std::ops::Range<usize> {
    let len = |service: &ServiceSpec| spec.pools[service.pool].backends.len();
    let first: usize = spec.services[..service].iter().map(len).sum();
    first..first + len(&spec.services[service])
}

/// The backend that a record stands for.
fn backend_of(spec: &Spec, record: RecordIndex) -> &BackendSpec {
    let record = usize::from(record);
    let service = (0..spec.services.len()).find(|one| records_of(spec, *one).contains(&record)).unwrap();
    &spec.pools[spec.services[service].pool].backends[record - records_of(spec, service).start]
}

/// Notices what asks for memory, in the thread that does, where it is not to.
#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// Invariant 7: does something that allocates nothing and gives nothing back.
fn no_allocation<T>(action: impl FnOnce() -> T) -> T {
    let before = violation_count();
    let done = assert_no_alloc(action);
    assert_eq!(violation_count(), before, "something was allocated or given back");
    done
}

#[test]
#[should_panic(expected = "something was allocated")]
fn an_allocation_would_be_noticed() {
    no_allocation(|| Box::new(7));
}

/// One worker with its tables.
struct Lab {
    spec: Spec,
    tables: Tables,
    pipeline: Pipeline,
    now: Tick,
}

impl Lab {
    fn at_level(spec: Spec, entries: usize, level: Level) -> Self {
        let tables = Tables::build(&spec).unwrap();
        let counters = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
        let pipeline = Pipeline::new(ConnTable::with_capacity(entries), counters, level);
        Self { spec, tables, pipeline, now: Tick(65_500) }
    }

    fn new() -> Self {
        Self::at_level(spec(), 4_096, Level::detect())
    }

    /// Sends frames in one burst; what became of each, and the bytes that are left of it.
    fn burst(&mut self, frames: &[Vec<u8>]) -> Vec<(Verdict, Vec<u8>)> {
        let mut packets: Vec<Frame> = frames.iter().map(|frame| Frame::new(frame)).collect();
        let (pipeline, tables, now, slots) = (&mut self.pipeline, &self.tables, self.now, &mut packets[..]);
        let verdicts = no_allocation(move || pipeline.process(tables, &OURS, now, slots)).to_vec();
        verdicts
            .into_iter()
            .zip(packets)
            .map(|(verdict, packet)| (verdict, packet.frame().to_vec()))
            .collect()
    }

    /// Sends one frame.
    fn send(&mut self, sample: &Sample) -> (Verdict, Vec<u8>) {
        self.burst(&[sample.frame()]).remove(0)
    }

    /// The record that a packet is forwarded to.
    fn record(&mut self, sample: &Sample) -> RecordIndex {
        match self.send(sample) {
            (Verdict::Forward(record), _) => record,
            (other, _) => panic!("{other:?} for {sample:?}"),
        }
    }

    /// Takes up another generation of tables.
    fn change(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        self.tables = Tables::build(&self.spec).unwrap();
    }

    /// Puts the backend of a record into a state.
    fn set_state(&mut self, record: RecordIndex, state: BackendState) {
        let owner = self.tables.owner(record).unwrap();
        self.change(|spec| spec.pools[owner.pool].backends[owner.backend].state = state);
    }

    fn wait(&mut self, ticks: u16) {
        self.now = Tick(self.now.0.wrapping_add(ticks));
        no_allocation(|| {
            self.pipeline.sweep(&self.tables, self.now, usize::MAX);
            self.pipeline.expire_fragments(&self.tables, self.now);
        });
    }

    /// What Maglev says of a packet.
    fn maglev(&self, sample: &Sample, service: usize) -> Option<RecordIndex> {
        let (_, key) = parse(&sample.frame(), OURS).unwrap();
        self.tables.select(service as u16, self.tables.hash(Level::Portable, &key))
    }

    fn counters(&self) -> &WorkerCounters {
        self.pipeline.counters()
    }
}

/// A client of the web service: `index` tells clients apart.
fn web(index: u32, flags: u8) -> Sample {
    let from = format!("198.51.{}.{}:{}", index >> 8 & 255, index & 255, 1024 + index);
    Sample::tcp(&from, "203.0.113.10:443", flags)
}
