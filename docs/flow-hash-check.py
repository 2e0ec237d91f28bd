#!/usr/bin/env python3
"""Computes the vectors of flow-hash.md a third time and compares them with the page.

Written from the page, FIPS 197 and the SipHash paper alone, with nothing but the standard library: no code
is shared with lb-core. Exit 0: every vector of the page is right and the page has all of them.
"""

import ipaddress
import pathlib
import re
import sys

MASK64 = (1 << 64) - 1


def rotate(word, bits):
    return (word << bits | word >> (64 - bits)) & MASK64


def sip_round(v):
    v[0] = (v[0] + v[1]) & MASK64
    v[1] = rotate(v[1], 13) ^ v[0]
    v[0] = rotate(v[0], 32)
    v[2] = (v[2] + v[3]) & MASK64
    v[3] = rotate(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & MASK64
    v[3] = rotate(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & MASK64
    v[1] = rotate(v[1], 17) ^ v[2]
    v[2] = rotate(v[2], 32)


def siphash_2_4_128(key, message):
    """The 128-bit variant of the SipHash reference code: 16 bytes."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        sip_round(v)
        sip_round(v)
        v[0] ^= word
    halves = []
    for place, constant in ((2, 0xEE), (1, 0xDD)):
        v[place] ^= constant
        for _ in range(4):
            sip_round(v)
        halves.append(v[0] ^ v[1] ^ v[2] ^ v[3])
    return b"".join(half.to_bytes(8, "little") for half in halves)


def times(a, b):
    """Multiplication in GF(2^8), FIPS 197 section 4.2."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def substitute(byte):
    """The S-box by its definition, FIPS 197 section 5.1.1: the inverse, then the affine map."""
    inverse = next((x for x in range(256) if times(byte, x) == 1), 0)
    out = 0
    for bit in range(8):
        parity = 0x63 >> bit & 1
        for other in (0, 4, 5, 6, 7):
            parity ^= inverse >> ((bit + other) % 8) & 1
        out |= parity << bit
    return out


SBOX = [substitute(byte) for byte in range(256)]


def aes_round(state, key):
    """SubBytes, ShiftRows, MixColumns, AddRoundKey. Byte i is row i % 4 of column i // 4."""
    state = [SBOX[byte] for byte in state]
    state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
    mixed = []
    for column in range(4):
        a = state[4 * column : 4 * column + 4]
        for row in range(4):
            mixed.append(times(2, a[row]) ^ times(3, a[(row + 1) % 4]) ^ a[(row + 2) % 4] ^ a[(row + 3) % 4])
    return xor(bytes(mixed), key)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def flow_hash(seed, source, destination, protocol):
    key = seed.to_bytes(16, "little")
    k = [siphash_2_4_128(key, b"guideway flow hash 1" + bytes([i])) for i in range(10)]
    (source, source_port), (destination, destination_port) = source, destination
    ports = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    if source.version == 4:
        block = source.packed + destination.packed + ports + bytes([protocol, 0, 0, 4])
    else:
        s = aes_round(aes_round(xor(source.packed, k[5]), k[6]), k[7])
        s = aes_round(aes_round(xor(s, destination.packed), k[8]), k[9])
        block = xor(s, bytes(8) + ports + bytes([protocol, 0, 0, 6]))
    h = xor(block, k[0])
    for i in range(1, 5):
        h = aes_round(h, k[i])
    return int.from_bytes(h[:8], "little"), int.from_bytes(h[8:], "little")


def end(text):
    address, port = text.rsplit(":", 1)
    return ipaddress.ip_address(address.strip("[]")), int(port)


def check_primitives():
    # The SipHash reference code: first and last of vectors_sip128, key 00..0f, messages of 0 and 63 bytes.
    key = bytes(range(16))
    assert siphash_2_4_128(key, b"").hex() == "a3817f04ba25a8e66df67214c7550293"
    assert siphash_2_4_128(key, bytes(range(63))).hex() == "5150d1772f50834a503e069a973fbd7c"
    # FIPS 197 appendix B, round 1.
    state = bytes.fromhex("193de3bea0f4e22b9ac68d2ae9f84808")
    round_key = bytes.fromhex("a0fafe1788542cb123a339392a6c7605")
    assert aes_round(state, round_key).hex() == "a49c7ff2689f352b6b5bea43026a5049"


VECTORS = [
    (0x000102030405060708090A0B0C0D0E0F, "TCP", "198.51.100.7:40000", "203.0.113.10:443"),
    (0x000102030405060708090A0B0C0D0E0F, "TCP", "[2001:db8::7]:40000", "[2001:db8:cafe::10]:443"),
    (0x000102030405060708090A0B0C0D0E0F, "UDP", "198.51.100.7:40000", "203.0.113.10:443"),
    (0x000102030405060708090A0B0C0D0E0F, "UDP", "[2001:db8::7]:40000", "[2001:db8:cafe::10]:443"),
    (0, "TCP", "198.51.100.7:0", "203.0.113.10:80"),
]


def main():
    check_primitives()
    page = pathlib.Path(__file__).with_name("flow-hash.md").read_text(encoding="utf-8")
    wrong = 0
    for seed, protocol, source, destination in VECTORS:
        tag, spread = flow_hash(seed, end(source), end(destination), {"TCP": 6, "UDP": 17}[protocol])
        row = f"| {seed:#x} | {protocol} | {source} → {destination} | `{tag:016x}` | `{spread:016x}` |"
        on_page = row in page
        wrong += not on_page
        print(row if on_page else f"{row}   <- flow-hash.md has no such row")
    rows = len(re.findall(r"^\|.*`[0-9a-f]{16}` \| `[0-9a-f]{16}` \|$", page, re.MULTILINE))
    if rows != len(VECTORS):
        print(f"flow-hash.md has {rows} vectors, this script {len(VECTORS)}")
        wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
