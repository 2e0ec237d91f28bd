//! A network prefix; a single address is one of full length.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that begin with the same bits. Written without a length if it is one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

/// Bits of an address of the family.
const fn bits_of(is_v6: bool) -> u8 {
    if is_v6 { 128 } else { 32 }
}

/// The first `len` of `width` bits, in the low `width` bits of a number.
#[inline(always)]
pub(crate) const fn mask(len: u8, width: u8) -> u128 {
    let all = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
    match width.saturating_sub(len) {
        128 => 0,
        shift => all >> shift << shift,
    }
}

impl Prefix {
    /// The prefix of `len` bits that holds `address`; a longer one than the address has is one of full length.
    pub fn new(address: IpAddr, len: u8) -> Self {
        let width = bits_of(address.is_ipv6());
        let len = len.min(width);
        let address = match address {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & mask(len, width) as u32).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & mask(len, width)).into(),
        };
        Self { address, len }
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        self.address
    }

    /// Number of leading bits that its addresses share.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, which is never empty")]
    pub fn len(&self) -> u8 {
        self.len
    }

    /// The address, if it is only one.
    pub fn single(&self) -> Option<IpAddr> {
        (self.len == bits_of(self.is_ipv6())).then_some(self.address)
    }

    /// True for IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// True if `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6() && Self::new(address, self.len) == *self
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::new(address, u8::MAX)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => write!(out, "{address}"),
            None => write!(out, "{}/{}", self.address, self.len),
        }
    }
}

impl FromStr for Prefix {
    type Err = AddrParseError;

    /// An address, or an address, a slash and a length. Bits behind the length are cut off; a length that is no
    /// number, or too great a one, makes it no address.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        let Some((address, len)) = text.split_once('/') else { return Ok(text.parse::<IpAddr>()?.into()) };
        let address: IpAddr = address.parse()?;
        match len.parse::<u8>() {
            Ok(len) if len <= bits_of(address.is_ipv6()) => Ok(Self::new(address, len)),
            // There is no other way to make this error.
            _ => {
                Err("".parse::<IpAddr>().err().unwrap_or_else(|| unreachable!("an empty text is no address")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prefix_holds_what_begins_like_it() {
        let net: Prefix = "203.0.113.77/24".parse().unwrap();
        assert_eq!((net.to_string(), net.single()), ("203.0.113.0/24".into(), None));
        assert!(net.contains("203.0.113.255".parse().unwrap()));
        assert!(!net.contains("203.0.112.255".parse().unwrap()));
        assert!(!net.contains("2001:db8::1".parse().unwrap()));
        let one: Prefix = "2001:db8::1/128".parse().unwrap();
        assert_eq!((one.to_string(), one), ("2001:db8::1".into(), "2001:db8::1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Prefix>().unwrap().contains("255.1.2.3".parse().unwrap()));
        assert!("::/0".parse::<Prefix>().unwrap().contains("ff::".parse().unwrap()));
        for bad in ["203.0.113.0/33", "::/129", "203.0.113.0/", "/24", "203.0.113.0/-1"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_is_its_first_bits(address: u32, other: u32, len in 0u8..=32) {
            let net = Prefix::new(Ipv4Addr::from_bits(address).into(), len);
            let expected = len == 0 || address >> (32 - len) == other >> (32 - len);
            prop_assert_eq!(net.contains(Ipv4Addr::from_bits(other).into()), expected);
            prop_assert_eq!(net.to_string().parse::<Prefix>().unwrap(), net);
        }
    }
}
