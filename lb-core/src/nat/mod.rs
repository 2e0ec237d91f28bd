//! Network address translation: backends that see another destination, and in full NAT another source as well.
//!
//! `nat` replaces the destination by the backend; its answers come back through us and get the VIP as their source.
//! `full_nat` replaces the client as well, by a local address and port of ours, so that answers find us by themselves;
//! with an IPv6 client and an IPv4 backend it is a stateful NAT64 (RFC 6146, RFC 7915). Everything that is changed
//! under a checksum is changed by RFC 1624 equation 3. What must hold: a flow has one [`Session`], found by its full
//! tuple from either side, for as long as RFC 5382 and RFC 4787 demand; nothing is allocated per packet; whatever
//! cannot be translated is dropped under a name.

pub(crate) mod icmp;
pub mod ports;
#[cfg(test)]
pub(crate) mod proved;
pub mod proxy;
pub mod rewrite;
pub mod session;
pub mod setup;
pub mod steer;
pub mod table;
pub mod toa;
mod translate64;
pub mod tuple;

pub use ports::LocalRange;
pub use session::{NatTimeouts, Session};
pub use setup::{ClientAddress, NatBackend, NatSpec, NatTables};
pub use table::{Direction, SessionTable};
pub use tuple::Tuple;

use ports::Share;

/// What one worker keeps for translation.
#[derive(Debug)]
pub struct Nat {
    pub(crate) sessions: SessionTable,
    pub(crate) share: Share,
    /// By which port the burst in hand came in.
    pub(crate) ingress: u8,
    /// Where the search for a local port goes on.
    pub(crate) cursor: u32,
    /// IPv4 identification of the next packet that needs one.
    pub(crate) identification: u16,
}

impl Nat {
    /// Room for `sessions` sessions of worker `index` of `count`. `secret` keys the hash of the table: who does not know
    /// it cannot choose who shares a place.
    pub fn new(sessions: usize, secret: [u64; 2], index: usize, count: usize) -> Self {
        Self {
            sessions: SessionTable::new(sessions, secret),
            share: Share::new(index, count),
            ingress: 0,
            cursor: secret[0] as u32,
            identification: secret[1] as u16,
        }
    }

    /// The sessions.
    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }
}
