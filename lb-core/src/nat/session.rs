//! One translated flow: its tuples on both sides, the way back to its client, its age and state.

use super::tuple::Tuple;
use crate::clock::Tick;
use crate::service::ServiceIndex;
use crate::verdict::RecordIndex;
use crate::wire::{PROTOCOL_TCP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};
use zerocopy::FromZeros;

/// Idle timeouts of sessions, ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatTimeouts {
    /// TCP after both sides were heard and neither ended it.
    pub tcp_established_ticks: u16,
    /// TCP that is being opened, and after FIN or RST.
    pub tcp_transitory_ticks: u16,
    /// UDP.
    pub udp_ticks: u16,
}

impl Default for NatTimeouts {
    /// RFC 5382 REQ-5: established at least 2 h 4 min, transitory at least 4 min. RFC 4787 REQ-5: UDP, the default that
    /// is recommended is 5 min.
    fn default() -> Self {
        Self { tcp_established_ticks: 7_440, tcp_transitory_ticks: 240, udp_ticks: 300 }
    }
}

const BACKEND_ANSWERED: u8 = 0x01;
const CLIENT_CONFIRMED: u8 = 0x02;
const CLIENT_FIN: u8 = 0x04;
const BACKEND_FIN: u8 = 0x08;
const RESET: u8 = 0x10;

/// A session. All zero is a place without one.
#[derive(Clone, Copy, Debug, FromZeros)]
pub struct Session {
    /// What the client sends: client to VIP.
    pub forward: Tuple,
    /// What the backend sends: backend to client, or to our local address.
    pub backward: Tuple,
    /// The record that the flow was given.
    pub record: RecordIndex,
    /// The service that it belongs to.
    pub service: ServiceIndex,
    /// Ethernet addresses of frames to the client, destination first: the reverse of what its last packet had. The
    /// client, or the router that it is behind, is by that reachable whatever is known of routes.
    pub client_macs: [u8; 12],
    /// The port by which its last packet came, and by which answers leave.
    pub ingress: u8,
    /// Sequence number of the client's SYN.
    pub client_isn: u32,
    /// Sequence number of the backend's SYN.
    pub backend_isn: u32,
    /// Bytes that were put in front of the client's stream (PROXY protocol).
    pub prefix_len: u8,
    /// The backend has acknowledged them.
    pub prefix_acked: bool,
    /// And so much more that it has nothing to say of them any more.
    pub prefix_settled: bool,
    pub(super) seen: u8,
    pub(super) last: u16,
    pub(super) is_used: bool,
}

impl Session {
    /// A new session, opened at `now` by a packet of the tuple `forward`.
    pub fn new(
        forward: Tuple,
        backward: Tuple,
        (service, record): (ServiceIndex, RecordIndex),
        now: Tick,
    ) -> Self {
        let mut session = Self::new_zeroed();
        session.forward = forward;
        session.backward = backward;
        session.service = service;
        session.record = record;
        session.last = now.0;
        session
    }

    /// Notes a packet of the client.
    pub fn note_forward(&mut self, tcp_flags: u8, now: Tick) {
        self.last = now.0;
        if self.forward.protocol != PROTOCOL_TCP {
            return;
        }
        self.note_end(tcp_flags, CLIENT_FIN);
        if self.seen & BACKEND_ANSWERED != 0 && tcp_flags & (TCP_SYN | TCP_RST) == 0 {
            self.seen |= CLIENT_CONFIRMED;
        }
    }

    /// Notes a packet of the backend.
    pub fn note_backward(&mut self, tcp_flags: u8, now: Tick) {
        self.last = now.0;
        if self.forward.protocol == PROTOCOL_TCP {
            self.note_end(tcp_flags, BACKEND_FIN);
            if tcp_flags & TCP_RST == 0 {
                self.seen |= BACKEND_ANSWERED;
            }
        }
    }

    /// A reset may be forged: a packet after it takes it back (RFC 7857 section 2.2).
    fn note_end(&mut self, tcp_flags: u8, fin: u8) {
        if tcp_flags & TCP_RST != 0 {
            self.seen |= RESET;
        } else {
            self.seen &= !RESET;
        }
        if tcp_flags & TCP_FIN != 0 {
            self.seen |= fin;
        }
    }

    /// True once a FIN or a reset was seen.
    pub fn is_closing(&self) -> bool {
        self.seen & (CLIENT_FIN | BACKEND_FIN | RESET) != 0
    }

    /// True if both sides were heard and neither has ended it.
    pub fn is_established(&self) -> bool {
        self.seen & (BACKEND_ANSWERED | CLIENT_CONFIRMED) == BACKEND_ANSWERED | CLIENT_CONFIRMED
            && !self.is_closing()
    }

    /// The idle timeout that applies, ticks.
    pub fn timeout(&self, timeouts: &NatTimeouts) -> u16 {
        match self.forward.protocol {
            PROTOCOL_TCP if self.is_established() => timeouts.tcp_established_ticks,
            PROTOCOL_TCP => timeouts.tcp_transitory_ticks,
            _ => timeouts.udp_ticks,
        }
    }

    /// True if its answers come to an address of ours.
    pub fn has_local_port(&self) -> bool {
        self.backward.is_v6 != self.forward.is_v6 || self.backward.destination != self.forward.source
    }

    /// Seconds since its last packet.
    pub fn idle(&self, now: Tick) -> u16 {
        now.since(Tick(self.last))
    }

    /// True if its time is over.
    pub fn is_expired(&self, now: Tick, timeouts: &NatTimeouts) -> bool {
        self.idle(now) >= self.timeout(timeouts)
    }

    /// Notes the sequence number of a SYN, while the connection is being opened: one that comes later is a stranger's,
    /// or the backend will refuse it.
    pub fn note_sequence(&mut self, is_forward: bool, tcp_flags: u8, sequence: u32) {
        let flags = tcp_flags & (TCP_SYN | TCP_ACK);
        if is_forward && flags == TCP_SYN && self.seen & BACKEND_ANSWERED == 0 {
            self.client_isn = sequence;
        }
        if !is_forward && flags == TCP_SYN | TCP_ACK && self.seen & CLIENT_CONFIRMED == 0 {
            self.backend_isn = sequence;
        }
    }
}
