//! Names are identities: metrics, the API and runtime overrides hang on them, so each is used once.
//!
//! Ports, pools and VIPs each have their own set of names; backends have one per pool.

use std::collections::HashMap;

use super::super::code::Code;
use super::super::draft::Draft;
use super::super::finding::Findings;
use super::super::read::Located;

pub(super) fn check(draft: &Draft, findings: &Findings<'_>) {
    unique("port", draft.dataplane.ports.iter().filter_map(|port| port.name.as_ref()), findings);
    unique("pool", draft.pools.iter().filter_map(|pool| pool.name.as_ref()), findings);
    unique("VIP", draft.vips.iter().filter_map(|vip| vip.name.as_ref()), findings);
    for pool in &draft.pools {
        unique("backend", pool.backends.iter().filter_map(|backend| backend.name.as_ref()), findings);
    }
}

fn unique<'d>(kind: &str, names: impl Iterator<Item = &'d Located<String>>, findings: &Findings<'_>) {
    let mut seen = HashMap::new();
    for name in names {
        let Some(first) = seen.insert(name.value.as_str(), name) else { continue };
        // Keep pointing at the first one, however often the name is repeated.
        seen.insert(name.value.as_str(), first);
        let message = format!("{kind} `{}` is declared twice", name.value);
        let note = (&first.place, format!("{kind} `{}` is already here", name.value));
        findings.add_pair(Code::DuplicateName, &name.place, message, "give one of them another name", note);
    }
}
