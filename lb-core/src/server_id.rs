//! Packets that name their server: QUIC connection IDs and a TCP option.
//!
//! QUIC: draft-ietf-quic-load-balancers-21. Of a packet only what RFC 8999 promises for every version is read: the
//! form bit, and where the destination connection ID is. TCP: the option of katran's "TPR", kind 0xb7, length 6,
//! four octets of server ID. Nothing here knows addresses or records.

use crate::spec::{QuicSpec, ServerIdSpec};
use crate::wire::{PROTOCOL_TCP, PROTOCOL_UDP, TCP_LEN, UDP_LEN};
use aes::Aes128;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};

/// Octets of a server ID at most: 19 octets less the shortest nonce.
pub const ID_LEN_MAX: usize = 15;
/// Octets of server ID and nonce at most: QUIC version 1 has connection IDs of 20.
pub const BLOCK_LEN_MAX: usize = 19;
/// Octets of a nonce at least.
pub const NONCE_LEN_MIN: usize = 4;
/// Configurations that a connection ID can name; the eighth number says that it cannot be routed.
pub const CONFIGS: usize = 7;
/// Kind of the TCP option.
pub const TCP_OPTION: u8 = 0xb7;
/// Octets of a server ID in it.
pub const TCP_ID_LEN: usize = 4;

/// Octets of the longest half of a block.
const HALF_LEN_MAX: usize = BLOCK_LEN_MAX.div_ceil(2);

/// A server ID, with zeros behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerId {
    octets: [u8; ID_LEN_MAX],
    len: u8,
}

impl ServerId {
    /// From 1 to [`ID_LEN_MAX`] octets.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut id = Self { octets: [0; ID_LEN_MAX], len: u8::try_from(octets.len()).ok()? };
        id.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        (!octets.is_empty()).then_some(id)
    }

    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// What a packet says of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nothing, and it is no packet that could.
    Nothing,
    /// A connection ID that no configuration can read.
    Unroutable,
    /// This server.
    Server(ServerId),
}

/// One configuration of connection IDs.
#[derive(Clone, Debug)]
struct Config {
    id_len: usize,
    /// Octets of server ID and nonce.
    len: usize,
    is_length_encoded: bool,
    cipher: Option<Aes128>,
}

/// Reads server IDs out of packets.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    configs: [Option<Box<Config>>; CONFIGS],
    reads_quic: bool,
    reads_tcp: bool,
}

impl Reader {
    /// A reader by a service's configurations. Validation has seen that lengths and numbers fit; those that do not
    /// are left out.
    pub fn new(spec: &ServerIdSpec) -> Self {
        let id_len = spec.ids.first().map_or(0, Vec::len);
        let mut reader =
            Self { reads_quic: !spec.quic.is_empty(), reads_tcp: spec.tcp_option, ..Self::default() };
        for one in &spec.quic {
            if let Some(place) = reader.configs.get_mut(usize::from(one.config_id)) {
                *place = Config::new(one, id_len).map(Box::new);
            }
        }
        reader
    }

    /// What a packet says: its transport header with all that follows in the datagram.
    pub fn read(&self, protocol: u8, transport: &[u8]) -> Named {
        match protocol {
            PROTOCOL_UDP if self.reads_quic => self.quic(transport.get(UDP_LEN..).unwrap_or_default()),
            PROTOCOL_TCP if self.reads_tcp => tcp_option(transport).map_or(Named::Nothing, Named::Server),
            _ => Named::Nothing,
        }
    }

    /// What a QUIC packet says. Coalesced packets have one destination connection ID (RFC 9000 section 12.2), so the
    /// first is enough.
    fn quic(&self, packet: &[u8]) -> Named {
        let Some(first) = packet.first() else { return Named::Nothing };
        // RFC 8999 section 5.2: no length, the ID is what the load balancer knows it to be.
        if first & 0x80 == 0 {
            return self.connection_id(&packet[1..], false);
        }
        // RFC 8999 section 5.1: version, then a length and the ID.
        let (Some(version), Some(len)) = (packet.get(1..5), packet.get(5)) else { return Named::Nothing };
        // Section 6: Version Negotiation carries IDs that the sender has not chosen. By the tuple.
        if version == [0; 4] {
            return Named::Nothing;
        }
        match packet.get(6..6 + usize::from(*len)) {
            Some(id) => self.connection_id(id, true),
            None => Named::Nothing,
        }
    }

    /// The server of a connection ID, or of what begins with one.
    fn connection_id(&self, id: &[u8], is_whole: bool) -> Named {
        let config = id.first().and_then(|first| self.configs.get(usize::from(first >> 5))?.as_deref());
        config.and_then(|config| config.server(id, is_whole)).map_or(Named::Unroutable, Named::Server)
    }
}

impl Config {
    fn new(spec: &QuicSpec, id_len: usize) -> Option<Self> {
        let len = id_len + usize::from(spec.nonce_len);
        let fits = (1..=ID_LEN_MAX).contains(&id_len)
            && usize::from(spec.nonce_len) >= NONCE_LEN_MIN
            && len <= BLOCK_LEN_MAX;
        fits.then(|| Self {
            id_len,
            len,
            is_length_encoded: spec.is_length_encoded,
            cipher: spec.key.map(|key| Aes128::new(&key.into())),
        })
    }

    fn server(&self, id: &[u8], is_whole: bool) -> Option<ServerId> {
        if self.is_length_encoded {
            let said = usize::from(id.first()? & 0x1f);
            // Servers may append octets of their own, so it may be longer than the configuration asks for.
            if said < self.len || is_whole && said + 1 != id.len() {
                return None;
            }
        }
        let mut block = [0; BLOCK_LEN_MAX];
        let block = &mut block[..self.len];
        block.copy_from_slice(id.get(1..=self.len)?);
        match &self.cipher {
            Some(cipher) if self.len == 16 => cipher.decrypt_block(block.into()),
            Some(cipher) => decrypt(cipher, block, self.id_len),
            None => {}
        }
        ServerId::new(&block[..self.id_len])
    }
}

/// The four passes of the draft's section 5.4.2, undone: as many as the server ID, `id_len` octets, needs.
fn decrypt(cipher: &Aes128, block: &mut [u8], id_len: usize) {
    let (len, half_len) = (block.len(), block.len().div_ceil(2));
    let (mut left, mut right) = ([0; HALF_LEN_MAX], [0; HALF_LEN_MAX]);
    left[..half_len].copy_from_slice(&block[..half_len]);
    right[..half_len].copy_from_slice(&block[len - half_len..]);
    // Of an odd number of octets the one in the middle belongs to both, four bits each.
    let (last_mask, first_mask) = if len % 2 == 1 { (0xf0, 0x0f) } else { (0xff, 0xff) };
    left[half_len - 1] &= last_mask;
    right[0] &= first_mask;
    let turn = |half: &mut [u8; HALF_LEN_MAX], other: &[u8; HALF_LEN_MAX], pass: u8| {
        let mut input = [0; 16];
        input[..half_len].copy_from_slice(&other[..half_len]);
        (input[14], input[15]) = (len as u8, pass);
        let mut output = input.into();
        cipher.encrypt_block(&mut output);
        for (octet, mask) in half[..half_len].iter_mut().zip(&output) {
            *octet ^= mask;
        }
    };
    turn(&mut left, &right, 4);
    left[half_len - 1] &= last_mask;
    turn(&mut right, &left, 3);
    right[0] &= first_mask;
    turn(&mut left, &right, 2);
    left[half_len - 1] &= last_mask;
    if id_len > len / 2 {
        turn(&mut right, &left, 1);
        right[0] &= first_mask;
    }
    block[..half_len].copy_from_slice(&left[..half_len]);
    // All of the octet in the middle is of the left half as far as anything was asked for; then of the right too.
    let (middle, rest) = (len - half_len, &right[..half_len]);
    block[half_len..].copy_from_slice(&rest[half_len - (len - half_len)..]);
    if len % 2 == 1 {
        block[middle] |= rest[0];
    }
}

/// The server ID in the options of a TCP header.
fn tcp_option(segment: &[u8]) -> Option<ServerId> {
    let header_len = usize::from(segment.get(12)? >> 4) * 4;
    let mut options = segment.get(TCP_LEN..header_len)?;
    loop {
        options = match *options.first()? {
            0 => return None,
            1 => &options[1..],
            kind => {
                let len = usize::from(*options.get(1)?);
                let octets = options.get(2..len)?;
                if kind == TCP_OPTION {
                    return (octets.len() == TCP_ID_LEN).then(|| ServerId::new(octets)).flatten();
                }
                &options[len..]
            }
        };
    }
}

#[cfg(test)]
mod tests;
