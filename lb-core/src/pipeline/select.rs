//! Packets of special services: what `tables::select` says of them, counted.

use super::Burst;
use crate::conn::Line;
use crate::flow::FlowKey;
use crate::headers::Headers;
use crate::hw::Isa;
use crate::packet::Packet;
use crate::service::ServiceIndex;
use crate::tables::IdOutcome;
use crate::verdict::RecordIndex;
use std::ops::DerefMut;

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// The transport header of a packet and what follows it in the datagram; padding is not looked at.
    fn transport(&self, at: usize, headers: &Headers) -> &[u8] {
        let frame = self.packets.get(at).map_or(&[][..], |packet| packet.frame());
        let end = usize::from(headers.l3_offset) + usize::from(headers.ip_len);
        frame.get(usize::from(headers.l4_offset)..end).unwrap_or_default()
    }

    /// The record that a new flow of a special service gets.
    #[cold]
    pub(super) fn chosen<I: Isa>(
        &mut self,
        isa: I,
        at: usize,
        headers: &Headers,
        (service, key): (ServiceIndex, &FlowKey),
    ) -> Option<RecordIndex> {
        let flow = (key, self.stage.hashes[at]);
        let choice = self.tables.choose(isa, service, flow, self.transport(at, headers));
        self.count_id(choice.id);
        choice.record
    }

    /// True if a packet with an entry for `record` says that it belongs to another, live one: a client has moved to a
    /// tuple that was another's, and what a connection says of itself counts more than what was known of its tuple.
    /// Entries of services with slices are left over from a time without.
    #[inline(always)]
    pub(super) fn belongs_elsewhere(&mut self, at: usize, headers: &Headers, record: RecordIndex) -> bool {
        self.tables.tails.at(record).overrules_entries && self.names_another(at, headers, record)
    }

    #[cold]
    fn names_another(&mut self, at: usize, headers: &Headers, record: RecordIndex) -> bool {
        let Some(service) = self.tables.service_of(record) else { return false };
        if self.tables.has_slices(service) {
            return true;
        }
        let id = self.tables.by_server_id(service, headers.protocol, self.transport(at, headers));
        if matches!(id, IdOutcome::Routed(other) if other != record) {
            // Counted when it is chosen.
            return true;
        }
        self.count_id(id);
        false
    }

    fn count_id(&self, outcome: IdOutcome) {
        let counter = match outcome {
            IdOutcome::None => return,
            IdOutcome::Routed(_) => &self.counters.id_routed,
            IdOutcome::Unroutable => &self.counters.id_unroutable,
            IdOutcome::Unknown => &self.counters.id_unknown,
        };
        counter.add(1);
    }
}
