//! Services that choose otherwise than by the 5-tuple, and protocols without ports, on the whole path.

use super::*;
use crate::sample::{ACK, FIN, SYN, Transport};
use crate::spec::{ANY_PROTOCOL, HashFields, QuicSpec, SelectionSpec, ServerIdSpec, SliceSpec};
use crate::tables::By;

const CLIENTS: u32 = 300;

/// The laboratory's web service alone, with a change, on a pool of its own.
fn with(change: impl FnOnce(&mut ServiceSpec)) -> Lab {
    let mut spec = spec();
    spec.services.truncate(1);
    change(&mut spec.services[0]);
    Lab::at_level(spec, 4_096, Level::detect())
}

fn udp(from: &str, to: &str, payload: Vec<u8>) -> Sample {
    Sample::udp(from, to).with(|one| one.payload = payload)
}

/// A short header packet with a connection ID of server `server` of the web pool.
fn quic(from: u32, server: u8) -> Sample {
    let from = format!("198.51.{}.{}:{}", from >> 8, from & 255, 10_000 + from);
    udp(&from, "203.0.113.10:443", vec![0x40, 0x20, 0xa0, server, 1, 2, 3, 4, 9, 9, 9, 9, 9, 9, 9, 9])
}

fn ids(spec: &mut ServiceSpec) {
    let quic = QuicSpec { config_id: 1, nonce_len: 4, is_length_encoded: false, key: None };
    let ids = (0..10).map(|index| vec![0xa0, index]).collect();
    spec.protocol = 17;
    spec.selection.server_ids = Some(ServerIdSpec { quic: vec![quic], tcp_option: false, ids });
}

#[test]
fn the_order_is_server_id_then_entry_then_maglev() {
    let mut lab = with(ids);
    let by_id = |lab: &mut Lab, from, server| usize::from(lab.record(&quic(from, server)));
    // Server 99 does not exist: by Maglev, which makes an entry.
    let first = by_id(&mut lab, 1, 99);
    assert_eq!(Some(first as u16), lab.maglev(&quic(1, 99), WEB));
    assert_eq!((lab.counters().id_unknown.get(), lab.counters().id_routed.get()), (1, 0));
    let other = (first + 1) % 10;
    assert_eq!(by_id(&mut lab, 1, other as u8), other, "an ID overrules the entry");
    assert_eq!(by_id(&mut lab, 1, 99), other, "and becomes it: packets without an ID follow");
    let unroutable = quic(1, 0).with(|one| one.payload[1] = 0xe0);
    assert_eq!(usize::from(lab.record(&unroutable)), other);
    assert_eq!(lab.counters().id_unroutable.get(), 1);
    assert_eq!(lab.counters().insertions.get(), 1);
    let actives: Vec<u64> = lab.counters().records.iter().map(|one| one.active.get()).collect();
    assert_eq!((actives[first], actives[other], actives.iter().sum::<u64>()), (0, 1, 1));
    // The backend goes: its ID is unknown then, and its entry is not followed.
    lab.set_state(other as u16, BackendState::Down);
    let next = by_id(&mut lab, 1, other as u8);
    assert_ne!(next, other);
    assert_eq!(lab.counters().id_unknown.get(), 3);
    assert_eq!(lab.counters().id_routed.get(), 1);
}

#[test]
fn a_connection_keeps_its_server_over_migrations_and_maglev_alone_does_not() {
    let moves = |lab: &mut Lab| {
        let mut moved = 0;
        for client in 0..CLIENTS {
            let server = (client % 10) as u8;
            let records: Vec<_> =
                (0..4).map(|port| lab.record(&quic(client + 1000 * port, server))).collect();
            moved += usize::from(records.iter().any(|record| *record != records[0]));
        }
        moved
    };
    assert_eq!(moves(&mut with(ids)), 0);
    let without = moves(&mut with(|service| service.protocol = 17));
    assert!(without > CLIENTS as usize / 2, "{without} of {CLIENTS} moved without server IDs");
}

#[test]
fn packets_with_an_entry_are_looked_at_and_still_fit_the_way_out() {
    let mut lab = with(ids);
    for client in 0..CLIENTS {
        let server = (client % 10) as u8;
        for _ in 0..3 {
            assert_eq!(lab.record(&quic(client, server)), u16::from(server));
        }
    }
    assert_eq!(lab.counters().id_routed.get(), 3 * u64::from(CLIENTS));
    assert_eq!(lab.counters().hits.get(), 2 * u64::from(CLIENTS));
    // The limit of the way out is another one than that of the record, which is 0.
    let large = |len: usize| quic(0, 0).with(|one| one.payload.resize(len, 7));
    assert_eq!(lab.send(&large(1452)).0, Verdict::Forward(0), "1,480 bytes and an outer header");
    assert_eq!(lab.send(&large(1453)).0, Verdict::Drop(DropReason::MtuExceeded));
}

#[test]
fn a_tcp_option_names_the_server_unless_the_packet_opens() {
    let mut lab = with(|service| {
        let ids = (0..10).map(|index| vec![0, 0, 0, index]).collect();
        service.selection.server_ids = Some(ServerIdSpec { quic: vec![], tcp_option: true, ids });
    });
    // The samples' TCP header has no options, so the first eight bytes of the payload become some.
    let with_option = |client, server: u8, flags| {
        let mut frame =
            web(client, flags).with(|one| one.payload = vec![0xb7, 6, 0, 0, 0, server, 1, 1]).frame();
        frame[46] = 7 << 4;
        frame
    };
    for client in 0..CLIENTS {
        let server = (client % 10) as u8;
        let opened = lab.record(&web(client, SYN));
        assert_eq!(Some(opened), lab.maglev(&web(client, SYN), WEB));
        let (verdict, _) = lab.burst(&[with_option(client, server, ACK)]).remove(0);
        assert_eq!(verdict, Verdict::Forward(server.into()));
        assert_eq!(lab.record(&web(client, ACK)), u16::from(server), "without the option by the entry");
    }
}

/// No kind of service needs an entry to be constant, and without sessions none makes one.
#[test]
fn without_sessions_every_kind_is_a_pure_function_and_keeps_nothing() {
    let slices = |service: &mut ServiceSpec| {
        let slice = |backend: usize| SliceSpec { low: 443, high: 443, backend };
        (service.ports, service.ranges) = (vec![], vec![(443, 443)]);
        service.selection.slices = vec![slice(7)];
    };
    type Change<'a> = &'a dyn Fn(&mut ServiceSpec);
    let kinds: [(&str, Change<'_>); 7] = [
        ("single addresses and ports", &|_| {}),
        ("prefixes", &|service| {
            service.addresses =
                vec!["203.0.113.0/24".parse().unwrap(), "2001:db8:cafe::/48".parse().unwrap()];
        }),
        ("ranges", &|service| (service.ports, service.ranges) = (vec![], vec![(400, 500)])),
        ("any port", &|service| service.ports.clear()),
        ("any protocol", &|service| {
            service.ports.clear();
            service.protocol = ANY_PROTOCOL;
        }),
        ("by source", &|service| {
            service.selection.hash = HashFields::Source { ipv4: 24, ipv6: 56 };
        }),
        ("slices", &slices),
    ];
    for (name, change) in kinds {
        let mut lab = with(|service| {
            change(service);
            service.is_tracked = false;
        });
        for client in 0..CLIENTS {
            let first = lab.record(&web(client, SYN));
            for flags in [ACK, ACK | FIN, SYN] {
                assert_eq!(lab.record(&web(client, flags)), first, "{name}");
            }
        }
        assert_eq!(lab.counters().insertions.get(), 0, "{name}");
        assert_eq!(lab.pipeline.connections().len(), 0, "{name}");
        // Another worker, and one that has seen nothing, say the same.
        let mut other = Lab::at_level(lab.spec.clone(), 64, Level::Portable);
        for client in 0..CLIENTS {
            assert_eq!(other.record(&web(client, ACK)), lab.record(&web(client, ACK)), "{name}");
        }
    }
}

#[test]
fn the_entry_is_that_of_the_tuple_whatever_maglev_sees() {
    let mut lab = with(|service| service.selection.hash = HashFields::Source { ipv4: 8, ipv6: 8 });
    let first = lab.record(&web(0, SYN));
    for client in 1..CLIENTS {
        assert_eq!(lab.record(&web(client, SYN)), first, "one /8, one backend");
    }
    assert_eq!(lab.pipeline.connections().len(), CLIENTS as usize, "and each flow its own entry");
    // Draining the backend moves new clients and keeps each flow that is there.
    lab.set_state(first, BackendState::Drain);
    assert_ne!(lab.record(&web(CLIENTS, SYN)), first);
    for client in 0..CLIENTS {
        assert_eq!(lab.record(&web(client, ACK)), first);
    }
}

/// ESP, GRE and SCTP through every kind of edit, against the slow twin that sums whole datagrams.
#[test]
fn any_protocol_is_forwarded_by_addresses_and_arrives_as_it_was() {
    for pool in 0..4 {
        let mut lab = with(|service| {
            (service.protocol, service.pool) = (ANY_PROTOCOL, pool);
            service.ports.clear();
        });
        let mut kinds = std::collections::HashSet::new();
        for client in 0..CLIENTS {
            for protocol in [50, 47, 132, 4, 115, 255] {
                for (from, to) in [("198.51.100", "203.0.113.10"), ("2001:db8:", "2001:db8:cafe::10")] {
                    let from: IpAddr = if to.contains(':') {
                        format!("{from}:{client:x}").parse().unwrap()
                    } else {
                        format!("{from}.{}", client % 256).parse().unwrap()
                    };
                    let ends = (
                        std::net::SocketAddr::new(from, 9).to_string(),
                        std::net::SocketAddr::new(address(to), 9).to_string(),
                    );
                    let payload: Vec<u8> = (0..40 + client % 64).map(|at| (at * 7 + client) as u8).collect();
                    let sample = Sample::udp(&ends.0, &ends.1)
                        .with(|one| (one.transport, one.payload) = (Transport::Other(protocol), payload));
                    let frame = sample.frame();
                    let (headers, key) = parse(&frame, OURS).unwrap();
                    assert_eq!(key.source_port != 0, protocol == 132, "only SCTP has ports");
                    let hash = lab.tables.hash(Level::Portable, &key);
                    let (verdict, left) = lab.send(&sample);
                    let Verdict::Forward(record) = verdict else { panic!("{verdict:?} for {sample:?}") };
                    let backend = backend_of(&lab.spec, record);
                    assert_eq!(left, naive::encapsulated(&frame, &headers, hash, backend), "{protocol}");
                    kinds.insert(format!("{:?}", lab.tables.records()[usize::from(record)].kind()));
                    assert_eq!(lab.record(&sample), record, "the second packet follows the entry");
                }
            }
        }
        assert!(kinds.len() >= 2, "{kinds:?}");
    }
}

#[test]
fn a_protocol_that_nobody_serves_is_the_kernels() {
    let mut lab = Lab::new();
    for protocol in [50, 47, 132, 2, 89] {
        let sample = web(1, SYN).with(|one| {
            (one.transport, one.payload) = (Transport::Other(protocol), vec![0; 40]);
        });
        assert_eq!(lab.send(&sample).0, Verdict::Punt(PuntReason::NoVip), "{protocol}");
    }
    // A service of any protocol takes no ICMP: that is another matter.
    let mut lab = with(|service| {
        service.protocol = ANY_PROTOCOL;
        service.ports.clear();
    });
    let icmp = web(1, SYN).with(|one| (one.transport, one.payload) = (Transport::Other(1), vec![13; 40]));
    assert_eq!(lab.send(&icmp).0, Verdict::Punt(PuntReason::NoVip));
}

#[test]
fn sctp_is_served_by_its_ports() {
    let mut lab = with(|service| service.protocol = 132);
    let sctp = |source: u16, port: u16| {
        let mut payload = [source.to_be_bytes(), port.to_be_bytes()].concat();
        payload.resize(40, 0x5c);
        web(1, SYN).with(|one| (one.transport, one.payload) = (Transport::Other(132), payload))
    };
    let (verdict, left) = lab.send(&sctp(1000, 443));
    let Verdict::Forward(first) = verdict else { panic!("{verdict:?}") };
    assert!(
        left.ends_with(&[0x5c; 36]),
        "and not touched: its checksum has no pseudo header (RFC 9260 section 6.8)"
    );
    assert_eq!(lab.record(&sctp(1000, 443)), first);
    assert_eq!(lab.counters().hits.get(), 1);
    assert_eq!(lab.send(&sctp(1000, 444)).0, Verdict::Punt(PuntReason::NoVip));
    let records: std::collections::HashSet<_> =
        (0..200).map(|port| lab.record(&sctp(port + 1, 443))).collect();
    assert!(records.len() > 5, "associations spread by their ports");
}

#[test]
fn entries_from_a_time_before_the_slices_are_not_followed() {
    let mut lab = with(|_| {});
    for client in 0..CLIENTS {
        lab.record(&web(client, SYN));
    }
    lab.change(|spec| {
        let service = &mut spec.services[WEB];
        (service.ports, service.ranges, service.is_tracked) = (vec![80], vec![(400, 500)], false);
        service.selection.slices = vec![SliceSpec { low: 400, high: 500, backend: 4 }];
    });
    for client in 0..CLIENTS {
        assert_eq!(lab.record(&web(client, ACK)), 4);
    }
    assert_eq!(lab.counters().insertions.get(), u64::from(CLIENTS), "and none is made");
}

#[test]
fn those_who_explain_say_what_the_path_does() {
    let selections: [fn(&mut SelectionSpec); 2] = [
        |selection| selection.hash = HashFields::Source { ipv4: 20, ipv6: 40 },
        |selection| selection.slices = vec![SliceSpec { low: 443, high: 443, backend: 2 }],
    ];
    for (at, change) in selections.into_iter().enumerate() {
        let mut lab = with(|service| change(&mut service.selection));
        for client in 0..CLIENTS {
            let sample = web(client, SYN);
            let (_, key) = parse(&sample.frame(), OURS).unwrap();
            let choice = lab.tables.choice(0, &key, &[]);
            assert_eq!(choice.record, Some(lab.record(&sample)));
            assert_eq!(choice.by, [By::Maglev, By::Slice][at]);
        }
    }
}
