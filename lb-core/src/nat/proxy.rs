//! PROXY protocol version 2 in front of a client's stream, and the sequence numbers that follow from it.
//!
//! The header goes into the first segment behind the client's SYN, be it data or the bare ACK of the handshake, and
//! again into every segment with the same sequence number until the backend has acknowledged it: what is lost is thereby
//! sent again by whoever sends again. From then on the backend counts `len` bytes more than the client, and every
//! sequence number, acknowledgement and SACK block is shifted on its way. The backend's MSS is lowered by `len` on its
//! way to the client, so that a full segment has room for the header.

use super::session::Session;
use super::tuple::Tuple;
use crate::wire::PROTOCOL_TCP;

/// So many bytes of a client's stream behind the header, nothing is said of the header any more.
const SETTLED_LEN: u32 = 1 << 20;
/// Longest header: that of IPv6.
pub const PROXY_LEN_MAX: usize = 52;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_COMMAND: u8 = 0x21;

/// Length of the header for clients of a family: signature, version, family, length, addresses, ports.
pub const fn len(is_v6: bool) -> usize {
    if is_v6 { PROXY_LEN_MAX } else { 28 }
}

/// Writes the header of a flow; returns its length.
pub fn write(client: &Tuple, into: &mut [u8]) -> Option<usize> {
    let header = into.get_mut(..len(client.is_v6))?;
    let transport = if client.protocol == PROTOCOL_TCP { 1 } else { 2 };
    let addresses = client.address_len();
    header[..12].copy_from_slice(&SIGNATURE);
    header[12] = VERSION_COMMAND;
    header[13] = if client.is_v6 { 0x20 } else { 0x10 } | transport;
    header[14..16].copy_from_slice(&(2 * addresses as u16 + 4).to_be_bytes());
    header[16..16 + addresses].copy_from_slice(&client.source[..addresses]);
    header[16 + addresses..16 + 2 * addresses].copy_from_slice(&client.destination[..addresses]);
    header[16 + 2 * addresses..18 + 2 * addresses].copy_from_slice(&client.source_port.to_be_bytes());
    header[18 + 2 * addresses..].copy_from_slice(&client.destination_port.to_be_bytes());
    Some(len(client.is_v6))
}

/// True if `a` is `b` or after it in sequence space (RFC 9293 section 3.4).
fn is_from(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

impl Session {
    /// The sequence number of the client's first byte.
    fn stream_start(&self) -> u32 {
        self.client_isn.wrapping_add(1)
    }

    /// True if a segment of the client (no SYN, no reset) has to carry the header.
    pub fn needs_prefix(&self, sequence: u32) -> bool {
        self.prefix_len > 0 && !self.prefix_acked && sequence == self.stream_start()
    }

    /// A sequence number of the client as the backend counts; that of a segment which carries the header stays.
    pub fn to_backend(&self, sequence: u32) -> u32 {
        if self.prefix_acked || is_from(sequence, self.stream_start()) {
            sequence.wrapping_add(u32::from(self.prefix_len))
        } else {
            sequence
        }
    }

    /// An acknowledgement or SACK edge of the backend as the client counts.
    pub fn to_client(&self, acknowledged: u32) -> u32 {
        let start = self.stream_start();
        let behind = start.wrapping_add(u32::from(self.prefix_len));
        // 2 GiB later the start is no help any more; and until the stream is well on its way the backend may still say
        // in a D-SACK (RFC 2883) that it got the header twice, which comes to nothing here.
        if self.prefix_settled || is_from(acknowledged, behind) {
            acknowledged.wrapping_sub(u32::from(self.prefix_len))
        } else if is_from(acknowledged, start) {
            start
        } else {
            acknowledged
        }
    }

    /// Notes an acknowledgement of the backend.
    pub fn note_acknowledged(&mut self, acknowledged: u32) {
        let behind = self.stream_start().wrapping_add(u32::from(self.prefix_len));
        self.prefix_acked |= self.prefix_len > 0 && is_from(acknowledged, behind);
        self.prefix_settled |= self.prefix_acked && is_from(acknowledged, behind.wrapping_add(SETTLED_LEN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;
    use crate::flow::FlowKey;
    use proptest::prelude::*;

    fn tuple(source: &str, destination: &str) -> Tuple {
        let (source, destination): (std::net::SocketAddr, std::net::SocketAddr) =
            (source.parse().unwrap(), destination.parse().unwrap());
        Tuple::of(&FlowKey {
            source: source.ip(),
            destination: destination.ip(),
            source_port: source.port(),
            destination_port: destination.port(),
            protocol: 6,
        })
    }

    #[test]
    fn the_header_is_that_of_the_specification() {
        let mut bytes = [0; PROXY_LEN_MAX];
        let len = write(&tuple("192.0.2.1:258", "203.0.113.9:443"), &mut bytes).unwrap();
        let expected = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\
            \xc0\x00\x02\x01\xcb\x00\x71\x09\x01\x02\x01\xbb";
        assert_eq!(bytes[..len], expected[..]);
        let len = write(&tuple("[2001:db8::1]:258", "[2001:db8::2]:443"), &mut bytes).unwrap();
        assert_eq!((len, &bytes[12..16]), (52, &[0x21, 0x21, 0, 36][..]));
        assert_eq!(bytes[16..20], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(bytes[48..], [1, 2, 1, 0xbb]);
    }

    #[test]
    fn a_header_that_came_twice_is_no_news_for_the_client_and_numbers_may_come_round() {
        let flow = tuple("192.0.2.1:258", "203.0.113.9:443");
        let mut session = Session::new(flow, flow.reversed(), (0, 0), Tick(0));
        (session.client_isn, session.prefix_len) = (99, 28);
        session.note_acknowledged(128 + 500);
        assert!(session.prefix_acked && !session.prefix_settled);
        // A D-SACK of the header: the client would count it as nonsense below its first byte.
        assert_eq!((session.to_client(100), session.to_client(128)), (100, 100));
        assert_eq!(session.to_client(628), 600);
        session.note_acknowledged(128 + SETTLED_LEN);
        assert!(session.prefix_settled);
        for later in [0x7fff_ffff_u32, 0x9000_0000, 110] {
            assert_eq!(session.to_client(later), later.wrapping_sub(28), "any number of bytes later");
        }
    }

    proptest! {
        /// Whatever the client sends behind the header comes back as it was acknowledged.
        #[test]
        fn numbers_of_both_sides_fit(isn in any::<u32>(), offset in 0u32..0x3fff_ffff, is_v6 in any::<bool>()) {
            let flow = tuple("192.0.2.1:258", "203.0.113.9:443");
            let mut session = Session::new(flow, flow.reversed(), (0, 0), Tick(0));
            session.client_isn = isn;
            session.prefix_len = len(is_v6) as u8;
            let sequence = isn.wrapping_add(1).wrapping_add(offset);
            let sent = session.to_backend(sequence);
            prop_assert_eq!(sent, sequence.wrapping_add(len(is_v6) as u32));
            prop_assert_eq!(session.to_client(sent), sequence);
            // No acknowledgement says more than the client has sent.
            for inside in 0..=len(is_v6) as u32 {
                let start = isn.wrapping_add(1);
                prop_assert_eq!(session.to_client(start.wrapping_add(inside)), start);
            }
            prop_assert_eq!(session.to_client(isn), isn);
            prop_assert!(session.needs_prefix(isn.wrapping_add(1)));
            session.note_acknowledged(isn.wrapping_add(1));
            prop_assert!(!session.prefix_acked);
            session.note_acknowledged(sent);
            prop_assert!(session.prefix_acked && !session.needs_prefix(isn.wrapping_add(1)));
            // A keep-alive is one below what comes next (RFC 9293 section 3.8.4).
            prop_assert_eq!(session.to_backend(isn), isn.wrapping_add(len(is_v6) as u32));
        }
    }
}
