//! What the benchmark sends: numbered flows, and the frames of their TCP packets.
//!
//! A frame is a template and a flow, so that a source costs little memory and leaves the caches to the
//! pipeline. Addresses are those set aside for benchmarks: VIPs of 198.18.0.0/15 (RFC 2544) and of
//! 2001:2::/48 (RFC 5180).

use super::settings::{Encap, Mix, Outer, Settings};
use lb_core::checksum;
use lb_core::clock::Timeouts;
use lb_core::spec::{BackendSpec, BackendState, Egress, GueVariant, Mode, PoolSpec, ServiceSpec, Spec};
use lb_core::wire::{PROTOCOL_TCP, TCP_ACK, TCP_SYN};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// MAC of the port; frames carry it and the pipeline's filter demands it.
pub(super) const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NEXT_HOP_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const INNER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
/// Room for the largest frame and any outer header: the MTU is not what is measured.
const EGRESS_MTU: u16 = 9_000;
const VIP_PORT: u16 = 443;
/// Slots of the Maglev table: the default of the configuration, and the larger size beyond its means.
const MAGLEV_SIZE: u32 = 65_537;
const MAGLEV_SIZE_LARGE: u32 = 655_373;
/// Backends from which on the larger size is taken: ten slots each.
const BACKENDS_LARGE: u16 = 6_500;

/// Lengths of Ethernet, IP and TCP headers together, bytes.
const HEADERS_V4_LEN: usize = 54;
const HEADERS_V6_LEN: usize = 74;
const ETHERNET_LEN: u16 = 14;
const HEADERS_V4_IP_LEN: u16 = 40;

fn vip4(index: u16) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0000 | u32::from(index))
}

fn vip6(index: u16) -> Ipv6Addr {
    Ipv6Addr::from([0x2001, 2, 0, 0, 0, 0, 0, index])
}

/// What the tables of the pipeline are built from.
pub(super) fn spec(settings: &Settings, timeouts: Timeouts) -> Spec {
    let backend = |index: u16| BackendSpec {
        address: match settings.outer {
            Outer::V4 => Ipv4Addr::from(0xac10_0000 | u32::from(index)).into(),
            Outer::V6 => IpAddr::from([0x2001, 2, 0, 1, 0, 0, 0, index]),
        },
        weight: 1,
        state: BackendState::Active,
        egress: Egress { port: 0, mtu: EGRESS_MTU, source_mac: PORT_MAC, next_hop_mac: NEXT_HOP_MAC },
        mode: mode(settings.encap, settings.outer),
    };
    let service = |index: u16| ServiceSpec {
        addresses: vec![IpAddr::from(vip4(index)).into(), IpAddr::from(vip6(index)).into()],
        ports: vec![VIP_PORT],
        protocol: PROTOCOL_TCP,
        pool: 0,
        is_tracked: true,
        ..ServiceSpec::default()
    };
    Spec {
        seed: 7,
        maglev_size: if settings.backends < BACKENDS_LARGE { MAGLEV_SIZE } else { MAGLEV_SIZE_LARGE },
        timeouts,
        pools: vec![PoolSpec {
            backends: (0..settings.backends).map(backend).collect(),
            ..PoolSpec::default()
        }],
        services: (0..settings.vips).map(service).collect(),
        nat: Default::default(),
        signals: Default::default(),
    }
}

fn mode(encap: Encap, outer: Outer) -> Mode {
    let source = match outer {
        Outer::V4 => IpAddr::from([198, 19, 255, 1]),
        Outer::V6 => IpAddr::from([0x2001, 2, 0, 2, 0, 0, 0, 1]),
    };
    match encap {
        Encap::Ipip => Mode::Ipip { source },
        Encap::Gue => Mode::Gue { source, port: 6080, variant: GueVariant::Header },
        Encap::GueDirect => Mode::Gue { source, port: 6080, variant: GueVariant::Direct },
        Encap::Vxlan => Mode::Vxlan { source, port: 4789, vni: 42, inner_mac: INNER_MAC },
        Encap::L2dsr => Mode::L2Dsr,
    }
}

/// Most flows that can be told apart: 24 bits of client address and 15 bits of port.
pub(super) const FLOW_NUMBERS: u64 = 1 << 39;
const PORT_BITS: u32 = 15;
const PORT_FIRST: u16 = 1_024;
const V6_BIT: u32 = 40;
const VIP_SHIFT: u32 = 48;

/// One flow in 8 bytes: its number, its family and its VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flow(u64);

impl Flow {
    fn client(self) -> u32 {
        ((self.0 & (FLOW_NUMBERS - 1)) >> PORT_BITS) as u32
    }

    fn port(self) -> u16 {
        PORT_FIRST + (self.0 & ((1 << PORT_BITS) - 1)) as u16
    }

    pub(super) fn is_v6(self) -> bool {
        self.0 >> V6_BIT & 1 != 0
    }

    pub(super) fn vip(self) -> u16 {
        (self.0 >> VIP_SHIFT) as u16
    }
}

/// All flows there can be. A flow's family and VIP follow from its number, but in no order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Population {
    vips: u64,
    v6_percent: u64,
}

impl Population {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { vips: settings.vips.into(), v6_percent: settings.v6_share_percent().into() }
    }

    pub(super) fn flow(self, number: u64) -> Flow {
        // The finaliser of SplitMix64: consecutive numbers get unrelated families, as packets do.
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        let is_v6 = ((mixed & 0xffff_ffff) * 100) >> 32 < self.v6_percent;
        let vip = ((mixed >> 32) * self.vips) >> 32;
        Flow(number & (FLOW_NUMBERS - 1) | u64::from(is_v6) << V6_BIT | vip << VIP_SHIFT)
    }
}

/// Writes the frames of flows.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    v4: [u8; HEADERS_V4_LEN],
    v6: [u8; HEADERS_V6_LEN],
    v4_len: usize,
    v6_len: usize,
    /// Sum of the IPv4 header without client and VIP.
    v4_sum: u64,
}

impl Frames {
    pub(super) fn new(settings: &Settings) -> Self {
        let tcp_flags = match settings.mix {
            Mix::Uniform | Mix::Zipf => TCP_ACK,
            Mix::New | Mix::Flood => TCP_SYN,
        };
        // 60 bytes are the shortest Ethernet frame: headers alone and padding. More is payload.
        let is_padded = usize::from(settings.size) < HEADERS_V4_LEN + 7;
        let v4_ip_len = if is_padded { HEADERS_V4_IP_LEN } else { settings.size - ETHERNET_LEN };
        let v6_len = usize::from(settings.size).max(HEADERS_V6_LEN);
        let (mut v4, mut v6) = ([0; HEADERS_V4_LEN], [0; HEADERS_V6_LEN]);
        for ethernet in [&mut v4[..12], &mut v6[..12]] {
            ethernet[..6].copy_from_slice(&PORT_MAC);
            ethernet[6..].copy_from_slice(&NEXT_HOP_MAC);
        }
        v4[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        v4[16..18].copy_from_slice(&v4_ip_len.to_be_bytes());
        v4[20..24].copy_from_slice(&[0x40, 0, 64, PROTOCOL_TCP]);
        v6[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        // At most 1514 less 54.
        v6[18..20].copy_from_slice(&((v6_len - 54) as u16).to_be_bytes());
        v6[20..22].copy_from_slice(&[PROTOCOL_TCP, 64]);
        v6[22..38].copy_from_slice(&Ipv6Addr::from([0x2001, 2, 0, 3, 0, 0, 0, 0]).octets());
        v6[38..54].copy_from_slice(&vip6(0).octets());
        for tcp in [&mut v4[34..], &mut v6[54..]] {
            tcp[2..4].copy_from_slice(&VIP_PORT.to_be_bytes());
            tcp[12..14].copy_from_slice(&[0x50, tcp_flags]);
        }
        let v4_sum = checksum::sum(&v4[14..34]);
        Self { v4, v6, v4_len: settings.size.into(), v6_len, v4_sum }
    }

    /// Length of the flow's frames, bytes.
    #[inline(always)]
    pub(super) fn len(&self, flow: Flow) -> usize {
        if flow.is_v6() { self.v6_len } else { self.v4_len }
    }

    /// Writes headers into a frame of [`Self::len`] bytes; what the payload is does not matter.
    #[inline(always)]
    pub(super) fn write(&self, flow: Flow, frame: &mut [u8]) {
        if flow.is_v6() {
            let Some(head) = frame.first_chunk_mut::<HEADERS_V6_LEN>() else { return };
            *head = self.v6;
            head[34..38].copy_from_slice(&flow.client().to_be_bytes());
            head[52..54].copy_from_slice(&flow.vip().to_be_bytes());
            head[54..56].copy_from_slice(&flow.port().to_be_bytes());
        } else {
            let Some(head) = frame.first_chunk_mut::<HEADERS_V4_LEN>() else { return };
            *head = self.v4;
            let (client, vip) = (0x0a00_0000 | flow.client(), u32::from(vip4(flow.vip())));
            let words = |address: u32| u64::from(address >> 16) + u64::from(address & 0xffff);
            let sum = checksum::finish(self.v4_sum + words(client) + words(vip));
            head[24..26].copy_from_slice(&sum.to_be_bytes());
            head[26..30].copy_from_slice(&client.to_be_bytes());
            head[30..34].copy_from_slice(&vip.to_be_bytes());
            head[34..36].copy_from_slice(&flow.port().to_be_bytes());
        }
    }
}

#[cfg(test)]
#[path = "traffic/tests.rs"]
mod tests;
