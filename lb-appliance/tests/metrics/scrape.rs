//! A scrape, read back: written for these tests from the description of the text format alone.

use std::collections::BTreeMap;

/// Series by `name{label="value",...}` with sorted labels.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) series: BTreeMap<String, f64>,
    /// Names to types.
    pub(crate) types: BTreeMap<String, String>,
    /// Names to help.
    pub(crate) helps: BTreeMap<String, String>,
}

impl Scrape {
    pub(crate) fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                scrape.helps.insert(name.into(), help.into());
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                let old = scrape.types.insert(name.into(), kind.into());
                assert_eq!(old, None, "{name} comes in two pieces");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                let old = scrape.series.insert(sorted(series), value);
                assert_eq!(old, None, "{series} is there twice");
            }
        }
        scrape
    }

    /// The value of one series, its labels in alphabetical order.
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self
            .series
            .get(series)
            .unwrap_or_else(|| panic!("{series} is missing from {:#?}", self.series.keys()))
    }

    /// Number of series of a metric.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.series.keys().filter(|series| series.split('{').next() == Some(name)).count()
    }
}

/// Labels in alphabetical order. Values of these tests hold no quotes; commas do occur.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.into() };
    let labels = labels.strip_suffix("\"}").unwrap_or_else(|| panic!("no end of labels: {series}"));
    let mut labels: Vec<&str> = labels.split("\",").collect();
    labels.sort_unstable();
    format!("{name}{{{}\"}}", labels.join("\","))
}
