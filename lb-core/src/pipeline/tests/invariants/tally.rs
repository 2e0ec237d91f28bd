//! What was sent, by kind, and what became of it: a run that does not meet a kind proves nothing about it.

use super::*;

macro_rules! kinds {
    ($($kind:ident, $name:literal, $must:ident;)+) => {
        /// The kinds of packets of a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($kind,)+ }

        /// Name, and what at least one packet of the kind must have come to.
        const KINDS: &[(&str, Fate)] = &[$(($name, Fate::$must),)+];
    };
}

/// What became of a packet, without particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Forward,
    Split,
    Return,
    Answer,
    Hold,
    Punt,
    Drop,
}

const FATES: [&str; 7] = ["forward", "split", "return", "answer", "hold", "punt", "drop"];

kinds! {
    Plain, "TCP and UDP of all shapes", Forward;
    Noise, "damaged frames", Drop;
    Martian, "sources that no host has", Drop;
    MtuBelow, "a byte below the MTU", Forward;
    MtuAt, "at the MTU", Forward;
    MtuAbove, "a byte above the MTU", Answer;
    Pieces, "oversize: fragment", Split;
    Silent, "oversize: drop", Drop;
    LastHop, "TTL of 0 to 2", Answer;
    Prefix, "a prefix as VIP", Forward;
    PortRange, "a range of ports", Forward;
    AnyProtocol, "any protocol (ESP, AH, GRE, ...)", Forward;
    Sctp, "SCTP", Forward;
    BySource, "hash by source", Forward;
    ByPrefix, "hash by source prefix", Forward;
    Slices, "port slices", Forward;
    QuicId, "QUIC server IDs", Forward;
    TcpId, "TCP server IDs", Forward;
    WithoutSessions, "sessions: none", Forward;
    EveryForm, "every encapsulation and policy", Forward;
    EchoAnswered, "echo requests, answered", Answer;
    EchoForwarded, "echo requests, forwarded", Forward;
    EchoIgnored, "echo requests, ignored", Drop;
    EchoError, "ICMP errors about echo replies", Forward;
    ErrorV4, "ICMP errors", Forward;
    ErrorV6, "ICMPv6 errors", Forward;
    ErrorShort, "ICMP errors, quotes of 8 bytes", Forward;
    ErrorExtended, "ICMP errors with extensions", Forward;
    ErrorOfFragment, "ICMP errors about fragments", Forward;
    TunnelError, "ICMP errors of the tunnels", Answer;
    FragmentFirst, "first fragments", Forward;
    FragmentLater, "later fragments", Forward;
    FragmentHeld, "fragments before the first", Hold;
    FragmentTaken, "of those, taken back", Forward;
    FragmentOverlap, "overlapping fragments", Drop;
    FragmentTwice, "duplicate fragments", Forward;
    FragmentAtomic, "atomic fragments", Forward;
    FragmentEcho, "fragments of echo requests", Answer;
    FragmentsDropped, "fragments: drop", Drop;
    Nat, "NAT", Forward;
    FullNat, "full NAT", Forward;
    Nat64, "NAT64", Forward;
    Toa, "full NAT with the TCP option", Forward;
    Proxy, "full NAT with PROXY headers", Forward;
    NatMtu, "NAT about the MTU", Drop;
    NatAnswer, "NAT, answers of backends", Return;
    NatErrorBack, "NAT, ICMP errors to clients", Return;
    NatErrorThere, "NAT, ICMP errors to backends", Forward;
    NatFragment, "NAT, fragments", Drop;
}

impl Fate {
    pub(super) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Forward(_) => Self::Forward,
            Verdict::Return(_) => Self::Return,
            Verdict::Answer(_) => Self::Answer,
            Verdict::Hold(_) => Self::Hold,
            Verdict::Punt(_) => Self::Punt,
            Verdict::Split(..) => Self::Split,
            Verdict::Drop(_) => Self::Drop,
        }
    }
}

/// Counts by kind and fate.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Vec<[u64; FATES.len()]>,
}

impl Tally {
    pub(super) fn note(&mut self, kind: Kind, fate: Fate) {
        self.counts.resize(KINDS.len(), [0; FATES.len()]);
        self.counts[kind as usize][fate as usize] += 1;
    }

    /// The table of the run, and a panic if a kind has not come to what it must.
    pub(super) fn report(&self, received: u64, at: &str) {
        println!("{:<34} {:>9}  {:>6}  became", "kind", "packets", "share");
        for (name, counts) in KINDS.iter().map(|(name, _)| name).zip(&self.counts) {
            let sum: u64 = counts.iter().sum();
            let fates: Vec<String> = FATES
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count > 0)
                .map(|(fate, count)| format!("{fate} {count}"))
                .collect();
            println!(
                "{name:<34} {sum:>9}  {:>5.2}%  {}",
                sum as f64 * 100.0 / received as f64,
                fates.join(", ")
            );
        }
        for ((name, must), counts) in KINDS.iter().zip(&self.counts) {
            assert!(counts[*must as usize] > 0, "{at}: not one packet of `{name}` came to {must:?}");
        }
    }
}
