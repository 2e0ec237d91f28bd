//! Coarse time for the connection table.
//!
//! One tick is one second and wraps after 18 hours. Ages are wrapping differences, so every entry must
//! be swept before it is 65,536 ticks old; the longest timeout is held below half of that.

/// A moment, in whole seconds since the worker started, modulo 2^16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(pub u16);

/// The longest idle timeout that wrapping arithmetic allows, ticks (9 hours).
pub const TIMEOUT_TICKS_MAX: u16 = 32_400;

const _: () = assert!(TIMEOUT_TICKS_MAX < u16::MAX / 2, "an age must never be mistaken for the future");

impl Tick {
    /// The tick of a moment given in nanoseconds since any fixed origin.
    pub fn from_nanos(nanos: u64) -> Self {
        // Truncation is the wrap that the type documents.
        Self((nanos / 1_000_000_000) as u16)
    }

    /// Ticks from `then` to `self`.
    #[inline(always)]
    pub fn since(self, then: Tick) -> u16 {
        self.0.wrapping_sub(then.0)
    }
}

/// Idle timeouts, ticks. An entry older than its own is removed by the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP flows that were seen beyond their first SYN.
    pub tcp_ticks: u16,
    /// TCP flows after FIN or RST.
    pub tcp_closing_ticks: u16,
    /// UDP flows of two packets and more.
    pub udp_ticks: u16,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { tcp_ticks: 300, tcp_closing_ticks: 30, udp_ticks: 60 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_survives_the_wrap() {
        assert_eq!(Tick(3).since(Tick(65_530)), 9);
        assert_eq!(Tick::from_nanos(65_537 * 1_000_000_000), Tick(1));
    }
}
