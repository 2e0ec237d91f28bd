//! `forwarding`: the hash table, the connection table and the outer source addresses.
//!
//! Everything has a default, so the section may be missing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::model::{Connections, Encapsulation, FragmentTable, Icmp, NatSessions};
use super::super::prime::{self, TABLE_SIZE_MAX, TABLE_SIZE_MIN};
use super::super::read::{Complaint, Item, Located, Section};
use super::super::values;

/// Slots unless configured.
pub(in super::super) const TABLE_SIZE_DEFAULT: u32 = 65_537;
/// Hash seed unless configured: a published constant, so that all nodes agree. Choose your own where strangers send
/// packets: who knows the seed can aim flows at one slot.
pub(in super::super) const SEED_DEFAULT: u128 = 0x6775_6964_6577_6179_0001;

/// What every IPv4 host takes (RFC 1122 section 3.3.2), and more than any port sends.
const INNER_MTU_MIN: u16 = 576;
const INNER_MTU_MAX: u16 = 9600;
/// More would be a flood.
const RATE_MAX: u32 = 1_000_000;
/// RFC 8200 section 4.5.
const FRAGMENT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

pub(in super::super) struct ForwardingDraft {
    pub(in super::super) table_size: Located<u32>,
    pub(in super::super) seed: u128,
    pub(in super::super) connections: Connections,
    pub(in super::super) encapsulation: Encapsulation,
    pub(in super::super) nat: NatSessions,
    pub(in super::super) icmp: Icmp,
    pub(in super::super) fragments: FragmentTable,
}

pub(in super::super) fn read(root: &Section<'_>) -> ForwardingDraft {
    let section = root.get("forwarding").and_then(|item| item.section(&keys::FORWARDING));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let maglev = get("maglev").and_then(|item| item.section(&keys::MAGLEV));
    let nowhere = Place { field: "forwarding.maglev.table_size".to_owned(), offset: root.place.offset };
    let table_size = maglev.as_ref().and_then(|maglev| maglev.get("table_size"));
    let seed = maglev.as_ref().and_then(|maglev| maglev.get("seed"));
    ForwardingDraft {
        table_size: table_size
            .and_then(|item| prime_size(&item))
            .unwrap_or(Located { value: TABLE_SIZE_DEFAULT, place: nowhere }),
        seed: seed
            .and_then(|item| {
                item.parse(Code::BadSeed, "a hash seed in quotes, such as \"0x1f\"", values::seed)
            })
            .map_or(SEED_DEFAULT, |seed| seed.value),
        connections: connections(get("connections")),
        encapsulation: encapsulation(get("encapsulation")),
        nat: nat(get("nat")),
        icmp: icmp(get("icmp")),
        fragments: fragments(get("fragments")),
    }
}

fn prime_size(item: &Item<'_>) -> Option<Located<u32>> {
    let value = item.number(TABLE_SIZE_MIN..=TABLE_SIZE_MAX)?;
    if prime::is_prime(value) {
        return Some(Located { value, place: item.place.clone() });
    }
    let hint = match prime::neighbours(value) {
        (Some(below), Some(above)) => format!("the nearest primes are {below} and {above}"),
        (Some(one), None) | (None, Some(one)) => format!("the nearest prime is {one}"),
        (None, None) => format!("use {TABLE_SIZE_DEFAULT}"),
    };
    item.findings.add_hint(Code::NotPrime, &item.place, format!("{value} is not a prime number"), hint);
    None
}

fn connections(item: Option<Item<'_>>) -> Connections {
    let section = item.and_then(|item| item.section(&keys::CONNECTIONS));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let idle = get("idle_timeout").and_then(|item| item.section(&keys::IDLE_TIMEOUT));
    let timeout = |key: &str, default_s: u64| {
        let item = idle.as_ref().and_then(|idle| idle.get(key));
        let given = item.and_then(|item| seconds(&item));
        given.unwrap_or(Duration::from_secs(default_s))
    };
    Connections {
        per_worker: get("per_worker").and_then(|item| item.number(1024..=1 << 28)).unwrap_or(1 << 20),
        idle_tcp: timeout("tcp", 300),
        idle_tcp_closing: timeout("tcp_closing", 30),
        idle_udp: timeout("udp", 60),
    }
}

/// The defaults are the demands of RFC 5382 REQ-5 and the recommendation of RFC 4787 REQ-5.
fn nat(item: Option<Item<'_>>) -> NatSessions {
    let section = item.and_then(|item| item.section(&keys::FORWARDING_NAT));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let idle = get("idle_timeout").and_then(|item| item.section(&keys::NAT_IDLE_TIMEOUT));
    let timeout = |key: &str, default_s: u64| {
        let item = idle.as_ref().and_then(|idle| idle.get(key));
        item.and_then(|item| seconds(&item)).unwrap_or(Duration::from_secs(default_s))
    };
    NatSessions {
        sessions_per_worker: get("sessions_per_worker")
            .and_then(|item| item.number(1024..=1 << 26))
            .unwrap_or(1 << 18),
        idle_tcp_established: timeout("tcp_established", 7_440),
        idle_tcp_transitory: timeout("tcp_transitory", 240),
        idle_udp: timeout("udp", 300),
    }
}

/// The connection table counts whole seconds, so nothing finer is taken.
fn seconds(item: &Item<'_>) -> Option<Duration> {
    let duration = item.duration(Duration::from_secs(1))?.value;
    if duration.subsec_nanos() == 0 {
        return Some(duration);
    }
    let message = format!("{duration:?} is not a whole number of seconds");
    item.findings.add_hint(
        Code::BadDuration,
        &item.place,
        message,
        "round it: timeouts are counted in seconds",
    );
    None
}

fn encapsulation(item: Option<Item<'_>>) -> Encapsulation {
    let section = item.and_then(|item| item.section(&keys::ENCAPSULATION));
    let inner_mtu = section.as_ref().and_then(|section| section.get("inner_mtu"));
    let source =
        section.and_then(|section| section.get("source")).and_then(|item| item.section(&keys::SOURCE));
    let get = |key: &str| source.as_ref().and_then(|source| source.get(key));
    Encapsulation {
        source_ipv4: get("ipv4").and_then(|i| ipv4(&i)),
        source_ipv6: get("ipv6").and_then(|i| ipv6(&i)),
        inner_mtu: inner_mtu.and_then(|item| item.number(INNER_MTU_MIN..=INNER_MTU_MAX)),
    }
}

fn icmp(item: Option<Item<'_>>) -> Icmp {
    let section = item.and_then(|item| item.section(&keys::ICMP));
    let rate = |key: &str, default| {
        let item = section.as_ref().and_then(|section| section.get(key));
        item.and_then(|item| item.number(0..=RATE_MAX)).unwrap_or(default)
    };
    Icmp {
        errors_per_second: rate("errors_per_second", 1000),
        errors_per_source: rate("errors_per_source", 10),
        echoes_per_second: rate("echoes_per_second", 1000),
        echoes_per_source: rate("echoes_per_source", 100),
    }
}

fn fragments(item: Option<Item<'_>>) -> FragmentTable {
    let section = item.and_then(|item| item.section(&keys::FRAGMENTS));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    FragmentTable {
        per_worker: get("per_worker").and_then(|item| item.number(8..=1 << 16)).unwrap_or(1024),
        held_per_worker: get("held_per_worker").and_then(|item| item.number(0..=4096)).unwrap_or(256),
        timeout: get("timeout").and_then(|item| fragment_timeout(&item)).unwrap_or(Duration::from_secs(2)),
    }
}

fn fragment_timeout(item: &Item<'_>) -> Option<Duration> {
    let timeout = seconds(item)?;
    if timeout <= FRAGMENT_TIMEOUT_MAX {
        return Some(timeout);
    }
    let message = format!("{timeout:?} is too long to wait for a fragment");
    item.findings.add_hint(
        Code::OutOfRange,
        &item.place,
        message,
        "allowed are 1s to 60s (RFC 8200 section 4.5)",
    );
    None
}

fn ipv4(item: &Item<'_>) -> Option<Ipv4Addr> {
    match station(item)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => wrong_family(item, "IPv4", "ipv6"),
    }
}

fn ipv6(item: &Item<'_>) -> Option<Ipv6Addr> {
    match station(item)? {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => wrong_family(item, "IPv6", "ipv4"),
    }
}

fn station(item: &Item<'_>) -> Option<IpAddr> {
    let address = item.ip()?.value;
    let Some(kind) = values::unusable(address) else { return Some(address) };
    let hint = "use an address of this host that the backends can see in their logs and filters";
    item.findings.add_hint(Code::UnusableAddress, &item.place, format!("{address} is {kind}"), hint);
    None
}

fn wrong_family<T>(item: &Item<'_>, wanted: &str, other: &str) -> Option<T> {
    let complaint =
        Complaint::new(format!("expected an {wanted} address"), format!("write it under `{other}`"));
    item.findings.add_hint(Code::BadAddress, &item.place, complaint.message, complaint.hint);
    None
}
