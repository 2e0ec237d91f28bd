//! The controller of one pool: reports in, now and then an update of a few factors out.
//!
//! An integral law on the logarithm of each factor. Weights reach new flows only, so what a backend reports lags behind
//! its weight by the lifetime of flows; where live flows are known, each report is therefore scaled to what it will be
//! once the flows have followed the weights, and the law needs no damping for that lag.

use super::budget::Budget;
use super::plan::{self, Place};
use super::signal::Signal;
use super::{Backend, Change, Changes, Explanation, Report, Settings, Source, Standing};
use crate::maglev::MaglevSeed;
use crate::weight::{Factor, scaled};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Gain per second where the lag is known from live flows.
const GAIN_PREDICTED: f64 = 0.01;
/// Gain per second without: well damped for flows that live up to a minute on average.
const GAIN_BLIND: f64 = 0.006;
/// Largest gain per decision, however long the interval.
const GAIN_MAX: f64 = 0.3;
/// How far flows may be from following the weights and still be believed, as a ratio.
const LAG_MAX: f64 = 4.0;
/// Share of the way to 1 that a factor without reports goes in one decision.
const DECAY: f64 = 0.1;
/// How far, as a logarithm, a target may run ahead of the factor in force: no windup while a budget holds it.
const LEAD_MAX: f64 = 0.25;
/// How far, as a logarithm, all factors in force may drift together before they are drawn back.
const DRIFT_MAX: f64 = 0.15;
/// Differences of a pool that is less busy than this are noise: they count as if it were.
const QUIET_UTILISATION: f64 = 0.05;
/// The same for latency, in seconds.
const QUIET_LATENCY: f64 = 0.001;
/// Errors below this are mostly noise of the reports: they count in proportion to their size, i.e. by the square.
const NOISE: f64 = 0.1;
/// A change against the direction of the last needs twice the deadband for this long.
const REVERSAL: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
struct Member {
    backend: Backend,
    factor: Factor,
    /// Logarithm of the factor that it is heading for.
    target: f64,
    signal: Signal,
    /// When the factor last changed, and whether it rose.
    turned: Option<(Duration, bool)>,
    standing: Standing,
}

/// Adaptive weights of one pool. See [`super`].
#[derive(Clone, Debug)]
pub struct Controller {
    settings: Settings,
    seed: MaglevSeed,
    table_size: u32,
    members: BTreeMap<IpAddr, Member>,
    budget: Budget,
    due: Duration,
}

impl Controller {
    /// A controller without backends. `seed` and `table_size` are those of the pool's tables: what an update moves is
    /// counted on real ones.
    #[must_use]
    pub fn new(settings: Settings, seed: MaglevSeed, table_size: u32) -> Self {
        let (members, budget) = (BTreeMap::new(), Budget::default());
        Self { settings, seed, table_size, members, budget, due: Duration::ZERO }
    }

    /// The pool as it is now; to be called whenever something of it changes. Who is known keeps its factor, also while
    /// it takes no flows; who is new begins with 1; who is not listed any more is forgotten.
    pub fn set_backends(&mut self, backends: &[Backend]) {
        let mut known = std::mem::take(&mut self.members);
        for backend in backends {
            let member = match known.remove(&backend.address) {
                Some(mut member) => {
                    if backend.is_serving && !member.backend.is_serving {
                        // What it reported before it went says nothing about what comes.
                        member.signal.restart();
                    }
                    member.backend = *backend;
                    member
                }
                None => Member {
                    backend: *backend,
                    factor: Factor::ONE,
                    target: 0.0,
                    signal: Signal::default(),
                    turned: None,
                    standing: Standing::Waiting,
                },
            };
            self.members.insert(backend.address, member);
        }
    }

    /// Takes a load report; `false` when there is no such backend or the value is not a number from 0 up.
    pub fn report(&mut self, address: IpAddr, report: Report) -> bool {
        self.members.get_mut(&address).is_some_and(|member| member.signal.push(report))
    }

    /// When the next decision is due.
    #[must_use]
    pub fn next_decision(&self) -> Duration {
        self.due
    }

    /// The factor in force; 1 for who is unknown.
    #[must_use]
    pub fn factor(&self, address: IpAddr) -> Factor {
        self.members.get(&address).map_or(Factor::ONE, |member| member.factor)
    }

    /// Decides, once it is due. What is returned is in force for the controller from then on.
    ///
    /// `live_flows` are the connections that each backend has now; empty if nobody counts them (then the controller is
    /// slower). Costs up to six builds of a Maglev table when some factor should change, none otherwise.
    pub fn decide(&mut self, now: Duration, live_flows: &BTreeMap<IpAddr, u64>) -> Option<Changes> {
        if now < self.due {
            return None;
        }
        self.due = now + self.settings.interval;
        self.budget.expire(now);
        self.aim(now, live_flows);
        let places = self.places(now, live_flows);
        if places.iter().all(|place| place.next == place.factor) {
            return None;
        }
        if self.budget.changes() >= self.settings.changes_per_minute_max as usize {
            self.hold(&places, Standing::ChangeBudget);
            return None;
        }
        let room = self.settings.moved_per_minute_max - self.budget.moved();
        let Some(update) = plan::choose(&places, self.seed, self.table_size, room) else {
            self.hold(&places, Standing::MoveBudget);
            return None;
        };
        self.hold(&places, Standing::Deferred);
        self.budget.spend(now, update.moved_ratio);
        let list = self.apply(now, &places, &update.factors);
        Some(Changes {
            list,
            changed_slots: update.changed_slots,
            moved_flows: update.moved_flows,
            moved_ratio: update.moved_ratio,
        })
    }

    /// Why the weight of a backend is what it is.
    #[must_use]
    pub fn explain(&self, address: IpAddr, now: Duration) -> Option<Explanation> {
        let member = self.members.get(&address)?;
        let last = member.signal.last();
        Some(Explanation {
            address,
            configured: member.backend.weight,
            slow_start: member.backend.slow_start,
            adaptive: member.factor,
            wanted: member.target.exp(),
            scaled: scaled(member.backend.weight, member.backend.slow_start, member.factor),
            last,
            age: last.map(|report| now.saturating_sub(report.at)),
            level: member.signal.level(now, self.settings.stale_after),
            standing: member.standing,
        })
    }

    /// Moves the targets.
    fn aim(&mut self, now: Duration, live_flows: &BTreeMap<IpAddr, u64>) {
        let stale_after = self.settings.stale_after;
        let forecast = Forecast::new(self.members.values(), self.settings.source, live_flows);
        let mut levels = Vec::new();
        for member in self.members.values_mut() {
            member.signal.fold(now);
            let level = member.signal.level(now, stale_after);
            member.standing = match level {
                _ if !member.takes_flows() => Standing::NotServing,
                _ if member.backend.slow_start < Factor::ONE => Standing::SlowStart,
                None => Standing::Stale,
                Some(level) => {
                    levels.push((member.backend.address, forecast.settled(member, level)));
                    Standing::Deadband
                }
            };
        }
        if levels.len() < 2 {
            for member in self.members.values_mut().filter(|member| member.standing == Standing::Deadband) {
                member.standing = Standing::Alone;
            }
            levels.clear();
        }
        let (quiet, per_second) = match self.settings.source {
            Source::Utilisation if forecast.is_known() => (QUIET_UTILISATION, GAIN_PREDICTED),
            Source::Utilisation => (QUIET_UTILISATION, GAIN_BLIND),
            Source::Latency => (QUIET_LATENCY, GAIN_BLIND),
        };
        let gain = (per_second * self.settings.interval.as_secs_f64()).min(GAIN_MAX);
        let mean = levels.iter().map(|(_, level)| level).sum::<f64>() / levels.len().max(1) as f64;
        for (address, level) in levels {
            let Some(member) = self.members.get_mut(&address) else { continue };
            let error = ((mean - level) / mean.max(quiet)).clamp(-1.0, 1.0);
            // For latency the target leaks as fast as it fills: it settles at the error instead of integrating it.
            let leak = if self.settings.source == Source::Latency { member.target } else { 0.0 };
            let error = error * error.abs() / (error.abs() + NOISE);
            member.target += gain * (error - leak);
        }
        self.centre();
        let (min, max) = self.settings.bounds();
        for member in self.members.values_mut() {
            if member.is_letting_go() {
                member.target *= 1.0 - DECAY;
            }
            let at = member.factor.value().ln();
            member.target = member.target.clamp(at - LEAD_MAX, at + LEAD_MAX);
            member.target = member.target.clamp(min.value().ln(), max.value().ln());
        }
    }

    /// Only ratios count: brings the weighted mean of the compared targets to 1, so that 1 means "as the average" for
    /// those without reports; and lower where the largest would not fit under its bound.
    fn centre(&mut self) {
        let max = self.settings.bounds().1.value().ln();
        let compared = |member: &&mut Member| member.standing == Standing::Deadband;
        let (mut weights, mut sum, mut highest) = (0.0, 0.0, f64::NEG_INFINITY);
        for member in self.members.values_mut().filter(compared) {
            let weight = f64::from(member.backend.weight);
            weights += weight;
            sum += weight * member.target.exp();
            highest = highest.max(member.target);
        }
        if weights > 0.0 {
            let mean = (sum / weights).ln();
            let shift = mean.max(highest - max);
            self.members.values_mut().filter(compared).for_each(|member| member.target -= shift);
        }
    }

    /// Those that take flows, with the step that each may take now.
    fn places(&mut self, now: Duration, live_flows: &BTreeMap<IpAddr, u64>) -> Vec<Place> {
        let (min, max) = self.settings.bounds();
        let total: f64 = self.members.values().map(Member::effective).sum();
        let share = |member: &Member| member.effective() / total;
        let gap = |member: &Member| member.target - member.factor.value().ln();
        let taking = |member: &&mut Member| member.takes_flows();
        let drift: f64 =
            self.members.values().filter(|member| member.takes_flows()).map(|m| share(m) * gap(m)).sum();
        let drift = drift.clamp(-DRIFT_MAX, DRIFT_MAX);
        let mut places = Vec::new();
        for member in self.members.values_mut().filter(taking) {
            // Who goes back to 1 goes to 1, whatever the others do.
            let gap = if member.is_letting_go() { gap(member) } else { gap(member) - drift };
            let next = self.settings.step(member, gap, now).clamp(min, max);
            if next == member.factor && gap.abs() > self.settings.deadband && member.is_compared() {
                let at_bound = if gap > 0.0 { member.factor >= max } else { member.factor <= min };
                member.standing = if at_bound { Standing::Bound } else { Standing::Deadband };
            }
            places.push(Place {
                address: member.backend.address,
                identity: identity(member.backend.address),
                weight: member.backend.weight,
                slow_start: member.backend.slow_start,
                factor: member.factor,
                next,
                gap,
                share: share(member),
                live: live_flows.get(&member.backend.address).copied(),
            });
        }
        places
    }

    /// Notes why those that would change do not.
    fn hold(&mut self, places: &[Place], standing: Standing) {
        for place in places.iter().filter(|place| place.next != place.factor) {
            if let Some(member) = self.members.get_mut(&place.address)
                && member.is_compared()
            {
                member.standing = standing;
            }
        }
    }

    fn apply(&mut self, now: Duration, places: &[Place], factors: &[Factor]) -> Vec<Change> {
        let mut list = Vec::new();
        for (place, &to) in places.iter().zip(factors).filter(|(place, to)| place.factor != **to) {
            let Some(member) = self.members.get_mut(&place.address) else { continue };
            let left = place.gap - (to.value() / place.factor.value()).ln();
            let reason = match member.standing {
                letting_go if member.is_letting_go() => letting_go,
                _ if left.abs() > self.settings.deadband => Standing::Slew,
                _ => Standing::Changed,
            };
            member.factor = to;
            member.turned = Some((now, to > place.factor));
            member.standing = reason;
            list.push(Change { address: place.address, from: place.factor, to, reason });
        }
        list
    }
}

impl Member {
    fn takes_flows(&self) -> bool {
        self.backend.is_serving && self.backend.weight > 0
    }

    /// Its standing is about the comparison with the others, not about the lack of one.
    fn is_compared(&self) -> bool {
        matches!(self.standing, Standing::Deadband | Standing::Bound | Standing::Deferred)
    }

    /// Without reports to compare, on its way back to 1.
    fn is_letting_go(&self) -> bool {
        matches!(self.standing, Standing::Stale | Standing::Alone)
    }

    /// The weight in the table; 0 for who takes no flows.
    fn effective(&self) -> f64 {
        let weight = scaled(self.backend.weight, self.backend.slow_start, self.factor);
        if self.takes_flows() { f64::from(weight) } else { 0.0 }
    }
}

impl Settings {
    /// The factor one admissible step towards where `gap` leads; the same if it is near enough.
    fn step(&self, member: &Member, gap: f64, now: Duration) -> Factor {
        let turns =
            member.turned.is_some_and(|(at, rose)| rose != (gap > 0.0) && now.saturating_sub(at) < REVERSAL);
        let dead = match member.standing {
            Standing::SlowStart => f64::INFINITY,
            _ if member.is_letting_go() => 0.0,
            _ if turns => 2.0 * self.deadband,
            _ => self.deadband,
        };
        if gap.abs() <= dead {
            return member.factor;
        }
        let goal = Factor::nearest(member.factor.value() * gap.exp()).quanta();
        let quanta = member.factor.quanta();
        // The cast floors, and saturates for a step that no configuration allows.
        let most = ((f64::from(quanta) * self.step_max) as u16).max(1);
        Factor::from_quanta(goal.clamp(quanta.saturating_sub(most), quanta.saturating_add(most)))
    }
}

/// Turns a report into what it will be once the flows have followed the weights.
struct Forecast<'a> {
    live_flows: &'a BTreeMap<IpAddr, u64>,
    /// Live flows and effective weights of those that take flows; `None` if the forecast cannot be made.
    totals: Option<(f64, f64)>,
}

impl<'a> Forecast<'a> {
    fn new<'m>(
        members: impl Iterator<Item = &'m Member>,
        source: Source,
        live_flows: &'a BTreeMap<IpAddr, u64>,
    ) -> Self {
        let (mut flows, mut weights) = (0.0, 0.0);
        for member in members.filter(|member| member.takes_flows()) {
            flows += live_flows.get(&member.backend.address).copied().unwrap_or(0) as f64;
            weights += member.effective();
        }
        let is_possible = source == Source::Utilisation && flows > 0.0 && weights > 0.0;
        Self { live_flows, totals: is_possible.then_some((flows, weights)) }
    }

    fn is_known(&self) -> bool {
        self.totals.is_some()
    }

    fn settled(&self, member: &Member, level: f64) -> f64 {
        let Some((flows, weights)) = self.totals else { return level };
        let live = self.live_flows.get(&member.backend.address).copied().unwrap_or(0) as f64;
        let has = live.max(1.0) / flows;
        let will_have = member.effective() / weights;
        level * (will_have / has).clamp(1.0 / LAG_MAX, LAG_MAX)
    }
}

/// What Maglev knows a backend by.
fn identity(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
