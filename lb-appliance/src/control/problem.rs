//! The refusals of the control plane, each with a stable code (RFC 9457).
//!
//! Codes of configurations (`GW0xxx`) are those of `guideway check`; the ones here are `GW9xxx`.

use super::view::{Finding, Problem};
use crate::config::{Diagnostic, Diagnostics};

macro_rules! codes {
    ($($name:ident $id:literal $status:literal $title:literal;)+) => {
        /// One kind of refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemCode {
            $(#[doc = concat!("`", $id, "`: ", $title, ".")] $name,)+
        }

        impl ProblemCode {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// `GW` and four digits.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// Status of the HTTP answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What it is about, without a full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    NotFound "GW9001" 404 "there is no such object";
    Busy "GW9002" 503 "too many changes are waiting";
    Stopping "GW9003" 503 "the process is stopping";
    InvalidConfig "GW9004" 422 "the configuration is not valid";
    NeedsForce "GW9005" 409 "the change would take a service away";
    NothingToConfirm "GW9006" 409 "nothing waits for a confirmation";
    NothingToRollBack "GW9007" 409 "there is no earlier configuration";
    BadRequest "GW9008" 400 "the request is not understood";
    WorkerSilent "GW9009" 503 "a worker did not answer";
    NoHealthCheck "GW9010" 409 "the pool has no health check";
    TooMany "GW9011" 409 "more objects than the tables hold";
    Forbidden "GW9012" 403 "not allowed";
    NotKept "GW9013" 500 "the state directory cannot be written";
    Internal "GW9014" 500 "a defect of the program";
    NeedsRestart "GW9015" 409 "only a restart can do this";
    OnTrial "GW9016" 409 "a configuration is on trial";
    Unauthorized "GW9020" 401 "a token is needed";
    BadMethod "GW9021" 405 "the method does not work on this address";
    TooLarge "GW9022" 413 "the body is too large";
    UnsupportedMedia "GW9023" 415 "the type of the body is not understood";
    TimedOut "GW9024" 503 "no answer in time";
    TooManyFollowers "GW9025" 503 "too many clients follow events";
    BadBody "GW9026" 422 "the body is not what is expected";
}

/// A refusal.
pub fn problem(code: ProblemCode, detail: impl Into<String>) -> Problem {
    Problem {
        kind: format!("urn:guideway:{}", code.id()),
        title: code.title().into(),
        status: code.status(),
        detail: detail.into(),
        code: code.id().into(),
        findings: Vec::new(),
    }
}

/// More than `max` changes wait.
pub(super) fn busy(max: usize) -> Problem {
    problem(ProblemCode::Busy, format!("{max} changes are waiting already; try again in a moment"))
}

/// The controller is gone.
pub(super) fn stopping() -> Problem {
    problem(ProblemCode::Stopping, "the control plane has ended or is about to; nothing was changed")
}

/// A configuration with errors.
pub(super) fn invalid(diagnostics: &Diagnostics) -> Problem {
    let errors = findings(diagnostics).into_iter().filter(|finding| finding.severity == "error").count();
    let detail = format!("{errors} errors; the running configuration stays as it is");
    Problem { findings: findings(diagnostics), ..problem(ProblemCode::InvalidConfig, detail) }
}

/// All findings about a configuration, as documents.
pub fn findings(diagnostics: &Diagnostics) -> Vec<Finding> {
    diagnostics.list.iter().map(|diagnostic| finding(diagnostics, diagnostic)).collect()
}

fn finding(diagnostics: &Diagnostics, diagnostic: &Diagnostic) -> Finding {
    let place = diagnostic.span;
    Finding {
        code: diagnostic.code.id().into(),
        severity: diagnostic.code.severity().word().into(),
        file: Some(place.map_or(&diagnostics.source, |span| diagnostics.source_of(span)).name().into()),
        line: place.map(|span| span.line),
        column: place.map(|span| span.column),
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
    }
}
