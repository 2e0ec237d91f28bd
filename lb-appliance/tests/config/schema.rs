//! The JSON Schema against the key table, the examples and the corpus.
//!
//! Whatever `check` accepts the schema must accept; of what `check` refuses for its shape alone, the schema must
//! refuse all but what no schema can say.

use std::collections::BTreeSet;

use lb_appliance::config::{Code, Diagnostic, examine_file, included_schema, keys, schema};
use serde_json::Value;

use crate::{repository, yaml_files};

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::new(schema).expect("a schema")
}

/// Paths of all properties, as the key table writes them.
fn properties(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        properties(value, &path, found);
        properties(&value["items"], &format!("{path}[]"), found);
        // The long form of a key that also has a short one.
        value["anyOf"].as_array().into_iter().flatten().for_each(|form| properties(form, &path, found));
        found.insert(path);
    }
}

#[test]
fn every_key_that_works_is_in_the_schema_and_no_other() {
    let mut found = BTreeSet::new();
    properties(&schema(), "", &mut found);
    let tables = keys::ALL.iter().filter(|table| table.path != "include[]");
    let mut known = BTreeSet::new();
    for table in tables {
        for key in table.keys.iter().filter(|key| key.status == keys::Status::Now) {
            known.insert(if table.path.is_empty() {
                key.name.into()
            } else {
                format!("{}.{}", table.path, key.name)
            });
        }
    }
    assert_eq!(found, known);
}

#[test]
fn every_property_has_a_type_and_a_description() {
    fn walk(schema: &Value, path: &str, wrong: &mut Vec<String>) {
        for (name, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let typed = |value: &Value| {
                ["type", "enum", "anyOf", "oneOf", "const"].iter().any(|key| value.get(*key).is_some())
            };
            let items_typed = value.get("items").is_none_or(typed);
            if !typed(value) || !items_typed || value["description"].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{path}: {value}"));
            }
            walk(value, &path, wrong);
            walk(&value["items"], &path, wrong);
            value["anyOf"].as_array().into_iter().flatten().for_each(|form| walk(form, &path, wrong));
        }
    }
    let mut wrong = Vec::new();
    walk(&schema(), "", &mut wrong);
    assert!(
        wrong.is_empty(),
        "a type in docs/configuration.md that config/schema.rs does not know:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn defaults_are_values() {
    let schema = schema();
    let memory = &schema["properties"]["dataplane"]["properties"]["memory"]["properties"];
    assert_eq!(memory["hugepages"]["default"], true);
    assert_eq!(memory["per_numa_node"]["default"], "256MiB");
    assert_eq!(memory["mbufs_per_numa_node"]["default"], 32767);
    assert_eq!(memory["mbufs_per_numa_node"]["minimum"], 1023);
    assert_eq!(
        schema["properties"]["vips"]["items"]["properties"]["protocol"]["enum"],
        serde_json::json!(["tcp", "udp", "sctp", "any"])
    );
}

/// Files as a validator sees them; none for texts that YAML itself refuses.
fn json_of(path: &std::path::Path) -> Option<Value> {
    serde_yaml::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

#[test]
fn what_check_accepts_the_schema_accepts() {
    let validator = validator(&schema());
    let mut files = yaml_files(&repository("config"));
    files.extend(yaml_files(&repository("lb-appliance/tests/config/valid")));
    assert!(files.len() > 12);
    for path in files {
        let Some(value) = json_of(&path) else { panic!("{} is not YAML", path.display()) };
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path)).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
    }
    let parts = yaml_files(&repository("lb-appliance/tests/config/valid/parts"));
    assert!(!parts.is_empty());
    let included = jsonschema::draft202012::new(&included_schema()).expect("a schema");
    for path in parts {
        let value = json_of(&path).expect("YAML");
        assert!(included.is_valid(&value), "{}", path.display());
    }
}

#[test]
fn examples_of_the_reference_are_accepted() {
    let text = std::fs::read_to_string(repository("docs/configuration.md")).expect("the reference exists");
    let whole = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let validator = validator(&schema());
    let mut seen = 0;
    for block in whole.filter(|block| block.contains("version: 1")) {
        let value: Value = serde_yaml::from_str(block).expect("YAML");
        assert!(validator.is_valid(&value), "{block}");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn what_check_refuses_for_its_shape_the_schema_refuses() {
    let shape = [
        Code::UnknownKey,
        Code::MissingKey,
        Code::WrongType,
        Code::UnknownChoice,
        Code::NotExactlyOne,
        Code::BadDuration,
        Code::BadSize,
        Code::BadName,
        Code::BadSeed,
        Code::BadVersion,
        Code::UnquotedIpv6,
        Code::MainFileOnly,
    ];
    let validator = validator(&schema());
    let (mut refused, mut accepted) = (0, Vec::new());
    for path in yaml_files(&repository("lb-appliance/tests/config/broken")) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        // A pattern sees the spelling of sizes and durations, not their range.
        let is_spelling = |finding: &Diagnostic| {
            !matches!(finding.code, Code::BadDuration | Code::BadSize)
                || ["is not a duration", "is not a size"].iter().any(|part| finding.message.contains(part))
        };
        let list = examine_file(&path).diagnostics.list;
        let codes: Vec<Code> = list.iter().filter(|it| is_spelling(it)).map(|finding| finding.code).collect();
        if !codes.iter().any(|code| shape.contains(code)) {
            continue;
        }
        // A schema takes 1.0 for a whole number. Mistakes in included files, and what is not YAML, a validator does not see.
        if stem == "version-with-point" {
            continue;
        }
        let Some(value) = json_of(&path).filter(|value| value.get("include").is_none()) else { continue };
        if validator.is_valid(&value) {
            accepted.push(format!("{stem}: {codes:?}"));
        } else {
            refused += 1;
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
    assert!(refused > 30, "only {refused} files were refused");
}
