//! The Internet checksum: whole, folded, and updated in place.
//!
//! Sums are over big-endian 16-bit words, held in a wider integer and folded at the end (RFC 1071).
//! Updates use equation 3 of RFC 1624; the form of RFC 1141 is wrong for the corner 0x0000/0xffff.

/// Unfolded one's-complement sum of `bytes` as big-endian words; an odd last byte is padded with zero.
// The slow way, for what no shortcut covers: not to be spread over the loops that may need it.
#[inline(never)]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let sum: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    sum + rest.first().map_or(0, |&byte| u64::from(byte) << 8)
}

/// Folds a sum to 16 bits with end-around carries.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    // Adding the halves crosswise leaves the folded value, carry included, in the upper half.
    fold32((sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32)
}

/// As [`fold`], for sums of at most 65,536 words.
#[inline(always)]
pub const fn fold32(sum: u32) -> u16 {
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The checksum field for a sum over everything but the field.
#[inline(always)]
pub const fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The checksum after one 16-bit word that it covers changed from `old` to `new` (RFC 1624, eqn. 3).
#[inline(always)]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold32((!checksum) as u32 + (!old) as u32 + new as u32)
}

/// As [`update`] for many words at once: `removed` and `added` are their sums. A checksum of 0xffff, which some
/// senders write for 0, is read as 0: of what is not all zero the result is therefore what a whole computation gives.
pub const fn update_sum(checksum: u16, removed: u64, added: u64) -> u16 {
    let checksum = if checksum == 0xffff { 0 } else { checksum };
    !fold((!checksum) as u64 + (!fold(removed)) as u64 + fold(added) as u64)
}

/// True if a 20-byte IPv4 header, of which at least one byte is not zero, sums to all ones.
#[inline(always)]
pub fn ipv4_header_is_valid(header: &[u8; 20]) -> bool {
    // Byte order does not matter for the comparison with all ones (RFC 1071 section 2), and wider words
    // fold to the same 16 bits, so native loads serve: two of eight bytes and one of four.
    let (words, rest) = header.as_chunks::<8>();
    let [first, second] = [u64::from_ne_bytes(words[0]), u64::from_ne_bytes(words[1])];
    let third = u64::from(u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]));
    let (sum, carry) = first.overflowing_add(second);
    let (sum, carry) = sum.overflowing_add(third + u64::from(carry));
    let sum = sum + u64::from(carry);
    // Folding keeps the value modulo 65,535, and all ones is 0 there. An odd divisor d divides x exactly
    // if x times the inverse of d modulo 2^64 is at most (2^64 - 1) / d: one multiplication, no folding.
    const INVERSE: u64 = 0x0001_0001_0001_0001u64.wrapping_neg();
    const _: () = assert!(INVERSE.wrapping_mul(0xffff) == 1);
    sum.wrapping_mul(INVERSE) <= u64::MAX / 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Straight from RFC 1071 section 4.1.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            while sum >> 16 != 0 {
                sum = (sum & 0xffff) + (sum >> 16);
            }
        }
        !(sum as u16)
    }

    #[test]
    fn rfc1071_example() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn update_agrees_with_recomputation_for_every_word() {
        // Exhaustive over the changed word, with neighbours that reach both corners.
        for other in [0x0000u16, 0x0001, 0x7fff, 0xfffe, 0xffff] {
            for old in [0x0000u16, 0x0001, 0x5555, 0xfffe, 0xffff] {
                let before = finish(u64::from(other) + u64::from(old));
                for new in 0..=u16::MAX {
                    let whole = finish(u64::from(other) + u64::from(new));
                    let updated = update(before, old, new);
                    // All-zero data has two representations of zero; a header never sums to that.
                    if u64::from(other) + u64::from(new) != 0 {
                        assert_eq!(updated, whole, "other {other:#x} old {old:#x} new {new:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn update_of_sums_agrees_with_recomputation_for_every_word() {
        // Every new word against every corner of the others; and all old ones against the corners of the new.
        for other in [0x0001u16, 0x7fff, 0xfffe, 0xffff] {
            for corner in [0x0000u16, 0x0001, 0x5555, 0xfffe, 0xffff] {
                for word in 0..=u16::MAX {
                    for (old, new) in [(corner, word), (word, corner)] {
                        let before = finish(u64::from(other) + u64::from(old));
                        let whole = finish(u64::from(other) + u64::from(new));
                        let written = if before == 0 { [0, 0xffff] } else { [before, before] };
                        for before in written {
                            assert_eq!(
                                update_sum(before, old.into(), new.into()),
                                whole,
                                "{other} {old} {new}"
                            );
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn many_words_change_as_one_by_one(
            words in prop::collection::vec(any::<(u16, u16)>(), 1..40),
            other in 1u16..,
        ) {
            let sum = |pick: fn(&(u16, u16)) -> u16| words.iter().map(|pair| u64::from(pick(pair))).sum::<u64>();
            let (old, new) = (sum(|pair| pair.0), sum(|pair| pair.1));
            let before = finish(u64::from(other) + old);
            prop_assert_eq!(update_sum(before, old, new), finish(u64::from(other) + new));
        }

        #[test]
        fn sum_agrees_with_the_rfc(bytes in prop::collection::vec(any::<u8>(), 0..1600)) {
            prop_assert_eq!(finish(sum(&bytes)), reference(&bytes));
            // pnet_packet calls the checksum of nothing 0; by RFC 1071 it is the complement of 0.
            if !bytes.is_empty() && bytes.len() % 2 == 0 {
                prop_assert_eq!(finish(sum(&bytes)), pnet_packet::util::checksum(&bytes, usize::MAX));
            }
        }

        #[test]
        fn header_check_agrees_with_the_rfc(mut header in any::<[u8; 20]>(), good in any::<bool>()) {
            if good {
                header[10] = 0;
                header[11] = 0;
                let checksum = reference(&header).to_be_bytes();
                header[10..12].copy_from_slice(&checksum);
            }
            prop_assert_eq!(ipv4_header_is_valid(&header), reference(&header) == 0);
        }
    }
}
