//! What a probe found: a verdict, a cause from a small stable list, and a sentence for people.

use std::fmt;
use std::time::Duration;

use lb_core::health::Finish;

use super::agent::AgentReport;

/// Bytes of a detail; what a peer sent must not fill logs.
const DETAIL_MAX: usize = 200;

macro_rules! causes {
    ($($name:ident $word:literal $help:literal;)+) => {
        /// Why a probe did not pass. The words are labels in metrics: they keep their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause {
            $(#[doc = $help] $name,)+
        }

        impl Cause {
            /// All of them, in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The label.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// One sentence for documentation.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }
        }
    };
}

causes! {
    Refused "refused" "Nothing listens on the port.";
    Timeout "timeout" "The time for the probe was over.";
    Reset "reset" "The peer closed the connection too early.";
    Unreachable "unreachable" "Nobody has the address, or a router said so.";
    Status "status" "The HTTP status is not among the expected ones.";
    Body "body" "The answer does not hold, or does not begin with, what is expected.";
    Tls "tls" "The TLS handshake failed.";
    Certificate "certificate" "The certificate is expired, for another name, or not signed by a known authority.";
    Protocol "protocol" "The answer is not what the protocol allows.";
    ExitCode "exit_code" "The command did not exit with 0.";
    Rcode "rcode" "The DNS response code is not the expected one.";
    NoReply "no_reply" "No datagram came back in time.";
    NotServing "not_serving" "The gRPC health service says something else than SERVING.";
    Agent "agent" "The agent says down, failed or stopped.";
    Local "local" "The probe could not be made for reasons of this host; it says nothing about the backend.";
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What it means for the state of the target.
    pub finish: Finish,
    /// Why it did not pass; `None` if it did.
    pub cause: Option<Cause>,
    /// For people: what was seen. At most 200 bytes, printable.
    pub detail: String,
    /// From start to verdict.
    pub latency: Duration,
    /// What the agent said, if an agent was asked.
    pub agent: Option<AgentReport>,
    /// Load that the backend reported in its HTTP header, from 0.
    pub load: Option<f64>,
}

impl Outcome {
    /// Whether the target did what was expected.
    pub fn ok(&self) -> bool {
        self.finish == Finish::Pass
    }
}

/// What a probe brings back when all is well.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Good {
    pub(super) detail: String,
    pub(super) agent: Option<AgentReport>,
    pub(super) load: Option<f64>,
}

impl Good {
    pub(super) fn new(detail: impl Into<String>) -> Self {
        Self { detail: bounded(detail.into()), ..Self::default() }
    }
}

/// What it brings back otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    pub(super) detail: String,
    pub(super) agent: Option<AgentReport>,
}

impl Trouble {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: bounded(detail.into()), agent: None }
    }
}

/// Printable and short, cut at a character.
pub(super) fn bounded(text: String) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = clean.len().min(DETAIL_MAX);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.get(..end).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_short_and_printable() {
        assert_eq!(bounded("a\nb\u{1b}[31m".to_owned()), "a b [31m");
        let long = bounded("é".repeat(1000));
        assert!(long.len() <= DETAIL_MAX && long.len() > DETAIL_MAX - 4);
    }

    #[test]
    fn words_of_causes_are_labels_and_differ() {
        let words: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.word()).collect();
        assert_eq!(words.len(), Cause::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
