//! Prime numbers of Maglev's size, for the rule on `table_size` and its hint.
//!
//! Trial division: a table size is at most [`TABLE_SIZE_MAX`], so 1,600 divisions settle it.

/// Smallest table, the one of the Maglev paper's example.
pub(super) const TABLE_SIZE_MIN: u32 = 7;
/// Largest table, itself prime.
pub(super) const TABLE_SIZE_MAX: u32 = 10_000_019;

/// Whether `number` is prime.
pub(super) fn is_prime(number: u32) -> bool {
    number == 2
        || number > 2
            && number % 2 == 1
            && (3u32..).step_by(2).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d))
}

/// The primes next to `number` among the allowed table sizes: below and above.
pub(super) fn neighbours(number: u32) -> (Option<u32>, Option<u32>) {
    let below = (TABLE_SIZE_MIN..number).rev().find(|candidate| is_prime(*candidate));
    let above = (number.saturating_add(1)..=TABLE_SIZE_MAX).find(|candidate| is_prime(*candidate));
    (below, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_sieve() {
        let mut composite = vec![false; 70_000];
        for number in 2..composite.len() {
            assert_eq!(is_prime(u32::try_from(number).unwrap()), !composite[number], "{number}");
            if !composite[number] {
                for multiple in (2 * number..composite.len()).step_by(number) {
                    composite[multiple] = true;
                }
            }
        }
        assert!(!is_prime(0) && !is_prime(1));
        assert!(is_prime(TABLE_SIZE_MAX) && is_prime(655_373));
    }

    #[test]
    fn neighbours_stay_in_range() {
        assert_eq!(neighbours(65_536), (Some(65_521), Some(65_537)));
        assert_eq!(neighbours(8), (Some(7), Some(11)));
        assert_eq!(neighbours(TABLE_SIZE_MAX), (Some(9_999_991), None));
    }
}
