//! Why a packet goes where it goes.

use super::running::Running;
use super::view::{ConnectionStatus, Explanation, Flow};

/// By what is in force and by the entries that the flow has.
pub(super) fn live(running: &Running, _flow: Flow, _entries: &[ConnectionStatus]) -> Explanation {
    Explanation {
        verdict: "punt".into(),
        reason: None,
        vip: None,
        pool: None,
        backend: None,
        by: None,
        slot: None,
        hash: String::new(),
        generation: Some(running.generation),
        steps: Vec::new(),
    }
}
