//! Readers: from a tree with places to typed values, reporting everything that does not fit.
//!
//! A reader never stops at an error: it reports, returns `None` and lets its caller go on, so that one run of
//! `check` shows all there is. Whether anything failed is asked once, at the end.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::code::Code;
use super::finding::{Findings, Place};
use super::keys::{Keys, Status};
use super::suggest;
use super::syntax::is_ipv6;
use super::values::shown;
use super::yaml::{Entry, Node, Value};

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A value of the tree that somebody is about to read.
#[derive(Clone)]
pub(super) struct Item<'n> {
    node: &'n Node,
    pub(super) place: Place,
    pub(super) findings: &'n Findings<'n>,
}

/// Why a text is not what it should be.
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl<'n> Item<'n> {
    pub(super) fn root(node: &'n Node, findings: &'n Findings<'n>) -> Self {
        Self { node, place: Place { field: String::new(), offset: node.offset }, findings }
    }

    fn wrong_type(&self, expected: &str, hint: impl Into<String>) {
        let found = match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Integer(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value:?}"),
            Value::Text(text) => format!("the text {text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        self.findings.add_hint(
            Code::WrongType,
            &self.place,
            format!("expected {expected}, found {found}"),
            hint,
        );
    }

    /// `fc00::` in a block list is a mapping with the key `fc00:`, which nobody means.
    fn is_unquoted_ipv6(&self) -> bool {
        let Value::Map(entries) = &self.node.value else { return false };
        let [Entry { key, value: Node { value: Value::Null, .. }, .. }] = entries.as_slice() else {
            return false;
        };
        let whole = format!("{key}:");
        let found = is_ipv6(&whole);
        if found {
            let message = format!("YAML reads the unquoted IPv6 address {whole} as a mapping");
            self.findings.add_hint(
                Code::UnquotedIpv6,
                &self.place,
                message,
                format!("quote it: \"{whole}\""),
            );
        }
        found
    }

    /// The value of a key, if this is a mapping that has it; complains about nothing.
    pub(super) fn peek(&self, key: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        Section { entries, place: self.place.clone(), findings: self.findings }.get(key)
    }

    pub(super) fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// A number within `range`, with or without decimals.
    pub(super) fn decimal(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let value = match self.node.value {
            // Exact for everything that is in any range.
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            _ => {
                self.wrong_type("a number", "write it like 0.1, without quotes or percent sign");
                return None;
            }
        };
        let found = Some(value).filter(|value| range.contains(value));
        if found.is_none() {
            let hint = format!("allowed are {} to {}", range.start(), range.end());
            self.findings.add_hint(Code::OutOfRange, &self.place, format!("{value} is out of range"), hint);
        }
        found
    }

    /// The text, if it is one, without complaint.
    pub(super) fn as_text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Any text.
    pub(super) fn text(&self, expected: &str) -> Option<Located<&'n str>> {
        if let Value::Text(text) = &self.node.value {
            return Some(Located { value: text, place: self.place.clone() });
        }
        if self.is_unquoted_ipv6() {
            return None;
        }
        let written = self.findings.written(self.place.offset);
        let hint = match &self.node.value {
            Value::Null => "write a value, or remove the key".to_owned(),
            Value::List(_) | Value::Map(_) => format!("write one value: {expected}"),
            Value::Integer(_) if expected.starts_with("a duration") => format!("add the unit: {written}s"),
            Value::Integer(_) if expected.starts_with("a size") => format!("add the unit: {written}MiB"),
            _ if expected.contains("address") && !expected.contains("MAC") => {
                "write it like 192.0.2.1 or \"2001:db8::1\"".to_owned()
            }
            _ => format!("quote it to make it text: \"{written}\""),
        };
        self.wrong_type(expected, hint);
        None
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong_type("true or false", "write true or false, without quotes");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let Value::Integer(value) = self.node.value else {
            let is_range = self.as_text().is_some_and(|text| {
                let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                text.split_once('-').is_some_and(|(low, high)| digits(low) && digits(high))
            });
            let hint = if is_range {
                "ranges are not understood here: list the numbers one by one, as in [2, 3]"
            } else {
                "write digits only: no quotes, unit, separators or point"
            };
            self.wrong_type("a whole number", hint);
            return None;
        };
        let number = T::try_from(value).ok().filter(|value| range.contains(value));
        if number.is_none() {
            let message = format!("{value} is out of range");
            let hint = format!("allowed are {} to {}", range.start(), range.end());
            self.findings.add_hint(Code::OutOfRange, &self.place, message, hint);
        }
        number
    }

    /// A share from 0 to 1, in 1/10,000.
    pub(super) fn share(&self) -> Option<u16> {
        let value = match self.node.value {
            // Only 0 and 1 are in range; the others are shown as they are.
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            _ => {
                self.wrong_type("a share from 0 to 1", "write it like 0.3, without quotes or percent sign");
                return None;
            }
        };
        if (0.0..=1.0).contains(&value) {
            // In range and rounded, so the cast is exact.
            return Some((value * 10_000.0).round() as u16);
        }
        let hint = "allowed are 0 to 1: 0.3 is 30 %";
        self.findings.add_hint(Code::OutOfRange, &self.place, format!("{value} is out of range"), hint);
        None
    }

    /// One of several words; `later` are words that the design knows and the program does not yet.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)], later: &[&str]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let list = words.join(", ");
        let text = self.text(&format!("one of: {list}"))?.value;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() && later.contains(&text) {
            let hint = format!("until it is, use one of: {list}");
            self.findings.add_hint(
                Code::NotSupportedYet,
                &self.place,
                format!("`{text}` is not supported yet"),
                hint,
            );
        } else if found.is_none() {
            let hint = suggest::hint(text, &words).unwrap_or_else(|| format!("allowed are: {list}"));
            self.findings.add_hint(
                Code::UnknownChoice,
                &self.place,
                format!("`{text}` is not known here"),
                hint,
            );
        }
        found.map(|(_, value)| *value)
    }

    /// A whole number within `range`, or one of several words.
    pub(super) fn number_or_word<N, T: Copy>(
        &self,
        range: RangeInclusive<N>,
        of_number: impl FnOnce(N) -> T,
        words: &[(&str, T)],
    ) -> Option<T>
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        let known = words.iter().find(|(word, _)| self.as_text() == Some(word));
        if known.is_some() || matches!(self.node.value, Value::Integer(_)) {
            return known.map(|(_, value)| *value).or_else(|| self.number(range).map(of_number));
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = format!("{}, or a number from {} to {}", words.join(", "), range.start(), range.end());
        self.wrong_type(&expected, "write digits only, or the word as it is, without quotes or unit");
        None
    }

    /// A text that `parse` understands.
    pub(super) fn parse<T>(
        &self,
        code: Code,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<Located<T>> {
        let text = self.text(expected)?;
        match parse(text.value) {
            Ok(value) => Some(Located { value, place: text.place }),
            Err(complaint) => {
                self.findings.add_hint(code, &self.place, complaint.message, complaint.hint);
                None
            }
        }
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Value::List(nodes) = &self.node.value else {
            if !self.is_unquoted_ipv6() {
                let hint = match self.node.value {
                    Value::Null => "write [] for an empty list, or remove the key".to_owned(),
                    Value::Map(_) => "begin every item with a dash and a blank: `- name: ...`".to_owned(),
                    _ => format!("put it into brackets: [{}]", self.findings.written(self.place.offset)),
                };
                self.wrong_type("a list", hint);
            }
            return None;
        };
        let item = |(index, node): (usize, &'n Node)| Self {
            node,
            place: Place { field: format!("{}[{index}]", self.place.field), offset: node.offset },
            findings: self.findings,
        };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// A mapping with these keys; unknown, early and repeated keys are reported here.
    pub(super) fn section(&self, keys: &'static Keys) -> Option<Section<'n>> {
        let Value::Map(entries) = &self.node.value else {
            if !self.is_unquoted_ipv6() {
                let names: Vec<&str> = now(keys).collect();
                let hint = match self.node.value {
                    Value::Null => "indent its keys below it, or remove it".to_owned(),
                    _ if names.is_empty() => "write {}".to_owned(),
                    _ => format!("write keys below it: {}", names.join(", ")),
                };
                self.wrong_type("a mapping", hint);
            }
            return None;
        };
        let section = Section { entries, place: self.place.clone(), findings: self.findings };
        section.check_keys(keys);
        Some(section)
    }
}

fn now(keys: &'static Keys) -> impl Iterator<Item = &'static str> {
    keys.keys.iter().filter(|key| key.status == Status::Now).map(|key| key.name)
}

/// A mapping whose keys have been checked.
#[derive(Clone)]
pub(super) struct Section<'n> {
    entries: &'n [Entry],
    pub(super) place: Place,
    pub(super) findings: &'n Findings<'n>,
}

impl<'n> Section<'n> {
    fn field(&self, key: &str) -> String {
        if self.place.field.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place.field) }
    }

    fn check_keys(&self, keys: &'static Keys) {
        let mut seen = HashMap::new();
        for entry in self.entries {
            let place = Place { field: self.field(&entry.key), offset: entry.key_offset };
            let known = keys.keys.iter().find(|key| key.name == entry.key);
            let first = *seen.entry(entry.key.as_str()).or_insert(entry.key_offset);
            if first != entry.key_offset {
                let other = Place { field: place.field.clone(), offset: first };
                let message = format!("`{}` is given twice", entry.key);
                let note = (&other, "first given here".to_owned());
                self.findings.add_pair(Code::DuplicateKey, &place, message, "keep one of the two", note);
            } else if entry.key == "<<" {
                let hint = "write the keys out in every place";
                self.findings.add_hint(Code::MergeKey, &place, "merge keys (`<<`) are not understood", hint);
            } else if known.is_some_and(|key| key.status == Status::Later) {
                let message = format!("`{}` is not supported yet", entry.key);
                let hint = "remove it: this version would not act on it";
                self.findings.add_hint(Code::NotSupportedYet, &place, message, hint);
            } else if known.is_none() && keys.is_main_only(&entry.key) {
                let message = format!("`{}` belongs into the main file", entry.key);
                let hint = "move it there: an included file holds `pools` and `vips` only";
                self.findings.add_hint(Code::MainFileOnly, &place, message, hint);
            } else if known.is_none() {
                let names: Vec<&str> = now(keys).collect();
                let hint = suggest::hint(&entry.key, &names).unwrap_or_else(|| match names.as_slice() {
                    [] => "there are no keys here: write {}".to_owned(),
                    _ => format!("known here are: {}", names.join(", ")),
                });
                // A letter of another alphabet may look just like the right one.
                let alien =
                    entry.key.chars().find(|c| !c.is_ascii()).map(|c| format!(", which holds {}", shown(c)));
                let message = format!("unknown key `{}`{}", entry.key, alien.unwrap_or_default());
                self.findings.add_hint(Code::UnknownKey, &place, message, hint);
            }
        }
    }

    /// The keys as written, with the places of the keys themselves.
    pub(super) fn written(&self) -> impl Iterator<Item = Located<&'n str>> + '_ {
        self.entries.iter().map(|entry| Located {
            value: entry.key.as_str(),
            place: Place { field: self.field(&entry.key), offset: entry.key_offset },
        })
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Item<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let place = Place { field: self.field(key), offset: entry.value.offset };
        // A value left out has no text of its own: point at the key.
        let offset = if entry.value.value == Value::Null { entry.key_offset } else { place.offset };
        Some(Item { node: &entry.value, place: Place { offset, ..place }, findings: self.findings })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &str, example: &str) -> Option<Item<'n>> {
        let item = self.get(key);
        if item.is_none() {
            let place = Place { field: self.field(key), offset: self.place.offset };
            self.findings.add_hint(
                Code::MissingKey,
                &place,
                format!("`{key}` is missing"),
                format!("add it, for example `{key}: {example}`"),
            );
        }
        item
    }
}
