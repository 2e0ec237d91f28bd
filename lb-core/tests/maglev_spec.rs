//! The vectors printed in `docs/maglev.md` hold, so that another implementation can trust the document.
//!
//! They were computed by an independent program (Python, own SipHash, the obvious fill), not by this crate.

use std::net::IpAddr;

use lb_core::maglev::{MaglevSeed, MaglevTable, Member};
use siphasher::sip128::SipHasher24;

const DOCUMENT: &str = include_str!("../../docs/maglev.md");

/// The cells of the rows of the table that follows the line `<!-- vectors: NAME -->`.
fn rows(name: &str) -> Vec<Vec<&'static str>> {
    let (_, table) =
        DOCUMENT.split_once(&format!("<!-- vectors: {name} -->\n")).expect("marker in the document");
    let lines = table.lines().skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    lines.skip(2).map(cells).collect()
}

fn seed(text: &str) -> MaglevSeed {
    u128::from_str_radix(text.trim_start_matches("0x"), 16).expect("a number or address").into()
}

fn octets(address: &str) -> Vec<u8> {
    match address.parse().expect("a number or address") {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `address*weight, address*weight, ...`; or `300 from 10.1.0.0*1..3`: weights 1, 2, 3, 1, ...
fn backends(text: &str) -> Vec<(Vec<u8>, u32)> {
    if let Some((count, rest)) = text.split_once(" from ") {
        let (first, highest) = rest.split_once("*1..").expect("weights 1 to n");
        let (first, highest) = (
            first.parse::<std::net::Ipv4Addr>().expect("a number or address"),
            highest.parse::<u32>().expect("a number or address"),
        );
        let count = count.parse::<u32>().expect("a number or address");
        let backend = |index: u32| ((first.to_bits() + index).to_be_bytes().to_vec(), index % highest + 1);
        return (0..count).map(backend).collect();
    }
    let backend = |part: &str| {
        let (address, weight) = part.split_once('*').expect("address*weight");
        (octets(address), weight.parse().expect("a number or address"))
    };
    text.split(", ").map(backend).collect()
}

fn members(backends: &[(Vec<u8>, u32)]) -> Vec<Member<'_>> {
    backends.iter().map(|(identity, weight)| Member { identity, weight: *weight }).collect()
}

#[test]
fn the_hash_is_the_published_siphash() {
    // The first two of the authors' vectors_sip128 (key 00..0f, input of 0 and 1 bytes).
    let key = std::array::from_fn(|index| index as u8);
    let hash = |input: &[u8]| {
        let hash = SipHasher24::new_with_key(&key).hash(input);
        (hash.h1.to_le_bytes(), hash.h2.to_le_bytes())
    };
    let first =
        ([0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6], [0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93]);
    let second =
        ([0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44], [0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45]);
    assert_eq!(hash(&[]), first);
    assert_eq!(hash(&[0]), second);
}

#[test]
fn permutations_of_the_document() {
    let rows = rows("permutations");
    assert_eq!(rows.len(), 12);
    for row in rows {
        let identity: String = octets(row[1]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(identity, row[2]);
        let permutation = seed(row[0]).permutation(&octets(row[1]), row[3].parse().unwrap());
        assert_eq!(
            (permutation.offset.to_string(), permutation.skip.to_string()),
            (row[4].into(), row[5].into())
        );
    }
}

#[test]
fn whole_tables_of_the_document() {
    let rows = rows("tables");
    assert_eq!(rows.len(), 2);
    for row in rows {
        let backends = backends(row[2]);
        let table = MaglevTable::build(seed(row[0]), row[1].parse().unwrap(), &members(&backends)).unwrap();
        let slots: Vec<String> = table.slots().iter().map(u16::to_string).collect();
        assert_eq!(slots.join(" "), row[3], "{}", row[2]);
    }
}

#[test]
fn digests_of_the_document() {
    let rows = rows("digests");
    assert_eq!(rows.len(), 5);
    for row in rows {
        let backends = backends(row[2]);
        let members = members(&backends);
        let table = MaglevTable::build(seed(row[0]), row[1].parse().unwrap(), &members).unwrap();
        let shares: Vec<String> = table.shares().iter().take(4).map(u32::to_string).collect();
        assert_eq!(shares.join(" "), row[3], "{}", row[2]);
        assert_eq!(format!("{:016x}", table.digest(&members)), row[4], "{}", row[2]);
    }
}
