//! Output of the live subcommands: forms, tables, units, and findings as `guideway check` writes them.

mod table;
pub mod units;

pub use table::{Align, Table};

use crate::control::view::{Applied, Change, Finding, VipImpact};
use clap::ValueEnum;

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, within 80 columns
    Table,
    /// For people, with all columns
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

impl Form {
    /// Whether people read it.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Whether all columns are wanted.
    pub fn is_wide(self) -> bool {
        self == Self::Wide
    }
}

/// How text for people looks here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// A terminal shows it.
    pub is_terminal: bool,
    /// In colour.
    pub has_colour: bool,
}

impl Style {
    /// That of a stream: colour on a terminal, unless <https://no-color.org> says otherwise.
    pub fn of(is_terminal: bool) -> Self {
        let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_terminal, has_colour: is_terminal && !is_forbidden }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// All is well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Somebody should know.
    pub fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Somebody should act.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Less important.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A state of a backend in its colour.
    pub fn state(self, state: &str) -> String {
        match state {
            "up" => self.good(state),
            "down" => self.bad(state),
            _ => self.warning(state),
        }
    }
}

/// One line per finding: `file:line:column: error[GW....]: field: message (hint)`.
pub fn findings(list: &[Finding]) -> String {
    list.iter().map(|finding| line_of(finding) + "\n").collect()
}

fn line_of(finding: &Finding) -> String {
    let mut line = finding.file.clone().unwrap_or_else(|| "configuration".into());
    for number in [finding.line, finding.column].into_iter().flatten() {
        line += &format!(":{number}");
    }
    line += &format!(": {}[{}]: ", finding.severity, finding.code);
    if !finding.field.is_empty() {
        line += &format!("{}: ", finding.field);
    }
    line += &finding.message;
    if let Some(hint) = &finding.hint {
        line += &format!(" ({hint})");
    }
    line
}

/// One line per change: `+` added, `-` removed, `~` changed.
pub fn changes(list: &[Change], style: Style) -> String {
    let line = |change: &Change| {
        let mut text = change.object.clone();
        if let Some(field) = &change.field {
            text += &format!(" {field}");
        }
        text += &match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!(": {from} -> {to}"),
            (Some(from), None) => format!(": was {from}"),
            (None, Some(to)) => format!(": {to}"),
            (None, None) => String::new(),
        };
        if change.restart {
            text += "  [takes effect after a restart]";
        }
        let text = match change.kind.as_str() {
            "added" => style.good(&format!("+ {text}")),
            "removed" => style.bad(&format!("- {text}")),
            _ => style.warning(&format!("~ {text}")),
        };
        text + "\n"
    };
    list.iter().map(line).collect()
}

/// What a change does to each VIP.
pub fn impact(list: &[VipImpact]) -> String {
    let mut table = Table::new(&[
        ("VIP", Align::Left),
        ("SLOTS MOVED", Align::Right),
        ("FLOWS", Align::Right),
        ("FLOWS MOVED", Align::Right),
    ]);
    for vip in list {
        table.row([
            vip.vip.clone(),
            units::percent(vip.slots_moved),
            units::count(vip.live_flows),
            units::count(vip.live_flows_moved),
        ]);
    }
    table.text()
}

/// What a change has done, and how to undo it.
pub fn applied(applied: &Applied, style: Style) -> String {
    let mut text = findings(&applied.warnings) + &applied.message + "\n" + &changes(&applied.changes, style);
    let seen =
        format!("generation {}, seen by {} of {} workers", applied.generation, applied.seen, applied.workers);
    text += &if applied.seen == applied.workers { style.good(&seen) } else { style.warning(&seen) };
    text.push('\n');
    if let Some(time) = applied.confirm_within_seconds {
        let time = units::duration(time);
        text += &style.warning(&format!("rolls back by itself in {time} unless you run: guideway confirm"));
        text.push('\n');
    }
    if let Some(undo) = &applied.undo {
        text += &format!("undo with: {undo}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_like_those_of_check() {
        let finding = Finding {
            code: "GW0202".into(),
            severity: "error".into(),
            file: Some("next.yaml".into()),
            line: Some(9),
            column: Some(12),
            field: "vips[0].pool".into(),
            message: "there is no pool `wbe`".into(),
            hint: Some("did you mean `web`?".into()),
        };
        let expected =
            "next.yaml:9:12: error[GW0202]: vips[0].pool: there is no pool `wbe` (did you mean `web`?)\n";
        assert_eq!(findings(std::slice::from_ref(&finding)), expected);
        let bare =
            Finding { file: None, line: None, column: None, field: String::new(), hint: None, ..finding };
        assert_eq!(findings(&[bare]), "configuration: error[GW0202]: there is no pool `wbe`\n");
    }

    #[test]
    fn colour_is_for_terminals_only() {
        let plain = Style::default();
        assert_eq!(plain.bad("down"), "down");
        let coloured = Style { is_terminal: true, has_colour: true };
        assert_eq!(coloured.state("up"), "\x1b[32mup\x1b[0m");
    }
}
