//! Datagrams without ports of their own: ICMP messages and fragments.

use super::{Headers, IpHeaders};
use crate::flow::FlowKey;
use crate::icmp::build::Place;
use crate::reason::DropReason;
use std::net::IpAddr;

/// What is known of an ICMP message or a fragment after parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portless {
    /// Its summary. `l4_offset` is where the message, or the data of the fragment, starts; of a fragment, `protocol` is what
    /// the data of the whole datagram starts with.
    pub headers: Headers,
    /// Who sent it.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
}

impl Portless {
    pub(super) fn new(ip: &[u8], parsed: &IpHeaders, l3_offset: usize) -> Result<Self, DropReason> {
        let IpHeaders { ip_len, l4, protocol, ttl, is_v6 } = *parsed;
        let (source, destination) = FlowKey::addresses(ip, is_v6).ok_or(DropReason::Malformed)?;
        // An extension header may claim more than there is; nothing starts behind the end.
        if l4 > usize::from(ip_len) {
            return Err(DropReason::Malformed);
        }
        let l4_offset = u16::try_from(l3_offset + l4).map_err(|_| DropReason::Malformed)?;
        let l3_offset = l3_offset as u8;
        let headers = Headers { ip_len, l4_offset, l3_offset, protocol, tcp_flags: 0, ttl, is_v6 };
        Ok(Self { headers, source, destination })
    }

    /// Where the datagram lies in its frame.
    pub fn place(&self) -> Place {
        let Headers { l3_offset, ip_len, is_v6, .. } = self.headers;
        Place { l3_offset: l3_offset.into(), len: ip_len.into(), is_v6 }
    }

    /// The summary for an edit: without a transport header, so that no shortcut relies on the checksum of one, which
    /// covers more than this, or less.
    pub fn for_edit(&self) -> Headers {
        Headers { l4_offset: self.headers.l3_offset.into(), ..self.headers }
    }

    /// The key by which such packets of one sender are told from those of another: the addresses and the protocol.
    pub fn key(&self) -> FlowKey {
        let Self { headers, source, destination } = *self;
        FlowKey { source, destination, source_port: 0, destination_port: 0, protocol: headers.protocol }
    }
}

/// One fragment of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its addresses and lengths.
    pub datagram: Portless,
    /// Identification; 16 bits over IPv4.
    pub id: u32,
    /// Where its data belongs in the data of the datagram, bytes.
    pub offset: u16,
    /// True if it is not the last.
    pub has_more: bool,
}

impl Fragment {
    pub(super) fn new(datagram: Portless, id: u32, offset: u16, has_more: bool) -> Self {
        Self { datagram, id, offset, has_more }
    }

    /// Length of its data, bytes.
    pub fn len(&self) -> u16 {
        let Headers { ip_len, l4_offset, l3_offset, .. } = self.datagram.headers;
        (ip_len + u16::from(l3_offset)).saturating_sub(l4_offset)
    }

    /// True if it carries no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True for the first of its datagram.
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// What tells its datagram from others: addresses, id and, over IPv4, the protocol (RFC 791 section 3.2, RFC 8200
    /// section 4.5). The id stands where ports would.
    pub fn datagram_key(&self) -> FlowKey {
        let Portless { headers, source, destination } = self.datagram;
        let protocol = if headers.is_v6 { crate::wire::NEXT_FRAGMENT } else { headers.protocol };
        let (source_port, destination_port) = ((self.id >> 16) as u16, self.id as u16);
        FlowKey { source, destination, source_port, destination_port, protocol }
    }
}
