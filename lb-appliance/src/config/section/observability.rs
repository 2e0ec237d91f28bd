//! `metrics` and `logging`: how the outside watches the process.
//!
//! Both may be missing. Nothing listens beyond loopback unless the file says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::super::code::Code;
use super::super::keys;
use super::super::model::{LogFormat, Logging, Metrics};
use super::super::read::{Complaint, Item, Section};
use super::super::suggest;

/// Port of `/metrics` unless configured.
pub(in super::super) const METRICS_PORT: u16 = 9843;
const BUCKETS_MAX: usize = 64;
const BUCKETS_DEFAULT_US: [u64; 9] = [1, 2, 5, 10, 20, 50, 100, 250, 1000];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(in super::super) fn metrics(root: &Section<'_>) -> Metrics {
    let section = root.get("metrics").and_then(|item| item.section(&keys::METRICS));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let flag = |key: &str| get(key).and_then(|item| item.boolean()).unwrap_or(true);
    Metrics {
        listen: get("listen")
            .and_then(|item| item.socket_address())
            .map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT)), |listen| listen.value),
        per_backend: flag("per_backend"),
        per_queue: flag("per_queue"),
        latency_sample: get("latency_sample").and_then(|item| item.number(0..=1_000_000_000)).unwrap_or(1024),
        latency_buckets: get("latency_buckets")
            .and_then(|item| buckets(&item))
            .unwrap_or_else(|| BUCKETS_DEFAULT_US.map(Duration::from_micros).to_vec()),
    }
}

fn buckets(item: &Item<'_>) -> Option<Vec<Duration>> {
    let items = item.list()?;
    if items.is_empty() || items.len() > BUCKETS_MAX {
        let message = format!("{} buckets are given", items.len());
        let hint = format!("give 1 to {BUCKETS_MAX}, or remove the key");
        item.findings.add_hint(Code::OutOfRange, &item.place, message, hint);
        return None;
    }
    let bounds: Vec<_> = items.iter().filter_map(|item| item.duration(Duration::from_nanos(1))).collect();
    for pair in bounds.windows(2) {
        if pair[1].value <= pair[0].value {
            let message = format!("{:?} does not come after {:?}", pair[1].value, pair[0].value);
            item.findings.add_hint(
                Code::UnorderedBuckets,
                &pair[1].place,
                message,
                "sort the bounds, each one once",
            );
        }
    }
    Some(bounds.into_iter().map(|bound| bound.value).collect())
}

pub(in super::super) fn logging(root: &Section<'_>) -> Logging {
    let section = root.get("logging").and_then(|item| item.section(&keys::LOGGING));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = get("level").and_then(|item| item.parse(Code::BadFilter, "a level such as info", filter));
    Logging {
        level: level.map_or_else(|| "info".to_owned(), |level| level.value),
        format: get("format")
            .and_then(|item| item.choice(&formats, &["journald"]))
            .unwrap_or(LogFormat::Auto),
    }
}

fn filter(text: &str) -> Result<String, Complaint> {
    let levels = LEVELS.join(", ");
    // A lone word would be taken for the name of a target, and nothing would ever be logged.
    let lone = !text.contains(['=', ',', '[']);
    if lone && !LEVELS.contains(&text.to_lowercase().as_str()) {
        let hint = suggest::hint(text, &LEVELS).unwrap_or_else(|| format!("allowed are: {levels}"));
        return Err(Complaint::new(format!("`{text}` is not a log level"), hint));
    }
    EnvFilter::builder().parse(text).map(|_| text.to_owned()).map_err(|error| {
        let hint = format!("write a level ({levels}) or a filter such as info,guideway::health=debug");
        Complaint::new(format!("`{text}` is not a log filter: {error}"), hint)
    })
}
