//! What benchmarks and simulations send: one service on a thousand backends, and numbered flows to it.
//!
//! A packet is a template and a flow number, so that a source costs little memory and no allocation.

use lb_core::checksum;
use lb_core::clock::Timeouts;
use lb_core::packet::Buffer;
use lb_core::spec::{BackendSpec, BackendState, Egress, Mode, PoolSpec, ServiceSpec, Spec};
use lb_core::tables::Tables;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Backends of the one pool.
pub(crate) const BACKENDS: usize = 1_000;
pub(crate) const VIP4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
pub(crate) const TCP_ACK: u8 = 0x10;

/// Frames of a TCP segment without payload: 54 bytes padded to Ethernet's 60 (without FCS), and 74.
const FRAME_V4_LEN: usize = 60;
const FRAME_V6_LEN: usize = 74;
const L4_V4: usize = 34;
const L4_V6: usize = 54;

/// Outer source address by which backends are reached over IPv4 or IPv6.
pub(crate) fn outer_source(is_v6: bool) -> IpAddr {
    if is_v6 { "2001:db8:100::11".parse() } else { "198.51.100.1".parse() }.expect("a literal address")
}

/// Backend `index`, of the family of the mode's outer source.
fn backend(index: usize, mode: Mode, is_v6: bool, state: BackendState) -> BackendSpec {
    let number = index as u16;
    let address = if is_v6 {
        IpAddr::from([0x2001, 0xdb8, 0x100, 0, 0, 0, 1, number])
    } else {
        IpAddr::from([10, 1, (number >> 8) as u8, number as u8])
    };
    let egress =
        Egress { port: 0, mtu: 1500, source_mac: [2, 0, 0, 0, 0, 1], next_hop_mac: [2, 0, 0, 0, 0, 2] };
    BackendSpec { address, weight: 1, state, egress, mode }
}

/// The tables of one service (both VIPs, TCP 443) on [`BACKENDS`] backends; `is_v6` is the outer family.
pub(crate) fn tables(mode: Mode, is_v6: bool, state: fn(usize) -> BackendState) -> Tables {
    let backends = (0..BACKENDS).map(|index| backend(index, mode, is_v6, state(index)));
    let service = ServiceSpec {
        addresses: vec![IpAddr::from(VIP4).into(), IpAddr::from(VIP6).into()],
        ports: vec![443],
        protocol: 6,
        pool: 0,
        is_tracked: true,
        ..ServiceSpec::default()
    };
    let spec = Spec {
        seed: 7,
        maglev_size: 65_537,
        timeouts: Timeouts::default(),
        pools: vec![PoolSpec { backends: backends.collect(), ..PoolSpec::default() }],
        services: vec![service],
        nat: Default::default(),
        signals: Default::default(),
    };
    Tables::build(&spec).expect("a valid specification")
}

/// One of 2^32 clients' connections: an address of 10/8 or of 2001:db8:a::/48, and a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) number: u32,
    pub(crate) is_v6: bool,
}

impl Flow {
    pub(crate) fn address(self) -> IpAddr {
        let client = self.number >> 12;
        if self.is_v6 {
            IpAddr::from([0x2001, 0xdb8, 0xa, 0, 0, 0, (client >> 16) as u16, client as u16])
        } else {
            Ipv4Addr::from(0x0a00_0000 | client).into()
        }
    }

    pub(crate) fn port(self) -> u16 {
        1024 + (self.number & 0xfff) as u16
    }
}

/// Writes the packets of flows: TCP segments with given flags.
#[derive(Debug)]
pub(crate) struct Source {
    v4: [u8; FRAME_V4_LEN],
    v6: [u8; FRAME_V6_LEN],
}

impl Source {
    pub(crate) fn new(tcp_flags: u8) -> Self {
        let (mut v4, mut v6) = ([0; FRAME_V4_LEN], [0; FRAME_V6_LEN]);
        v4[0] = 2;
        v4[12..18].copy_from_slice(&[8, 0, 0x45, 0, 0, 40]);
        v4[20..24].copy_from_slice(&[0x40, 0, 64, 6]);
        v4[30..34].copy_from_slice(&VIP4.octets());
        v6[0] = 2;
        v6[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        v6[18..22].copy_from_slice(&[0, 20, 6, 64]);
        v6[38..54].copy_from_slice(&VIP6.octets());
        for l4 in [&mut v4[L4_V4..], &mut v6[L4_V6..]] {
            l4[2..4].copy_from_slice(&443u16.to_be_bytes());
            l4[12..14].copy_from_slice(&[0x50, tcp_flags]);
        }
        Self { v4, v6 }
    }

    pub(crate) fn write(&self, buffer: &mut Buffer, flow: Flow) {
        let (template, l4) = if flow.is_v6 { (&self.v6[..], L4_V6) } else { (&self.v4[..], L4_V4) };
        let frame = buffer.reset(template.len());
        frame.copy_from_slice(template);
        frame[l4..l4 + 2].copy_from_slice(&flow.port().to_be_bytes());
        match flow.address() {
            IpAddr::V4(address) => {
                frame[26..30].copy_from_slice(&address.octets());
                let sum = checksum::finish(checksum::sum(&frame[14..L4_V4]));
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            IpAddr::V6(address) => frame[22..38].copy_from_slice(&address.octets()),
        }
    }
}

/// SplitMix64: numbers that are the same in every run of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
