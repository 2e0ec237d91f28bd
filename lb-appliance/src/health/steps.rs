//! The steps of one probe, for `health probe`, and the name of the step at hand, for the message of a timeout.

use std::time::{Duration, Instant};

/// One step that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `connect`, `tls`, `request`, `response`...
    pub name: &'static str,
    /// From its begin to its end.
    pub took: Duration,
    /// What was seen.
    pub detail: String,
}

/// Collects steps, or only remembers where the probe is.
pub(super) struct Steps {
    list: Option<Vec<Step>>,
    current: &'static str,
    since: Instant,
}

impl Steps {
    /// Keeps nothing but the name of the current step: scheduled probes run thousands of times per second.
    pub(super) fn quiet() -> Self {
        Self { list: None, current: "start", since: Instant::now() }
    }

    /// Keeps all.
    pub(super) fn kept() -> Self {
        Self { list: Some(Vec::new()), ..Self::quiet() }
    }

    pub(super) fn begin(&mut self, name: &'static str) {
        self.current = name;
        if self.list.is_some() {
            self.since = Instant::now();
        }
    }

    /// Ends the current step; `detail` is asked only if somebody will read it.
    pub(super) fn end(&mut self, detail: impl FnOnce() -> String) {
        if let Some(list) = &mut self.list {
            let detail = super::outcome::bounded(detail());
            list.push(Step { name: self.current, took: self.since.elapsed(), detail });
        }
    }

    pub(super) fn current(&self) -> &'static str {
        self.current
    }

    pub(super) fn into_list(self) -> Vec<Step> {
        self.list.unwrap_or_default()
    }
}
