//! The small languages inside values: names, addresses, durations, sizes, seeds.
//!
//! Each parser takes the text and nothing else, accepts one spelling per meaning, and refuses with a message and a
//! mend. Units are demanded: `30` is not a duration and `1024` is not a size.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use lb_core::address::{NoHost, no_host};

use super::code::Code;
use super::mac::MacAddr;
use super::read::{Complaint, Item, Located};

/// Characters of a name: it becomes a metrics label, a path segment and an argument.
pub(super) const NAME_LEN_MAX: usize = 63;

const NS_PER_S: u64 = 1_000_000_000;
const TIME_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", NS_PER_S),
    ("m", 60 * NS_PER_S),
    ("h", 3600 * NS_PER_S),
];
const SIZE_UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Longest duration that any key takes.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(9 * 3600);

impl Item<'_> {
    /// A name. A bad one is reported and returned all the same, so that references to it still resolve.
    pub(super) fn name(&self) -> Option<Located<String>> {
        let text = self.text("a name")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let message = if text.value.is_empty() {
            "the name is empty".to_owned()
        } else if text.value.len() > NAME_LEN_MAX {
            format!("the name has {} characters, more than {NAME_LEN_MAX}", text.value.len())
        } else if let Some(c) = text.value.chars().find(|c| !legal(*c)) {
            format!("the name holds {}", shown(c))
        } else {
            String::new()
        };
        if !message.is_empty() {
            let hint =
                "use 1 to 63 letters, digits, dots, underscores and hyphens: names become metrics labels";
            self.findings.add_hint(Code::BadName, &self.place, message, hint);
        }
        Some(Located { value: text.value.to_owned(), place: text.place })
    }

    /// An IP address without prefix length.
    pub(super) fn ip(&self) -> Option<Located<IpAddr>> {
        self.parse(Code::BadAddress, "an IP address", ip)
    }

    /// An address with its prefix length.
    pub(super) fn prefix(&self) -> Option<Located<IpNet>> {
        self.parse(Code::BadAddress, "an address with prefix length", |text| {
            text.parse().map_err(|_| {
                let netmask = text.split_once('/').and_then(|(address, mask)| {
                    let mask = u32::from(mask.parse::<Ipv4Addr>().ok()?);
                    (mask.leading_ones() == mask.count_ones()).then(|| (address, mask.count_ones()))
                });
                let hint = match text.parse::<IpAddr>() {
                    _ if netmask.is_some() => netmask.map_or_else(String::new, |(address, len)| {
                        format!("write the length of the prefix for the netmask: {address}/{len}")
                    }),
                    Ok(IpAddr::V4(_)) => format!("add the prefix length: {text}/24"),
                    Ok(IpAddr::V6(_)) => format!("add the prefix length: \"{text}/64\""),
                    Err(_) => "write it like 198.51.100.11/24 or \"2001:db8::11/64\"".to_owned(),
                };
                Complaint::new(format!("`{text}` is not an address with prefix length"), hint)
            })
        })
    }

    /// The MAC address of one station.
    pub(super) fn mac(&self) -> Option<Located<MacAddr>> {
        self.parse(Code::BadMac, "a MAC address", |text| {
            let hint = "write six hexadecimal octets, for example \"02:00:00:00:00:01\"";
            let mac: MacAddr =
                text.parse().map_err(|_| Complaint::new(format!("`{text}` is not a MAC address"), hint))?;
            let hint = "write the address of one station: its first octet is even, and not all octets are 0";
            match mac {
                _ if mac.is_multicast() => Err(Complaint::new(format!("{mac} is a multicast address"), hint)),
                _ if mac.is_zero() => Err(Complaint::new(format!("{mac} belongs to no station"), hint)),
                _ => Ok(mac),
            }
        })
    }

    /// A duration of at least `min` and at most [`DURATION_MAX`].
    pub(super) fn duration(&self, min: Duration) -> Option<Located<Duration>> {
        self.parse(Code::BadDuration, "a duration such as 30s", |text| {
            let units = "ns, us, ms, s, m, h";
            let ns = measure(text, TIME_UNITS).ok_or_else(|| {
                let hint = format!("write a whole number and a unit ({units}), for example 30s");
                Complaint::new(format!("`{text}` is not a duration"), hint)
            })?;
            let duration = Duration::from_nanos(ns);
            if (min..=DURATION_MAX).contains(&duration) {
                return Ok(duration);
            }
            let hint = format!("allowed are {min:?} to 9h");
            Err(Complaint::new(
                format!("{text} is too {}", if duration < min { "short" } else { "long" }),
                hint,
            ))
        })
    }

    /// A size in bytes between `min` and `max`.
    pub(super) fn size(&self, min: (u64, &str), max: (u64, &str)) -> Option<Located<u64>> {
        self.parse(Code::BadSize, "a size such as 1GiB", |text| {
            let bytes = measure(text, SIZE_UNITS).ok_or_else(|| {
                let hint = "write a whole number and a unit (B, KiB, MiB, GiB), for example 512MiB";
                Complaint::new(format!("`{text}` is not a size"), hint)
            })?;
            if (min.0..=max.0).contains(&bytes) {
                return Ok(bytes);
            }
            let word = if bytes < min.0 { "small" } else { "large" };
            Err(Complaint::new(
                format!("{text} is too {word}"),
                format!("allowed are {} to {}", min.1, max.1),
            ))
        })
    }

    /// Address and port to listen on.
    pub(super) fn socket_address(&self) -> Option<Located<SocketAddr>> {
        self.parse(Code::BadSocketAddress, "an address and a port", |text| {
            text.parse().map_err(|_| {
                let hint = match text.strip_prefix(':') {
                    Some(port) => {
                        format!("name the address: \"127.0.0.1:{port}\" or \"[::]:{port}\" for all")
                    }
                    None => "write it like \"127.0.0.1:9843\" or \"[::1]:9843\"; host names are not resolved"
                        .to_owned(),
                };
                Complaint::new(format!("`{text}` is not an address and a port"), hint)
            })
        })
    }
}

/// A character so that it can be told from its look-alikes.
pub(super) fn shown(c: char) -> String {
    if c.is_ascii() { format!("{c:?}") } else { format!("{c:?} (U+{:04X})", u32::from(c)) }
}

/// What is wrong with something that is nearly an IPv4 or IPv6 address.
fn near_miss(text: &str) -> Option<String> {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(inside) = inside.filter(|inside| inside.parse::<Ipv6Addr>().is_ok()) {
        return Some(format!("leave the brackets away: \"{inside}\""));
    }
    let octets: Option<Vec<u32>> = text.split('.').map(|octet| octet.parse().ok()).collect();
    let octets = octets.filter(|octets| octets.len() == 4)?;
    if octets.iter().any(|octet| *octet > 255) {
        return Some("each of the four numbers is at most 255".to_owned());
    }
    let plain: Vec<String> = octets.iter().map(u32::to_string).collect();
    Some(format!("leading zeros mean octal to some programs: write {}", plain.join(".")))
}

fn ip(text: &str) -> Result<IpAddr, Complaint> {
    let refuse = |hint: String| Complaint::new(format!("`{text}` is not an IP address"), hint);
    let address: IpAddr = text.parse().map_err(|_| match text {
        _ if text.parse::<IpNet>().is_ok() => refuse("write the address without prefix length".to_owned()),
        _ if text.parse::<SocketAddr>().is_ok() => refuse("write the address without port".to_owned()),
        _ if text.contains('%') => refuse("leave the zone (%...) away".to_owned()),
        _ => refuse(near_miss(text).unwrap_or_else(|| {
            "write it like 192.0.2.1 or \"2001:db8::1\"; host names are not resolved".to_owned()
        })),
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(refuse(format!("write it as IPv4: {}", v6.to_canonical())))
        }
        _ => Ok(address),
    }
}

/// Longest duration that a command or a request takes: a year.
const COMMAND_DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration as in the configuration, for commands and requests: `30s`, `2h`.
///
/// Errors: what is wrong with it and how to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = measure(text, TIME_UNITS).map(Duration::from_nanos).ok_or_else(|| {
        format!("`{text}` is not a duration: write a whole number and a unit (ms, s, m, h), for example 30m")
    })?;
    match duration {
        Duration::ZERO => Err(format!("`{text}` is no time at all")),
        _ if duration > COMMAND_DURATION_MAX => Err(format!("`{text}` is more than a year (8760h)")),
        _ => Ok(duration),
    }
}

/// `12ms` in the smallest unit.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A hash seed: `0x` and one to 32 hexadecimal digits.
pub(super) fn seed(text: &str) -> Result<u128, Complaint> {
    let hint = "write it in quotes as 0x and 1 to 32 hexadecimal digits, the same on every node";
    let refuse = || Complaint::new(format!("`{text}` is not a seed"), hint);
    let digits = text.strip_prefix("0x").ok_or_else(refuse)?;
    let hexadecimal = (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal { u128::from_str_radix(digits, 16).map_err(|_| refuse()) } else { Err(refuse()) }
}

/// Why a station cannot have this address, if it cannot.
pub(super) fn unusable(address: IpAddr) -> Option<&'static str> {
    no_host(address).map(|why| match why {
        NoHost::ThisNetwork => "an address of \"this network\" (RFC 1122, 3.2.1.3)",
        NoHost::Loopback => "a loopback address",
        NoHost::Multicast => "a multicast address",
        NoHost::Reserved => "a reserved address (RFC 1112, 4)",
        NoHost::Broadcast => "the broadcast address",
        NoHost::Unspecified => "the unspecified address",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_need_a_number_and_a_unit() {
        assert_eq!(measure("5m", TIME_UNITS), Some(300 * NS_PER_S));
        assert_eq!(measure("10us", TIME_UNITS), Some(10_000));
        assert_eq!(measure("1GiB", SIZE_UNITS), Some(1_073_741_824));
        for text in
            ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(measure(text, TIME_UNITS), None, "{text}");
        }
    }

    #[test]
    fn seeds_are_numbers_of_up_to_128_bits() {
        assert_eq!(seed("0x01").ok(), Some(1));
        assert_eq!(seed(&format!("0x{}", "f".repeat(32))).ok(), Some(u128::MAX));
        for text in ["", "0x", "1", "0xg", "0x+1", &format!("0x{}", "0".repeat(33))] {
            assert!(seed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_that_no_station_has() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
        ] {
            assert!(unusable(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in ["10.0.0.1", "203.0.113.10", "2001:db8::1", "fe80::1", "fc00::1"] {
            assert!(unusable(text.parse().unwrap()).is_none(), "{text}");
        }
    }

    #[test]
    fn mapped_addresses_are_refused_because_they_have_two_spellings() {
        assert!(ip("::ffff:192.0.2.1").is_err());
        assert!(ip("192.0.2.1").is_ok());
        assert!(ip("192.0.2.1/32").is_err());
    }
}
