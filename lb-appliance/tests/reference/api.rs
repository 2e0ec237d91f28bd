//! The admin API, from the OpenAPI document that the program serves.

use std::fmt::Write;

use serde_json::Value;

use super::{cell, sentence};

pub(crate) fn text() -> String {
    let document = serde_json::to_value(lb_appliance::admin::openapi()).expect("the document is JSON");
    let mut out =
        String::from("`GET /openapi.json` has the same for programs, with every field of every answer.\n");
    let tags = document["tags"].as_array().cloned().unwrap_or_default();
    for tag in &tags {
        let name = tag["name"].as_str().unwrap_or_default();
        let _ = write!(
            out,
            "\n## {}\n",
            sentence(tag["description"].as_str().unwrap_or(name)).trim_end_matches('.')
        );
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for method in ["get", "put", "post", "patch", "delete"] {
                let operation = &item[method];
                if operation["tags"][0] == name {
                    section(&mut out, method, path, operation);
                }
            }
        }
    }
    out
}

fn section(out: &mut String, method: &str, path: &str, operation: &Value) {
    let summary = operation["summary"].as_str().unwrap_or_default();
    let _ = write!(out, "\n### {} {path}\n\n{}\n", method.to_uppercase(), sentence(summary));
    if let Some(description) = operation["description"].as_str() {
        let _ = write!(out, "\n{}\n", sentence(description));
    }
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    if !parameters.is_empty() {
        *out += "\n| Parameter | In | Meaning |\n|---|---|---|\n";
        for parameter in &parameters {
            let text = |key: &str| parameter[key].as_str().unwrap_or_default();
            let required = if parameter["required"] == true { " Required." } else { "" };
            let (name, place, meaning) = (cell(text("name")), text("in"), sentence(text("description")));
            let _ = writeln!(out, "| `{name}` | {place} | {meaning}{required} |");
        }
    }
    let content = operation["requestBody"]["content"].as_object();
    let types: Vec<String> = content.into_iter().flatten().map(|(kind, _)| format!("`{kind}`")).collect();
    if !types.is_empty() {
        let _ = write!(out, "\nBody: {}.\n", types.join(", "));
    }
    let responses: Vec<&str> =
        operation["responses"].as_object().into_iter().flatten().map(|(status, _)| status.as_str()).collect();
    let _ = write!(out, "\nAnswers: {}.\n", responses.join(", "));
}
