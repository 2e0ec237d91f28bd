//! What an agent says: HAProxy's agent-check line.
//!
//! One line of words, separated by blanks or commas, in any case and order: `75%`, `maxconn:N` (ignored), `ready`,
//! `drain`, `maint`, `up`, `down`, `failed`, `stopped`; behind `#` stands a reason (HAProxy manual, `agent-check`).

use super::outcome::bounded;

/// Largest share an agent may ask for, percent of the configured weight (HAProxy: 0-256 of its scale).
const PERCENT_MAX: u16 = 256;

/// What the agent says about its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operational {
    /// `up`.
    Up,
    /// `down`.
    Down,
    /// `fail` or `failed`.
    Failed,
    /// `stopped`.
    Stopped,
}

impl Operational {
    /// Whether it takes traffic away.
    pub fn is_down(self) -> bool {
        self != Self::Up
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What the agent wants an operator to have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Administrative {
    /// `ready`: ends a drain or maintenance that the agent had asked for.
    Ready,
    /// `drain`: no new flows.
    Drain,
    /// `maint`: nothing.
    Maintenance,
}

impl Administrative {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

/// One line of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentReport {
    /// Percent of the configured weight, 0 to 256.
    pub weight_percent: Option<u16>,
    /// `up`, `down`...
    pub operational: Option<Operational>,
    /// `ready`, `drain`, `maint`.
    pub administrative: Option<Administrative>,
    /// Behind the `#`, at most 200 bytes.
    pub reason: Option<String>,
}

impl AgentReport {
    /// Reads the first line of an answer; `None` if no word of it is known.
    pub fn parse(answer: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(answer);
        let line = text.split(['\r', '\n']).next().unwrap_or_default();
        let (words, reason) = match line.split_once('#') {
            Some((words, reason)) => (words, Some(reason.trim())),
            None => (line, None),
        };
        let mut report = Self::default();
        let mut known = false;
        for word in words.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            known |= report.take(&word.to_ascii_lowercase());
        }
        report.reason = reason.filter(|reason| !reason.is_empty()).map(|reason| bounded(reason.to_owned()));
        known.then_some(report)
    }

    fn take(&mut self, word: &str) -> bool {
        match word {
            "up" => self.operational = Some(Operational::Up),
            "down" => self.operational = Some(Operational::Down),
            "fail" | "failed" => self.operational = Some(Operational::Failed),
            "stopped" => self.operational = Some(Operational::Stopped),
            "ready" => self.administrative = Some(Administrative::Ready),
            "drain" => self.administrative = Some(Administrative::Drain),
            "maint" => self.administrative = Some(Administrative::Maintenance),
            _ => return self.take_number(word),
        }
        true
    }

    fn take_number(&mut self, word: &str) -> bool {
        if let Some(count) = word.strip_prefix("maxconn:") {
            return count.parse::<u32>().is_ok();
        }
        let percent = word.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let Some(percent) = percent.and_then(|digits| digits.parse::<u32>().ok()) else { return false };
        self.weight_percent = Some(percent.min(PERCENT_MAX.into()) as u16);
        true
    }

    /// The line for people: `75% drain #upgrade`.
    pub fn line(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.weight_percent.map(|percent| format!("{percent}%")));
        words.extend(self.administrative.map(|state| state.word().to_owned()));
        words.extend(self.operational.map(|state| state.word().to_owned()));
        words.extend(self.reason.as_ref().map(|reason| format!("#{reason}")));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<String> {
        AgentReport::parse(text.as_bytes()).map(|report| report.line())
    }

    #[test]
    fn lines_of_the_manual() {
        assert_eq!(parse("75%\n").as_deref(), Some("75%"));
        assert_eq!(parse("up\r\nignored").as_deref(), Some("up"));
        assert_eq!(parse("Drain, 50%").as_deref(), Some("50% drain"));
        assert_eq!(parse("ready up 100% maxconn:30\n").as_deref(), Some("100% ready up"));
        assert_eq!(parse("down#maintenance window\n").as_deref(), Some("down #maintenance window"));
        assert_eq!(parse("fail #disk full").as_deref(), Some("failed #disk full"));
        assert_eq!(parse("stopped").as_deref(), Some("stopped"));
        assert_eq!(parse("maint").as_deref(), Some("maintenance"));
        assert_eq!(parse("99999%").as_deref(), Some("256%"));
        assert_eq!(parse("maxconn:3").as_deref(), Some(""));
    }

    #[test]
    fn what_says_nothing_is_no_report() {
        for text in ["", "\n", "hello", "HTTP/1.1 400 Bad Request\r\n", "-5%", "+5%", "%", "# only a reason"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Some(report) = AgentReport::parse(&bytes) {
                prop_assert!(report.reason.as_ref().is_none_or(|reason| reason.len() <= 200));
                prop_assert!(report.weight_percent.is_none_or(|percent| percent <= 256));
            }
        }

        #[test]
        fn what_is_written_is_read_again(percent in 0..=256u16, state in 0..4usize, admin in 0..3usize) {
            let operational = [Operational::Up, Operational::Down, Operational::Failed, Operational::Stopped][state];
            let words = ["ready", "drain", "maint"][admin];
            let line = format!("{words} {percent}%\t{}\n", operational.word());
            let report = AgentReport::parse(line.as_bytes()).expect("known words");
            prop_assert_eq!(report.weight_percent, Some(percent));
            prop_assert_eq!(report.operational, Some(operational));
        }
    }
}
