//! Packets that more than one of these tests send: ICMP messages, answers of backends, fragments.

use super::*;
use crate::icmp::protocol;
use crate::sample::Transport;
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;

pub(super) const ROUTER4: &str = "192.0.2.254:0";
pub(super) const ROUTER6: &str = "[2001:db8:ffff::1]:0";

/// An ICMP message with the right checksum.
pub(super) fn message(from: &str, to: IpAddr, mut bytes: Vec<u8>) -> Sample {
    let to = if to.is_ipv6() { format!("[{to}]:0") } else { format!("{to}:0") };
    let mut sample = Sample::udp(from, &to);
    sample.transport = Transport::Other(protocol(sample.is_v6()));
    bytes[2..4].fill(0);
    let sum = match (sample.from.ip(), sample.to.ip()) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            pnet_packet::icmpv6::checksum(&Icmpv6Packet::new(&bytes).unwrap(), &from, &to)
        }
        _ => pnet_packet::icmp::checksum(&IcmpPacket::new(&bytes).unwrap()),
    };
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    sample.payload = bytes;
    sample
}

/// An error of a router to `to`, about what it quotes.
pub(super) fn error(to: IpAddr, kind: u8, code: u8, rest: [u8; 4], quote: &[u8]) -> Sample {
    let router = if to.is_ipv6() { ROUTER6 } else { ROUTER4 };
    message(router, to, [&[kind, code, 0, 0], &rest[..], quote].concat())
}

/// The answer that a backend sends for a client's packet.
pub(super) fn answer_to(sample: &Sample) -> Sample {
    sample.clone().with(|one| (one.from, one.to) = (one.to, one.from))
}

/// All errors that a router may send about a flow.
pub(super) const ERRORS: [(bool, u8, u8); 8] = [
    (false, 3, 1),
    (false, 3, 4),
    (false, 11, 0),
    (false, 12, 0),
    (true, 1, 0),
    (true, 2, 0),
    (true, 3, 0),
    (true, 4, 1),
];

/// An echo request.
pub(super) fn echo(from: &str, to: &str, len: usize) -> Sample {
    let kind = if from.starts_with('[') { 128 } else { 8 };
    let to: std::net::SocketAddr = to.parse().unwrap();
    message(from, to.ip(), [&[kind, 0, 0, 0, 0x12, 0x34, 0, 7], &vec![0x61; len][..]].concat())
}

/// What a router between us and a backend sends about an encapsulated packet.
pub(super) fn from_tunnel(outer: &[u8], mtu: u16, quote_len: usize) -> Sample {
    let ip = &outer[naive::l3_of(outer)..];
    let quote = &ip[..ip.len().min(quote_len)];
    if ip[0] >> 4 == 4 {
        let source: [u8; 4] = ip[12..16].try_into().unwrap();
        error(source.into(), 3, 4, [0, 0, (mtu >> 8) as u8, mtu as u8], quote)
    } else {
        let source: [u8; 16] = ip[8..24].try_into().unwrap();
        error(source.into(), 2, 0, u32::from(mtu).to_be_bytes(), quote)
    }
}

/// Cuts a datagram into fragments with `size` bytes of data each (the last has the rest), as frames.
pub(super) fn cut(sample: &Sample, size: usize, id: u16) -> Vec<Vec<u8>> {
    let whole = sample.clone().with(|one| one.fragment = 0);
    let (datagram, l3) = (whole.datagram(), 14 + 4 * sample.tags.len());
    let link = whole.frame()[..l3].to_vec();
    let header_len = if sample.is_v6() { 40 } else { 20 + sample.options.len() };
    let (header, data) = datagram.split_at(header_len);
    let count = data.len().div_ceil(size);
    let part = |(number, part): (usize, &[u8])| {
        let (offset, more) = (number * size, number + 1 < count);
        let mut header = header.to_vec();
        if sample.is_v6() {
            let next = std::mem::replace(&mut header[6], 44);
            header[4..6].copy_from_slice(&(part.len() as u16 + 8).to_be_bytes());
            let word = (offset as u16 | u16::from(more)).to_be_bytes();
            header.extend([next, 0, word[0], word[1], 0, 0]);
            header.extend(id.to_be_bytes());
        } else {
            let word = (offset as u16 / 8) | (u16::from(more) << 13);
            let total = (header_len + part.len()) as u16;
            header[2..4].copy_from_slice(&total.to_be_bytes());
            header[4..6].copy_from_slice(&id.to_be_bytes());
            header[6..8].copy_from_slice(&word.to_be_bytes());
            header[10..12].fill(0);
            let sum = pnet_packet::util::checksum(&header, usize::MAX);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        [&link[..], &header, part].concat()
    };
    data.chunks(size).enumerate().map(part).collect()
}
