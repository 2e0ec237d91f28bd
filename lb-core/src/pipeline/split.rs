//! Packets of pools with `oversize: fragment` that do not fit their way out: taken apart before the outer headers go on, so
//! that outer packets are whole and no tunnel's end has to put any together (RFC 4459 section 3.4).
//!
//! The passes only give the verdict, because the pieces need buffers: the worker, who has some, asks for the pieces next.

use super::{BURST_MAX, Burst, Pipeline};
use crate::conn::Line;
use crate::encap;
use crate::fragments::split::Split;
use crate::hash::FlowHash;
use crate::headers::Headers;
use crate::packet::{self, Packet};
use crate::reason::DropReason;
use crate::spec::Oversize;
use crate::tables::Tables;
use crate::verdict::{RecordIndex, Verdict};
use std::ops::DerefMut;

impl<S: DerefMut<Target = [Line]>, P: Packet> Burst<'_, S, P> {
    /// True, with the verdict given, if a packet that cannot be forwarded to `record` for a reason leaves in pieces.
    #[cold]
    pub(super) fn leaves_in_pieces(
        &mut self,
        at: usize,
        record: RecordIndex,
        headers: &Headers,
        reason: DropReason,
    ) -> bool {
        let Some(tail) = self.tables.tails.get(usize::from(record)) else { return false };
        if reason != DropReason::MtuExceeded || tail.oversize != Oversize::Fragment || headers.is_v6 {
            return false;
        }
        let frame = self.packets.get(at).map_or(&[][..], |packet| packet.frame());
        let l3 = usize::from(headers.l3_offset);
        let can_split = datagram(frame, l3).is_some_and(|it| Split::new(it, tail.inner_max).is_some());
        if can_split {
            self.stage.verdicts[at] = Verdict::Split(record, headers.l3_offset);
        }
        can_split
    }
}

/// The datagram that starts at `l3`, without what follows it in the frame.
fn datagram(frame: &[u8], l3: usize) -> Option<&[u8]> {
    let ip = frame.get(l3..)?;
    ip.get(..usize::from(crate::wire::be16(ip, 2)?))
}

impl<S: DerefMut<Target = [Line]>> Pipeline<S> {
    /// Makes the pieces of a packet that was at place `at` of the last burst and got `Verdict::Split(record, l3)`: each is
    /// written into a buffer that `buffer` gives, edited for the backend and handed to `emit`. `tables` are those that the
    /// burst was decided by. Counts the pieces as forwarded to the record.
    ///
    /// # Errors
    /// The reason for which the packet is dropped, and counted as such; what has been emitted is not to be sent.
    #[cold]
    pub fn split<P: Packet>(
        &mut self,
        tables: &Tables,
        (at, record, l3): (usize, RecordIndex, u8),
        packet: &P,
        buffer: impl FnMut() -> Option<P>,
        emit: impl FnMut(P),
    ) -> Result<(), DropReason> {
        let hash = self.stage.hashes[at.min(BURST_MAX - 1)];
        let done = pieces(tables, (record, hash), (packet.frame(), l3), buffer, emit);
        match done {
            Ok((made, ip_bytes)) => {
                self.counters.fragmented.add(1);
                self.counters.fragments_made.add(made);
                let counters = self.counters.records.at(record);
                counters.packets.add(made);
                counters.ip_bytes.add(ip_bytes);
                Ok(())
            }
            Err(reason) => {
                let len = packet.frame().len();
                self.counters.drops.count(reason, len);
                let service = tables.service_of(record).map(usize::from);
                if let Some(drops) = service.and_then(|service| self.counters.service_drops.get(service)) {
                    drops.count(reason, len);
                }
                Err(reason)
            }
        }
    }
}

/// Their number, and the sum of the lengths of their datagrams.
fn pieces<P: Packet>(
    tables: &Tables,
    (index, hash): (RecordIndex, FlowHash),
    (frame, l3_offset): (&[u8], u8),
    mut buffer: impl FnMut() -> Option<P>,
    mut emit: impl FnMut(P),
) -> Result<(u64, u64), DropReason> {
    let l3 = usize::from(l3_offset);
    let (record, tail) = (tables.records.at(index), tables.tails.at(index));
    let whole = datagram(frame, l3).ok_or(DropReason::Malformed)?;
    let split = Split::new(whole, tail.inner_max).ok_or(DropReason::MtuExceeded)?;
    let (mut made, mut ip_bytes) = (0, 0);
    for part in split.parts() {
        let len = split.len_of(part);
        let mut piece = buffer().ok_or(DropReason::NoBuffer)?;
        let bytes = piece.reframe(0, l3 + len).ok_or(DropReason::NoBuffer)?;
        let (link, ip) = bytes.split_at_mut(l3);
        link.copy_from_slice(&frame[..l3]);
        split.write(part, ip).ok_or(DropReason::Malformed)?;
        let headers = Headers {
            ip_len: len as u16,
            // As with any fragment no shortcut may rely on a transport header.
            l4_offset: l3_offset.into(),
            l3_offset,
            protocol: ip[9],
            ttl: ip[8],
            ..Headers::default()
        };
        encap::apply(&mut piece, &headers, hash, record, tail)?;
        // As a small last piece without outer headers is.
        packet::pad(&mut piece);
        emit(piece);
        made += 1;
        ip_bytes += len as u64;
    }
    Ok((made, ip_bytes))
}
