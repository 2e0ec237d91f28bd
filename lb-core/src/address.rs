//! Addresses that are no host's, in one place: what may not be configured, may not be answered, and may not be the
//! source of a packet to a VIP.
//!
//! The sets of RFC 1122 section 3.2.1.3 and RFC 4291 section 2.5 to 2.7, as far as they are the same everywhere. Private and
//! documentation addresses are not among them: whether they are right is a matter of the network.

use std::net::{IpAddr, Ipv6Addr};

/// Why an address is no host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHost {
    /// 0.0.0.0/8.
    ThisNetwork,
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// 224.0.0.0/4 and `ff00::/8`.
    Multicast,
    /// 240.0.0.0/4.
    Reserved,
    /// 255.255.255.255.
    Broadcast,
    /// `::`.
    Unspecified,
}

/// Why an address is no host's; `None` if it may be one's.
pub const fn no_host(address: IpAddr) -> Option<NoHost> {
    match address {
        IpAddr::V4(address) => no_host_v4(address.octets()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(NoHost::Unspecified),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(NoHost::Loopback),
        IpAddr::V6(address) if address.octets()[0] == 0xff => Some(NoHost::Multicast),
        IpAddr::V6(_) => None,
    }
}

const fn no_host_v4(octets: [u8; 4]) -> Option<NoHost> {
    match octets {
        [0, ..] => Some(NoHost::ThisNetwork),
        [127, ..] => Some(NoHost::Loopback),
        [224..=239, ..] => Some(NoHost::Multicast),
        [255, 255, 255, 255] => Some(NoHost::Broadcast),
        [240..=255, ..] => Some(NoHost::Reserved),
        _ => None,
    }
}

/// True if no host sends such a packet: its source is no host's, or is its destination (LAND). RFC 1812 section 5.3.7,
/// RFC 2827, RFC 6890.
pub fn is_martian(source: IpAddr, destination: IpAddr) -> bool {
    source == destination || no_host(source).is_some()
}

/// [`no_host`] of IPv4 by the first octet: all of its sets but one are whole /8s, and that one is in another.
static NO_HOST_V4: [bool; 256] = {
    let mut found = [false; 256];
    let mut first = 0;
    while first < found.len() {
        found[first] = no_host_v4([first as u8, 0, 0, 1]).is_some();
        first += 1;
    }
    found
};

/// [`is_martian`] of a packet in a loop; addresses in network order as they are in memory.
#[inline(always)]
pub(crate) fn is_martian_v4(source: u32, destination: u32) -> bool {
    NO_HOST_V4[usize::from(source.to_ne_bytes()[0])] || source == destination
}

/// The same of IPv6: the halves of the addresses.
#[inline(always)]
pub(crate) fn is_martian_v6(source: [u64; 2], destination: [u64; 2]) -> bool {
    let [high, low] = source;
    let first = high.to_ne_bytes()[0];
    // One test for ff00::/8 and for what begins with a zero octet, as `::` and `::1` do and hardly any host.
    let is_suspect = first.wrapping_add(1) <= 1;
    is_suspect && (first == 0xff || high == 0 && u64::from_be(low) <= 1)
        || high == destination[0] && low == destination[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    #[test]
    fn each_set_from_its_first_to_its_last_address() {
        use NoHost::{Broadcast, Loopback, Multicast, Reserved, ThisNetwork, Unspecified};
        for (address, expected) in [
            ("0.0.0.0", Some(ThisNetwork)),
            ("0.255.255.255", Some(ThisNetwork)),
            ("1.0.0.0", None),
            ("126.255.255.255", None),
            ("127.0.0.0", Some(Loopback)),
            ("127.255.255.255", Some(Loopback)),
            ("128.0.0.0", None),
            ("223.255.255.255", None),
            ("224.0.0.0", Some(Multicast)),
            ("239.255.255.255", Some(Multicast)),
            ("240.0.0.0", Some(Reserved)),
            ("255.255.255.254", Some(Reserved)),
            ("255.255.255.255", Some(Broadcast)),
            ("::", Some(Unspecified)),
            ("::1", Some(Loopback)),
            ("::2", None),
            ("0:0:0:1::", None),
            ("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
            ("ff00::", Some(Multicast)),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Multicast)),
            ("fe80::1", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(no_host(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_loops_say_the_same_of_every_first_octet() {
        for first in 0..=255 {
            for rest in [[0, 0, 0], [0, 0, 1], [255, 255, 255]] {
                let source = Ipv4Addr::new(first, rest[0], rest[1], rest[2]);
                let expected = is_martian(source.into(), [203, 0, 113, 10].into());
                let words = [source.octets(), [203, 0, 113, 10]].map(u32::from_ne_bytes);
                assert_eq!(is_martian_v4(words[0], words[1]), expected, "{source}");
            }
            let word = u32::from_ne_bytes([first, 1, 2, 3]);
            assert!(is_martian_v4(word, word), "LAND");
        }
    }

    fn halves(address: u128) -> [u64; 2] {
        let bytes = address.to_be_bytes();
        let half = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        [half(0), half(8)]
    }

    proptest! {
        #[test]
        fn and_of_any_ipv6_address(
            source in prop_oneof![any::<u128>(), 0u128..4, any::<u128>().prop_map(|n| n | 0xff << 120),
                any::<u128>().prop_map(|n| n >> 8), (0u128..4).prop_map(|n| n << 64),
                any::<u64>().prop_map(u128::from)],
            other: u128,
            is_land: bool,
        ) {
            let destination = if is_land { source } else { other };
            let whole = |address: u128| IpAddr::from(address.to_be_bytes());
            let expected = is_martian(whole(source), whole(destination));
            prop_assert_eq!(is_martian_v6(halves(source), halves(destination)), expected);
        }
    }
}
