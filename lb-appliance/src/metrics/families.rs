//! A scrape under construction: series put in any order, metric families of the catalogue out.
//!
//! A series is only taken with as many label values as the catalogue has label names, and as the kind that the
//! catalogue says. A metric without series has no family.

use super::catalogue::{Kind, Metric};
use prometheus::proto;

/// The series of one scrape.
#[derive(Debug)]
pub(super) struct Families {
    /// By `Metric as usize`.
    series: Vec<Vec<proto::Metric>>,
}

/// A histogram over all that was observed so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Distribution {
    /// Upper bounds in the base unit, ascending, each with the number of observations up to it.
    pub(super) buckets: Vec<(f64, u64)>,
    /// Number of all observations.
    pub(super) count: u64,
    /// Their sum in the base unit.
    pub(super) sum: f64,
}

impl Families {
    pub(super) fn new() -> Self {
        Self { series: Metric::ALL.iter().map(|_| Vec::new()).collect() }
    }

    /// Adds a series of a counter. Exact up to 2^53, which is 9 PB.
    pub(super) fn count(&mut self, metric: Metric, labels: &[&str], value: u64) {
        self.put(metric, labels, value as f64);
    }

    /// Adds a series of a counter or gauge.
    pub(super) fn put(&mut self, metric: Metric, labels: &[&str], value: f64) {
        let mut series = with_labels(metric, labels);
        match metric.kind() {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                series.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                debug_assert_eq!(metric.kind(), Kind::Gauge, "{}", metric.name());
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                series.set_gauge(gauge);
            }
        }
        self.series[metric as usize].push(series);
    }

    /// Adds a series that says no more than that it exists.
    pub(super) fn info(&mut self, metric: Metric, labels: &[&str]) {
        self.put(metric, labels, 1.0);
    }

    /// Adds a histogram.
    pub(super) fn distribution(&mut self, metric: Metric, labels: &[&str], distribution: &Distribution) {
        debug_assert_eq!(metric.kind(), Kind::Histogram, "{}", metric.name());
        let bucket = |&(bound, count): &(f64, u64)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(distribution.buckets.iter().map(bucket).collect());
        histogram.set_sample_count(distribution.count);
        histogram.set_sample_sum(distribution.sum);
        let mut series = with_labels(metric, labels);
        series.set_histogram(histogram);
        self.series[metric as usize].push(series);
    }

    /// The families, in the order of the catalogue.
    pub(super) fn finish(self) -> Vec<proto::MetricFamily> {
        let filled = Metric::ALL.iter().zip(self.series).filter(|(_, series)| !series.is_empty());
        filled.map(|(metric, series)| family(*metric, series)).collect()
    }
}

fn with_labels(metric: Metric, values: &[&str]) -> proto::Metric {
    debug_assert_eq!(metric.labels().len(), values.len(), "labels of {}", metric.name());
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    proto::Metric::from_label(metric.labels().iter().zip(values).map(pair).collect())
}

fn family(metric: Metric, series: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(metric.name().to_owned());
    family.set_help(metric.help().to_owned());
    family.set_field_type(match metric.kind() {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram => proto::MetricType::HISTOGRAM,
    });
    family.set_metric(series);
    family
}
