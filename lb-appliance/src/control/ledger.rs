//! What counters mean: they stay with their number, and numbers can change hands.
//!
//! A number counts upwards for the life of the process. What a VIP or a backend has counted is the difference to
//! what the number showed when it was given to it, and a VIP also keeps what its former backends have counted.

use crate::instruments::WorkerInstruments;
use lb_core::reason::DropReason;
use lb_core::service::ServiceIndex;
use lb_core::tables::Tables;
use lb_core::verdict::RecordIndex;
use lb_core::wire::ETHERNET_LEN;
use std::collections::HashMap;
use std::sync::Arc;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes as received: IP datagrams with an untagged Ethernet header each.
    pub receive_bytes: u64,
    /// Bytes as sent, encapsulation included.
    pub transmit_bytes: u64,
    /// Flows.
    pub connections: u64,
    /// Gauge: entries in the connection tables.
    pub active: u64,
}

impl Traffic {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.receive_bytes += other.receive_bytes;
        self.transmit_bytes += other.transmit_bytes;
        self.connections += other.connections;
        self.active += other.active;
    }

    /// What came after `base`; gauges as they are.
    fn since(self, base: &Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(base.packets),
            receive_bytes: self.receive_bytes.saturating_sub(base.receive_bytes),
            transmit_bytes: self.transmit_bytes.saturating_sub(base.transmit_bytes),
            connections: self.connections.saturating_sub(base.connections),
            active: self.active,
        }
    }
}

/// Whose a record number is, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    service: ServiceIndex,
    base: Traffic,
    /// Bytes in front of the client's datagram on the way out.
    header_len: usize,
    /// Packets that were sent with another encapsulation differ by so many bytes.
    correction: i64,
}

/// Drops of one service by reason.
type Drops = [u64; DropReason::COUNT];

/// All numbers.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    records: HashMap<RecordIndex, Row>,
    retired: HashMap<ServiceIndex, Traffic>,
    drop_bases: HashMap<ServiceIndex, Drops>,
}

impl Ledger {
    /// A ledger for tables that nothing came before: every number belongs to who has it.
    pub fn of(tables: &Tables) -> Self {
        let mut ledger = Self::default();
        for (record, owner) in tables.owners() {
            ledger.enter(record, tables.layout().services[owner.service]);
        }
        ledger.note_headers(tables, &[]);
        ledger
    }

    /// A number is given to a pair of this service.
    pub(super) fn enter(&mut self, record: RecordIndex, service: ServiceIndex) {
        self.records.entry(record).or_default().service = service;
    }

    /// Its pair is gone for good: what it has counted stays with the service.
    pub(super) fn give_record_away(&mut self, record: RecordIndex, workers: &[Arc<WorkerInstruments>]) {
        let Some(row) = self.records.get(&record).copied() else { return };
        let counted = self.record(record, workers);
        self.retired.entry(row.service).or_default().add(&Traffic { active: 0, ..counted });
        let base = row.read(record, workers);
        self.records.insert(record, Row { base, ..row });
    }

    /// The service is gone for good.
    pub(super) fn give_service_away(&mut self, service: ServiceIndex, workers: &[Arc<WorkerInstruments>]) {
        let own: Vec<RecordIndex> = self
            .records
            .iter()
            .filter(|(_, row)| row.service == service)
            .map(|(record, _)| *record)
            .collect();
        for record in own {
            self.give_record_away(record, workers);
        }
        self.retired.remove(&service);
        let now = std::array::from_fn(|reason| read_drops(service, reason, workers));
        self.drop_bases.insert(service, now);
    }

    /// Notes how long the headers are that `tables` make, so that bytes sent before stay what they were.
    pub(super) fn note_headers(&mut self, tables: &Tables, workers: &[Arc<WorkerInstruments>]) {
        for (record, _) in tables.owners() {
            let Some(row) = self.records.get_mut(&record) else { continue };
            let header_len = tables.header_len(record);
            if row.header_len != header_len && row.header_len != 0 {
                let packets: u64 =
                    workers.iter().map(|worker| worker.packets.records.at(record).packets.get()).sum();
                row.correction += packets as i64 * (row.header_len as i64 - header_len as i64);
            }
            row.header_len = header_len;
        }
    }

    /// What the pair that has a record number has counted.
    pub fn record(&self, record: RecordIndex, workers: &[Arc<WorkerInstruments>]) -> Traffic {
        self.records
            .get(&record)
            .map_or_else(Traffic::default, |row| row.read(record, workers).since(&row.base))
    }

    /// What every service has counted, former backends included, by its number.
    pub fn services(&self, workers: &[Arc<WorkerInstruments>]) -> HashMap<ServiceIndex, Traffic> {
        let mut sums = self.retired.clone();
        for (record, row) in &self.records {
            sums.entry(row.service).or_default().add(&row.read(*record, workers).since(&row.base));
        }
        sums
    }

    /// Packets of a service that were dropped for a reason.
    pub fn drops(
        &self,
        service: ServiceIndex,
        reason: DropReason,
        workers: &[Arc<WorkerInstruments>],
    ) -> u64 {
        let base = self.drop_bases.get(&service).map_or(0, |base| base[reason as usize]);
        read_drops(service, reason as usize, workers).saturating_sub(base)
    }
}

impl Row {
    /// What the number shows.
    fn read(&self, record: RecordIndex, workers: &[Arc<WorkerInstruments>]) -> Traffic {
        let mut sum = Traffic::default();
        for counters in workers.iter().map(|worker| worker.packets.records.at(record)) {
            // Read once: bytes on both sides must be of the same packets.
            let (packets, ip_bytes) = (counters.packets.get(), counters.ip_bytes.get());
            sum.packets += packets;
            sum.receive_bytes += ip_bytes + packets * ETHERNET_LEN as u64;
            sum.transmit_bytes += ip_bytes + packets * self.header_len as u64;
            sum.connections += counters.connections.get();
            sum.active += counters.active.get();
        }
        sum.transmit_bytes = sum.transmit_bytes.saturating_add_signed(self.correction);
        sum
    }
}

fn read_drops(service: ServiceIndex, reason: usize, workers: &[Arc<WorkerInstruments>]) -> u64 {
    workers.iter().map(|worker| worker.packets.service_drops.at(service).packets[reason].get()).sum()
}
