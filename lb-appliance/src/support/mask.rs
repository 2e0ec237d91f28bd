//! Secrets out of configuration texts, comments and layout kept.
//!
//! Works on lines, not on the parsed file: a bundle is wanted most when the file does not parse. A value is masked if its
//! key sounds like a secret, whatever the section, so keys to come are covered; too much is masked rather than too little.

/// What stands in the place of a secret.
pub const MASK: &str = "\"***\"";

/// Parts of key names whose values nobody else should see.
const WORDS: [&str; 8] = ["seed", "token", "passw", "secret", "key", "auth", "cookie", "credential"];

/// The text without its secrets.
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Indentation of a secret's key while its value may go on below it.
    let mut below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let (content, end) = line.find(['\r', '\n']).map_or((line, ""), |at| line.split_at(at));
        let indent = content.len() - content.trim_start_matches([' ', '-', '\t']).len();
        if below.is_some_and(|of_key| content.trim().is_empty() || indent > of_key) {
            if !content.trim().is_empty() {
                out += &content[..indent];
                out += MASK;
            }
            out += end;
            continue;
        }
        let (line, is_open) = masked_line(content);
        below = is_open.then_some(indent);
        out += &line;
        out += end;
    }
    out
}

/// A line without its secrets, and whether the value of the last one may go on below, where it is indented more.
fn masked_line(line: &str) -> (String, bool) {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut is_open = false;
    while let Some((colon, value_at)) = next_secret(rest) {
        out += &rest[..value_at];
        let value = &rest[value_at..];
        let len = value_len(value);
        let written = value[..len].trim();
        // Nothing, a block scalar (`|`), an anchor alone, or an open bracket: the value is on the lines below.
        let opens = ["|", ">", "[", "{", "&"].iter().any(|open| written.starts_with(open));
        let closed = written.ends_with([']', '}']);
        if written.is_empty() || opens && !closed {
            debug_assert!(colon < value_at);
            return (out + if written.is_empty() { "" } else { MASK }, true);
        }
        out += MASK;
        rest = &value[len..];
        // Scalars may run over several lines, with quotes or without; behind a comma or a bracket they have ended.
        is_open = rest.trim().is_empty() || rest.trim_start().starts_with('#');
    }
    (out + rest, is_open && !line.trim_start().starts_with('#'))
}

/// Where the value of the first secret key starts, behind its colon: (colon, value).
fn next_secret(text: &str) -> Option<(usize, usize)> {
    for (colon, _) in text.match_indices(':') {
        let after = &text[colon + 1..];
        if !(after.is_empty() || after.starts_with([' ', '\t'])) {
            // JSON needs no blank behind a quoted key.
            if !text[..colon].ends_with(['"', '\'']) {
                continue;
            }
        }
        let before = text[..colon].trim_end().trim_end_matches(['"', '\'']);
        let from = before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let key = before[from..].to_lowercase();
        if WORDS.iter().any(|word| key.contains(word)) {
            let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
            return Some((colon, colon + 1 + blanks));
        }
    }
    None
}

/// Bytes of a value: to its closing quote or bracket, or to what ends a plain one.
fn value_len(value: &str) -> usize {
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            for (at, c) in value.char_indices().skip(1) {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if quote == '"' => escaped = true,
                    _ if c == quote => return at + 1,
                    _ => {}
                }
            }
            value.len()
        }
        Some('[' | '{') => {
            let mut depth = 0usize;
            for (at, c) in value.char_indices() {
                match c {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return at + 1;
                }
            }
            value.len()
        }
        _ => [",", "}", "]", " #"].iter().filter_map(|end| value.find(end)).min().unwrap_or(value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_go_and_everything_else_stays() {
        for (text, expected) in [
            ("seed: \"0x1f\" # fleet\n", "seed: \"***\" # fleet\n"),
            (
                "  maglev: {table_size: 7, seed: \"0x1f\", x: 1}\n",
                "  maglev: {table_size: 7, seed: \"***\", x: 1}\n",
            ),
            ("{\"seed\":\"0x1f\",\"x\":1}", "{\"seed\":\"***\",\"x\":1}"),
            (
                "headers: {Authorization: Bearer abc, Host: x}\r\n",
                "headers: {Authorization: \"***\", Host: x}\r\n",
            ),
            ("password: 'a: b'\nport: 80\n", "password: \"***\"\nport: 80\n"),
            ("api_key: abc\n", "api_key: \"***\"\n"),
            ("token:\n  abc\n  def\nport: 1\n", "token:\n  \"***\"\n  \"***\"\nport: 1\n"),
            ("token: |\n  abc\n\n  def\nport: 1\n", "token: \"***\"\n  \"***\"\n\n  \"***\"\nport: 1\n"),
            ("token: abc\n  def\nport: 1\n", "token: \"***\"\n  \"***\"\nport: 1\n"),
            ("token: \"abc\n  def\"\nport: 1\n", "token: \"***\"\n  \"***\"\nport: 1\n"),
            ("tokens:\n- abc\nport: 1\n", "tokens:\n- \"***\"\nport: 1\n"),
            ("a:\n  # seed: 1\n    b: 2\n", "a:\n  # seed: \"***\"\n    b: 2\n"),
            ("tokens: [a, b]\nport: 1\n", "tokens: \"***\"\nport: 1\n"),
            ("address: \"2001:db8::1\"\n", "address: \"2001:db8::1\"\n"),
            ("# seed: \"0x1f\"\n", "# seed: \"***\"\n"),
            ("seed: \"0x1f", "seed: \"***\""),
        ] {
            assert_eq!(masked(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_secret_never_shows(
            before in "[ a-z:{,\n]{0,20}",
            key in prop::sample::select(vec!["seed", "auth_token", "Password", "tls_key", "client-secret"]),
            gap in prop::sample::select(vec![
                " ", "  ", "\n    ", " |\n    ", " >-\n    ", " &a ", " x\n    ", " \"x\n    ", " 'x\n\n    ", "\n- ",
            ]),
            quote in prop::sample::select(vec!["", "\"", "'"]),
            after in "[ a-z:},\n#]{0,20}",
        ) {
            let text = format!("{before}\n{key}:{gap}{quote}S3CR3T{quote}{after}");
            prop_assert!(!masked(&text).contains("S3CR3T"), "{text}\n->\n{}", masked(&text));
        }

        #[test]
        fn any_text_can_be_masked(text in "\\PC{0,200}") {
            let _ = masked(&text);
        }
    }
}
