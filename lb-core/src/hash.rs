//! The flow hash: keyed AES, 128 bits, equal on every node of a fleet.
//!
//! Specified to the bit in docs/flow-hash.md. The low 64 bits (`tag`) belong to the connection table
//! alone; the high 64 (`spread`) pick the Maglev slot and the entropy of outer headers. Nothing that an
//! attacker sees depends on `tag`, and without the key neither half can be steered.

use crate::flow::FlowKey;
use crate::hw::{self, Isa, Kernel, Level, Portable};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::net::IpAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the hash. A change reshuffles every flow of a fleet, so nodes compare it.
pub const FLOW_HASH_VERSION: u32 = 1;

/// Round keys: K0..K4 for the last four rounds, K5..K9 to absorb IPv6 addresses.
pub const ROUND_KEYS: usize = 10;

/// Byte 15 of the last block tells the families apart.
pub(crate) const DOMAIN_V4: u32 = 4 << 24;
pub(crate) const DOMAIN_V6: u32 = 6 << 24;

/// Hash of one flow: the 16 bytes of the last AES block, each half in little-endian order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct FlowHash {
    /// For the connection table: line and fingerprint.
    pub tag: u64,
    /// For everything that others see or must agree on: high 32 bits Maglev, low 20 bits entropy.
    pub spread: u64,
}

impl FlowHash {
    /// The bits that pick a Maglev slot.
    #[inline(always)]
    pub fn maglev(self) -> u32 {
        (self.spread >> 32) as u32
    }

    /// Bits 0..32 of the tag, which pick the home line.
    #[inline(always)]
    pub(crate) fn low(&self) -> u32 {
        let bytes: &[u8; 16] = zerocopy::transmute_ref!(self);
        u32::from_le_bytes(*bytes.first_chunk().expect("constant offsets"))
    }

    /// Bits 16..48 of the tag. Read from memory, like its neighbours: the SIMD match broadcasts them from where
    /// they are, without a detour through other registers.
    #[inline(always)]
    pub(crate) fn lo(&self) -> u32 {
        let bytes: &[u8; 16] = zerocopy::transmute_ref!(self);
        u32::from_le_bytes(*bytes[2..].first_chunk().expect("constant offsets"))
    }

    /// Bits 48..64 of the tag.
    #[inline(always)]
    pub(crate) fn hi(&self) -> u16 {
        let bytes: &[u8; 16] = zerocopy::transmute_ref!(self);
        u16::from_le_bytes(*bytes[6..].first_chunk().expect("constant offsets"))
    }

    /// Bits for UDP source ports and flow labels of outer headers (20 bits are used).
    #[inline(always)]
    pub fn entropy(self) -> u32 {
        self.spread as u32
    }
}

/// The keyed hash function of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowHasher {
    keys: [[u8; 16]; ROUND_KEYS],
}

impl FlowHasher {
    /// Expands a 128-bit seed: round key i is SipHash-2-4-128 of `"guideway flow hash 1"` and the byte i,
    /// keyed by the seed (its low 64 bits are k0), as 16 bytes in little-endian order of its two halves.
    pub fn new(seed: u128) -> Self {
        let mut keys = [[0; 16]; ROUND_KEYS];
        for (index, key) in keys.iter_mut().enumerate() {
            let mut hasher = SipHasher24::new_with_keys(seed as u64, (seed >> 64) as u64);
            hasher.write(b"guideway flow hash 1");
            hasher.write(&[index as u8]);
            let digest = hasher.finish128();
            key[..8].copy_from_slice(&digest.h1.to_le_bytes());
            key[8..].copy_from_slice(&digest.h2.to_le_bytes());
        }
        Self { keys }
    }

    /// Hash of a flow key on `level`; every level gives the same.
    pub fn hash(&self, level: Level, key: &FlowKey) -> FlowHash {
        hw::run(level, HashOne { hasher: self, key })
    }

    /// Hash of a flow key in plain Rust.
    pub fn hash_portable(&self, key: &FlowKey) -> FlowHash {
        HashOne { hasher: self, key }.run(Portable)
    }

    /// The keys in the registers of `isa`, once per burst.
    #[inline(always)]
    pub(crate) fn loaded<I: Isa>(&self, isa: I) -> LoadedKeys<I> {
        LoadedKeys { isa, keys: std::array::from_fn(|index| isa.load(&self.keys[index])) }
    }
}

struct HashOne<'a> {
    hasher: &'a FlowHasher,
    key: &'a FlowKey,
}

impl Kernel for HashOne<'_> {
    type Output = FlowHash;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> FlowHash {
        self.hasher.loaded(isa).key(self.key)
    }
}

/// The hash with its round keys in registers.
#[derive(Clone, Copy)]
pub(crate) struct LoadedKeys<I: Isa> {
    isa: I,
    keys: [I::Block; ROUND_KEYS],
}

impl<I: Isa> LoadedKeys<I> {
    /// IPv4: `block` is source, destination, ports as on the wire; its last word is replaced. Writes the
    /// hash and gives its tag.
    #[inline(always)]
    pub(crate) fn v4(&self, block: &[u8; 16], protocol: u8, hash: &mut FlowHash) -> u64 {
        let block = self.isa.with_last_word(self.isa.load(block), DOMAIN_V4 | u32::from(protocol));
        self.finish(block, hash)
    }

    /// IPv6: addresses and the four bytes of the ports as on the wire. Writes the hash and gives its tag.
    #[inline(always)]
    pub(crate) fn v6(
        &self,
        source: &[u8; 16],
        destination: &[u8; 16],
        ports: [u8; 4],
        protocol: u8,
        hash: &mut FlowHash,
    ) -> u64 {
        let last = u64::from(DOMAIN_V6 | u32::from(protocol)) << 32 | u64::from(u32::from_le_bytes(ports));
        let last = self.isa.load(&(u128::from(last) << 64).to_le_bytes());
        self.finish(self.isa.xor(self.absorb(source, destination), last), hash)
    }

    /// [`Self::v6`] of the wire's own bytes: source, destination, ports, and four more that do not matter.
    #[inline(always)]
    pub(crate) fn v6_wire(&self, flow: &[u8; 40], protocol: u8, hash: &mut FlowHash) -> u64 {
        let part = |at: usize| flow[at..].first_chunk::<16>().expect("constant offsets");
        // Ports at bytes 8..12, as the last block wants them; what lies before them is cleared.
        let last = self.isa.load_third(part(24), DOMAIN_V6 | u32::from(protocol));
        self.finish(self.isa.xor(self.absorb(part(0), part(16)), last), hash)
    }

    #[inline(always)]
    fn absorb(&self, source: &[u8; 16], destination: &[u8; 16]) -> I::Block {
        let isa = self.isa;
        let mut state = isa.xor(isa.load(source), self.keys[5]);
        state = isa.aes_round(state, self.keys[6]);
        state = isa.aes_round(state, self.keys[7]);
        state = isa.xor(state, isa.load(destination));
        state = isa.aes_round(state, self.keys[8]);
        isa.aes_round(state, self.keys[9])
    }

    #[inline(always)]
    fn finish(&self, block: I::Block, hash: &mut FlowHash) -> u64 {
        let mut state = self.isa.xor(block, self.keys[0]);
        for round in 1..=4 {
            state = self.isa.aes_round(state, self.keys[round]);
        }
        self.isa.store(state, zerocopy::transmute_mut!(hash));
        self.isa.low(state)
    }

    #[inline(always)]
    pub(crate) fn key(&self, key: &FlowKey) -> FlowHash {
        let (mut ports, mut hash) = ([0; 4], FlowHash::default());
        ports[..2].copy_from_slice(&key.source_port.to_be_bytes());
        ports[2..].copy_from_slice(&key.destination_port.to_be_bytes());
        match (key.source, key.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut block = [0; 16];
                block[..4].copy_from_slice(&source.octets());
                block[4..8].copy_from_slice(&destination.octets());
                block[8..12].copy_from_slice(&ports);
                self.v4(&block, key.protocol, &mut hash)
            }
            (source, destination) => {
                self.v6(&wide(source), &wide(destination), ports, key.protocol, &mut hash)
            }
        };
        hash
    }
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests;
