//! A slow, obvious twin: a map of flows, one packet at a time, headers built anew by pnet_packet.
//!
//! A million random packets, generations that fail, drain and revive backends, time that wraps. The twin
//! and the pipeline, on the CPU's own and on the portable level, must agree on every verdict, every byte
//! and at the end every counter.

use super::*;
use crate::conn::Class;
use crate::flow::FlowKey;
use crate::headers::NoFlow;
use crate::sample::{ACK, Extension, FIN, Numbers, RST, SYN, Transport};
use std::collections::HashMap;

/// Packets of a run, unless `TWIN_PACKETS` says otherwise.
const PACKETS: u64 = 1_000_000;
const FLOWS: usize = 2_500;

/// What the twin counts, by record or reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    packets: Vec<u64>,
    ip_bytes: Vec<u64>,
    connections: Vec<u64>,
    active: Vec<u64>,
    drops: Vec<(u64, u64)>,
    service_drops: Vec<Vec<(u64, u64)>>,
    answers: Vec<u64>,
    insertions: u64,
    expirations: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    record: usize,
    class: Class,
    tick: u16,
}

struct Twin {
    flows: HashMap<FlowKey, Entry>,
    counts: Counts,
}

fn is_dead(spec: &Spec, record: usize) -> bool {
    backend_of(spec, record as u16).state == BackendState::Down
}

pub(super) fn service_of(spec: &Spec, key: &FlowKey) -> Option<usize> {
    let has = |wanted: &dyn Fn(&ServiceSpec) -> bool| {
        spec.services.iter().position(|service| {
            service.protocol == key.protocol
                && service.addresses.contains(&key.destination.into())
                && wanted(service)
        })
    };
    let exact = has(&|service| key.destination_port != 0 && service.ports.contains(&key.destination_port));
    exact.or_else(|| has(&|service| service.ports.is_empty()))
}

impl Twin {
    fn new(records: usize, services: usize) -> Self {
        let drops = vec![(0, 0); DropReason::COUNT];
        let zeroes = vec![0; records];
        let counts = Counts {
            packets: zeroes.clone(),
            ip_bytes: zeroes.clone(),
            connections: zeroes.clone(),
            active: zeroes,
            service_drops: vec![drops.clone(); services],
            answers: vec![0; AnswerReason::COUNT],
            drops,
            ..Counts::default()
        };
        Self { flows: HashMap::new(), counts }
    }

    fn dropped(&mut self, reason: DropReason, service: Option<usize>, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let all = std::iter::once(&mut self.counts.drops);
        for drops in all.chain(service.map(|service| &mut self.counts.service_drops[service])) {
            drops[reason as usize].0 += 1;
            drops[reason as usize].1 += frame.len() as u64;
        }
        (Verdict::Drop(reason), frame.to_vec())
    }

    /// What should become of a frame.
    fn send(&mut self, tables: &Tables, spec: &Spec, now: u16, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let (headers, key) = match parse(frame, OURS) {
            Ok(parsed) => parsed,
            Err(NoFlow::Drop(reason)) => return self.dropped(reason, None, frame),
            Err(NoFlow::Punt(reason)) => return (Verdict::Punt(reason), frame.to_vec()),
            Err(NoFlow::Icmp(_)) => panic!("the twin knows no ICMP"),
            Err(NoFlow::Fragment(fragment)) => {
                let (from, to) = (fragment.datagram.source, fragment.datagram.destination);
                let is_martian = naive::is_martian_to(from, to);
                let reason = if is_martian { DropReason::MartianSource } else { DropReason::Fragment };
                return match spec.services.iter().position(|service| service.addresses.contains(&to.into())) {
                    Some(service) => self.dropped(reason, Some(service), frame),
                    None => (Verdict::Punt(PuntReason::NoVip), frame.to_vec()),
                };
            }
        };
        let hash = tables.hash(Level::Portable, &key);
        let opens = headers.tcp_flags & (SYN | ACK) == SYN;
        let usable = self.flows.get(&key).copied().filter(|entry| !opens && !is_dead(spec, entry.record));
        let record = if let Some(entry) = usable {
            self.progress(&key, &headers, now);
            entry.record
        } else {
            let Some(service) = service_of(spec, &key) else {
                return (Verdict::Punt(PuntReason::NoVip), frame.to_vec());
            };
            if naive::is_martian_to(key.source, key.destination) {
                return self.dropped(DropReason::MartianSource, Some(service), frame);
            }
            let Some(record) = tables.select(service as u16, hash) else {
                return self.dropped(DropReason::NoBackend, Some(service), frame);
            };
            if spec.services[service].is_tracked {
                self.track(key, &headers, usize::from(record), now);
            }
            usize::from(record)
        };
        let service = (0..spec.services.len()).find(|one| records_of(spec, *one).contains(&record));
        let backend = backend_of(spec, record as u16);
        if headers.ttl <= naive::ttl_spent(backend) {
            self.refused(DropReason::TtlExceeded, service, frame, &headers, spec, backend)
        } else if usize::from(headers.ip_len) + naive::overhead(backend) > usize::from(MTU) {
            self.refused(DropReason::MtuExceeded, service, frame, &headers, spec, backend)
        } else {
            self.counts.packets[record] += 1;
            self.counts.ip_bytes[record] += u64::from(headers.ip_len);
            (Verdict::Forward(record as u16), naive::encapsulated(frame, &headers, hash, backend))
        }
    }

    /// Told if there is a budget, and if who sent it may be told.
    fn refused(
        &mut self,
        reason: DropReason,
        service: Option<usize>,
        frame: &[u8],
        headers: &Headers,
        spec: &Spec,
        backend: &BackendSpec,
    ) -> (Verdict, Vec<u8>) {
        match naive::told(frame, headers, reason, backend).filter(|_| spec.signals.errors.total > 0) {
            Some((answer, left)) => {
                self.counts.answers[answer as usize] += 1;
                (Verdict::Answer(answer), left)
            }
            None => self.dropped(reason, service, frame),
        }
    }

    fn progress(&mut self, key: &FlowKey, headers: &Headers, now: u16) {
        let entry = self.flows.get_mut(key).unwrap();
        entry.tick = now;
        entry.class = match (headers.protocol, entry.class) {
            (17, _) => Class::Datagram,
            _ if headers.tcp_flags & (FIN | RST) != 0 => Class::Closing,
            (_, Class::Embryonic) if headers.tcp_flags & SYN == 0 => Class::Established,
            (_, class) => class,
        };
    }

    fn track(&mut self, key: FlowKey, headers: &Headers, record: usize, now: u16) {
        let opens = headers.tcp_flags & (SYN | ACK) == SYN;
        match self.flows.get(&key) {
            Some(old) if old.record == record && !(opens && old.class == Class::Closing) => {
                self.progress(&key, headers, now);
                return;
            }
            Some(old) => self.counts.active[old.record] -= 1,
            None => self.counts.insertions += 1,
        }
        self.flows.insert(key, Entry { record, class: Class::Embryonic, tick: now });
        self.counts.connections[record] += 1;
        self.counts.active[record] += 1;
    }

    fn sweep(&mut self, spec: &Spec, now: u16) {
        let counts = &mut self.counts;
        self.flows.retain(|_, entry| {
            let timeout = match entry.class {
                Class::Established => spec.timeouts.tcp_ticks,
                Class::Closing => spec.timeouts.tcp_closing_ticks,
                Class::Datagram => spec.timeouts.udp_ticks,
                Class::Embryonic => spec.timeouts.udp_ticks.max(spec.timeouts.tcp_closing_ticks),
            };
            let stays = now.wrapping_sub(entry.tick) <= timeout && !is_dead(spec, entry.record);
            if !stays {
                counts.active[entry.record] -= 1;
                counts.expirations += 1;
            }
            stays
        });
    }
}

/// The same counts, of a pipeline.
fn counts_of(counters: &WorkerCounters) -> Counts {
    let of =
        |count: fn(&crate::counters::RecordCounters) -> u64| counters.records.iter().map(count).collect();
    let drops = |drops: &crate::counters::DropCounters| -> Vec<(u64, u64)> {
        drops.packets.iter().zip(&drops.bytes).map(|(packets, bytes)| (packets.get(), bytes.get())).collect()
    };
    assert_eq!((counters.evictions.get(), counters.refusals.get()), (0, 0), "the table is large enough");
    Counts {
        packets: of(|one| one.packets.get()),
        ip_bytes: of(|one| one.ip_bytes.get()),
        connections: of(|one| one.connections.get()),
        active: of(|one| one.active.get()),
        drops: drops(&counters.drops),
        service_drops: counters.service_drops.iter().map(drops).collect(),
        answers: counters.answers.iter().map(|one| one.get()).collect(),
        insertions: counters.insertions.get(),
        expirations: counters.expirations.get(),
    }
}

/// A frame, its flow, and whether it opens a connection.
pub(super) struct Prepared {
    pub(super) frame: Vec<u8>,
    pub(super) flow: Option<FlowKey>,
    pub(super) opens: bool,
    expires: bool,
}

impl Prepared {
    fn new(frame: Vec<u8>) -> Self {
        let parsed = parse(&frame, OURS).ok();
        let opens = parsed.is_some_and(|(headers, _)| headers.tcp_flags & (SYN | ACK) == SYN);
        let expires = parsed.is_some_and(|(headers, _)| headers.ttl <= 1);
        Self { frame, flow: parsed.map(|(_, key)| key), opens, expires }
    }
}

/// The packets that a client may send: its shape is its own, flags and sizes vary.
pub(super) fn packets_of_client(index: usize, numbers: &mut Numbers) -> Vec<Prepared> {
    const V4: [&str; 7] = [
        "203.0.113.10:443",
        "203.0.113.10:80",
        "203.0.113.53:53",
        "203.0.113.20:7",
        "203.0.113.20:0",
        "203.0.113.66:80",
        "203.0.113.10:22",
    ];
    const V6: [&str; 4] = [
        "[2001:db8:cafe::10]:443",
        "[2001:db8:cafe::53]:53",
        "[2001:db8:cafe::20]:9",
        "[2001:db8:cafe::99]:9",
    ];
    let mut sample = if numbers.once_in(2) {
        Sample::tcp(&format!("198.51.100.7:{index}"), V4[numbers.below(V4.len())], ACK)
    } else {
        Sample::tcp(&format!("[2001:db8::{index:x}]:{index}"), V6[numbers.below(V6.len())], ACK)
    };
    sample.tos = numbers.next() as u8;
    match numbers.below(12) {
        0 => sample.tags = vec![(0x8100, numbers.next() as u16)],
        1 => sample.tags = vec![(0x88a8, 1), (0x8100, numbers.next() as u16)],
        2 => sample.options = vec![1; 4 * (1 + numbers.below(10))],
        3 => sample.extensions = vec![Extension::HopByHop(1), Extension::Destination(0)],
        4 => sample.extensions = vec![Extension::Routing(4, 1), Extension::Fragment(0, false)],
        5 => sample.padding = numbers.below(12),
        6 => sample.fragment = 0,
        _ => {}
    }
    if numbers.once_in(25) {
        // No host's; the port still tells clients apart.
        let (v4, v6) =
            (["0.1.2.3", "127.0.0.1", "224.0.0.9", "250.1.1.1"], ["::", "::1", "ff02::1", "ff0e::9"]);
        let source = if sample.is_v6() { v6 } else { v4 }[numbers.below(4)];
        sample.from.set_ip(if numbers.once_in(3) { sample.to.ip() } else { address(source) });
    }
    let is_udp = sample.to.port() == 53 || numbers.once_in(5);
    let flags = [SYN, SYN, ACK, ACK, ACK, 0x18, FIN | ACK, RST, SYN | ACK];
    let frames = flags.iter().enumerate().map(|(number, flags)| {
        let mut one = sample.clone();
        one.transport = match (is_udp, number) {
            (false, _) => Transport::Tcp(*flags),
            (true, 0) => Transport::UdpUnchecked,
            (true, 1) => Transport::UdpSurplus(7),
            (true, _) => Transport::Udp,
        };
        one.payload = vec![number as u8 ^ 0x35; numbers.below(60)];
        match numbers.below(40) {
            0 => one.ttl = numbers.below(3) as u8,
            1 => one.payload = vec![0x42; 1380 + numbers.below(90)],
            2 => one.destination_mac[3] = 1,
            3 if one.is_v6() => one.extensions = vec![Extension::Routing(0, 1)],
            3 => one.fragment = 0x2000 | numbers.below(3) as u16,
            _ => {}
        }
        Prepared::new(one.frame())
    });
    frames.collect()
}

/// Bytes that nobody meant to send.
pub(super) fn noise(packets: &[Prepared], numbers: &mut Numbers) -> Vec<u8> {
    if numbers.once_in(4) {
        return (0..numbers.below(90)).map(|_| numbers.next() as u8).collect();
    }
    let mut frame = packets[numbers.below(packets.len())].frame.clone();
    let at = numbers.below(frame.len().min(80));
    frame[at] = numbers.next() as u8;
    if numbers.once_in(3) {
        frame.truncate(numbers.below(frame.len() + 1));
    }
    frame
}

/// Up to 64 packets. A packet behind a SYN of its own flow goes into the next burst: see the story of data
/// in the same burst as its SYN. So does one whose TTL ends here among others of its flow, which are plain: it
/// is looked at after them.
fn next_burst(packets: &[Prepared], numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let (mut frames, mut opened, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    // Neighbours send more at a time, so that bursts have several packets of a flow.
    let (wanted, neighbourhood) = (1 + numbers.below(64), numbers.below(packets.len()));
    while frames.len() < wanted {
        let is_near = numbers.once_in(2);
        let at = if is_near { neighbourhood + numbers.below(40) } else { numbers.below(packets.len()) };
        let noise = numbers.once_in(40).then(|| Prepared::new(noise(packets, numbers)));
        let noise = noise.filter(|noise| !is_icmp(&noise.frame));
        let packet = noise.as_ref().unwrap_or(&packets[at % packets.len()]);
        let is_in = |flows: &Vec<FlowKey>| packet.flow.is_some_and(|flow| flows.contains(&flow));
        if is_in(&opened) || packet.expires && is_in(&seen) {
            break;
        }
        opened.extend(packet.flow.filter(|_| packet.opens || packet.expires));
        seen.extend(packet.flow);
        frames.push(packet.frame.clone());
    }
    frames
}

fn is_icmp(frame: &[u8]) -> bool {
    match parse(frame, OURS) {
        Err(NoFlow::Icmp(_)) => true,
        Err(NoFlow::Fragment(fragment)) => fragment.datagram.headers.protocol == 58,
        _ => false,
    }
}

/// Another generation: some backends change state or weight, and sometimes all recover.
fn change(spec: &mut Spec, numbers: &mut Numbers) {
    let recovers = numbers.once_in(4);
    if numbers.once_in(3) {
        spec.signals.errors.total ^= u32::MAX;
    }
    for pool in &mut spec.pools[..4] {
        for backend in &mut pool.backends {
            if recovers {
                backend.state = BackendState::Active;
            } else if numbers.once_in(6) {
                backend.state =
                    [BackendState::Active, BackendState::Drain, BackendState::Down][numbers.below(3)];
            } else if numbers.once_in(12) {
                backend.weight = numbers.below(4) as u32;
            }
        }
    }
}

/// Verdict and bytes must be the same, but for one thing: for a segment that is damaged already, the outer
/// checksum over IPv6 must be wrong too, while the twin, which sums everything, makes it right.
fn compare(spec: &Spec, frame: &[u8], found: (Verdict, Vec<u8>), expected: (Verdict, Vec<u8>), at: &str) {
    if found == expected {
        return;
    }
    let (Verdict::Forward(record), Ok((headers, key))) = (found.0, parse(frame, OURS)) else {
        panic!("{at}: {found:?} in place of {expected:?} for {frame:02x?}");
    };
    let masked = |(verdict, left): (Verdict, Vec<u8>)| {
        (verdict, naive::without_udp_checksum(left, backend_of(spec, record)))
    };
    let is_excused =
        naive::is_damaged(frame, &headers, &key) && masked(found.clone()) == masked(expected.clone());
    assert!(is_excused, "{at}: {found:02x?} in place of {expected:02x?} for {frame:02x?}");
}

/// A number from the environment: for longer runs, see `scripts/test-invariants`.
pub(super) fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |given| given.parse().unwrap_or_else(|_| panic!("{name}={given} is no number")))
}

/// What this traffic does not bring about, and what others count.
fn is_of_others(reason: DropReason) -> bool {
    use DropReason as D;
    matches!(
        reason,
        D::NoHeadroom
            | D::NoBuffer
            | D::NotIp
            | D::NoVip
            | D::PuntFull
            | D::TxFull
            | D::FragmentInvalid
            | D::FragmentTimeout
            | D::FragmentTableFull
            | D::IcmpUnmatched
            | D::IcmpIgnored
            | D::IcmpRateLimited
            | D::IcmpTunnel
            | D::NatNoSession
            | D::NatPortsExhausted
            | D::NatTableFull
    )
}

#[test]
fn a_million_packets_fare_as_with_the_slow_twin() {
    let (seed, wanted) = (setting("TWIN_SEED", 1), setting("TWIN_PACKETS", PACKETS));
    let mut numbers = Numbers(seed);
    let packets: Vec<Prepared> =
        (0..FLOWS).flat_map(|index| packets_of_client(index, &mut numbers)).collect();
    // Fragments have a state of their own, and tests of their own.
    let mut spec = spec();
    for service in &mut spec.services {
        service.portless.fragments = crate::spec::Fragments::Drop;
    }
    let mut fast = Lab::at_level(spec.clone(), 20_000, Level::detect());
    let mut others: Vec<Lab> =
        Level::all().skip(1).map(|level| Lab::at_level(spec.clone(), 20_000, level)).collect();
    let mut twin = Twin::new(fast.tables.records().len(), fast.tables.service_count());
    let (mut sent, mut generations) = (0, 0);
    while sent < wanted {
        if numbers.once_in(400) {
            fast.change(|spec| change(spec, &mut numbers));
            let spec = fast.spec.clone();
            others.iter_mut().for_each(|lab| lab.change(|old| *old = spec.clone()));
            generations += 1;
        }
        if numbers.once_in(100) {
            let ticks = if numbers.once_in(20) { 1 + numbers.below(70) } else { 1 } as u16;
            fast.wait(ticks);
            others.iter_mut().for_each(|lab| lab.wait(ticks));
            twin.sweep(&fast.spec, fast.now.0);
        }
        let burst = next_burst(&packets, &mut numbers);
        let outcomes = fast.burst(&burst);
        for other in &mut others {
            assert!(outcomes == other.burst(&burst), "TWIN_SEED={seed}, packet {sent}: levels differ");
        }
        for (frame, outcome) in burst.iter().zip(outcomes) {
            let expected = twin.send(&fast.tables, &fast.spec, fast.now.0, frame);
            let at = format!("TWIN_SEED={seed}, packet {sent}, generation {generations}");
            compare(&fast.spec, frame, outcome, expected, &at);
            sent += 1;
        }
    }
    assert_eq!(counts_of(fast.counters()), twin.counts, "TWIN_SEED={seed}");
    for other in &others {
        assert_eq!(counts_of(other.counters()), twin.counts, "TWIN_SEED={seed}");
    }
    assert_eq!(fast.pipeline.connections().len(), twin.flows.len(), "TWIN_SEED={seed}");
    for (reason, (dropped, _)) in DropReason::ALL.iter().zip(&twin.counts.drops) {
        let is_of_others = is_of_others(*reason);
        assert!(is_of_others || *dropped > 100, "{reason:?} was tried only {dropped} times");
    }
    for answer in [AnswerReason::FragmentationNeeded, AnswerReason::PacketTooBig, AnswerReason::TimeExceeded]
    {
        let times = twin.counts.answers[answer as usize];
        assert!(times > 100, "{answer:?} was tried only {times} times");
    }
    println!("seed {seed}: {sent} packets, {generations} generations, {} flows at the end", twin.flows.len());
}
