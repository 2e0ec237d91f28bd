//! `pools[].health_check` and its neighbours: timing, policy, and the choice of the probe.
//!
//! The kinds of probe are read in `probes`.

use std::sync::Arc;
use std::time::Duration;

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::model::{AllDown, HealthCheck, PoolHealth, Via};
use super::super::read::{Item, Located, Section};

mod probes;

const INTERVAL_DEFAULT: Duration = Duration::from_secs(2);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
const FALL_DEFAULT: u16 = 3;
const RISE_DEFAULT: u16 = 2;
const COUNT_MAX: u16 = 100;
/// Shortest interval and timeout: below it the probes of one target would be an attack on it.
const TIME_MIN: Duration = Duration::from_millis(10);
/// Shortest fast interval that is chosen for the operator.
const FAST_MIN: Duration = Duration::from_millis(100);
const QUORUM_MAX: u32 = 65_535;

pub(in super::super) struct HealthDraft {
    /// Read, unless it is absent or has an error.
    check: Option<HealthCheck>,
    pub(in super::super) check_given: bool,
    /// Where `via: tunnel` stands.
    pub(in super::super) tunnel: Option<Place>,
    panic_below: Option<u16>,
    all_down: Option<AllDown>,
    pub(in super::super) quorum: Option<Located<u32>>,
    /// Where keys stand that only a check gives a meaning.
    pub(in super::super) policy_places: Vec<Place>,
}

impl HealthDraft {
    /// What was read, if it has no error.
    pub(in super::super) fn check(&self) -> Option<&HealthCheck> {
        self.check.as_ref()
    }

    /// `None` only after an error.
    pub(in super::super) fn build(&self) -> Option<PoolHealth> {
        if self.check_given && self.check.is_none() {
            return None;
        }
        let panic_below = self.panic_below.unwrap_or(0);
        let default = if panic_below > 0 { AllDown::SendToAll } else { AllDown::Drop };
        Some(PoolHealth {
            check: self.check.clone().map(Arc::new),
            panic_below,
            all_down: self.all_down.unwrap_or(default),
            quorum: self.quorum.as_ref().map_or(0, |quorum| quorum.value),
        })
    }
}

pub(super) fn read(pool: &Section<'_>) -> HealthDraft {
    let item = pool.get("health_check");
    let policies = [("drop", AllDown::Drop), ("send_to_all", AllDown::SendToAll)];
    let policy_keys = ["panic_threshold", "all_down", "quorum"];
    HealthDraft {
        check_given: item.is_some(),
        tunnel: item.as_ref().and_then(tunnel_place),
        check: item.and_then(|item| check(&item)),
        panic_below: pool.get("panic_threshold").and_then(|item| item.share()),
        all_down: pool.get("all_down").and_then(|item| item.choice(&policies, &[])),
        quorum: pool
            .get("quorum")
            .and_then(|item| Some(Located { value: item.number(0..=QUORUM_MAX)?, place: item.place })),
        policy_places: policy_keys.iter().filter_map(|key| Some(pool.get(key)?.place)).collect(),
    }
}

fn check(item: &Item<'_>) -> Option<HealthCheck> {
    let section = item.section(&keys::HEALTH_CHECK)?;
    let time = |key: &str| section.get(key).and_then(|item| item.duration(TIME_MIN));
    let count = |key: &str, default: u16| match section.get(key) {
        Some(item) => item.number(1..=COUNT_MAX),
        None => Some(default),
    };
    let (interval, fast, timeout) = (time("interval"), time("fast_interval"), time("timeout"));
    let interval_value = interval.as_ref().map_or(INTERVAL_DEFAULT, |given| given.value);
    for (key, given) in [("timeout", &timeout), ("fast_interval", &fast)] {
        let Some(given) = given.as_ref().filter(|given| given.value > interval_value) else { continue };
        let message = format!("{key} {:?} is longer than the interval {interval_value:?}", given.value);
        let hint = format!("lower `{key}`, or raise `interval`: probes of one backend do not overlap");
        section.findings.add_hint(Code::ProbeTooLong, &given.place, message, hint);
    }
    let fast_default = (interval_value / 4).max(FAST_MIN).min(interval_value);
    let probe = probes::read(item, &section);
    let agent = section.get("agent");
    let agent_port = match &agent {
        Some(item) => item.section(&keys::AGENT).and_then(|agent| probes::port(&agent, "8765")).map(Some),
        None => Some(None),
    };
    let (fall, rise) = (count("fall", FALL_DEFAULT), count("rise", RISE_DEFAULT));
    Some(HealthCheck {
        probe: probe?,
        agent_port: agent_port?,
        interval: interval_value,
        fast_interval: fast.map_or(fast_default, |given| given.value),
        timeout: timeout.map_or(TIMEOUT_DEFAULT.min(interval_value), |given| given.value),
        fall: fall?,
        rise: rise?,
        via: via(&section)?,
    })
}

/// Where a check asks for the tunnel, whatever else is wrong with it.
fn tunnel_place(item: &Item<'_>) -> Option<Place> {
    let via = item.peek("via")?;
    (via.as_text() == Some("tunnel")).then_some(via.place)
}

fn via(section: &Section<'_>) -> Option<Via> {
    let Some(item) = section.get("via") else { return Some(Via::Direct) };
    item.choice(&[("direct", Via::Direct), ("tunnel", Via::Tunnel)], &[])
}
