//! Rules between the parts of a configuration: names, references, addresses, sizes.
//!
//! Rules read the draft and report; they change nothing and each runs whatever the others found. What a reader has
//! already complained about is `None` in the draft, and silence here.

mod dataplane;
mod health;
mod maglev;
mod names;
mod next_hop;
mod pools;
mod selection;
mod tunnel;
mod vips;

pub(super) use next_hop::resolve;

use super::draft::Draft;
use super::finding::Findings;

/// Runs all rules.
pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    names::check(draft, findings);
    dataplane::check(&draft.dataplane, findings);
    pools::check(draft, findings);
    health::check(draft, findings);
    tunnel::check(draft, findings);
    vips::check(draft, findings);
    selection::check(draft, findings);
    maglev::check(draft, findings);
    next_hop::check(draft, findings);
}
