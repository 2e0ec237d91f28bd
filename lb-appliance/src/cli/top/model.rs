//! What `top` knows and what its keys mean; without a terminal and without a clock.

use super::sampler::{News, Order, Sample};
use crate::admin::BackendPatch;
use crate::cli::backend::BackendName;
use crate::control::AdminState;
use crate::control::view::BackendStatus;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Part of a weight that a key changes.
const WEIGHT_STEP: u16 = 10;

/// One part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Vips,
    Backends,
    Workers,
    Drops,
    Events,
}

impl Pane {
    pub(super) const ALL: [Self; 5] = [Self::Vips, Self::Backends, Self::Workers, Self::Drops, Self::Events];

    fn turned(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// An order that waits for a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) text: String,
    order: Order,
}

/// The state of the program.
pub(super) struct App {
    pub(super) has_colour: bool,
    pub(super) is_over: bool,
    pub(super) focus: Pane,
    /// Row that is chosen in each pane.
    pub(super) chosen: [usize; Pane::ALL.len()],
    pub(super) now: Option<Sample>,
    /// The sample before, from which rates are made.
    pub(super) before: Option<Sample>,
    pub(super) question: Option<Question>,
    pub(super) message: Option<String>,
    /// Why what is shown is old.
    pub(super) lost: Option<String>,
}

impl App {
    pub(super) fn new(has_colour: bool) -> Self {
        Self {
            has_colour,
            is_over: false,
            focus: Pane::Backends,
            chosen: [0; Pane::ALL.len()],
            now: None,
            before: None,
            question: None,
            message: None,
            lost: None,
        }
    }

    /// Takes what the other thread tells.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Sample(sample) => {
                self.before = self.now.replace(*sample);
                self.lost = None;
                for pane in Pane::ALL {
                    let last = self.rows(pane).saturating_sub(1);
                    let chosen = &mut self.chosen[pane as usize];
                    *chosen = (*chosen).min(last);
                }
            }
            News::Lost(why) => self.lost = Some(why),
            News::Done(message) => self.message = Some(message),
        }
    }

    /// All backends, pool by pool.
    pub(super) fn backends(&self) -> impl Iterator<Item = &BackendStatus> {
        self.now.iter().flat_map(|sample| &sample.pools).flat_map(|pool| &pool.backends)
    }

    fn rows(&self, pane: Pane) -> usize {
        let Some(sample) = &self.now else { return 0 };
        match pane {
            Pane::Vips => sample.status.vips.len(),
            Pane::Backends => self.backends().count(),
            Pane::Workers => sample.status.workers.len(),
            Pane::Drops => sample.status.dropped.len(),
            Pane::Events => sample.events.len(),
        }
    }

    /// Takes a key; gives what the balancer is to do, after a yes.
    pub(super) fn on_key(&mut self, key: KeyEvent) -> Option<Order> {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            self.is_over = true;
            return None;
        }
        self.message = None;
        if let Some(question) = self.question.take() {
            return matches!(key.code, KeyCode::Char('y' | 'Y') | KeyCode::Enter).then_some(question.order);
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => self.is_over = true,
            KeyCode::Tab | KeyCode::Right => self.focus = self.focus.turned(1),
            KeyCode::BackTab | KeyCode::Left => self.focus = self.focus.turned(Pane::ALL.len() - 1),
            KeyCode::Up => self.step(|row| row.saturating_sub(1)),
            KeyCode::Down => self.step(|row| row.saturating_add(1)),
            KeyCode::PageUp => self.step(|row| row.saturating_sub(10)),
            KeyCode::PageDown => self.step(|row| row.saturating_add(10)),
            KeyCode::Home => self.step(|_| 0),
            KeyCode::End => self.step(|_| usize::MAX),
            KeyCode::Char('d') => self.ask_state("drain", AdminState::Drain),
            KeyCode::Char('u') => self.ask_state("undrain", AdminState::Active),
            KeyCode::Char('e') => self.ask_state("enable", AdminState::Active),
            KeyCode::Char('x') => self.ask_state("disable", AdminState::Disabled),
            KeyCode::Char('+' | '=') => self.ask_weight(true),
            KeyCode::Char('-') => self.ask_weight(false),
            _ => {}
        }
        None
    }

    fn step(&mut self, to: impl FnOnce(usize) -> usize) {
        let last = self.rows(self.focus).saturating_sub(1);
        let chosen = &mut self.chosen[self.focus as usize];
        *chosen = to(*chosen).min(last);
    }

    fn chosen_backend(&self) -> Option<&BackendStatus> {
        self.backends().nth(self.chosen[Pane::Backends as usize])
    }

    fn ask_state(&mut self, verb: &str, state: AdminState) {
        let patch = BackendPatch { state: Some(state), ..BackendPatch::default() };
        self.ask(patch, |name| format!("{verb} {name}?"));
    }

    fn ask_weight(&mut self, is_more: bool) {
        let Some(backend) = self.chosen_backend() else { return };
        let said = backend.override_.as_ref().and_then(|word| word.weight);
        let weight = said.unwrap_or(backend.configured_weight);
        let step = (weight / WEIGHT_STEP).max(1);
        let wanted = if is_more { weight.saturating_add(step) } else { weight.saturating_sub(step) };
        let patch = BackendPatch { weight: Some(wanted), ..BackendPatch::default() };
        self.ask(patch, |name| format!("weight of {name} from {weight} to {wanted}?"));
    }

    /// A question is about the chosen backend, which is therefore shown.
    fn ask(&mut self, patch: BackendPatch, text: impl FnOnce(&BackendName) -> String) {
        let Some(backend) = self.chosen_backend() else { return };
        let name = BackendName { pool: backend.pool.clone(), backend: backend.name.clone() };
        self.focus = Pane::Backends;
        self.question = Some(Question { text: text(&name), order: Order { name, patch } });
    }

    /// Rate per second of a counter between the two last samples; `None` before there are two, or after a restart.
    pub(super) fn rate(&self, counter: impl Fn(&Sample) -> Option<u64>) -> Option<f64> {
        let (now, before) = (self.now.as_ref()?, self.before.as_ref()?);
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let difference = counter(now)?.checked_sub(counter(before)?)?;
        (seconds > 0.0).then(|| difference as f64 / seconds)
    }
}
