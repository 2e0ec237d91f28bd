//! What is counted, why packets are dropped, what happens and what is refused: from the tables of the code.

use std::fmt::Write;

use lb_appliance::control::events::Kind as Event;
use lb_appliance::control::problem::ProblemCode;
use lb_appliance::metrics::Group;
use lb_appliance::metrics::catalogue::Metric;
use lb_core::reason::{DropReason, PuntReason};

use super::sentence;

pub(crate) fn metrics() -> String {
    let mut out = String::new();
    for group in std::iter::once(Group::Node).chain(Group::NAMED) {
        let of_group = || Metric::ALL.iter().filter(move |metric| metric.group() == group);
        let _ = write!(out, "## Group {}\n\n", group.name());
        out += match group {
            Group::Node => "In every scrape.\n\n",
            _ => "Alone by `/metrics?collect[]=",
        };
        if group != Group::Node {
            let _ = write!(out, "{}`.\n\n", group.name());
        }
        out += "| Series | Type | Labels | Meaning |\n|---|---|---|---|\n";
        for metric in of_group() {
            let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.name(), metric.kind().name());
            let _ =
                writeln!(out, "| `{name}` | {kind} | {} | {} |", labels.join(", "), sentence(metric.help()));
        }
        out.push('\n');
    }
    out
}

pub(crate) fn reasons() -> String {
    let mut out = String::new();
    out += "A packet ends as sent, answered, punted, or dropped for one of these. What to do about each: ";
    out += "[troubleshooting](../troubleshooting.md#packets-are-dropped).\n\n## Dropped\n\n";
    out += "Label `reason` of `guideway_dropped_packets_total`, `guideway_dropped_bytes_total` and ";
    out += "`guideway_vip_dropped_packets_total`; `reason` of `guideway drops` and `guideway replay --json`.\n\n";
    out += "| Reason | Meaning |\n|---|---|\n";
    for reason in DropReason::ALL {
        let _ = writeln!(out, "| `{}` | {} |", reason.name(), sentence(reason.help()));
    }
    out += "\n## Punted\n\nFor the kernel, by the port's [punt interface](../punt.md). A port without one drops them.\n\n";
    out += "| Reason | Without a punt interface dropped as | Meaning |\n|---|---|---|\n";
    for reason in PuntReason::ALL {
        let dropped = reason.drop_reason().name();
        let _ = writeln!(out, "| `{}` | `{dropped}` | {} |", reason.name(), sentence(reason.help()));
    }
    out
}

pub(crate) fn events() -> String {
    let mut out = String::new();
    out +=
        "## Events\n\n`kind` in `guideway events` and the API, `event` in the log. Names are a promise.\n\n";
    out += "| Event | Severity | Meaning |\n|---|---|---|\n";
    for event in Event::ALL {
        let _ =
            writeln!(out, "| `{}` | {} | {} |", event.name(), event.severity().name(), capital(event.help()));
    }
    out += "\n## Refusals\n\n`code` of `application/problem+json`. Codes `GW0xxx` are findings of `guideway check`: ";
    out += "[configuration](../configuration.md#codes).\n\n| Code | Status | Meaning |\n|---|---|---|\n";
    for code in ProblemCode::ALL {
        let _ = writeln!(out, "| `{}` | {} | {} |", code.id(), code.status(), capital(code.title()));
    }
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase().to_string()).unwrap_or_default();
    sentence(&(first + letters.as_str()))
}
