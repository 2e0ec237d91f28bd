//! The configuration, from the JSON Schema: an outline of every key, and a table for each mapping.

use std::fmt::Write;

use serde_json::Value;

use super::cell;

pub(crate) fn text() -> String {
    let schema = lb_appliance::config::schema();
    let mut out = String::new();
    out +=
        "`guideway schema` prints the same for editors; what a shape cannot say, `guideway check` does.\n\n";
    out += "## Outline\n\n```text\n";
    outline(&mut out, &schema, 0);
    out += "```\n";
    mapping(&mut out, "", &schema);
    out
}

/// The mapping that a value is, or that the items of a list are; with `[]` in the second case.
fn inner(value: &Value) -> Option<(&Value, &'static str)> {
    let candidates = [Some(value), value["anyOf"].as_array().and_then(|forms| forms.last())];
    for candidate in candidates.into_iter().flatten() {
        if candidate["properties"].as_object().is_some_and(|keys| !keys.is_empty()) {
            return Some((candidate, ""));
        }
        if candidate["items"]["properties"].is_object() {
            return Some((&candidate["items"], "[]"));
        }
    }
    None
}

fn outline(out: &mut String, object: &Value, depth: usize) {
    for (key, value) in object["properties"].as_object().into_iter().flatten() {
        let line = format!("{}{key}:", "  ".repeat(depth));
        match inner(value) {
            Some((inside, "[]")) => {
                let _ = writeln!(out, "{line:<36} # list");
                outline(out, inside, depth + 1);
            }
            Some((inside, _)) => {
                let _ = writeln!(out, "{line}");
                outline(out, inside, depth + 1);
            }
            None => {
                let _ = writeln!(out, "{line:<36} # {}", kind(value).replace('`', ""));
            }
        }
    }
}

fn mapping(out: &mut String, path: &str, object: &Value) {
    let title = if path.is_empty() { "Top level" } else { path };
    let _ = write!(out, "\n## {title}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
    let keys = || object["properties"].as_object().into_iter().flatten();
    for (key, value) in keys() {
        let is_required = object["required"].as_array().is_some_and(|keys| keys.iter().any(|one| one == key));
        let default = match &value["default"] {
            Value::Null if is_required => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let meaning = cell(value["description"].as_str().unwrap_or_default());
        let _ = writeln!(out, "| `{key}` | {} | {default} | {meaning} |", cell(&kind(value)));
    }
    for (key, value) in keys() {
        if let Some((inside, list)) = inner(value) {
            let name = if path.is_empty() { format!("{key}{list}") } else { format!("{path}.{key}{list}") };
            mapping(out, &name, inside);
        }
    }
}

/// The type of a value in words.
fn kind(value: &Value) -> String {
    if let Some(forms) = value["anyOf"].as_array() {
        return forms.iter().map(kind).collect::<Vec<_>>().join(", or ");
    }
    if let Some(words) = value["enum"].as_array() {
        let word =
            |word: &Value| format!("`{}`", word.as_str().map_or_else(|| word.to_string(), str::to_owned));
        return words.iter().map(word).collect::<Vec<_>>().join(", ");
    }
    if let Some(word) = value["const"].as_str() {
        return format!("`{word}`");
    }
    let first = value["type"].as_str().or_else(|| value["type"][0].as_str()).unwrap_or_default();
    let range = match (&value["minimum"], &value["maximum"]) {
        (Value::Null, _) | (_, Value::Null) => String::new(),
        (low, high) => format!(" {low}..{high}"),
    };
    match first {
        "object" => "mapping".to_owned(),
        "array" => {
            let items = if value["items"].is_object() { kind(&value["items"]) } else { String::new() };
            format!("list of {items}").trim_end_matches(" of ").to_owned()
        }
        "integer" => format!("whole number{range}"),
        "number" => format!("number{range}"),
        "string" => value["pattern"].as_str().map_or("text", spelling).to_owned(),
        other => other.to_owned(),
    }
}

/// What a pattern of the schema stands for.
fn spelling(pattern: &str) -> &'static str {
    match pattern {
        _ if pattern.contains("(ns|us|ms|s|m|h)") => "duration",
        _ if pattern.contains("KiB") => "size",
        _ if pattern.starts_with("^0x") => "`\"0x\"` and hexadecimal digits",
        _ if pattern.starts_with("^[A-Za-z0-9._-]") => "name",
        _ if pattern.contains("){5}$") => "MAC address",
        _ if pattern.ends_with("/[0-9]{1,3}$") => "address/prefix length",
        _ if pattern.ends_with(":[0-9]{1,5}$") => "address:port",
        _ if pattern.starts_with("^([0-9]{1,3}") => "address",
        _ if pattern.starts_with("^[0-9]{1,3}(") => "IPv4 address",
        _ if pattern.starts_with("^[0-9A-Fa-f:.]*:") => "IPv6 address",
        _ if pattern.starts_with("^/") => "absolute path",
        _ if pattern.starts_with("^[0-7]") => "octal text",
        _ => "text",
    }
}
