//! The pipeline's clock while it is measured, and the housekeeping that goes with it.
//!
//! For established flows and for floods the clock is the time that the pipeline has been busy: entries are
//! touched as often as on a worker under full load. For new flows time is counted in packets, so that old
//! flows time out and are swept as fast as new ones come, whatever the size of the table.

use super::settings::{Mix, Settings};
use lb_core::clock::{Tick, Timeouts};
use lb_core::conn::{ConnTable, Line};
use lb_core::pipeline::Pipeline;
use lb_core::tables::Tables;
use std::ops::DerefMut;

/// Longest life of a new flow, ticks: far from where ages wrap.
const LIFE_TICKS_MAX: u64 = 8_192;
/// The table is swept so many times in a flow's life, and an entry is therefore swept at most an eighth of
/// its life late.
const SWEEPS_PER_LIFE: u64 = 8;

/// See the module.
#[derive(Clone, Debug)]
pub(super) enum BenchClock {
    /// Time that the pipeline was busy, nanoseconds.
    Busy(f64),
    /// Time in batches of packets.
    Packets(Turnover),
}

/// How fast flows come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turnover {
    batches: u64,
    batches_per_tick: u64,
    life_ticks: u16,
    /// Lines to sweep before each batch.
    sweep_lines: usize,
}

impl Turnover {
    /// `flows` at a time, of which `batch` are new per batch, in a table of `lines` lines.
    fn new(flows: u64, batch: u64, lines: usize) -> Self {
        // An entry lives for its timeout, and on average another half of a sweep.
        let life_batches = (flows * 2 * SWEEPS_PER_LIFE / (2 * SWEEPS_PER_LIFE + 1) / batch).max(1);
        let batches_per_tick = life_batches.div_ceil(LIFE_TICKS_MAX);
        let sweep_batches = (life_batches / SWEEPS_PER_LIFE).max(1);
        Self {
            batches: 0,
            batches_per_tick,
            // At most LIFE_TICKS_MAX.
            life_ticks: (life_batches / batches_per_tick) as u16,
            sweep_lines: lines.div_ceil(sweep_batches as usize),
        }
    }
}

impl BenchClock {
    pub(super) fn new(settings: &Settings, batch: usize) -> Self {
        match settings.mix {
            Mix::Uniform | Mix::Zipf | Mix::Flood => Self::Busy(0.0),
            Mix::New => {
                let lines = ConnTable::<&mut [Line]>::lines_for(settings.table_entries());
                Self::Packets(Turnover::new(settings.flows, batch as u64, lines))
            }
        }
    }

    /// The timeouts that the tables are to have.
    pub(super) fn timeouts(&self) -> Timeouts {
        match self {
            Self::Busy(_) => Timeouts::default(),
            Self::Packets(Turnover { life_ticks, .. }) => {
                Timeouts { tcp_ticks: *life_ticks, tcp_closing_ticks: *life_ticks, udp_ticks: *life_ticks }
            }
        }
    }

    /// The present.
    pub(super) fn now(&self) -> Tick {
        match self {
            Self::Busy(nanos) => Tick::from_nanos(*nanos as u64),
            // Truncation is the wrap that ticks have.
            Self::Packets(turnover) => Tick((turnover.batches / turnover.batches_per_tick) as u16),
        }
    }

    /// Housekeeping before a batch of packets; returns the present.
    pub(super) fn before_batch<S: DerefMut<Target = [Line]>>(
        &mut self,
        pipeline: &mut Pipeline<S>,
        tables: &Tables,
    ) -> Tick {
        if let Self::Packets(turnover) = self {
            turnover.batches += 1;
            let lines = turnover.sweep_lines;
            pipeline.sweep(tables, self.now(), lines);
        }
        self.now()
    }

    /// Notes that the pipeline has been busy.
    pub(super) fn was_busy(&mut self, nanos: f64) {
        if let Self::Busy(total) = self {
            *total += nanos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_live_as_long_as_it_takes_to_replace_them() {
        for flows in [8_192, 100_000, 1_000_000, 10_000_000, 1_000_000_000] {
            let lines = (flows as usize).div_ceil(4).next_power_of_two();
            let turnover = Turnover::new(flows, 512, lines);
            let life_packets = u64::from(turnover.life_ticks) * turnover.batches_per_tick * 512;
            assert!(life_packets <= flows, "{flows}: {turnover:?}");
            assert!(life_packets * 100 >= flows * 87, "{flows}: {life_packets}, {turnover:?}");
            let sweep_packets = lines as u64 * 512 / turnover.sweep_lines as u64;
            assert!(sweep_packets <= flows / 8 + 512, "{flows}: {sweep_packets}, {turnover:?}");
            assert!(u64::from(turnover.life_ticks) <= LIFE_TICKS_MAX);
        }
    }

    #[test]
    fn busy_time_is_wall_time_of_the_pipeline_alone() {
        let mut clock = BenchClock::Busy(0.0);
        clock.was_busy(1.9e9);
        assert_eq!(clock.now(), Tick(1));
        assert_eq!(clock.timeouts(), Timeouts::default());
    }
}
