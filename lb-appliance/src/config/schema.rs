//! The JSON Schema (draft 2020-12) of the configuration, made from the two things that are kept right already:
//! the table of keys that the readers use, and the reference in `docs/configuration.md`, whose rows a test compares
//! with that table. A key cannot be missing here, and a default cannot differ from the documented one.
//!
//! The schema says what a shape can say: keys, types, ranges, words, spellings. What one part of a file asks of
//! another (names, references, primes, collisions) is said by `guideway check` alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Keys, Status};

const REFERENCE: &str = include_str!("../../../docs/configuration.md");
/// Where packages put it; editors find it by the modeline.
const INSTALLED: &str = "/usr/share/guideway/guideway.schema.json";

const ADDRESS: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$";
const PREFIX: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)/[0-9]{1,3}$";
const IPV4: &str = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$";
const IPV6: &str = r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$";
const MAC: &str = r"^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$";
const NAME: &str = r"^[A-Za-z0-9._-]{1,63}$";
const DURATION: &str = r"^[0-9]+(ns|us|ms|s|m|h)$";
const SIZE: &str = r"^[0-9]+(B|KiB|MiB|GiB)$";
const SEED: &str = r"^0x[0-9A-Fa-f]{1,32}$";
const ABSOLUTE_PATH: &str = r"^/.*[^/]$";
const FILE_MODE: &str = r"^[0-7]{1,5}$";
const PORT_RANGE: &str = r"^[0-9]{1,5}-[0-9]{1,5}$";
const SOCKET: &str = r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$";

/// A row of the reference.
struct Row {
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
}

/// The line by which editors find the schema.
pub fn modeline() -> String {
    format!("# yaml-language-server: $schema={INSTALLED}")
}

/// The schema of a main file.
pub fn schema() -> Value {
    let rows = rows();
    let mut root = object(&keys::ROOT, &rows);
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("$id".into(), json!("urn:guideway:configuration:1"));
    root.insert("title".into(), json!("Guideway configuration"));
    // Pools and VIPs may all come from included files.
    root.insert("required".into(), json!(["version"]));
    root.insert("anyOf".into(), json!([{"required": ["include"]}, {"required": ["pools", "vips"]}]));
    Value::Object(root)
}

/// The schema of an included file.
pub fn included_schema() -> Value {
    let main = rows();
    let mut root = object(&keys::INCLUDED, &main);
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("$id".into(), json!("urn:guideway:configuration:1:included"));
    root.insert("title".into(), json!("Guideway configuration, included file"));
    // The same lists as in the main file.
    let lists = ["version", "pools", "vips"].map(|key| (key.to_owned(), value(key, &main)));
    root.insert("properties".into(), Value::Object(lists.into_iter().collect()));
    root.remove("required");
    Value::Object(root)
}

/// The rows of all tables that begin with a key.
fn rows() -> BTreeMap<&'static str, Row> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split(" | ");
        let key = cells.next()?.trim_end_matches('`');
        let (kind, default) = (cells.next()?.trim(), cells.next()?.trim());
        Some((key, Row { kind, default, meaning: cells.next()?.trim() }))
    };
    REFERENCE.lines().filter_map(row).collect()
}

fn now(keys: &'static Keys) -> impl Iterator<Item = &'static Key> {
    keys.keys.iter().filter(|key| key.status == Status::Now)
}

fn path_of(keys: &Keys, key: &Key) -> String {
    if keys.path.is_empty() { key.name.to_owned() } else { format!("{}.{}", keys.path, key.name) }
}

/// A mapping with exactly these keys.
fn object(keys: &'static Keys, rows: &BTreeMap<&'static str, Row>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        now(keys).map(|key| (key.name.to_owned(), value(&path_of(keys, key), rows))).collect();
    let is_required = |key: &&Key| {
        rows.get(path_of(keys, key).as_str()).is_some_and(|row| row.default.starts_with("required"))
    };
    let required: Vec<&str> = now(keys).filter(is_required).map(|key| key.name).collect();
    let mut object = Map::new();
    object.insert("type".into(), json!("object"));
    object.insert("additionalProperties".into(), json!(false));
    object.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    object
}

/// The value of a key.
fn value(path: &str, rows: &BTreeMap<&'static str, Row>) -> Value {
    let Some(row) = rows.get(path) else { return json!({}) };
    let mut schema = match (keys_at(path), keys_at(&format!("{path}[]"))) {
        (Some(keys), _) => {
            let mut object = object(keys, rows);
            if row.meaning.contains("Exactly one") || path.ends_with(".health_check") {
                object.insert("oneOf".into(), variants(keys, rows));
            }
            if row.meaning.contains("At least one key") {
                object.insert("minProperties".into(), json!(1));
            }
            // `ipip:` with nothing behind it is as good as `ipip: {}`.
            if path.contains(".encap.") && !object.contains_key("required") {
                object.insert("type".into(), json!(["object", "null"]));
            }
            match row.kind.strip_suffix(", or mapping") {
                // A short form for the commonest key.
                Some(short) => Map::from_iter([("anyOf".to_owned(), json!([kind(short), object]))]),
                None => object,
            }
        }
        (None, Some(keys)) if path != "include" => {
            let mut list = Map::from_iter([("type".to_owned(), json!("array"))]);
            list.insert("items".into(), Value::Object(object(keys, rows)));
            if let Some((_, max)) = row.kind.split_once("at most ") {
                list.insert("maxItems".into(), json!(max.parse::<u64>().ok()));
            }
            list
        }
        _ => kind(row.kind),
    };
    schema.insert("description".into(), json!(plain(row.meaning)));
    if let Some(default) = default(row.default) {
        schema.insert("default".into(), default);
    }
    Value::Object(schema)
}

/// One schema per key of a mapping that chooses between them: those that have no default. Exactly one may be there.
fn variants(keys: &'static Keys, rows: &BTreeMap<&'static str, Row>) -> Value {
    let is_variant =
        |key: &&Key| rows.get(path_of(keys, key).as_str()).is_some_and(|row| row.default.is_empty());
    now(keys).filter(is_variant).map(|key| json!({"required": [key.name]})).collect()
}

fn keys_at(path: &str) -> Option<&'static Keys> {
    keys::ALL.iter().find(|keys| keys.path == path && !path.is_empty()).copied()
}

/// `[text](target)` and backquotes are for readers of the reference.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        match link.split_once("](").and_then(|(label, after)| Some((label, after.split_once(')')?.1))) {
            Some((label, after)) if !label.contains(['[', ']']) => {
                text += &format!("{before}{label}");
                rest = after;
            }
            _ => {
                text += &format!("{before}[");
                rest = link;
            }
        }
    }
    (text + rest).replace('`', "")
}

/// A default that is a value, not a description of one.
fn default(cell: &str) -> Option<Value> {
    let quoted = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let text = match quoted {
        Some(text) if !text.contains('`') => text,
        Some(_) => return None,
        None if !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit()) => cell,
        None => return None,
    };
    serde_yaml::from_str(text).ok()
}

/// `1..64` in a text of commas and blanks: the bounds as they are written.
fn bounds(text: &str) -> Option<(&str, &str)> {
    text.split([' ', ',']).find_map(|word| word.split_once(".."))
}

/// The same as whole numbers.
fn range(text: &str) -> Option<(u64, u64)> {
    let (low, high) = bounds(text)?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

/// A range of numbers: whole ones, unless a bound has a point or the range is that of a share.
fn number(text: &str) -> Option<Map<String, Value>> {
    let (low, high) = bounds(text)?;
    let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
    let is_share = text.starts_with("number") || low.fract() != 0.0 || high.fract() != 0.0 || high <= 1.0;
    let limits = range(text).map_or((json!(low), json!(high)), |(low, high)| (json!(low), json!(high)));
    Some(Map::from_iter([
        ("type".to_owned(), json!(if is_share { "number" } else { "integer" })),
        ("minimum".to_owned(), limits.0),
        ("maximum".to_owned(), limits.1),
    ]))
}

/// How the reference begins the types of texts that have no spelling of their own.
const TEXTS: [&str; 11] = [
    "text",
    "name of",
    "level or filter",
    "header name",
    "host name",
    "domain name",
    "path",
    "absolute path",
    "hexadecimal octets",
    "octal text",
    "file name",
];

fn spelled(pattern: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!("string")), ("pattern".to_owned(), json!(pattern))])
}

/// The type column of the reference; a text that means nothing here gives a schema that allows everything, and a test
/// fails on it.
fn kind(text: &str) -> Map<String, Value> {
    if let Some((one, _)) = text.split_once(", or text") {
        return Map::from_iter([("anyOf".to_owned(), json!([kind(one), {"type": "string"}]))]);
    }
    if let Some((list, word)) = text.rsplit_once(", or `") {
        let word = word.trim_end_matches('`');
        return Map::from_iter([("anyOf".to_owned(), json!([kind(list), {"const": word}]))]);
    }
    if let Some(items) = text.strip_prefix("list of ") {
        return list(items);
    }
    if text.starts_with('`') && !text.starts_with("`\"") {
        let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        return Map::from_iter([("enum".to_owned(), json!(words))]);
    }
    let numbers: Option<Vec<u64>> = text.split(", ").map(|word| word.parse().ok()).collect();
    if let Some(numbers) = numbers {
        return Map::from_iter([("enum".to_owned(), json!(numbers))]);
    }
    match text {
        "boolean" => Map::from_iter([("type".to_owned(), json!("boolean"))]),
        "name" | "names" => spelled(NAME),
        "MAC address" => spelled(MAC),
        "IPv4 address" => spelled(IPV4),
        "IPv6 address" => spelled(IPV6),
        "address" | "addresses" => spelled(ADDRESS),
        "addresses or prefixes" => {
            Map::from_iter([("anyOf".to_owned(), json!([spelled(ADDRESS), spelled(PREFIX)]))])
        }
        "port or range" | "ports or ranges" => {
            let port = json!({"type": "integer", "minimum": 1, "maximum": 65535});
            Map::from_iter([("anyOf".to_owned(), json!([port, spelled(PORT_RANGE)]))])
        }
        "address and port" => spelled(SOCKET),
        _ if text.starts_with("address with prefix") || text.starts_with("addresses with prefix") => {
            spelled(PREFIX)
        }
        _ if text.starts_with("prefix") => spelled(PREFIX),
        _ if text.starts_with("size") => spelled(SIZE),
        _ if text.starts_with("duration") || text.starts_with("whole seconds") => spelled(DURATION),
        _ if text.starts_with("`\"0x\"`") => spelled(SEED),
        "absolute path" => spelled(ABSOLUTE_PATH),
        "octal text" => spelled(FILE_MODE),
        "number" => Map::from_iter([("type".to_owned(), json!("number"))]),
        _ if TEXTS.iter().any(|word| text.starts_with(word)) => {
            Map::from_iter([("type".to_owned(), json!("string"))])
        }
        // `1s..1h`, without the word.
        _ if bounds(text).is_some_and(|(_, high)| high.ends_with(['s', 'm', 'h'])) => spelled(DURATION),
        _ => number(text).unwrap_or_default(),
    }
}

/// `CPUs, 0..1023`, `addresses`, or `1..64 durations, ascending`: a range before a noun counts items.
fn list(items: &str) -> Map<String, Value> {
    let mut list = Map::from_iter([("type".to_owned(), json!("array"))]);
    let counted = items.split_once(' ').and_then(|(count, noun)| Some((range(count)?, noun)));
    let item = match counted {
        Some(((low, high), noun)) => {
            list.insert("minItems".into(), json!(low));
            list.insert("maxItems".into(), json!(high));
            noun
        }
        None => items,
    };
    list.insert("items".into(), Value::Object(kind(item)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_reference_are_understood() {
        for (text, expected) in [
            ("0..1", json!({"type": "number", "minimum": 0, "maximum": 1})),
            ("number, 0.02..1", json!({"type": "number", "minimum": 0.02, "maximum": 1.0})),
            ("1..64", json!({"type": "integer", "minimum": 1, "maximum": 64})),
            ("prime, 7..10000019", json!({"type": "integer", "minimum": 7, "maximum": 10_000_019})),
            ("0, 1", json!({"enum": [0, 1]})),
            ("`a`, `b`", json!({"enum": ["a", "b"]})),
            ("duration, 10ms..`interval`", json!({"type": "string", "pattern": DURATION})),
            ("1s..1m", json!({"type": "string", "pattern": DURATION})),
            ("size, 64MiB..1024GiB", json!({"type": "string", "pattern": SIZE})),
            (
                "number, or text like `\"200-299\"`",
                json!({"anyOf": [{"type": "number"}, {"type": "string"}]}),
            ),
            ("list of texts", json!({"type": "array", "items": {"type": "string"}})),
            ("absolute path", json!({"type": "string", "pattern": "^/.*[^/]$"})),
            ("something new", json!({})),
        ] {
            assert_eq!(Value::Object(kind(text)), expected, "{text}");
        }
    }

    #[test]
    fn an_encapsulation_is_exactly_one() {
        let schema = schema();
        let encap = &schema["properties"]["pools"]["items"]["properties"]["encap"]["oneOf"];
        assert!(encap.as_array().is_some_and(|one| one.len() >= 4), "{encap}");
        assert_eq!(encap[0], json!({"required": ["ipip"]}));
    }
}
