//! Who sends what: clients of the special services, with packets of every shape, and damaged frames.

use super::tally::Kind;
use super::world::{QUIC_BLOCK_NONCE_LEN, QUIC_KEY, QUIC_NONCE_LEN, SERVERS, Vip, Wire};
use super::*;
use crate::flow::FlowKey;
use crate::sample::{ACK, Extension, FIN, Numbers, RST, SYN, Transport};
use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};
use std::net::SocketAddr;

/// What a packet of a flow says of where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) key: FlowKey,
    /// Index of its service.
    pub(super) service: usize,
    /// It opens a TCP connection, so it follows no entry.
    pub(super) opens: bool,
    /// The server that it names.
    pub(super) named: Option<u8>,
}

/// A client with one flow.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) kind: Kind,
    pub(super) wire: Wire,
    pub(super) sample: Sample,
    pub(super) service: usize,
}

/// Protocols without ports, of which the last two are IPv6 extension headers there.
const PORTLESS: [u8; 7] = [50, 47, 4, 115, 255, 89, 51];

impl Client {
    /// The client of a number, which is its address too.
    pub(super) fn new(index: usize, vip: &Vip, numbers: &mut Numbers) -> Self {
        let is_v6 = vip.v4.is_none() || vip.v6.is_some() && numbers.once_in(2);
        let number = |numbers: &mut Numbers, (low, high): (u16, u16)| {
            low + numbers.below(usize::from(high - low) + 1) as u16
        };
        let host = number(numbers, (vip.hosts.0.into(), vip.hosts.1.into()));
        let port = number(numbers, vip.ports);
        let source_port = 1_024 + (index * 7 % 60_000) as u16;
        let (from, to) = if is_v6 {
            (format!("2001:db8:100:{index:x}::7"), format!("{}:{host}", vip.v6.unwrap()))
        } else {
            (format!("198.51.{}.{}", 110 + index / 256, index % 256), format!("{}.{host}", vip.v4.unwrap()))
        };
        let end = |ip: &str, port: u16| SocketAddr::new(address(ip), port).to_string();
        let mut sample = Sample::tcp(&end(&from, source_port), &end(&to, port), ACK);
        sample.transport = match vip.wire {
            Wire::Tcp | Wire::TcpOption => Transport::Tcp(ACK),
            Wire::Udp | Wire::Quic => Transport::Udp,
            Wire::Sctp => Transport::Other(132),
            Wire::Portless => Transport::Other(PORTLESS[numbers.below(PORTLESS.len() - usize::from(is_v6))]),
        };
        Self { kind: vip.kind, wire: vip.wire, sample, service: vip.service }
    }

    /// Its flow, as the packet path is to know it.
    pub(super) fn flow(&self) -> Flow {
        let has_ports = self.wire != Wire::Portless;
        let port = |end: SocketAddr| if has_ports { end.port() } else { 0 };
        let (from, to) = (self.sample.from, self.sample.to);
        let key = FlowKey {
            source: from.ip(),
            destination: to.ip(),
            source_port: port(from),
            destination_port: port(to),
            protocol: self.sample.protocol(),
        };
        Flow { key, service: self.service, opens: false, named: None }
    }

    /// A packet of the flow with about `len` bytes of payload.
    pub(super) fn packet(&self, len: usize, numbers: &mut Numbers) -> (Sample, Flow) {
        const FLAGS: [u8; 8] = [SYN, SYN, ACK, ACK, 0x18, FIN | ACK, RST, SYN | ACK];
        let (mut sample, mut flow) = (self.sample.clone(), self.flow());
        sample.tos = numbers.next() as u8;
        sample.payload = vec![numbers.next() as u8; len];
        match self.wire {
            Wire::Tcp | Wire::TcpOption => {
                let flags = FLAGS[numbers.below(FLAGS.len())];
                sample.transport = Transport::Tcp(flags);
                flow.opens = flags & (SYN | ACK) == SYN;
            }
            Wire::Udp => {
                sample.transport = match numbers.below(6) {
                    0 => Transport::UdpUnchecked,
                    1 => Transport::UdpSurplus(5),
                    _ => Transport::Udp,
                };
            }
            Wire::Quic => flow.named = connection_id(&mut sample.payload, numbers),
            Wire::Sctp => {
                let ports = [sample.from.port().to_be_bytes(), sample.to.port().to_be_bytes()].concat();
                sample.payload = [ports, vec![0; 8], sample.payload].concat();
            }
            Wire::Portless => sample.payload.extend([0x5e; 8]),
        }
        (sample, flow)
    }

    /// The frame of a packet, dressed up at random, and what it says.
    pub(super) fn frame(&self, numbers: &mut Numbers) -> (Vec<u8>, Flow) {
        let len = numbers.below(90);
        let (mut sample, mut flow) = self.packet(len, numbers);
        if self.wire == Wire::TcpOption && numbers.once_in(2) {
            let server = numbers.below(usize::from(SERVERS) + 2) as u8;
            flow.named = Some(server).filter(|server| *server < SERVERS);
            sample.payload.splice(0..0, [0xb7, 6, 0, 0, 0xa0, server, 1, 1]);
            let mut frame = sample.frame();
            lengthen_tcp_header(&mut frame, 2);
            return (frame, flow);
        }
        match numbers.below(10) {
            0 => sample.tags = vec![(0x8100, numbers.next() as u16)],
            1 => sample.tags = vec![(0x88a8, 1), (0x8100, numbers.next() as u16)],
            2 => sample.options = vec![1; 4 * (1 + numbers.below(10))],
            3 => sample.extensions = vec![Extension::HopByHop(1), Extension::Destination(0)],
            4 => sample.padding = numbers.below(12),
            5 => sample.fragment = 0,
            _ => {}
        }
        (sample.frame(), flow)
    }
}

/// Makes a QUIC packet of a payload; returns the server that it names.
fn connection_id(payload: &mut Vec<u8>, numbers: &mut Numbers) -> Option<u8> {
    let server = numbers.below(usize::from(SERVERS) + 2) as u8;
    // Of three configurations, the second with its length, the third encrypted; the others cannot be read.
    let first = [0x11, 0x26, 0x26, 0x5f, 0x5f, 0xe6, 0x60][numbers.below(7)];
    let is_encrypted = first == 0x5f;
    let nonce_len = if is_encrypted { QUIC_BLOCK_NONCE_LEN } else { QUIC_NONCE_LEN };
    let mut block = vec![0xa0, server];
    block.extend((0..nonce_len).map(|_| numbers.next() as u8));
    if is_encrypted {
        Aes128::new(&QUIC_KEY.into()).encrypt_block(GenericArray::from_mut_slice(&mut block));
    }
    let id = [vec![first], block].concat();
    let head = match numbers.once_in(2) {
        true => vec![0x40],
        false => vec![0xc3, 0, 0, 0, 1, id.len() as u8],
    };
    payload.splice(0..0, [head, id].concat());
    Some(server).filter(|server| *server < SERVERS && first < 0x60)
}

/// Says that so many words more of an untagged TCP frame are options, and mends the checksum (RFC 1624 equation 3).
fn lengthen_tcp_header(frame: &mut [u8], words: u8) {
    let l4 = if frame[12] == 8 { 34 } else { 54 };
    let word = |frame: &[u8], at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let old = word(frame, l4 + 12);
    frame[l4 + 12] += words << 4;
    let mut sum = (!word(frame, l4 + 16) & 0xffff) + (!old & 0xffff) + word(frame, l4 + 12);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[l4 + 16..l4 + 18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// A frame of somebody whose address no other client has, with a byte changed or the end cut off.
pub(super) fn damaged(clients: &[Client], numbers: &mut Numbers) -> Vec<u8> {
    let client = &clients[numbers.below(clients.len())];
    let (mut sample, _) = client.packet(40, numbers);
    match &mut sample.from {
        SocketAddr::V4(from) => from.set_ip([203, 0, 112, numbers.next() as u8].into()),
        SocketAddr::V6(from) => from.set_ip([0x2001, 0xdb8, 0xbad, 1, 2, 3, 4, numbers.next() as u16].into()),
    }
    let mut frame = match numbers.below(4) {
        0 => {
            let parts = traffic::cut(&sample, 24, numbers.next() as u16);
            parts[numbers.below(parts.len())].clone()
        }
        1 => {
            let reply = traffic::answer_to(&sample).datagram();
            let kind = if sample.is_v6() { 1 } else { 3 };
            traffic::error(sample.to.ip(), kind, 1, [0; 4], &reply[..reply.len().min(70)]).frame()
        }
        _ => sample.frame(),
    };
    let at = numbers.below(frame.len().min(100));
    frame[at] = numbers.next() as u8;
    if numbers.once_in(3) {
        frame.truncate(numbers.below(frame.len() + 1));
    }
    frame
}
