//! Numbers of services and records that keep their meaning from one generation to the next.
//!
//! Connection entries and counters know a (VIP, backend) pair by its number only. A pair that goes keeps its number
//! while numbers that nobody had yet last, so that a roll-back finds its counts again, and those of its flows that the
//! sweep has not met meanwhile (it removes entries of dead records). Only then is a
//! number given away, and only one whose pair has no connection entry left on any worker.

use super::ledger::Ledger;
use crate::instruments::WorkerInstruments;
use lb_core::service::ServiceIndex;
use lb_core::spec::{RECORDS_MAX, Spec};
use lb_core::tables::Layout;
use lb_core::verdict::RecordIndex;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A pair of VIP and backend. The address is the backend's identity, as in the Maglev tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    service: ServiceIndex,
    backend: IpAddr,
}

/// The numbers given out so far.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    services: HashMap<String, ServiceIndex>,
    records: HashMap<Pair, RecordIndex>,
    /// Numbers below which every one has been given out.
    next_service: usize,
    next_record: usize,
    limit: usize,
}

/// More pairs of VIP and backend, or more VIPs, than there are numbers that are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Default for Numbers {
    fn default() -> Self {
        Self {
            services: HashMap::new(),
            records: HashMap::new(),
            next_service: 0,
            next_record: 0,
            limit: RECORDS_MAX,
        }
    }
}

impl Numbers {
    #[cfg(test)]
    fn with_limit(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The layout of `spec`, whose services have the names `vips`. `workers` tell which numbers are still in use;
    /// what is given to somebody else is noted in `ledger`.
    pub(super) fn assign(
        &mut self,
        spec: &Spec,
        vips: &[String],
        workers: &[Arc<WorkerInstruments>],
        ledger: &mut Ledger,
    ) -> Result<Layout, Exhausted> {
        let mut layout = Layout::default();
        let wanted: HashSet<&str> = vips.iter().map(String::as_str).collect();
        for name in vips {
            layout.services.push(self.service(name, &wanted, workers, ledger)?);
        }
        let pairs: Vec<Vec<Pair>> = spec
            .services
            .iter()
            .zip(&layout.services)
            .map(|(service, number)| {
                let backends = spec.pools.get(service.pool).map_or(&[][..], |pool| &pool.backends);
                backends.iter().map(|backend| Pair { service: *number, backend: backend.address }).collect()
            })
            .collect();
        let mut spare = Spare::new(pairs.iter().flatten().copied().collect());
        for pairs in &pairs {
            let numbers = pairs.iter().map(|pair| self.record(*pair, &mut spare, workers, ledger));
            layout.records.push(numbers.collect::<Result<_, _>>()?);
        }
        Ok(layout)
    }

    fn service(
        &mut self,
        name: &str,
        wanted: &HashSet<&str>,
        workers: &[Arc<WorkerInstruments>],
        ledger: &mut Ledger,
    ) -> Result<ServiceIndex, Exhausted> {
        if let Some(number) = self.services.get(name) {
            return Ok(*number);
        }
        if self.next_service < self.limit {
            let number = self.next_service as ServiceIndex;
            self.next_service += 1;
            self.services.insert(name.to_owned(), number);
            return Ok(number);
        }
        let is_over = |number: ServiceIndex, records: &HashMap<Pair, RecordIndex>| {
            let mut own = records.iter().filter(|(pair, _)| pair.service == number);
            own.all(|(_, record)| active(workers, *record) == 0)
        };
        let gone = self
            .services
            .iter()
            .find(|(other, number)| !wanted.contains(other.as_str()) && is_over(**number, &self.records));
        let (old, number) = gone.map(|(old, number)| (old.clone(), *number)).ok_or(Exhausted)?;
        self.services.remove(&old);
        self.services.insert(name.to_owned(), number);
        ledger.give_service_away(number, workers);
        Ok(number)
    }

    fn record(
        &mut self,
        pair: Pair,
        spare: &mut Spare,
        workers: &[Arc<WorkerInstruments>],
        ledger: &mut Ledger,
    ) -> Result<RecordIndex, Exhausted> {
        if let Some(number) = self.records.get(&pair) {
            return Ok(*number);
        }
        let number = if self.next_record < self.limit {
            self.next_record += 1;
            (self.next_record - 1) as RecordIndex
        } else {
            let (old, number) = spare.take(&self.records, workers).ok_or(Exhausted)?;
            self.records.remove(&old);
            ledger.give_record_away(number, workers);
            number
        };
        self.records.insert(pair, number);
        ledger.enter(number, pair.service);
        Ok(number)
    }
}

/// Numbers that can be given to somebody else, looked for only if they are needed.
struct Spare {
    wanted: HashSet<Pair>,
    found: Option<Vec<(Pair, RecordIndex)>>,
}

impl Spare {
    fn new(wanted: HashSet<Pair>) -> Self {
        Self { wanted, found: None }
    }

    fn take(
        &mut self,
        records: &HashMap<Pair, RecordIndex>,
        workers: &[Arc<WorkerInstruments>],
    ) -> Option<(Pair, RecordIndex)> {
        let wanted = &self.wanted;
        let look = || {
            let is_free = |(pair, number): &(&Pair, &RecordIndex)| {
                !wanted.contains(*pair) && active(workers, **number) == 0
            };
            records.iter().filter(is_free).map(|(pair, number)| (*pair, *number)).collect()
        };
        self.found.get_or_insert_with(look).pop()
    }
}

/// Connection entries that refer to a record.
pub(super) fn active(workers: &[Arc<WorkerInstruments>], record: RecordIndex) -> u64 {
    workers.iter().map(|worker| worker.packets.records.at(record).active.get()).sum()
}

#[cfg(test)]
mod tests;
