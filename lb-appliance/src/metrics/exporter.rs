//! The collector: metric families made at scrape time, straight from the blocks of the workers.
//!
//! It keeps nothing between scrapes. Counters of one scrape may be of slightly different moments; no scrape
//! goes back behind an earlier one.

use super::catalogue::Metric;
use super::families::Families;
use super::selection::{Group, Selection};
use super::sources::Sources;
use super::{backends, checks, node, ports, vips, workers};
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Exports [`Sources`], and this process, in Prometheus' text format.
#[derive(Debug)]
pub struct Exporter {
    sources: Arc<Sources>,
    process: ProcessCollector,
    descriptions: Vec<Desc>,
}

impl Exporter {
    /// An exporter of `sources`.
    ///
    /// # Errors
    /// Only if the catalogue breaks a rule of Prometheus, which its tests exclude.
    pub fn new(sources: Arc<Sources>) -> Result<Self, prometheus::Error> {
        let describe = |metric: &Metric| {
            let labels = metric.labels().iter().map(|label| (*label).to_owned()).collect();
            Desc::new(metric.name().into(), metric.help().into(), labels, HashMap::new())
        };
        let descriptions = Metric::ALL.iter().map(describe).collect::<Result<_, _>>()?;
        Ok(Self { sources, process: ProcessCollector::for_self(), descriptions })
    }

    /// What is exported.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// A scrape in text format 0.0.4.
    ///
    /// # Errors
    /// Those of the encoder, which has none for families of the catalogue.
    pub fn text(&self, selection: Selection) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        let mut families = self.families(selection);
        families.extend(self.process.collect());
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }

    fn families(&self, selection: Selection) -> Vec<MetricFamily> {
        let begin = Instant::now();
        let (sources, mut families) = (self.sources.as_ref(), Families::new());
        node::collect(sources, &mut families);
        if selection.has(Group::Ports) {
            ports::collect(sources, &mut families);
        }
        if selection.has(Group::Workers) {
            workers::collect(sources, &mut families);
        }
        // One generation for both: VIPs and backends of a scrape must add up.
        if let Some(generation) = sources.generation() {
            if selection.has(Group::Vips) {
                vips::collect(sources, &generation, &mut families);
            }
            if selection.has(Group::Backends) {
                backends::collect(sources, &generation, &mut families);
            }
        }
        checks::collect(sources, selection, &mut families);
        families.put(Metric::ScrapeDuration, &[], begin.elapsed().as_secs_f64());
        families.finish()
    }
}

impl Collector for Exporter {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families(Selection::ALL)
    }
}
