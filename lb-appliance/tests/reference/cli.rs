//! The command line: every subcommand with its arguments, from the definition that is parsed.

use std::fmt::Write;

use clap::{Arg, Command};
use lb_appliance::cli::root::definition;

use super::{cell, sentence};

/// Options that every command of a running balancer has; told once.
const SHARED: &str = "Connection and output";

pub(crate) fn text() -> String {
    let mut root = definition().disable_help_subcommand(true);
    root.build();
    let mut out = String::new();
    let shared: Vec<&Arg> = root
        .get_subcommands()
        .find(|command| command.get_name() == "status")
        .map(|status| status.get_arguments().filter(|arg| is_shared(arg)).collect())
        .unwrap_or_default();
    out += "Commands that ask a running balancer also take the options of [the last section](#connection-and-output).\n";
    out += "`--help` of each says the same, and `guideway man DIR` writes it as man pages.\n\n";
    out += "| Command | What it does |\n|---|---|\n";
    for command in root.get_subcommands() {
        let anchor = format!("guideway-{}", command.get_name());
        let _ = writeln!(out, "| [`{}`](#{anchor}) | {} |", command.get_name(), about(command));
    }
    for command in root.get_subcommands() {
        section(&mut out, command, "guideway", 2);
    }
    let _ = write!(out, "\n## {SHARED}\n\n");
    arguments(&mut out, &shared);
    out
}

fn about(command: &Command) -> String {
    sentence(&command.get_about().map(ToString::to_string).unwrap_or_default())
}

fn is_shared(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(SHARED)
}

fn section(out: &mut String, command: &Command, parent: &str, depth: usize) {
    let path = format!("{parent} {}", command.get_name());
    let _ = write!(out, "\n{} {path}\n\n{}\n", "#".repeat(depth), about(command));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| {
            !arg.is_hide_set() && !is_shared(arg) && !["help", "version"].contains(&arg.get_id().as_str())
        })
        .collect();
    let is_live = command.get_arguments().any(is_shared);
    if command.get_subcommands().next().is_none() {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = write!(out, "\n```text\n{usage}\n```\n");
    }
    if !own.is_empty() {
        out.push('\n');
        arguments(out, &own);
    }
    if is_live {
        let _ = write!(out, "\nAsks a running balancer: [{SHARED}](#connection-and-output).\n");
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(out, "\n```text\n{}\n```\n", after.to_string().trim_end());
    }
    for command in command.get_subcommands() {
        section(out, command, &path, depth + 1);
    }
}

fn arguments(out: &mut String, arguments: &[&Arg]) {
    *out += "| Argument | Default | Meaning |\n|---|---|---|\n";
    for arg in arguments {
        let _ = writeln!(out, "| {} | {} | {} |", spelled(arg), default(arg), meaning(arg));
    }
}

/// `-o`, `--output FORM`, or `FILE`.
fn spelled(arg: &Arg) -> String {
    let value = if arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
    } else {
        String::new()
    };
    let with = |flag: String| cell(&format!("`{}`", format!("{flag} {value}").trim()));
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, {}", with(format!("--{long}"))),
        (None, Some(long)) => with(format!("--{long}")),
        (Some(short), None) => with(format!("-{short}")),
        (None, None) => with(String::new()),
    }
}

fn default(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let values: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    match (values.is_empty(), arg.is_required_set()) {
        (false, _) => values.join(", "),
        (true, true) => "required".to_owned(),
        (true, false) => String::new(),
    }
}

fn meaning(arg: &Arg) -> String {
    let mut text =
        sentence(&arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default());
    if arg.get_action().takes_values() {
        let words: Vec<String> =
            arg.get_possible_values().iter().filter(|word| !word.is_hide_set()).map(word).collect();
        if !words.is_empty() {
            text += &format!(" One of {}.", words.join(", "));
        }
    }
    if let Some(name) = arg.get_env() {
        text += &format!(" Environment: `{}`.", name.to_string_lossy());
    }
    text
}

fn word(word: &clap::builder::PossibleValue) -> String {
    let help = word.get_help().map(|help| format!(" ({})", cell(&help.to_string()))).unwrap_or_default();
    format!("`{}`{help}", word.get_name())
}
