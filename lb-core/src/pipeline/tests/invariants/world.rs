//! A balancer with everything that it can be asked to do at once: the services of the laboratory, and behind them one
//! of each special sort, every encapsulation with every policy, and address translation in all its modes.

use super::tally::Kind;
use super::*;
use crate::nat::{ClientAddress, LocalRange, NatSpec};
use crate::spec::{
    ANY_PROTOCOL, Echo, Fragments, HashFields, Oversize, QuicSpec, SelectionSpec, ServerIdSpec, SliceSpec,
};

/// What the packets of a VIP's clients are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Tcp,
    Udp,
    Sctp,
    /// Protocols without ports.
    Portless,
    /// QUIC packets that name their server.
    Quic,
    /// TCP segments that name their server.
    TcpOption,
}

/// Where clients go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vip {
    pub(super) kind: Kind,
    /// Index of the service.
    pub(super) service: usize,
    /// Addresses without their last group, to which `hosts` say what may be appended.
    pub(super) v4: Option<&'static str>,
    pub(super) v6: Option<&'static str>,
    /// First and last host, and first and last port.
    pub(super) hosts: (u8, u8),
    pub(super) ports: (u16, u16),
    pub(super) wire: Wire,
}

/// Servers of the services whose packets name one.
pub(super) const SERVERS: u8 = 10;
/// Octets of the nonces of plain connection IDs, and of encrypted ones, which fill one block with their server ID.
pub(super) const QUIC_NONCE_LEN: usize = 4;
pub(super) const QUIC_BLOCK_NONCE_LEN: usize = 14;
/// Key of the encrypted ones.
pub(super) const QUIC_KEY: [u8; 16] = *b"an AES-128 key..";
/// Longest IP datagram that any port sends, bytes.
pub(super) const PORT_MTU: u16 = MTU;

const V4: &str = "203.0.113";
const V6: &str = "2001:db8:cafe:";

/// One backend of every form and family, with three policies each.
fn every_encapsulation() -> PoolSpec {
    let usual = Policy::default();
    let policies = [
        usual,
        Policy { dscp: Some(46), ..usual },
        Policy { ttl: None, ..usual },
        Policy { checksum: Some(true), ..usual },
        Policy { checksum: Some(false), ..usual },
        Policy { vlan: Vlan::Strip, ..usual },
        Policy { vlan: Vlan::Set(100), ..usual },
        Policy { decrement_ttl: false, ..usual },
    ];
    let inner_mac = [2, 0, 0, 0, 5, 1];
    let geneve = |inner_mac| Form::Geneve { port: 6081, vni: 0x12_3456, inner_mac };
    let forms = [
        Form::Ipip,
        Form::Gue { port: 6080, variant: GueVariant::Header },
        Form::Gue { port: 6080, variant: GueVariant::Direct },
        Form::Gre { key: None },
        Form::Gre { key: Some(0xdead_beef) },
        Form::Vxlan { port: 4789, vni: 0xab_cdef, inner_mac },
        geneve(Some(inner_mac)),
        geneve(None),
        Form::L2Dsr,
    ];
    let mut backends = Vec::new();
    for (at, form) in forms.into_iter().enumerate() {
        for is_v6 in [false, true] {
            for turn in 0..3 {
                let policy = policies[(at * 3 + turn * 5 + usize::from(is_v6)) % policies.len()];
                let source = address(if is_v6 { "2001:db8:aa::1" } else { "192.0.2.1" });
                let number = backends.len();
                let first =
                    if is_v6 { format!("2001:db8:bb::5:{number:x}") } else { format!("10.0.5.{number}") };
                let mode = Mode::Composed(Composition { form, source, policy });
                backends.extend(pool(&first, 1, mode).backends);
            }
        }
    }
    PoolSpec { backends, ..PoolSpec::default() }
}

fn named(protocol: u8) -> SelectionSpec {
    let quic = |config_id, nonce_len: usize, key| QuicSpec {
        config_id,
        nonce_len: nonce_len as u8,
        is_length_encoded: config_id == 1,
        key,
    };
    let is_udp = protocol == 17;
    let id = |index: u8| if is_udp { vec![0xa0, index] } else { vec![0, 0, 0xa0, index] };
    let quic = match is_udp {
        true => vec![
            quic(0, QUIC_NONCE_LEN, None),
            quic(1, QUIC_NONCE_LEN, None),
            quic(2, QUIC_BLOCK_NONCE_LEN, Some(QUIC_KEY)),
        ],
        false => vec![],
    };
    let ids = (0..SERVERS).map(id).collect();
    SelectionSpec {
        server_ids: Some(ServerIdSpec { quic, tcp_option: !is_udp, ids }),
        ..SelectionSpec::default()
    }
}

/// Collects services with what their clients need to know.
struct Builder {
    spec: Spec,
    vips: Vec<Vip>,
}

impl Builder {
    fn pool(&mut self, pool: PoolSpec) -> usize {
        self.spec.pools.push(pool);
        self.spec.pools.len() - 1
    }

    /// A service at one host of both families.
    fn add(&mut self, kind: Kind, host: u8, wire: Wire, pool: usize, change: impl FnOnce(&mut ServiceSpec)) {
        let protocol = match wire {
            Wire::Tcp | Wire::TcpOption => 6,
            Wire::Udp | Wire::Quic => 17,
            Wire::Sctp => 132,
            Wire::Portless => ANY_PROTOCOL,
        };
        let addresses = [format!("{V4}.{host}"), format!("{V6}:{host}")];
        let mut service = ServiceSpec {
            addresses: addresses.iter().map(|one| address(one).into()).collect(),
            ports: vec![443],
            protocol,
            pool,
            is_tracked: true,
            ..ServiceSpec::default()
        };
        change(&mut service);
        let ports = service.ranges.first().copied().or(service.ports.first().map(|port| (*port, *port)));
        let vip = Vip {
            kind,
            service: self.spec.services.len(),
            v4: Some(V4),
            v6: Some(V6),
            hosts: (host, host),
            ports: ports.unwrap_or((1, u16::MAX)),
            wire,
        };
        self.spec.services.push(service);
        self.vips.push(vip);
    }

    /// A TCP and a UDP service behind translation.
    fn add_nat(&mut self, kind: Kind, host: u8, is_v6: bool, first_backend: &str, mode: Mode) {
        let pool = self.pool(pool(first_backend, 3, mode));
        for wire in [Wire::Tcp, Wire::Udp] {
            self.add(kind, host, wire, pool, |service| {
                service.addresses.retain(|prefix| prefix.is_ipv6() == is_v6);
            });
            let vip = self.vips.last_mut().unwrap();
            if is_v6 { vip.v4 = None } else { vip.v6 = None }
        }
    }

    fn add_special(&mut self) {
        use Wire::{Portless, Quic, Sctp, Tcp, TcpOption, Udp};
        let every = self.pool(every_encapsulation());
        let mut ten = self.spec.pools[0].clone();
        ten.backends.truncate(SERVERS.into());
        let ten = self.pool(ten);
        self.add(Kind::Prefix, 0, Tcp, 0, |service| {
            service.addresses = vec!["198.18.7.0/24".parse().unwrap(), "2001:db8:f00d::/48".parse().unwrap()];
        });
        let prefix = self.vips.last_mut().unwrap();
        (prefix.v4, prefix.v6, prefix.hosts) = (Some("198.18.7"), Some("2001:db8:f00d:77:"), (0, 255));
        self.add(Kind::PortRange, 30, Udp, 2, |service| {
            (service.ports, service.ranges) = (vec![], vec![(10_000, 10_200)]);
            service.portless.echo = Echo::Ignore;
        });
        self.add(Kind::AnyProtocol, 31, Portless, 1, |service| service.ports.clear());
        self.add(Kind::AnyProtocol, 32, Portless, every, |service| {
            service.ports.clear();
            service.portless.echo = Echo::Forward;
        });
        self.add(Kind::Sctp, 33, Sctp, 3, |_| {});
        self.add(Kind::BySource, 34, Tcp, 0, |service| {
            service.selection.hash = HashFields::Source { ipv4: 32, ipv6: 128 };
        });
        self.add(Kind::ByPrefix, 35, Udp, 2, |service| {
            service.selection.hash = HashFields::Source { ipv4: 28, ipv6: 112 };
        });
        self.add(Kind::Slices, 36, Tcp, ten, |service| {
            let slice = |low, backend| SliceSpec { low, high: low + 99, backend };
            service.selection.slices = vec![slice(2_000, 1), slice(2_100, 5), slice(2_200, 8)];
            (service.ports, service.ranges) = (vec![], vec![(2_000, 2_299)]);
            service.is_tracked = false;
        });
        self.add(Kind::QuicId, 37, Quic, ten, |service| service.selection = named(17));
        self.add(Kind::TcpId, 37, TcpOption, ten, |service| service.selection = named(6));
        self.add(Kind::WithoutSessions, 38, Tcp, 0, |service| service.is_tracked = false);
        self.add(Kind::EveryForm, 39, Udp, every, |service| service.portless.echo = Echo::Forward);
        self.add(Kind::EveryForm, 40, Tcp, every, |service| service.is_tracked = false);
        let in_pieces = self.pool(PoolSpec { oversize: Oversize::Fragment, ..every_encapsulation() });
        self.add(Kind::Pieces, 42, Udp, in_pieces, |_| {});
        let silent = self.pool(PoolSpec { oversize: Oversize::Drop, ..every_encapsulation() });
        self.add(Kind::Silent, 43, Tcp, silent, |_| {});
        self.add(Kind::FragmentsDropped, 41, Udp, 0, |service| service.portless.fragments = Fragments::Drop);
    }

    fn add_translated(&mut self) {
        let nat = Mode::Nat { port: Some(8080) };
        let full = |client| Mode::FullNat { port: Some(8080), range: 0, client };
        let none = full(ClientAddress::None);
        self.add_nat(Kind::Nat, 70, false, "10.1.0.1", nat);
        self.add_nat(Kind::Nat, 71, true, "2001:db8:bb::1:1", nat);
        self.add_nat(Kind::FullNat, 72, false, "10.1.1.1", none);
        self.add_nat(Kind::FullNat, 73, true, "2001:db8:bb::2:1", none);
        self.add_nat(Kind::Nat64, 74, true, "10.1.2.1", none);
        self.add_nat(Kind::Toa, 75, false, "10.1.3.1", full(ClientAddress::Toa));
        self.add_nat(Kind::Toa, 76, true, "10.1.4.1", full(ClientAddress::Toa));
        self.add_nat(Kind::Proxy, 77, false, "10.1.5.1", full(ClientAddress::ProxyV2));
        self.add_nat(Kind::Proxy, 78, true, "10.1.6.1", full(ClientAddress::ProxyV2));
        self.spec.nat = NatSpec {
            ranges: vec![LocalRange {
                addresses: vec![address("192.0.2.100"), address("2001:db8:aa::100")],
                ports: (1_024, 65_535),
            }],
            mtus: vec![PORT_MTU; 4],
            ..NatSpec::default()
        };
    }
}

/// The balancer, and where clients of its special services go.
pub(super) fn world() -> (Spec, Vec<Vip>) {
    let mut builder = Builder { spec: spec(), vips: Vec::new() };
    // Long, so that entries are there until all go at once: see `Run::forget`.
    builder.spec.timeouts = Timeouts { tcp_ticks: 30_000, tcp_closing_ticks: 30_000, udp_ticks: 30_000 };
    builder.add_special();
    builder.add_translated();
    (builder.spec, builder.vips)
}
