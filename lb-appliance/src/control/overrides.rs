//! The operator's words on backends, above the configuration until they are cleared or run out.

use super::action::{AdminState, BackendChange, Lasting};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A backend by the names of its pool and of itself: names are identities, so words survive reloads.
pub(super) type BackendName = (String, String);

/// A word on one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// State, unless the configuration's counts.
    pub state: Option<AdminState>,
    /// Weight, unless the configuration's counts.
    pub weight: Option<u16>,
    /// When it runs out. By the monotonic clock, because a word for a time ends with the process at the latest: setting
    /// the wall clock neither ends nor prolongs it.
    pub until: Option<Instant>,
    /// Written to the state directory.
    pub persistent: bool,
}

impl Override {
    /// Time until it runs out.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

/// All words in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(BTreeMap<BackendName, Override>);

impl Overrides {
    /// The word on a backend.
    pub fn get(&self, name: &BackendName) -> Option<&Override> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&BackendName, &Override)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a change; a word that says nothing any more is forgotten.
    pub(super) fn change(&mut self, name: BackendName, change: &BackendChange, now: Instant) {
        let mut word =
            if change.clear { Override::default() } else { self.0.get(&name).copied().unwrap_or_default() };
        word.state = change.state.or(word.state);
        word.weight = change.weight.or(word.weight);
        if change.state.is_some() || change.weight.is_some() {
            (word.until, word.persistent) = match change.lasting {
                Lasting::Runtime => (None, false),
                Lasting::For(time) => (now.checked_add(time), false),
                Lasting::Persistent => (None, true),
            };
        }
        match (word.state, word.weight) {
            (None, None) => self.0.remove(&name),
            _ => self.0.insert(name, word),
        };
    }

    /// Forgets the parts of a word that say what the configuration says anyway.
    pub(super) fn drop_needless(&mut self, name: &BackendName, state: AdminState, weight: u16) {
        let Some(word) = self.0.get_mut(name) else { return };
        word.state = word.state.filter(|wanted| *wanted != state);
        word.weight = word.weight.filter(|wanted| *wanted != weight);
        if word.state.is_none() && word.weight.is_none() {
            self.0.remove(name);
        }
    }

    /// Forgets what has run out; returns whose it was.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<BackendName> {
        let is_over = |word: &Override| word.until.is_some_and(|until| until <= now);
        let over: Vec<_> =
            self.0.iter().filter(|(_, word)| is_over(word)).map(|(name, _)| name.clone()).collect();
        self.0.retain(|_, word| !is_over(word));
        over
    }

    /// Those that outlive the process, as they are kept.
    pub(super) fn persistent(&self) -> Vec<Kept> {
        let kept = |((pool, backend), word): (&BackendName, &Override)| Kept {
            pool: pool.clone(),
            backend: backend.clone(),
            state: word.state,
            weight: word.weight,
        };
        self.0.iter().filter(|(_, word)| word.persistent).map(kept).collect()
    }

    /// Takes up what an earlier process kept.
    pub(super) fn restore(kept: Vec<Kept>) -> Self {
        let word = |kept: Kept| {
            let word = Override { state: kept.state, weight: kept.weight, until: None, persistent: true };
            ((kept.pool, kept.backend), word)
        };
        Self(kept.into_iter().map(word).collect())
    }
}

/// A persistent word, as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pool: String,
    backend: String,
    state: Option<AdminState>,
    weight: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> BackendName {
        ("web".into(), "web-1".into())
    }

    #[test]
    fn words_add_up_run_out_and_are_cleared() {
        let (mut words, now) = (Overrides::default(), Instant::now());
        let drain = BackendChange { state: Some(AdminState::Drain), ..BackendChange::default() };
        words.change(name(), &drain, now);
        let minute = Duration::from_secs(60);
        let weight =
            BackendChange { weight: Some(5), lasting: Lasting::For(minute), ..BackendChange::default() };
        words.change(name(), &weight, now);
        let word = *words.get(&name()).unwrap();
        assert_eq!((word.state, word.weight), (Some(AdminState::Drain), Some(5)));
        assert_eq!(word.remaining(now + minute / 2), Some(minute / 2));
        assert!(words.expire(now + minute / 2).is_empty());
        assert_eq!(words.expire(now + minute), [name()]);
        assert!(words.is_empty());

        words.change(name(), &drain, now);
        words.change(name(), &BackendChange { clear: true, ..BackendChange::default() }, now);
        assert!(words.is_empty());
    }

    #[test]
    fn only_persistent_words_are_kept() {
        let (mut words, now) = (Overrides::default(), Instant::now());
        let lasting = Lasting::Persistent;
        let kept = BackendChange { state: Some(AdminState::Disabled), lasting, ..BackendChange::default() };
        words.change(name(), &kept, now);
        let other = BackendChange { weight: Some(1), ..BackendChange::default() };
        words.change(("web".into(), "web-2".into()), &other, now);
        let text = serde_json::to_string(&words.persistent()).unwrap();
        let back = Overrides::restore(serde_json::from_str(&text).unwrap());
        assert_eq!(back.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [name()]);
        assert_eq!(back.get(&name()), words.get(&name()));
    }
}
