//! ICMP and ICMPv6: what a message is, what an error quotes, errors and replies of our own.
//!
//! [`quote`] reads errors about flows, [`build`] makes errors and replies in the buffer of the packet that they are
//! about, [`limit`] bounds how many of them leave. Who gets what is decided in `pipeline::icmp`.

pub mod build;
pub mod limit;
pub mod quote;

use crate::wire::{PROTOCOL_ICMP, PROTOCOL_ICMPV6};

/// Length of the fixed part of an error or an echo message, bytes, in both versions. In an error the quoted datagram
/// follows it.
pub const HEADER_LEN: usize = 8;

/// The protocol number of the ICMP that belongs to a version of IP.
pub const fn protocol(is_v6: bool) -> u8 {
    if is_v6 { PROTOCOL_ICMPV6 } else { PROTOCOL_ICMP }
}

/// The type of an echo request in a version of IP.
pub const fn echo_request(is_v6: bool) -> u8 {
    if is_v6 { 128 } else { 8 }
}

/// The type of an echo reply in a version of IP.
pub const fn echo_reply(is_v6: bool) -> u8 {
    if is_v6 { 129 } else { 0 }
}

/// What a message is to a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An error about a datagram, which it quotes: destination unreachable, too big, time exceeded, parameter problem.
    Error,
    /// An error that says by how much the quoted datagram is too long.
    TooBig,
    /// An echo request.
    EchoRequest,
    /// About a datagram as well, but not to be heeded by anybody: source quench (RFC 6633) and redirects, which only
    /// a neighbour may send (RFC 1122 section 3.2.2.2, RFC 4861 section 8.1).
    Obsolete,
    /// Anything else: echo replies, neighbour discovery, timestamps.
    Other,
}

impl Kind {
    /// The kind of a message by its first two bytes, type and code.
    pub const fn of(is_v6: bool, kind: u8, code: u8) -> Self {
        match (is_v6, kind, code) {
            (false, 3, 4) | (true, 2, _) => Self::TooBig,
            (false, 3 | 11 | 12, _) | (true, 1 | 3 | 4, _) => Self::Error,
            (false, 8, 0) | (true, 128, 0) => Self::EchoRequest,
            (false, 4 | 5, _) | (true, 137, _) => Self::Obsolete,
            _ => Self::Other,
        }
    }

    /// True if no error may be sent about such a message (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)).
    pub const fn is_error(self) -> bool {
        matches!(self, Self::Error | Self::TooBig | Self::Obsolete)
    }
}
