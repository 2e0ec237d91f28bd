//! Which worker a translated flow belongs to, by either side's packets.
//!
//! What the client sends goes to the worker that a keyed hash of the client's address and port names. Answers in `nat`
//! carry the same address and port as their destination; in full NAT the local port names its worker. So every worker
//! can say of any packet whose session it belongs to, and no device has to be told.

use super::icmp::Error;
use super::tuple::octets;
use crate::flow::FlowKey;
use crate::headers::{NoFlow, PortFilter, parse};
use crate::tables::Tables;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;

/// The worker, of `workers`, that has the session of a frame, or of what an ICMP error quotes; `None` if it is not to be
/// translated.
pub fn worker_of(tables: &Tables, secret: [u64; 2], workers: usize, frame: &[u8]) -> Option<usize> {
    tables.nat()?;
    let sent = match parse(frame, PortFilter::ANY) {
        Ok((_, key)) => key,
        // An error goes where the answer to what it quotes would go.
        Err(NoFlow::Icmp(message)) => Error::parse(frame, &message)?.quoted.answered_flow(),
        Err(_) => return None,
    };
    worker_of_flow(tables, secret, workers, &sent)
}

fn worker_of_flow(tables: &Tables, secret: [u64; 2], workers: usize, key: &FlowKey) -> Option<usize> {
    let nat = tables.nat()?;
    if let Some(service) = tables.service(key.destination, key.destination_port, key.protocol) {
        return tables.is_nat(service).then(|| client_worker(secret, workers, key.source, key.source_port));
    }
    if let Some(range) = nat.range_of(key.destination) {
        return range.owner(key.destination_port, workers);
    }
    nat.is_backend(key.source).then(|| client_worker(secret, workers, key.destination, key.destination_port))
}

/// The worker of a client of a translated service.
pub fn client_worker(secret: [u64; 2], workers: usize, client: IpAddr, port: u16) -> usize {
    let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
    hasher.write(&octets(client));
    hasher.write_u16(port);
    // The high half times the number of workers: no division, no bias that anybody could measure.
    (((hasher.finish() >> 32) * workers.max(1) as u64) >> 32) as usize
}

#[cfg(test)]
mod tests;
