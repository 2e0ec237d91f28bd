//! What to measure: the flags of `guideway bench`, their ranges, and which of them contradict each other.

use clap::ValueEnum;
use lb_core::spec::RECORDS_MAX;

/// Most flows. Their numbers have 30 bits, and tables beyond that are not what one core is for.
const FLOWS_MAX: u64 = 1_000_000_000;
/// Fewest flows of [`Mix::New`]: entries must live for several batches, or there is no steady state.
const FLOWS_NEW_MIN: u64 = 8_192;
/// Load of the connection table that is not exceeded unless `--load` says otherwise.
const LOAD_DEFAULT: f64 = 0.8;
/// Share of IPv6 in mixed traffic unless `--v6-percent` says otherwise.
const V6_PERCENT_DEFAULT: u8 = 20;

/// Which flow the next packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Established flows, each as likely as the others
    Uniform,
    /// Established flows, the n-th with a share of 1/n
    Zipf,
    /// Every packet is the SYN of a new flow; old ones time out at the same rate
    New,
    /// Every packet is the SYN of a new flow, on a table that is full of such
    Flood,
}

/// IP version of the clients' packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
    /// Both, by --v6-percent
    Mixed,
}

/// The way to the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encap {
    /// IP in IP
    Ipip,
    /// GUE with its four-byte header
    Gue,
    /// GUE without a header (variant 1)
    GueDirect,
    /// VXLAN
    Vxlan,
    /// New MAC addresses only
    L2dsr,
}

/// IP version of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Outer {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// Where packets come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceKind {
    /// Buffers in memory; the pipeline alone is timed
    Memory,
    /// DPDK buffers from a pool by way of a ring; allocation, pipeline and freeing are timed
    Dpdk,
}

/// Name of a value as the command line knows it.
pub(super) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// One benchmark.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Flows in the connection table; 10K and 1M are understood (flood: at least as many, to fill it)
    #[arg(long, value_name = "N", default_value = "1M", value_parser = flow_count)]
    pub flows: u64,
    /// Which flow the next packet belongs to
    #[arg(long, default_value = "uniform")]
    pub mix: Mix,
    /// IP version of the clients' packets
    #[arg(long, default_value = "v4")]
    pub family: Family,
    /// Share of IPv6 packets with --family mixed, in percent [default: 20]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    pub v6_percent: Option<u8>,
    /// The way to the backends
    #[arg(long, default_value = "ipip")]
    pub encap: Encap,
    /// IP version of the outer header
    #[arg(long, default_value = "v4")]
    pub outer: Outer,
    /// Where packets come from
    #[arg(long, default_value = "memory")]
    pub source: SourceKind,
    /// Bytes per frame, without FCS; IPv6 frames have at least 74
    #[arg(long, value_name = "BYTES", default_value_t = 60, value_parser = clap::value_parser!(u16).range(60..=1514))]
    pub size: u16,
    /// How long to measure, after the table is filled
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub seconds: f64,
    /// Load of the connection table that is not exceeded, 0.1 to 0.95; the table's size, a power of two,
    /// follows from it [default: 0.8]
    #[arg(long, value_name = "LOAD", value_parser = load)]
    pub load: Option<f64>,
    /// VIPs, all on one pool
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub vips: u16,
    /// Backends of that pool
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    pub backends: u16,
    /// Threads with a pipeline and a table each, measured at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub workers: u8,
    /// Packets per burst
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub burst: u8,
    /// Of the random numbers that pick the flows
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    pub seed: u64,
}

impl Settings {
    /// Looks for flags that contradict each other or the limits of the core.
    ///
    /// # Errors
    /// A message that names the flag, its value and what would do.
    pub fn check(&self) -> Result<(), String> {
        if self.v6_percent.is_some() && self.family != Family::Mixed {
            return Err("--v6-percent goes with --family mixed only".to_owned());
        }
        if self.load.is_some() && self.mix == Mix::Flood {
            return Err("--load does not go with --mix flood: that table is full".to_owned());
        }
        if self.mix == Mix::New && self.flows < FLOWS_NEW_MIN {
            let flows = self.flows;
            return Err(format!("--flows {flows}: --mix new needs {FLOWS_NEW_MIN} to {FLOWS_MAX}"));
        }
        let records = usize::from(self.vips) * usize::from(self.backends);
        if records > RECORDS_MAX {
            return Err(format!(
                "--vips {} times --backends {} is {records}; the product may be 1 to {RECORDS_MAX}",
                self.vips, self.backends
            ));
        }
        if self.workers > 1 && self.source == SourceKind::Dpdk {
            return Err(format!("--workers {}: --source dpdk takes 1 only", self.workers));
        }
        Ok(())
    }

    /// Entries that the connection table of one worker must have room for.
    pub(super) fn table_entries(&self) -> usize {
        match self.mix {
            Mix::Flood => self.flows as usize,
            Mix::Uniform | Mix::Zipf | Mix::New => {
                (self.flows as f64 / self.load.unwrap_or(LOAD_DEFAULT)).ceil() as usize
            }
        }
    }

    /// Share of IPv6 packets, percent.
    pub(super) fn v6_share_percent(&self) -> u8 {
        match self.family {
            Family::V4 => 0,
            Family::V6 => 100,
            Family::Mixed => self.v6_percent.unwrap_or(V6_PERCENT_DEFAULT),
        }
    }
}

/// A number of flows: digits, `_` between them, `K` or `M` behind them.
fn flow_count(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number
        .filter(|number| (1..=FLOWS_MAX).contains(number))
        .ok_or_else(|| format!("expected 1 to {FLOWS_MAX}, e.g. 10000, 10K or 1M"))
}

fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.01, 3_600.0)
}

fn load(text: &str) -> Result<f64, String> {
    within(text, 0.1, 0.95)
}

fn within(text: &str, min: f64, max: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("expected {min} to {max}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    pub(crate) fn settings(line: &str) -> Result<Settings, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let parsed = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        parsed.settings.check().map(|()| parsed.settings)
    }

    #[test]
    fn flows_are_numbers_with_units() {
        for (text, flows) in [("1", 1), ("10K", 10_000), ("10m", 10_000_000), ("1_000_000", 1_000_000)] {
            assert_eq!(flow_count(text), Ok(flows));
        }
        for text in ["0", "0K", "", "K", "-1", "1G", "1.5M", "1000000001", "1001M", "99999999999999999999"] {
            let refusal = flow_count(text).expect_err(text);
            assert!(refusal.contains("1 to 1000000000"), "{refusal}");
        }
    }

    #[test]
    fn a_refusal_names_the_flag_and_its_range() {
        for (line, said) in [
            ("--flows 0", "1 to 1000000000"),
            ("--size 59", "60..=1514"),
            ("--size 1515", "60..=1514"),
            ("--seconds 0", "0.01 to 3600"),
            ("--seconds nan", "0.01 to 3600"),
            ("--load 0.99", "0.1 to 0.95"),
            ("--burst 65", "1..=64"),
            ("--workers 0", "1..=64"),
            ("--vips 0", "1..=65535"),
            ("--v6-percent 20", "--family mixed"),
            ("--mix flood --load 0.5", "--load"),
            ("--mix new --flows 8191", "8192 to 1000000000"),
            ("--vips 66 --backends 1000", "66000; the product may be 1 to 65535"),
            ("--workers 2 --source dpdk", "1 only"),
        ] {
            let refusal = settings(line).expect_err(line);
            let flag = line.split_whitespace().find(|word| word.starts_with("--")).expect("a flag");
            assert!(refusal.contains(said), "{line}: {refusal}");
            assert!(refusal.contains(flag) || said == "--load", "{line}: {refusal}");
        }
    }

    #[test]
    fn the_table_follows_from_flows_and_load() {
        let entries = |line: &str| settings(line).expect(line).table_entries();
        assert_eq!(entries("--flows 10K"), 12_500);
        assert_eq!(entries("--flows 10K --load 0.5"), 20_000);
        assert_eq!(entries("--flows 10K --mix flood"), 10_000);
        assert_eq!(settings("--family mixed").expect("valid").v6_share_percent(), 20);
        assert_eq!(settings("--family mixed --v6-percent 3").expect("valid").v6_share_percent(), 3);
    }
}
