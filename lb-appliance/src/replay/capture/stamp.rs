//! Stamps of captures in all their units, as nanoseconds since 1970.

use pcap_file::TsResolution;

const NANOS: u64 = 1_000_000_000;
/// The last moment of a classic pcap with 32 bits of seconds, nanoseconds since 1970: in the year 2106.
const NANOS_LAST: u64 = (u32::MAX as u64 + 1) * NANOS - 1;

/// Unit of the stamps of a classic pcap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl From<TsResolution> for Resolution {
    fn from(resolution: TsResolution) -> Self {
        match resolution {
            TsResolution::MicroSecond => Self::Micros,
            TsResolution::NanoSecond => Self::Nanos,
        }
    }
}

impl Resolution {
    fn unit_nanos(self) -> u64 {
        match self {
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }

    /// Nanoseconds since 1970 of a pair of stamps; false if they are not exactly that. A fraction of a
    /// second and more is taken as it is, because other programs write and read it.
    pub(super) fn join(self, seconds: u32, fraction: u32) -> (u64, bool) {
        clamp(i128::from(seconds) * i128::from(NANOS) + i128::from(fraction) * i128::from(self.unit_nanos()))
    }

    /// The pair of stamps nearest to a moment.
    pub(in super::super) fn split(self, nanos: u64) -> (u32, u32) {
        let nanos = nanos.min(NANOS_LAST);
        ((nanos / NANOS) as u32, (nanos % NANOS / self.unit_nanos()) as u32)
    }
}

/// The nearest moment that a classic pcap can say, and whether it is another one.
fn clamp(nanos: i128) -> (u64, bool) {
    let nearest = nanos.clamp(0, i128::from(NANOS_LAST));
    (nearest as u64, nearest != nanos)
}

/// `if_tsresol` and `if_tsoffset` of a pcapng interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TickUnit {
    /// As on the wire: 10^-n s, or with the highest bit 2^-n s.
    pub(super) resolution: u8,
    /// Added to every stamp, seconds.
    pub(super) offset_seconds: i64,
}

impl Default for TickUnit {
    /// Microseconds since 1970, what a file means that says nothing.
    fn default() -> Self {
        Self { resolution: 6, offset_seconds: 0 }
    }
}

impl TickUnit {
    /// Nanoseconds since 1970 of a stamp in ticks, rounded down; true if that is only the nearest moment.
    pub(super) fn nanos(self, ticks: u64) -> (u64, bool) {
        let ticks = u128::from(ticks);
        let exponent = u32::from(self.resolution & 0x7f);
        let nanos = if self.resolution & 0x80 != 0 {
            (ticks * u128::from(NANOS)).checked_shr(exponent).unwrap_or(0)
        } else if exponent <= 9 {
            ticks * 10u128.pow(9 - exponent)
        } else {
            10u128.checked_pow(exponent - 9).map_or(0, |divisor| ticks / divisor)
        };
        // At most 2^64 s of either: far inside 128 bits.
        clamp(nanos as i128 + i128::from(self.offset_seconds) * i128::from(NANOS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_every_unit_are_nanoseconds() {
        let nanos = |resolution, offset_seconds, ticks| TickUnit { resolution, offset_seconds }.nanos(ticks);
        assert_eq!(nanos(6, 0, 1_500_000), (1_500_000_000, false));
        assert_eq!(nanos(9, 0, 7), (7, false));
        assert_eq!(nanos(0, 0, 3), (3_000_000_000, false));
        assert_eq!(nanos(3, 0, 3), (3_000_000, false));
        assert_eq!(nanos(12, 0, 1_999), (1, false), "rounded down");
        assert_eq!(nanos(127, 0, u64::MAX), (0, false));
        assert_eq!(nanos(0x80 | 1, 0, 3), (1_500_000_000, false));
        assert_eq!(nanos(0x80 | 30, 0, 1 << 30), (1_000_000_000, false));
        assert_eq!(nanos(0xff, 0, u64::MAX), (0, false));
        assert_eq!(nanos(6, 10, 1), (10_000_001_000, false));
        assert_eq!(nanos(6, -1, 1_000_005), (5_000, false));
        assert_eq!(nanos(6, -2, 1_000_005), (0, true), "before 1970");
        assert_eq!(nanos(0, 0, u64::MAX), (NANOS_LAST, true));
        assert_eq!(nanos(0, i64::MIN, u64::MAX), (NANOS_LAST, true));
        assert_eq!(nanos(0, i64::MIN, 0), (0, true));
    }

    #[test]
    fn pairs_split_and_join() {
        for resolution in [Resolution::Micros, Resolution::Nanos] {
            for nanos in [0, 999_999_000, 1_700_000_000_123_456_000, NANOS_LAST - NANOS_LAST % 1000] {
                let (seconds, fraction) = resolution.split(nanos);
                assert_eq!(resolution.join(seconds, fraction), (nanos, false));
            }
        }
        assert_eq!(Resolution::Micros.join(1, 2_000_000), (3_000_000_000, false));
        assert_eq!(Resolution::Micros.join(u32::MAX, u32::MAX), (NANOS_LAST, true));
    }
}
