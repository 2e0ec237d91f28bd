//! The table against a naive model: all entries that match, and the best of them by the precedence as it is written.

use super::*;
use proptest::prelude::*;

/// Addresses in few prefixes, so that prefixes nest and hold each other's.
fn address(is_v6: bool, index: u8) -> IpAddr {
    if is_v6 {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&[0x20, 0x01]);
        bytes[15] = index;
        bytes.into()
    } else {
        [203, 0, 113, index].into()
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    prefix: Prefix,
    ports: Ports,
    protocol: u8,
}

impl Entry {
    fn matches(&self, address: IpAddr, port: u16, protocol: u8) -> bool {
        let by_port = match self.ports {
            Ports::One(one) => port == one && port != 0,
            Ports::Range(low, high) => low <= port && port <= high && port != 0,
            Ports::Any => true,
        };
        self.prefix.contains(address) && by_port && [ANY_PROTOCOL, protocol].contains(&self.protocol)
    }

    /// The precedence, greatest first.
    fn rank(&self) -> (u8, u8, bool) {
        let ports = match self.ports {
            Ports::One(_) => 2,
            Ports::Range(..) => 1,
            Ports::Any => 0,
        };
        (self.prefix.len(), ports, self.protocol != ANY_PROTOCOL)
    }

    fn excludes(&self, other: &Self) -> bool {
        let by_port = match (self.ports, other.ports) {
            (Ports::Range(low, high), Ports::Range(from, to)) => low <= to && from <= high,
            (one, another) => one == another,
        };
        self.prefix == other.prefix && self.protocol == other.protocol && by_port
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let ports = prop_oneof![
        4 => (1u16..7).prop_map(Ports::One),
        2 => (1u16..7, 1u16..3).prop_map(|(low, more)| Ports::Range(low, low + more)),
        2 => Just(Ports::Any),
    ];
    let len = prop_oneof![4 => Just(0u8), 1 => 1u8..9];
    (any::<bool>(), 0u8..12, len, ports, prop::sample::select(vec![ANY_PROTOCOL, 6, 17, 6, 17])).prop_map(
        |(is_v6, index, less, ports, protocol)| {
            let width = if is_v6 { 128 } else { 32 };
            Entry { prefix: Prefix::new(address(is_v6, index), width - less), ports, protocol }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_service_is_the_best_match_of_a_naive_model(
        entries in prop::collection::vec(any_entry(), 0..24),
        asked in prop::collection::vec((any::<bool>(), 0u8..14, 0u16..10, prop::sample::select(vec![6u8, 17, 50, 255])), 60),
    ) {
        let mut table = ServiceTable::with_capacity(1);
        let mut known: Vec<(Entry, ServiceIndex)> = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let result = table.insert(entry.prefix, entry.ports, entry.protocol, index as u16);
            match known.iter().any(|(other, _)| other.excludes(&entry)) {
                true => prop_assert!(result.is_err(), "{entry:?} is there twice"),
                false => {
                    prop_assert_eq!(result, Ok(()));
                    known.push((entry, index as u16));
                }
            }
        }
        for (is_v6, index, port, protocol) in asked {
            let address = address(is_v6, index);
            // Only packets of protocols with ports have one.
            let port = if [6, 17].contains(&protocol) { port } else { 0 };
            let matching = known.iter().filter(|(entry, _)| entry.matches(address, port, protocol));
            let best = matching.max_by_key(|(entry, _)| entry.rank()).map(|(_, service)| *service);
            prop_assert_eq!(table.find(address, port, protocol), best, "{} {} {}", address, port, protocol);
            let is_present = known.iter().any(|(entry, _)| entry.prefix.contains(address));
            prop_assert_eq!(table.any_at(address).is_some(), is_present);
        }
    }

    /// Every first packet of a flow is one of these, by far: what the table was before it had layers.
    #[test]
    fn a_table_of_plain_entries_asks_no_layer(
        ports in prop::collection::btree_set(1u16..200, 0..100),
        asked in prop::collection::vec(0u16..220, 50),
    ) {
        let mut table = ServiceTable::with_capacity(1);
        for port in &ports {
            table.insert(address(false, 1).into(), Ports::One(*port), 6, *port).unwrap();
        }
        prop_assert!(matches!(table.behind, Behind::Nothing));
        for port in asked {
            prop_assert_eq!(table.find(address(false, 1), port, 6), ports.get(&port).copied());
        }
    }
}

#[test]
fn the_precedence_is_prefix_then_ports_then_protocol() {
    let mut table = ServiceTable::with_capacity(1);
    let (wide, narrow) = ("203.0.113.0/24".parse().unwrap(), "203.0.113.128/25".parse().unwrap());
    for (number, (prefix, ports, protocol)) in [
        (wide, Ports::One(80), 6),
        (wide, Ports::Range(80, 90), 6),
        (wide, Ports::Any, 6),
        (wide, Ports::Any, ANY_PROTOCOL),
        (narrow, Ports::Range(85, 95), ANY_PROTOCOL),
        (narrow, Ports::One(85), ANY_PROTOCOL),
        (narrow, Ports::Range(85, 95), 6),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(table.insert(prefix, ports, protocol, number as u16), Ok(()));
    }
    for (host, port, protocol, expected) in [
        (1, 80, 6, 0),
        (1, 81, 6, 1),
        (1, 443, 6, 2),
        (1, 80, 17, 3),
        (1, 0, 50, 3),
        // The longer prefix wins, where it serves the packet at all.
        (200, 90, 6, 6),
        (200, 90, 17, 4),
        (200, 85, 6, 5),
        (200, 80, 6, 0),
        (200, 0, 47, 3),
    ] {
        assert_eq!(
            table.find(address(false, host), port, protocol),
            Some(expected),
            "{host} {port} {protocol}"
        );
    }
    assert_eq!(table.find([203, 0, 114, 1].into(), 80, 6), None);
    let taken = table.insert(narrow, Ports::Range(95, 99), 6, 9);
    assert_eq!(taken, Err(Duplicate { service: 6 }), "ranges of one prefix and protocol do not overlap");
}
