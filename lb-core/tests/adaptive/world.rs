//! A pool under traffic, second by second: servers of hidden capacity, flows that stay where they are, real Maglev
//! tables, and reports that are noisy and late.

use crate::numbers::Numbers;
use lb_core::adapt::{Backend, Changes, Controller, Report, Settings};
use lb_core::maglev::{MaglevSeed, MaglevTable, Member};
use lb_core::slow_start::Ramp;
use lb_core::weight::{Factor, scaled};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub(crate) const SEED: u128 = 0x6775_6964_6577_6179_0001;
pub(crate) const SLOTS: u32 = 65_537;
const RAMP: Ramp = Ramp { duration: Duration::from_secs(30), start: 0.1 };
const REPORT_EVERY: u64 = 5;
const START: u64 = 1000;

/// What the world is like.
#[derive(Clone)]
pub(crate) struct Climate {
    /// Relative capacity of each server; the configuration does not know it.
    pub(crate) capacities: Vec<f64>,
    /// Mean utilisation of the pool, 1 = all full.
    pub(crate) utilisation: f64,
    /// Live flows of the pool.
    pub(crate) flows: f64,
    pub(crate) lifetime_seconds: f64,
    /// Deviation of a report, relative to its value.
    pub(crate) noise: f64,
    /// Reports are late by up to this.
    pub(crate) delay_seconds: f64,
    /// Whether the controller is told the live flows.
    pub(crate) counts_flows: bool,
    pub(crate) seed: u64,
}

pub(crate) struct Server {
    pub(crate) address: IpAddr,
    pub(crate) capacity: f64,
    pub(crate) up: bool,
    pub(crate) up_since: u64,
    pub(crate) live: u64,
    load: f64,
}

struct Flow {
    hash: u32,
    server: usize,
    cost: f64,
}

/// Something that happened, for the tests to judge.
pub(crate) struct Update {
    pub(crate) second: u64,
    /// Since the start of the run.
    pub(crate) age: u64,
    pub(crate) changes: Changes,
}

pub(crate) struct World {
    climate: Climate,
    pub(crate) second: u64,
    pub(crate) servers: Vec<Server>,
    pub(crate) controller: Option<Controller>,
    pub(crate) updates: Vec<Update>,
    /// Whether servers report at all.
    pub(crate) reports: bool,
    factors: Vec<(Factor, Factor)>,
    table: MaglevTable,
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    ends: BTreeMap<u64, Vec<usize>>,
    mail: BTreeMap<u64, Vec<(IpAddr, Report)>>,
    numbers: Numbers,
}

impl World {
    pub(crate) fn new(climate: Climate, settings: Option<Settings>) -> Self {
        let total: f64 = climate.capacities.iter().sum();
        let scale = climate.flows / climate.utilisation / total;
        let server = |(index, capacity): (usize, &f64)| Server {
            address: Ipv4Addr::from(0x0a00_0101 + index as u32).into(),
            capacity: capacity * scale,
            up: true,
            up_since: 0,
            live: 0,
            load: 0.0,
        };
        let servers: Vec<Server> = climate.capacities.iter().enumerate().map(server).collect();
        let factors = vec![(Factor::ONE, Factor::ONE); servers.len()];
        let controller = settings.map(|settings| Controller::new(settings, MaglevSeed::from(SEED), SLOTS));
        let table = table(&servers, &factors);
        let numbers = Numbers(climate.seed);
        let mut world = Self {
            climate,
            // Long enough after the start of the clock that no server is in slow start.
            second: START,
            servers,
            controller,
            updates: Vec::new(),
            reports: true,
            factors,
            table,
            flows: Vec::new(),
            free: Vec::new(),
            ends: BTreeMap::new(),
            mail: BTreeMap::new(),
            numbers,
        };
        // An hour of arrivals in advance: the flows that are still there make a steady state.
        let now = world.second;
        for before in (1..3600).rev() {
            world.arrivals(now - 1, before);
        }
        world
    }

    /// Seconds since the start of the run.
    pub(crate) fn age(&self) -> u64 {
        self.second - START
    }

    fn utilisation(&self, server: usize) -> f64 {
        self.servers[server].load / self.servers[server].capacity
    }

    pub(crate) fn factor(&self, server: usize) -> f64 {
        self.factors[server].1.value()
    }

    /// |u - mean| / mean of every server that is up and past its slow start.
    pub(crate) fn deviations(&self) -> Vec<f64> {
        let at = |server: &Server| self.second.saturating_sub(server.up_since);
        let settled = |server: &Server| server.up && !RAMP.is_rising(Duration::from_secs(at(server)));
        let levels: Vec<f64> = (0..self.servers.len())
            .filter(|index| settled(&self.servers[*index]))
            .map(|index| self.utilisation(index))
            .collect();
        let mean = levels.iter().sum::<f64>() / levels.len() as f64;
        levels.iter().map(|level| (level - mean).abs() / mean).collect()
    }

    /// A server dies: its flows go to the others with their next packet. Or it comes back, empty.
    pub(crate) fn set_up(&mut self, server: usize, up: bool) {
        self.servers[server].up = up;
        self.servers[server].up_since = self.second;
        self.refresh();
        for index in 0..self.flows.len() {
            let Some(flow) = self.flows[index].as_ref().filter(|flow| !self.servers[flow.server].up) else {
                continue;
            };
            let (from, cost) = (flow.server, flow.cost);
            let to = usize::from(self.table.lookup(flow.hash).expect("some server is up"));
            self.servers[from].live -= 1;
            self.servers[from].load -= cost;
            self.servers[to].live += 1;
            self.servers[to].load += cost;
            if let Some(flow) = self.flows[index].as_mut() {
                flow.server = to;
            }
        }
    }

    /// One second passes.
    pub(crate) fn step(&mut self) {
        self.second += 1;
        for index in self.ends.remove(&self.second).unwrap_or_default() {
            if let Some(flow) = self.flows[index].take() {
                self.servers[flow.server].live -= 1;
                self.servers[flow.server].load -= flow.cost;
                self.free.push(index);
            }
        }
        self.refresh();
        self.arrivals(self.second, 0);
        self.send_reports();
        self.control();
    }

    fn arrivals(&mut self, second: u64, before: u64) {
        // The cut tail takes a little of the mean; close enough.
        let rate = self.climate.flows / self.climate.lifetime_seconds;
        let count = rate.floor() as usize + usize::from(self.numbers.unit() < rate.fract());
        for _ in 0..count {
            let lives = self.numbers.lifetime_seconds(self.climate.lifetime_seconds).ceil() as u64;
            let (hash, cost) = (self.numbers.bits() as u32, 0.5 + self.numbers.unit());
            if lives <= before {
                continue;
            }
            let server = usize::from(self.table.lookup(hash).expect("some server is up"));
            self.servers[server].live += 1;
            self.servers[server].load += cost;
            let index = self.free.pop().unwrap_or_else(|| {
                self.flows.push(None);
                self.flows.len() - 1
            });
            self.flows[index] = Some(Flow { hash, server, cost });
            self.ends.entry(second + lives - before).or_default().push(index);
        }
    }

    fn send_reports(&mut self) {
        for index in 0..self.servers.len() {
            if self.servers[index].up
                && self.reports
                && (self.second + index as u64).is_multiple_of(REPORT_EVERY)
            {
                let noise = 1.0 + self.climate.noise * self.numbers.normal();
                let value = (self.utilisation(index) * noise).max(0.0);
                let delay = (self.numbers.unit() * self.climate.delay_seconds) as u64;
                let report = Report { value, at: Duration::from_secs(self.second) };
                let mail = (self.servers[index].address, report);
                self.mail.entry(self.second + delay).or_default().push(mail);
            }
        }
    }

    fn control(&mut self) {
        let mail = self.mail.remove(&self.second).unwrap_or_default();
        let Some(controller) = &mut self.controller else { return };
        for (address, report) in mail {
            assert!(controller.report(address, report));
        }
        let counts = self.servers.iter().map(|server| (server.address, server.live));
        let live = if self.climate.counts_flows { counts.collect() } else { BTreeMap::new() };
        let Some(changes) = controller.decide(Duration::from_secs(self.second), &live) else { return };
        self.updates.push(Update { second: self.second, age: self.age(), changes });
        self.refresh();
    }

    /// Factors and table as they are now.
    fn refresh(&mut self) {
        let slow_start = |server: &Server| {
            if server.up_since == 0 {
                return Factor::ONE;
            }
            RAMP.factor(Duration::from_secs(self.second - server.up_since))
        };
        let ramps: Vec<Factor> = self.servers.iter().map(slow_start).collect();
        if let Some(controller) = &mut self.controller {
            let backend = |(server, slow_start): (&Server, &Factor)| Backend {
                address: server.address,
                weight: 100,
                is_serving: server.up,
                slow_start: *slow_start,
            };
            let backends: Vec<Backend> = self.servers.iter().zip(&ramps).map(backend).collect();
            controller.set_backends(&backends);
        }
        let adaptive = |server: &Server| {
            self.controller.as_ref().map_or(Factor::ONE, |controller| controller.factor(server.address))
        };
        let factors: Vec<(Factor, Factor)> =
            self.servers.iter().zip(ramps).map(|(server, ramp)| (ramp, adaptive(server))).collect();
        let up = |server: &Server| server.up;
        let was_up: Vec<bool> = self.table.shares().iter().map(|share| *share > 0).collect();
        if factors != self.factors || was_up != self.servers.iter().map(up).collect::<Vec<_>>() {
            self.factors = factors;
            self.table = table(&self.servers, &self.factors);
        }
    }
}

fn table(servers: &[Server], factors: &[(Factor, Factor)]) -> MaglevTable {
    let identities: Vec<Vec<u8>> = servers
        .iter()
        .map(|server| match server.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        })
        .collect();
    let members: Vec<Member<'_>> = servers
        .iter()
        .zip(factors)
        .zip(&identities)
        .map(|((server, (ramp, adaptive)), identity)| Member {
            identity,
            weight: if server.up { scaled(100, *ramp, *adaptive) } else { 0 },
        })
        .collect();
    MaglevTable::build(MaglevSeed::from(SEED), SLOTS, &members).expect("a prime and distinct identities")
}
