//! The table against a map, and what its bounds are.

use super::*;
use crate::flow::FlowKey;
use crate::wire::{PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_RST, TCP_SYN};
use proptest::prelude::*;
use std::collections::HashMap;

const SECRET: [u64; 2] = [0x1234_5678, 0x9abc_def0];

fn forward(client: u8, protocol: u8) -> Tuple {
    Tuple::of(&FlowKey {
        source: [198, 51, 100, client].into(),
        destination: [203, 0, 113, 10].into(),
        source_port: 40_000 + u16::from(client),
        destination_port: 80,
        protocol,
    })
}

fn session(client: u8, protocol: u8, now: Tick) -> Session {
    let forward = forward(client, protocol);
    let backward = Tuple {
        source: super::super::tuple::octets([10, 0, 0, 1].into()),
        source_port: 8080,
        ..forward.reversed()
    };
    Session::new(forward, backward, (0, u16::from(client % 3)), now)
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u8),
    Remove(u8, u8),
    /// A packet of the client, of the backend: with TCP flags.
    Forward(u8, u8, u8),
    Backward(u8, u8, u8),
    Wait(u16),
    /// The record that is gone from here on.
    Sweep(Option<u16>),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0u8..24;
    let protocol = prop_oneof![Just(PROTOCOL_TCP), Just(PROTOCOL_UDP)];
    let flags =
        prop_oneof![Just(TCP_SYN), Just(TCP_SYN | TCP_ACK), Just(TCP_ACK), Just(TCP_ACK | 1), Just(TCP_RST)];
    prop_oneof![
        4 => (client.clone(), protocol.clone()).prop_map(|(a, b)| Step::Insert(a, b)),
        2 => (client.clone(), protocol.clone()).prop_map(|(a, b)| Step::Remove(a, b)),
        4 => (client.clone(), protocol.clone(), flags.clone()).prop_map(|(a, b, c)| Step::Forward(a, b, c)),
        4 => (client, protocol, flags).prop_map(|(a, b, c)| Step::Backward(a, b, c)),
        1 => (0u16..9_000).prop_map(Step::Wait),
        2 => prop::option::of(0u16..3).prop_map(Step::Sweep),
    ]
}

/// What the map remembers: TCP by the rules of RFC 5382, written down once more.
#[derive(Clone, Debug)]
struct Known {
    last: u64,
    record: u16,
    answered: bool,
    confirmed: bool,
    finished: bool,
    reset: bool,
}

impl Known {
    fn timeout(&self, protocol: u8) -> u64 {
        match (protocol, self.answered && self.confirmed && !self.finished && !self.reset) {
            (PROTOCOL_UDP, _) => 300,
            (_, true) => 7_440,
            (_, false) => 240,
        }
    }

    fn note(&mut self, flags: u8, is_forward: bool, now: u64) {
        self.last = now;
        self.reset = flags & TCP_RST != 0;
        self.finished |= flags & 1 != 0;
        if is_forward {
            self.confirmed |= self.answered && flags & (TCP_SYN | TCP_RST) == 0;
        } else {
            self.answered |= !self.reset;
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_map(capacity in 1usize..20, steps in prop::collection::vec(step(), 0..200)) {
        let mut table = SessionTable::new(capacity, SECRET);
        let mut map: HashMap<(u8, u8), Known> = HashMap::new();
        let timeouts = NatTimeouts::default();
        // Begins just before the clock comes round.
        let mut seconds = 65_000u64;
        for step in steps {
            let now = Tick(seconds as u16);
            match step {
                Step::Insert(client, protocol) => {
                    let is_free = table.find(&forward(client, protocol), Direction::Forward).is_none();
                    prop_assert_eq!(is_free, !map.contains_key(&(client, protocol)));
                    if is_free {
                        let made = table.insert(session(client, protocol, now));
                        prop_assert_eq!(made.is_ok(), map.len() < capacity);
                        if made.is_ok() {
                            let record = u16::from(client % 3);
                            let known = Known { last: seconds, record, answered: false, confirmed: false, finished: false, reset: false };
                            map.insert((client, protocol), known);
                        }
                    }
                }
                Step::Remove(client, protocol) => {
                    let index = table.find(&forward(client, protocol), Direction::Forward);
                    prop_assert_eq!(index.is_some(), map.remove(&(client, protocol)).is_some());
                    if let Some(index) = index {
                        prop_assert!(table.remove(index).is_some() && table.remove(index).is_none());
                    }
                }
                Step::Forward(client, protocol, flags) => {
                    if let Some(index) = table.find(&forward(client, protocol), Direction::Forward) {
                        table.get_mut(index).note_forward(flags, now);
                        map.get_mut(&(client, protocol)).unwrap().note(flags, true, seconds);
                    }
                }
                Step::Backward(client, protocol, flags) => {
                    let answer = session(client, protocol, now).backward;
                    let index = table.find(&answer, Direction::Backward);
                    prop_assert_eq!(index.is_some(), map.contains_key(&(client, protocol)));
                    if let Some(index) = index {
                        table.get_mut(index).note_backward(flags, now);
                        map.get_mut(&(client, protocol)).unwrap().note(flags, false, seconds);
                    }
                }
                Step::Wait(ticks) => seconds += u64::from(ticks),
                Step::Sweep(gone) => {
                    let mut removed = Vec::new();
                    let is_gone = |record| Some(record) == gone;
                    table.sweep(usize::MAX, now, &timeouts, is_gone, |session| removed.push(session.forward));
                    let before = map.len();
                    map.retain(|(_, protocol), known| {
                        seconds - known.last < known.timeout(*protocol) && Some(known.record) != gone
                    });
                    prop_assert_eq!(removed.len(), before - map.len());
                }
            }
            prop_assert_eq!(table.len(), map.len());
            prop_assert_eq!(table.iter().count(), map.len());
        }
        for (client, protocol) in map.keys() {
            let index = table.find(&forward(*client, *protocol), Direction::Forward).unwrap();
            prop_assert_eq!(table.find(&table.get(index).backward, Direction::Backward), Some(index));
            // A tuple is found from its own side only.
            prop_assert_eq!(table.find(&forward(*client, *protocol), Direction::Backward), None);
        }
    }
}

#[test]
fn a_sweep_looks_at_no_more_places_than_it_was_given_and_comes_to_all_of_them() {
    let mut table = SessionTable::new(64, SECRET);
    for client in 0..40 {
        table.insert(session(client, PROTOCOL_UDP, Tick(0))).unwrap();
    }
    let timeouts = NatTimeouts::default();
    for round in 1..=10 {
        table.sweep(4, Tick(300), &timeouts, |_| false, |_| {});
        assert_eq!(table.len(), 40 - 4 * round);
    }
    table.sweep(usize::MAX, Tick(300), &timeouts, |_| false, |_| {});
    assert!(table.is_empty());
}

#[test]
fn a_table_without_places_is_full() {
    let mut table = SessionTable::new(0, SECRET);
    assert_eq!(table.find(&forward(1, 6), Direction::Forward), None);
    assert_eq!(table.insert(session(1, 6, Tick(0))), Err(TableFull));
    table.sweep(usize::MAX, Tick(0), &NatTimeouts::default(), |_| true, |_| {});
}

#[test]
fn timeouts_are_those_of_the_rfcs() {
    let timeouts = NatTimeouts::default();
    let mut tcp = session(1, PROTOCOL_TCP, Tick(0));
    assert_eq!(tcp.timeout(&timeouts), 4 * 60, "RFC 5382 REQ-5: partially open");
    tcp.note_forward(TCP_SYN, Tick(0));
    tcp.note_backward(TCP_SYN | TCP_ACK, Tick(0));
    assert!(!tcp.is_established(), "the client has not confirmed");
    tcp.note_forward(TCP_ACK, Tick(0));
    assert_eq!(tcp.timeout(&timeouts), 2 * 3600 + 4 * 60, "RFC 5382 REQ-5: established");
    tcp.note_backward(TCP_RST, Tick(0));
    assert_eq!(tcp.timeout(&timeouts), 4 * 60);
    tcp.note_forward(TCP_ACK, Tick(0));
    assert!(tcp.is_established(), "RFC 7857 section 2.2: it went on, so the reset was none");
    tcp.note_forward(TCP_ACK | TCP_FIN, Tick(0));
    assert_eq!(tcp.timeout(&timeouts), 4 * 60, "RFC 5382 REQ-5: partially closed");
    assert_eq!(session(1, PROTOCOL_UDP, Tick(0)).timeout(&timeouts), 5 * 60, "RFC 4787 REQ-5");
    assert!(!tcp.is_expired(Tick(239), &timeouts) && tcp.is_expired(Tick(240), &timeouts));
}

use crate::wire::TCP_FIN;
