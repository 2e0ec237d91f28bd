//! Numbers for people: few digits, with their unit.

use std::time::{Duration, UNIX_EPOCH};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// A number of things: `999`, `12.3k`, `1.50M`.
pub fn count(number: u64) -> String {
    decimal(number as f64, "")
}

/// A rate per second: `0`, `3.1`, `12.3k`.
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 100.0 { format!("{per_second:.1}") } else { decimal(per_second, "") }
}

/// Bits per second of a rate of bytes: `1.20 Gb/s`.
pub fn bit_rate(bytes_per_second: f64) -> String {
    decimal(bytes_per_second * 8.0, " ") + "b/s"
}

/// Bytes: `1.20 GB`.
pub fn bytes(number: u64) -> String {
    decimal(number as f64, " ") + "B"
}

/// Three digits and a power of 1,000.
fn decimal(number: f64, gap: &str) -> String {
    let (mut scaled, mut suffix) = (number, "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        // What would be rounded to four digits belongs to the next power.
        if scaled < 999.5 {
            break;
        }
        (scaled, suffix) = (scaled / 1000.0, next);
    }
    let digits = match suffix {
        "" => format!("{scaled:.0}"),
        _ if scaled < 9.995 => format!("{scaled:.2}"),
        _ if scaled < 99.95 => format!("{scaled:.1}"),
        _ => format!("{scaled:.0}"),
    };
    digits + gap + suffix
}

/// A share of 0 to 1: `12.3 %`.
pub fn percent(share: f64) -> String {
    // What is not nothing must not look like nothing.
    if share > 0.0 && share < 0.0005 { "<0.1 %".into() } else { format!("{:.1} %", share * 100.0) }
}

/// A weight: whole, or with one digit.
pub fn weight(weight: f64) -> String {
    if weight.fract() == 0.0 { format!("{weight:.0}") } else { format!("{weight:.1}") }
}

/// A time span: `850us`, `12ms`, `3.2s`, `5m12s`, `2h03m`, `4d05h`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round();
    match seconds {
        s if s < 0.0 || s.is_nan() => "0s".into(),
        s if s < 0.001 => format!("{:.0}us", s * 1e6),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1}s"),
        _ if whole < MINUTE => format!("{whole:.0}s"),
        _ if whole < HOUR => format!("{:.0}m{:02.0}s", (whole / MINUTE).floor(), whole % MINUTE),
        _ if whole < DAY => {
            format!("{:.0}h{:02.0}m", (whole / HOUR).floor(), (whole % HOUR / MINUTE).floor())
        }
        _ => format!("{:.0}d{:02.0}h", (whole / DAY).floor(), (whole % DAY / HOUR).floor()),
    }
}

/// An instant, seconds since the Unix epoch, as `2026-11-23 01:02:03` (UTC).
pub fn instant(seconds: f64) -> String {
    const LATEST: f64 = 253_402_300_799.0;
    let since = Duration::from_secs_f64(if seconds.is_finite() { seconds.clamp(0.0, LATEST) } else { 0.0 });
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00k"),
            (9_999, "10.0k"),
            (12_345, "12.3k"),
            (999_499, "999k"),
            (999_600, "1.00M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(count(number), text, "{number}");
        }
        assert_eq!(rate(3.16), "3.2");
        assert_eq!(bytes(1_500), "1.50 kB");
        assert_eq!(bit_rate(150_000_000.0), "1.20 Gb/s");
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in [
            (0.00085, "850us"),
            (0.012, "12ms"),
            (3.21, "3.2s"),
            (59.4, "59s"),
            (59.9, "1m00s"),
            (312.0, "5m12s"),
            (7_380.0, "2h03m"),
            (363_600.0, "4d05h"),
            (-1.0, "0s"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
        assert_eq!(instant(1_795_395_723.9), "2026-11-23 01:02:03");
        assert_eq!(instant(f64::INFINITY), "1970-01-01 00:00:00");
    }

    #[test]
    fn a_little_is_not_nothing() {
        assert_eq!(percent(0.0), "0.0 %");
        assert_eq!(percent(0.0001), "<0.1 %");
        assert_eq!(percent(0.125), "12.5 %");
    }
}
