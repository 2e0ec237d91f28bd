//! From the configuration of slow start and adaptive weights to what lb-core makes of it.

use lb_core::adapt::{Settings, Source};
use lb_core::slow_start::Ramp;

use crate::config::model::{AdaptiveWeights, LoadSource, SlowStart};

/// The ramp of a pool.
#[must_use]
pub fn ramp(configured: &SlowStart) -> Ramp {
    Ramp { duration: configured.duration, start: configured.start }
}

/// The utilisation behind an agent's percentage: what is left of 100. `100%` is idle, `0%` is full.
///
/// HAProxy's protocol calls the percentage a weight; agents answer with the share of the machine that is idle.
#[must_use]
pub fn utilisation_of_agent(percent: f64) -> f64 {
    1.0 - percent / 100.0
}

/// The settings of a pool's controller.
#[must_use]
pub fn settings(configured: &AdaptiveWeights) -> Settings {
    Settings {
        source: match configured.source {
            LoadSource::Header | LoadSource::Agent => Source::Utilisation,
            LoadSource::Latency => Source::Latency,
        },
        interval: configured.interval,
        stale_after: configured.stale_after,
        factor_min: configured.min_factor,
        factor_max: configured.max_factor,
        step_max: configured.max_step,
        deadband: configured.deadband,
        changes_per_minute_max: configured.max_changes_per_minute,
        moved_per_minute_max: configured.max_moved_per_minute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn pool(keys: &str) -> crate::config::model::Pool {
        let text = format!(
            "version: 1\nforwarding: {{encapsulation: {{source: {{ipv4: 198.51.100.11}}}}}}\npools:\n\
             - {{name: p, encap: {{ipip: {{}}}}, backends: [{{name: a, address: 10.0.0.1}}], {keys}}}\n\
             vips: []\n"
        );
        parse("t.yaml", &text).unwrap_or_else(|findings| panic!("{findings}")).pools.remove(0)
    }

    #[test]
    fn an_idle_agent_is_not_utilised() {
        assert_eq!([100.0, 75.0, 0.0].map(utilisation_of_agent), [0.0, 0.25, 1.0]);
    }

    #[test]
    fn the_defaults_of_the_file_are_those_the_simulation_ran_with() {
        let adaptive = pool("adaptive_weights: {source: header}").adaptive_weights.expect("it is given");
        assert_eq!(settings(&adaptive), Settings::default());
        let ramp = ramp(&pool("slow_start: 30s").slow_start.expect("it is given"));
        assert_eq!(ramp, Ramp { duration: std::time::Duration::from_secs(30), start: 0.1 });
        let neither = pool("");
        assert_eq!((neither.slow_start, neither.adaptive_weights), (None, None));
    }

    #[test]
    fn every_key_arrives() {
        let keys = "slow_start: {duration: 2m, start: 0.25}, adaptive_weights: {source: latency, interval: 20s, \
                    stale_after: 70s, min_factor: 0.5, max_factor: 3, max_step: 0.2, deadband: 0.15, \
                    max_changes_per_minute: 4, max_moved_per_minute: 0.3}";
        let pool = pool(keys);
        let seconds = std::time::Duration::from_secs;
        let expected = Settings {
            source: Source::Latency,
            interval: seconds(20),
            stale_after: seconds(70),
            factor_min: 0.5,
            factor_max: 3.0,
            step_max: 0.2,
            deadband: 0.15,
            changes_per_minute_max: 4,
            moved_per_minute_max: 0.3,
        };
        assert_eq!(settings(&pool.adaptive_weights.expect("it is given")), expected);
        assert_eq!(
            ramp(&pool.slow_start.expect("it is given")),
            Ramp { duration: seconds(120), start: 0.25 }
        );
    }
}
