//! Reads YAML into a tree in which every key and value knows its place. The only module that names `serde_yaml`.
//!
//! serde_yaml tells positions in errors only. So every scalar is made to fail on purpose *after* it has been
//! consumed: the error carries its line and column, the walk notes both and goes on with the next event. One pass
//! gives all positions. Containers must succeed (their end event is consumed only then) and take their place from
//! their first child. Depth and number of nodes are bounded, also through aliases.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::code::Code;
use super::finding::Diagnostic;
use super::source::Source;
use super::syntax;

/// Levels of nesting; the configuration needs 8.
pub(super) const DEPTH_MAX: usize = 32;
/// Keys and values of one file, aliases expanded.
pub(super) const NODES_MAX: usize = 600_000;

/// A value and the byte offset where it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) offset: usize,
    pub(super) value: Value,
}

impl Node {
    /// Moves all places by `base` bytes; returns the number of keys and values. Recursion is bounded by `DEPTH_MAX`.
    pub(super) fn shift(&mut self, base: usize) -> usize {
        self.offset += base;
        1 + match &mut self.value {
            Value::List(nodes) => nodes.iter_mut().map(|node| node.shift(base)).sum(),
            Value::Map(entries) => entries
                .iter_mut()
                .map(|entry| {
                    entry.key_offset += base;
                    1 + entry.value.shift(base)
                })
                .sum(),
            _ => 0,
        }
    }
}

/// A YAML value, typed by the rules of serde_yaml (YAML 1.2 core schema: `no` is text).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One pair of a mapping; duplicates are kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_offset: usize,
    pub(super) value: Node,
}

/// Reads one document.
///
/// Errors: the first syntax error, or a construct that is refused before anything can be read.
pub(super) fn parse(source: &Source) -> Result<Node, Box<Diagnostic>> {
    syntax::precheck(source)?;
    let walk = Walk { source, state: RefCell::default() };
    let deserializer = serde_yaml::Deserializer::from_str(source.text());
    let outcome = NodeSeed { walk: &walk, depth: 0, key: false }.deserialize(deserializer);
    let failure = walk.state.borrow_mut().failure.take();
    match (outcome, failure) {
        (Ok(node), _) => Ok(node),
        (Err(error), Some((code, message, hint))) => {
            let offset = error.location().map_or(0, |at| source.offset_of_yaml(at.line(), at.column()));
            let mut finding = Diagnostic::new(code, "", message).hint(hint);
            finding.span = Some(source.span(offset));
            Err(Box::new(finding))
        }
        (Err(error), None) => match walk.scalar(&error) {
            Some(node) => Ok(node),
            None => {
                let at = error.location().map(|at| source.offset_of_yaml(at.line(), at.column()));
                Err(Box::new(syntax::explain(source, &error.to_string(), at)))
            }
        },
    }
}

type Failure = (Code, &'static str, &'static str);

#[derive(Default)]
struct State {
    nodes: usize,
    passed: usize,
    scalar: Option<Value>,
    failure: Option<Failure>,
}

struct Walk<'s> {
    source: &'s Source,
    state: RefCell<State>,
}

impl Walk<'_> {
    /// The scalar that made its deserializer fail on purpose, if that is what `error` is about.
    fn scalar(&self, error: &impl fmt::Display) -> Option<Node> {
        let value = self.state.borrow_mut().scalar.take()?;
        // "PATH: . at line 3 column 9"; at the very start of the file there is no " at ...".
        let text = error.to_string();
        let offset = text.rsplit_once(" at line ").and_then(|(_, at)| {
            let (line, column) = at.split_once(" column ")?;
            Some(self.source.offset_of_yaml(line.parse().ok()?, column.parse().ok()?))
        });
        let offset = offset.unwrap_or(0);
        self.state.borrow_mut().passed = offset + self.source.token_len(offset);
        Some(Node { offset, value })
    }

    /// Where a container with these children begins. An empty one has no child to tell: it is the next bracket
    /// behind the last key or value that was passed.
    fn opening(&self, first_child: Option<usize>, openers: &[char]) -> usize {
        let mut state = self.state.borrow_mut();
        let offset = match first_child {
            Some(child) => return self.source.opening(child, openers),
            None => self.source.next_bracket(state.passed),
        };
        state.passed = offset + 1;
        offset
    }

    fn fail<E: de::Error>(&self, failure: Failure) -> E {
        self.state.borrow_mut().failure.get_or_insert(failure);
        E::custom(".")
    }

    fn count<E: de::Error>(&self) -> Result<(), E> {
        let nodes = {
            let mut state = self.state.borrow_mut();
            state.nodes += 1;
            state.nodes
        };
        if nodes <= NODES_MAX {
            return Ok(());
        }
        let hint = "split the file, or write less with aliases: each use of an alias counts in full";
        Err(self.fail((Code::TooComplex, "more than 600,000 keys and values", hint)))
    }
}

/// Reads one node, or the key of a mapping.
#[derive(Clone, Copy)]
struct NodeSeed<'w, 's> {
    walk: &'w Walk<'s>,
    depth: usize,
    key: bool,
}

impl NodeSeed<'_, '_> {
    /// A child that came back: a container by success, a scalar by its planned failure.
    fn child<E: de::Error>(&self, outcome: Result<Option<Node>, E>) -> Result<Option<Node>, E> {
        match outcome {
            Ok(node) => Ok(node),
            Err(error) if self.walk.state.borrow().failure.is_some() => Err(error),
            Err(error) => self.walk.scalar(&error).map(Some).ok_or(error),
        }
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.key {
            let hint =
                "write a plain word before the colon; to use {{ templates }} or [ ] as text, quote them";
            return Err(self.walk.fail((Code::YamlSyntax, "a list or mapping cannot be a key", hint)));
        }
        if self.depth >= DEPTH_MAX {
            let hint = "no configuration needs that; look for a bracket too many or an alias inside itself";
            return Err(self.walk.fail((Code::TooComplex, "nested more than 32 levels deep", hint)));
        }
        self.walk.count()?;
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn scalar<E: de::Error>(self, value: Value) -> Result<Node, E> {
        self.walk.count()?;
        self.walk.state.borrow_mut().scalar = Some(value);
        Err(E::custom("."))
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_, '_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Value::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Value::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(Value::Integer(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        // Beyond i128 nothing is in any range, so the exact number does not matter.
        self.scalar(Value::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.scalar(Value::Text(value.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Value::Null)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _data: A) -> Result<Node, A::Error> {
        let hint = "remove it, or quote the value if it begins with an exclamation mark";
        Err(self.walk.fail((Code::YamlTag, "YAML tags (`!word`) are not understood", hint)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut nodes = Vec::new();
        while let Some(node) = inner.child(seq.next_element_seed(inner))? {
            nodes.push(node);
        }
        let offset = self.walk.opening(nodes.first().map(|first: &Node| first.offset), &['[', '-']);
        Ok(Node { offset, value: Value::List(nodes) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let key_seed = Self { key: true, ..inner };
        let mut entries = Vec::new();
        while let Some(key) = inner.child(map.next_key_seed(key_seed))? {
            let value = inner.child(map.next_value_seed(inner).map(Some))?;
            let Some(value) = value else { break };
            entries.push(Entry { key: word(key.value), key_offset: key.offset, value });
        }
        let offset = self.walk.opening(entries.first().map(|first: &Entry| first.key_offset), &['{']);
        Ok(Node { offset, value: Value::Map(entries) })
    }
}

/// A key as text: `1: x` has the key `1`.
fn word(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => "null".to_owned(),
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;
