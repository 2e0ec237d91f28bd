//! What a health policy needs to mean something.
//!
//! A threshold over verdicts that nobody makes would be accepted and ignored, so it is refused.

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::Findings;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    for pool in &draft.pools {
        let health = &pool.health;
        if !health.check_given {
            for place in &health.policy_places {
                let message = "without `health_check` every backend counts as up, so this has no effect";
                let hint = "add `health_check: {tcp: {port: 80}}` to the pool, or remove the key";
                findings.add_hint(Code::PolicyWithoutCheck, place, message, hint);
            }
        }
        let Some(quorum) =
            health.quorum.as_ref().filter(|quorum| quorum.value as usize > pool.backends.len())
        else {
            continue;
        };
        let message =
            format!("the pool has {} backends: {} are never healthy", pool.backends.len(), quorum.value);
        let hint = "its VIPs would never count as serving; lower the quorum or add backends";
        findings.add_hint(Code::QuorumTooLarge, &quorum.place, message, hint);
    }
}
