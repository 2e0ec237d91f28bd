//! The invariants of docs/SPEC.md over random packets of every kind that we know, each said by itself and not by
//! comparison with a twin.
//!
//! 1 where a flow goes is a function of tables and 5-tuple alone, on any worker with an empty table; 2 an ICMP error
//! goes where the packet goes that it is about, by an entry and without; so do all fragments of a datagram; 3 what comes
//! out of the tunnel is what the client sent, one hop on, and what comes out of translation is its segment; 4 nothing
//! longer than the MTU of its way out leaves, and all that fits does; 5 every packet received has one verdict and one
//! counter; 6 over generations a flow with an entry keeps its backend while that is alive; 7 nothing is allocated on the
//! way. `scripts/test-invariants` runs it for ten million.

mod clients;
mod expected;
mod messages;
mod tally;
mod traffic_mix;
mod translated;
mod world;

use super::twin::setting;
use super::*;
use crate::fragments::HeldState;
use crate::headers::Headers;
use crate::hw::Level;
use crate::nat::Nat;
use crate::sample::Numbers;
use crate::spec::Oversize;
use clients::Flow;
use expected::Expected;
use std::collections::HashMap;
use tally::{Fate, Kind, Tally};
use traffic_mix::{Mix, Role, Sent};

/// Packets of a run, unless `INVARIANT_PACKETS` says otherwise.
const PACKETS: u64 = 400_000;
/// Entries and sessions of a worker: more than a run makes before it forgets them.
const ENTRIES: usize = 60_000;
const SESSIONS: usize = 16_384;
/// Bursts after which all entries and sessions time out, so that each flow is new again.
const LIFE: u64 = 2_000;

/// A fragment that waits, with its slot.
type Held = (Sent, u16);

struct Run {
    lab: Lab,
    /// Workers that know no flow, one for each instruction set.
    others: Vec<Pipeline>,
    mix: Mix,
    numbers: Numbers,
    backends: Vec<BackendSpec>,
    expected: Expected,
    held: Vec<Held>,
    tally: Tally,
    /// Verdicts by fate; those of `Hold` are of packets that still wait.
    ends: [u64; 7],
    /// Frames that packets have left as in pieces.
    pieces: u64,
    forwarded_of: Vec<[u64; 2]>,
    received: u64,
    generations: u64,
    seed: u64,
}

impl Drop for Run {
    /// Says where to look again.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.at());
        }
    }
}

fn worker(lab: Lab, index: usize) -> Lab {
    let Lab { spec, tables, pipeline, now } = lab;
    let mut pipeline = pipeline.with_nat(Nat::new(SESSIONS, [1, 2], index, 2));
    pipeline.came_by(nat::CLIENT_PORT);
    Lab { spec, tables, pipeline, now }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let (spec, vips) = world::world();
        let mix = Mix::new(&vips, &mut numbers);
        let lab = worker(Lab::at_level(spec.clone(), ENTRIES, Level::detect()), 0);
        let other = |level| worker(Lab::at_level(spec.clone(), 64, level), 1).pipeline;
        let records = lab.tables.records().len();
        Self {
            others: Level::all().map(other).collect(),
            backends: (0..records).map(|record| backend_of(&spec, record as u16).clone()).collect(),
            expected: Expected::new(&spec),
            held: Vec::new(),
            tally: Tally::default(),
            ends: [0; 7],
            pieces: 0,
            forwarded_of: vec![[0; 2]; records],
            received: 0,
            generations: 0,
            mix,
            lab,
            numbers,
            seed,
        }
    }

    fn at(&self) -> String {
        format!("INVARIANT_SEED={}, packet {}, generation {}", self.seed, self.received, self.generations)
    }

    /// One burst, and all that must hold of it.
    fn burst(&mut self) {
        let burst = self.mix.burst(&mut self.numbers, &self.expected, &self.lab.tables, &self.backends);
        let frames: Vec<Vec<u8>> = burst.iter().map(|sent| sent.frame.clone()).collect();
        let before = self.expected.of_burst(&burst, &self.lab.tables);
        let outcomes = self.lab.burst(&frames);
        assert_eq!(outcomes.len(), frames.len(), "one verdict each");
        self.received += frames.len() as u64;
        for (at, (sent, (verdict, left))) in burst.into_iter().zip(outcomes).enumerate() {
            if let (Verdict::Split(record, l3), Some(flow)) = (verdict, sent.flow()) {
                self.split((at, record, l3), &flow, &left);
            }
            self.ends[Fate::of(verdict) as usize] += 1;
            self.tally.note(
                if let Verdict::Hold(_) = verdict { Kind::FragmentHeld } else { sent.kind },
                Fate::of(verdict),
            );
            self.check(&sent, verdict, &left, &before);
            if self.numbers.once_in(8) {
                self.check_alone(&sent);
            }
            if let Verdict::Hold(slot) = verdict {
                self.held.push((sent, slot));
            }
        }
        self.expected.settle(before, &self.lab);
        self.take_back();
        self.check_counters();
    }

    /// Invariants 1 to 4 of one packet.
    fn check(&mut self, sent: &Sent, verdict: Verdict, left: &[u8], before: &expected::OfBurst) {
        let at = || format!("{sent:02x?}");
        if matches!(verdict, Verdict::Punt(_) | Verdict::Hold(_) | Verdict::Split(..)) {
            assert_eq!(left, sent.frame, "what is not sent is as it came");
        }
        if let Verdict::Answer(reason) = verdict {
            messages::check_answer(&sent.frame, left, reason);
        }
        if let Role::Translated(index, side) = sent.role {
            let choice = self.expected.choice(&self.mix.translated.client(index).flow(), &self.lab.tables);
            let packet = (index, side, &sent.frame[..]);
            self.mix.translated.check(packet, (verdict, left), choice, &self.lab.spec);
            return;
        }
        if let Verdict::Forward(record) = verdict {
            let backend = &self.backends[usize::from(record)];
            if backend.mode.is_nat() {
                assert!(matches!(sent.role, Role::Noise), "{}", at());
                return;
            }
            let headers = headers_of(&sent.frame);
            check_forwarded(backend, &headers, &sent.frame, left);
            self.forwarded_of[usize::from(record)][usize::from(headers.is_v6)] += 1;
            self.mix.note_outer(left, naive::overhead(backend), &mut self.numbers);
            if let Some(flow) = sent.flow() {
                let hash = self.lab.tables.hash(Level::Portable, &flow.key);
                assert!(
                    left == naive::encapsulated(&sent.frame, &headers, hash, backend),
                    "{left:02x?} of {}",
                    at()
                );
            }
        }
        match sent.role {
            Role::Flow(flow) => self.check_flow(sent, flow, (verdict, left), before),
            Role::About(flow) => {
                let told = self.expected.check(sent, &flow, verdict, before, &self.backends);
                // Never an error about an error.
                assert!(
                    told.is_none_or(|(_, reason)| verdict == Verdict::Drop(reason)),
                    "{verdict:?}: {}",
                    at()
                );
            }
            Role::Fragment(datagram) => {
                self.mix.datagrams[datagram].check(sent, verdict, self.lab.now, before)
            }
            Role::Tunnel => assert!(
                matches!(
                    verdict,
                    Verdict::Answer(AnswerReason::FragmentationNeeded | AnswerReason::PacketTooBig)
                ),
                "{verdict:?} for {}",
                at()
            ),
            Role::Fate(flow, fate) => {
                let has_backend = self.expected.choice(&flow, &self.lab.tables).is_some();
                let fate = if has_backend { fate } else { Fate::Drop };
                assert_eq!(Fate::of(verdict), fate, "{verdict:?} for {}", at());
            }
            Role::Martian => assert_eq!(verdict, Verdict::Drop(DropReason::MartianSource), "{}", at()),
            Role::Noise | Role::Translated(..) => {}
        }
    }

    /// A packet leaves in pieces, which are to be the whole of it.
    fn split(&mut self, place: (usize, RecordIndex, u8), flow: &Flow, frame: &[u8]) {
        let pieces = oversize::pieces_of(&mut self.lab, place, &Frame::new(frame));
        let backend = &self.backends[usize::from(place.1)];
        let hash = self.lab.tables.hash(Level::Portable, &flow.key);
        oversize::check_frames(frame, (backend, hash), &pieces);
        self.pieces += pieces.len() as u64;
    }

    /// A packet of a flow: to the backend that the flow has, or its sender is told why not.
    fn check_flow(
        &self,
        sent: &Sent,
        flow: Flow,
        (verdict, left): (Verdict, &[u8]),
        before: &expected::OfBurst,
    ) {
        let Some((record, reason)) = self.expected.check(sent, &flow, verdict, before, &self.backends) else {
            return;
        };
        let backend = &self.backends[usize::from(record)];
        let policy = self.lab.spec.pools[self.lab.spec.services[flow.service].pool].oversize;
        let headers = headers_of(&sent.frame);
        let has_df = headers.is_v6 || sent.frame[usize::from(headers.l3_offset) + 6] & 0x40 != 0;
        match (reason, policy) {
            (DropReason::MtuExceeded, Oversize::Fragment) if !has_df => {
                let l3 = headers.l3_offset;
                return assert_eq!(verdict, Verdict::Split(record, l3), "{sent:02x?}");
            }
            (DropReason::MtuExceeded, Oversize::Drop) => {
                return assert_eq!(verdict, Verdict::Drop(reason), "{sent:02x?}");
            }
            _ => {}
        }
        match (naive::told(&sent.frame, &headers, reason, backend), verdict) {
            (Some((answer, expected)), Verdict::Answer(found)) => {
                assert_eq!((found, left), (answer, &expected[..]), "{sent:02x?}");
            }
            (_, verdict) => assert_eq!(verdict, Verdict::Drop(reason), "{sent:02x?}"),
        }
    }

    /// Invariants 1 and 2 where nothing is known of the flow: on another worker, by another instruction set.
    fn check_alone(&mut self, sent: &Sent) {
        let (Role::Flow(flow) | Role::About(flow)) = sent.role else { return };
        let other = self.numbers.below(self.others.len());
        let (other, tables) = (&mut self.others[other], &self.lab.tables);
        let mut packets = [Frame::new(&sent.frame)];
        let verdict = other.process(tables, &OURS, self.lab.now, &mut packets)[0];
        other.delete_flow(tables, &flow.key, self.lab.now);
        assert_eq!(other.connections().len(), 0, "one flow, one entry");
        let choice = self.expected.choice(&flow, tables);
        match verdict {
            Verdict::Forward(record) => assert_eq!(Some(record), choice, "{sent:02x?}"),
            verdict => {
                let fits = choice.is_some_and(|record| {
                    expected::refusal(&self.backends[usize::from(record)], &sent.frame).is_none()
                });
                assert!(!fits, "{verdict:?} for {sent:02x?}");
            }
        }
    }

    /// Sends again what waits no longer, as a worker does.
    fn take_back(&mut self) {
        if !self.lab.pipeline.takes_back() {
            return;
        }
        let mut ready = Vec::new();
        let (lab, ends, tally) = (&mut self.lab, &mut self.ends, &mut self.tally);
        self.held.retain(|(sent, slot)| match lab.pipeline.held_state(*slot) {
            HeldState::Waiting => true,
            HeldState::Ready => {
                ready.push(sent.clone());
                false
            }
            HeldState::Gone => {
                lab.pipeline.give_up(*slot, sent.frame.len());
                ends[Fate::Hold as usize] -= 1;
                ends[Fate::Drop as usize] += 1;
                tally.note(Kind::FragmentTaken, Fate::Drop);
                false
            }
        });
        for ready in ready.chunks(BURST_MAX) {
            let mut packets: Vec<Frame> = ready.iter().map(|sent| Frame::new(&sent.frame)).collect();
            let (pipeline, tables, now) = (&mut self.lab.pipeline, &self.lab.tables, self.lab.now);
            let slots = &mut packets[..];
            let verdicts = no_allocation(move || pipeline.process_held(tables, &OURS, now, slots)).to_vec();
            let nothing = expected::OfBurst::default();
            for (sent, (verdict, packet)) in ready.iter().zip(verdicts.into_iter().zip(packets)) {
                self.ends[Fate::Hold as usize] -= 1;
                self.ends[Fate::of(verdict) as usize] += 1;
                self.tally.note(Kind::FragmentTaken, Fate::of(verdict));
                self.check(sent, verdict, packet.frame(), &nothing);
            }
        }
    }

    /// Invariant 5.
    fn check_counters(&self) {
        let counters = self.lab.counters();
        let of = |fate: Fate| self.ends[fate as usize];
        assert_eq!(counters.received.get(), self.received, "{}", self.at());
        assert_eq!(self.ends.iter().sum::<u64>(), self.received, "{}", self.at());
        assert_eq!(counters.drops.total(), of(Fate::Drop), "{}", self.at());
        assert_eq!(counters.held.get(), of(Fate::Hold), "{}", self.at());
        assert_eq!(self.held.len() as u64, of(Fate::Hold), "{}", self.at());
        let answers: u64 = counters.answers.iter().map(|one| one.get()).sum();
        assert_eq!(answers, of(Fate::Answer), "{}", self.at());
        let sent: u64 = counters.records.iter().map(|record| record.packets.get()).sum();
        assert_eq!(sent, of(Fate::Forward) + self.pieces, "{}", self.at());
        assert_eq!(counters.fragmented.get(), of(Fate::Split), "{}", self.at());
        assert_eq!((counters.evictions.get(), counters.refusals.get()), (0, 0), "the table is large enough");
    }

    fn wait(&mut self, ticks: u16) {
        self.lab.wait(ticks);
        self.expected.sweep();
        self.take_back();
        self.check_counters();
    }

    /// Every entry and every session times out, so that each flow is new again.
    fn forget(&mut self) {
        for _ in 0..2 {
            self.wait(20_000);
        }
        assert_eq!(self.lab.pipeline.connections().len(), 0, "{}", self.at());
        assert_eq!(self.lab.pipeline.nat().sessions().len(), 0, "{}", self.at());
        assert!(self.held.is_empty() && self.lab.pipeline.aside.fragments.is_empty(), "{}", self.at());
        self.expected.forget();
        self.mix.translated.forget();
    }

    /// Another generation.
    fn change(&mut self) {
        let numbers = &mut self.numbers;
        self.lab.change(|spec| change(spec, numbers));
        self.expected.take_up(&self.lab.spec);
        let is_down = |record: RecordIndex| !self.expected.is_alive(record);
        self.mix.translated.doubt(is_down);
        self.generations += 1;
    }
}

/// Some backends change state or weight, and sometimes all recover.
fn change(spec: &mut Spec, numbers: &mut Numbers) {
    let recovers = numbers.once_in(4);
    for backend in spec
        .pools
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| *at != DARK)
        .flat_map(|(_, pool)| &mut pool.backends)
    {
        if recovers {
            backend.state = BackendState::Active;
        } else if numbers.once_in(6) {
            backend.state = [BackendState::Active, BackendState::Drain, BackendState::Down][numbers.below(3)];
        } else if numbers.once_in(12) {
            backend.weight = numbers.below(4) as u32;
        }
    }
}

/// What the edit goes by, read without the parser.
fn headers_of(frame: &[u8]) -> Headers {
    let l3 = naive::l3_of(frame);
    let is_v6 = frame[l3] >> 4 == 6;
    Headers {
        l3_offset: l3 as u8,
        ip_len: messages::from_ip_len(&frame[l3..]) as u16,
        ttl: frame[l3 + if is_v6 { 7 } else { 8 }],
        is_v6,
        ..Headers::default()
    }
}

/// A forwarded frame against invariants 3 and 4.
fn check_forwarded(backend: &BackendSpec, headers: &Headers, sent: &[u8], left: &[u8]) {
    let l3 = usize::from(headers.l3_offset);
    // A policy may have taken tags off or put one on.
    let ip = &left[naive::l3_of(left)..];
    let len = messages::from_ip_len(ip);
    assert!(len <= usize::from(backend.egress.mtu), "{len} bytes leave: {sent:02x?}");
    let mut expected = sent[l3..l3 + usize::from(headers.ip_len)].to_vec();
    let inner = &ip[naive::overhead(backend)..][..expected.len()];
    let ttl = if headers.is_v6 { 7 } else { 8 };
    expected[ttl] -= naive::ttl_spent(backend);
    if !headers.is_v6 {
        let header_len = usize::from(expected[0] & 15) * 4;
        let sum = |bytes: &[u8]| crate::checksum::fold(crate::checksum::sum(bytes));
        assert_eq!(sum(&inner[..header_len]), 0xffff, "the inner header's checksum");
        expected[10..12].copy_from_slice(&inner[10..12]);
    }
    assert_eq!(inner, &expected[..], "the client's datagram");
}

#[test]
fn the_invariants_hold_over_random_packets() {
    let (seed, wanted) = (setting("INVARIANT_SEED", 1), setting("INVARIANT_PACKETS", PACKETS));
    let mut run = Run::new(seed);
    let mut bursts = 0;
    while run.received < wanted {
        bursts += 1;
        if run.numbers.once_in(300) {
            run.change();
        }
        if run.numbers.once_in(60) {
            run.wait(1);
        }
        if bursts % LIFE == 0 {
            run.forget();
        }
        run.burst();
    }
    run.forget();
    let (received, ends) = (run.received, run.ends);
    run.tally.report(received, &run.at());
    run.check_every_encapsulation();
    let forwarded = ends[Fate::Forward as usize];
    assert!(forwarded > received / 2, "only {forwarded} of {received} were forwarded");
    println!(
        "seed {seed}: {received} packets, {} generations, {forwarded} forwarded, {} dropped",
        run.generations,
        ends[Fate::Drop as usize]
    );
}

impl Run {
    /// Every encapsulation, with each policy and by both families, has carried both families.
    fn check_every_encapsulation(&self) {
        let every = self.mix.clients.iter().find(|client| client.kind == Kind::EveryForm).unwrap();
        let pool = self.lab.spec.services[every.service].pool;
        let mut carried = vec![[0; 2]; self.lab.spec.pools[pool].backends.len()];
        for (record, counts) in self.forwarded_of.iter().enumerate() {
            let owner = self.lab.tables.owner(record as u16).unwrap();
            if owner.pool == pool {
                let carried = &mut carried[owner.backend];
                (carried[0], carried[1]) = (carried[0] + counts[0], carried[1] + counts[1]);
            }
        }
        for (backend, counts) in self.lab.spec.pools[pool].backends.iter().zip(&carried) {
            assert!(counts.iter().all(|count| *count > 0), "{:?}: {counts:?}", backend.mode);
        }
        println!("{} encapsulations have carried both families", carried.len());
    }
}
