//! Turns the YAML reader's complaints into ones that help.
//!
//! A syntax error is always a single finding with a place: after it nothing can be trusted. What the reader would
//! refuse without a place, or spend quadratic time on (nested flow collections), is refused before it runs.

use std::net::Ipv6Addr;

use super::code::Code;
use super::finding::Diagnostic;
use super::source::{Source, Span};

/// Open brackets at one time; the YAML reader's time grows with their product with the length of the text.
const FLOW_DEPTH_MAX: usize = 64;

/// Refuses text before the YAML reader sees it.
pub(super) fn precheck(source: &Source) -> Result<(), Box<Diagnostic>> {
    // YAML 1.2.2, 5.1: the printable characters.
    let unprintable = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let stray = |c: char| matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if let Some((at, c)) = source.text().char_indices().find(|&(_, c)| unprintable(c) || stray(c)) {
        let message = format!("the character U+{:04X} is not allowed in YAML", u32::from(c));
        return Err(Box::new(
            located(source, Code::YamlSyntax, at, message)
                .hint("remove it, or write it as \\u.... in quotes"),
        ));
    }
    if let Some(at) = too_many_brackets(source.text()) {
        let message = format!("more than {FLOW_DEPTH_MAX} brackets are open here");
        return Err(Box::new(
            located(source, Code::TooComplex, at, message)
                .hint("close them: every [ needs ] and every { needs }"),
        ));
    }
    Ok(())
}

/// Where the depth of flow collections passes the bound, judged without a parser: brackets outside quotes and
/// comments count. Text that is built to deceive this costs its author time, not memory.
fn too_many_brackets(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut comment, mut before) = (0usize, None, false, ' ');
    for (at, c) in text.char_indices() {
        let free = before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':');
        match (quote, c) {
            _ if comment => comment = c != '\n',
            (Some(open), _) if c == open && before != '\\' => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if free => quote = Some(c),
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > FLOW_DEPTH_MAX {
            return Some(at);
        }
        before = c;
    }
    None
}

/// Explains an error of the reader; `at` is its byte offset, if it gave one.
pub(super) fn explain(source: &Source, text: &str, at: Option<usize>) -> Diagnostic {
    if text.contains("more than one document") {
        return several_documents(source);
    }
    if text.contains("repetition limit") {
        let finding = Diagnostic::new(Code::TooComplex, "", "aliases repeat more than the file is long");
        return finding.hint("write the values out: each use of an alias counts in full");
    }
    let at = at.unwrap_or(0);
    if let Some(offset) = conflict(source.text()) {
        return located(source, Code::YamlSyntax, offset, "a merge conflict is not resolved here")
            .hint("keep one side, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>");
    }
    if let Some((offset, quoted)) = unquoted_ipv6(source, at) {
        return located(source, Code::UnquotedIpv6, offset, "YAML cannot read an unquoted IPv6 address here")
            .hint(format!("quote it: {quoted}"));
    }
    // "PROBLEM at line 1 column 2, while ...": the place is told by the span already.
    let (problem, rest) = text.split_once(" at line ").unwrap_or((text, ""));
    let context = rest.split_once(", ").map_or(String::new(), |(_, context)| format!(", {context}"));
    let finding = located(source, Code::YamlSyntax, at, format!("YAML: {problem}{context}"));
    finding.hint(hint(source, problem, at))
}

fn located(source: &Source, code: Code, offset: usize, message: impl Into<String>) -> Diagnostic {
    let mut finding = Diagnostic::new(code, "", message);
    // Never longer than one character: the reader points at a place, not at a word.
    let len = source.text().get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    finding.span = Some(Span { len, ..source.span(offset) });
    finding
}

/// Where a version control system has left its marks.
fn conflict(text: &str) -> Option<usize> {
    let marked =
        |offset: &usize| ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| text[*offset..].starts_with(mark));
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).find(marked)
}

fn several_documents(source: &Source) -> Diagnostic {
    let mut offset = 0;
    let mut content = false;
    for line in source.text().split_inclusive('\n') {
        if content && (line.starts_with("---") || line.starts_with("...")) {
            break;
        }
        content |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
        offset += line.len();
    }
    located(source, Code::SeveralDocuments, offset, "a second YAML document starts here")
        .hint("one file is one configuration: remove the `---` line and what does not belong")
}

fn hint(source: &Source, problem: &str, at: usize) -> String {
    let rest = source.text().get(at..).unwrap_or_default();
    let line = source.line(source.line_column(at).0);
    let indent_has_tab = line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    let first = rest.chars().next();
    let hint = match problem {
        _ if first == Some('\t') || indent_has_tab => "YAML is indented with spaces, never with tabs",
        "found character that cannot start any token" => {
            "put the value in quotes: it begins with a special character"
        }
        "mapping values are not allowed in this context" => {
            "check the indentation of this line; a value that holds `: ` must be quoted"
        }
        "unknown anchor" => {
            "a value that begins with * must be quoted, unless it is an alias of an &anchor above"
        }
        "found unexpected end of stream" => "a quote is not closed",
        _ if problem.contains("expected ',' or ']'") => "a comma or the closing bracket ] is missing",
        _ if problem.contains("expected ',' or '}'") => "a comma or the closing brace } is missing",
        _ if problem.contains("expected key") || problem.contains("'-' indicator") => {
            "the indentation does not agree with the lines above"
        }
        _ => "look at this line and at the one above: indentation, quotes and brackets",
    };
    hint.to_owned()
}

/// An IPv6 address outside quotes on which the reader stumbled: its offset, and how it should read.
fn unquoted_ipv6(source: &Source, at: usize) -> Option<(usize, String)> {
    let (line_number, _) = source.line_column(at);
    let line = source.line(line_number);
    let start = at.min(source.text().len()) - source.text().get(..at)?.rsplit('\n').next()?.len();
    let error = at - start;
    ipv6_words(line).into_iter().find_map(|(from, to)| {
        let near = (from..=to).contains(&error);
        near.then(|| (start + from, format!("\"{}\"", line.get(from..to).unwrap_or_default())))
    })
}

/// Byte ranges of the unquoted IPv6 addresses of a line, with prefix length, and with brackets if a port follows.
fn ipv6_words(line: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let belongs = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '/');
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let len = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let word = &rest[..len];
        let quoted = line[..at].ends_with(['"', '\'']);
        if !quoted && is_ipv6(word) {
            let after = line.get(at + len..).unwrap_or_default();
            let port = after
                .strip_prefix("]:")
                .map(|port| port.len() - port.trim_start_matches(|c: char| c.is_ascii_digit()).len());
            match port {
                Some(digits) if line[..at].ends_with('[') => words.push((at - 1, at + len + 2 + digits)),
                _ => words.push((at, at + len)),
            }
        }
        at += len + rest[len..].chars().next().map_or(0, char::len_utf8);
    }
    words
}

/// Whether a word is an IPv6 address or prefix.
pub(super) fn is_ipv6(word: &str) -> bool {
    word.split('/').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_unquoted_addresses_only() {
        let words =
            |line: &'static str| ipv6_words(line).into_iter().map(|(a, b)| &line[a..b]).collect::<Vec<_>>();
        assert_eq!(words("addresses: [fc00::, \"::1\", 10.0.0.1, ::/0]"), ["fc00::", "::/0"]);
        assert_eq!(words("listen: [2001:db8::1]:443 # x"), ["[2001:db8::1]:443"]);
        assert_eq!(words("mac: 02:00:00:00:00:01"), Vec::<&str>::new());
        assert_eq!(words("ipv6: ::"), ["::"]);
    }

    #[test]
    fn brackets_in_quotes_and_comments_do_not_count() {
        let many = "[".repeat(FLOW_DEPTH_MAX + 1);
        assert_eq!(too_many_brackets(&format!("a: {many}")), Some(3 + FLOW_DEPTH_MAX));
        assert_eq!(too_many_brackets(&format!("a: \"{many}\"")), None);
        assert_eq!(too_many_brackets(&format!("a: 1 # {many}\n")), None);
        assert_eq!(too_many_brackets(&"[a]\n".repeat(1000)), None);
    }
}
