//! Prime numbers up to 2^32, for table sizes and for the hints of the configuration.
//!
//! Trial division: exact, at most 21845 divisions, and nobody needs it per packet.

/// True for prime numbers.
#[must_use]
pub fn is_prime(number: u32) -> bool {
    if number < 4 {
        return number >= 2;
    }
    if number.is_multiple_of(2) || number.is_multiple_of(3) {
        return false;
    }
    // Every other prime is 6k - 1 or 6k + 1.
    let mut divisor = 5_u32;
    while u64::from(divisor) * u64::from(divisor) <= u64::from(number) {
        if number.is_multiple_of(divisor) || number.is_multiple_of(divisor + 2) {
            return false;
        }
        divisor += 6;
    }
    true
}

/// The nearest primes strictly below and strictly above `number`.
///
/// `None` where there is none: below 3, or above the largest prime of 32 bits (4294967291).
#[must_use]
pub fn primes_near(number: u32) -> (Option<u32>, Option<u32>) {
    let below = (2..number).rev().find(|candidate| is_prime(*candidate));
    let above = (number..=u32::MAX).skip(1).find(|candidate| is_prime(*candidate));
    (below, above)
}
