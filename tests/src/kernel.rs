//! What the kernels at the ends have learned and counted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lab::Lab;

const LIMIT: Duration = Duration::from_secs(10);

/// The kernels that take part in every transfer.
pub const ENDS: [&str; 4] = ["client", "web1", "web2", "web3"];

/// All SNMP counters of a namespace's kernel since it was made, by nstat's names.
///
/// # Panics
/// When nstat fails.
#[must_use]
pub fn counters(lab: &Lab, role: &str) -> BTreeMap<String, u64> {
    let text = lab.namespace(role).run("nstat", &["-asz"], LIMIT).expect_success("nstat");
    let counter = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    };
    text.lines().filter_map(counter).collect()
}

/// The counters of wrong checksums, of any protocol and at every end, that are not zero.
///
/// # Panics
/// When a kernel shows fewer such counters than it must have: then nothing has been looked at.
#[must_use]
pub fn wrong_checksums(lab: &Lab) -> Vec<String> {
    let mut found = Vec::new();
    for role in ENDS {
        let all = counters(lab, role);
        let of_checksums: Vec<_> = all.iter().filter(|(name, _)| name.contains("CsumErrors")).collect();
        // TCP, UDP, UDP over IPv6, ICMP, ICMPv6, IP at the least.
        assert!(of_checksums.len() >= 6, "{role}: {all:?}");
        let wrong = of_checksums.into_iter().filter(|(_, count)| **count != 0);
        found.extend(wrong.map(|(name, count)| format!("{role}: {name} {count}")));
    }
    found
}

/// The path MTU that the client's kernel has learned for an address.
///
/// # Panics
/// When there is no route.
#[must_use]
pub fn learned_mtu(lab: &Lab, address: &str) -> Option<u32> {
    mtu_of_route(lab, "client", &["get", address])
}

/// The path MTU that a backend's kernel has learned for the client of a service's address.
///
/// # Panics
/// When there is no route.
#[must_use]
pub fn learned_mtu_of_backend(lab: &Lab, role: &str, client: &str, vip: &str) -> Option<u32> {
    mtu_of_route(lab, role, &["get", client, "from", vip])
}

fn mtu_of_route(lab: &Lab, role: &str, words: &[&str]) -> Option<u32> {
    let arguments = [&["route"], words].concat();
    let shown = lab.namespace(role).run("ip", &arguments, LIMIT).expect_success("route");
    shown.split_whitespace().skip_while(|word| *word != "mtu").nth(1)?.parse().ok()
}
