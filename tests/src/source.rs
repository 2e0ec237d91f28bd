//! The project's own files as text to judge: which there are, and Rust code without its comments and strings.
//!
//! What must hold: a rule is applied to every file of its kind, found by walking the tree; there is no list to forget.

use std::path::{Path, PathBuf};

use crate::program::repository;

/// Folders that are not source: build output, history, and what a failed test leaves.
const NOT_SOURCE: [&str; 4] = ["target", ".git", "artifacts", "proptest-regressions"];

/// One text file of the repository.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// All text files whose name ends in one of `endings` (an empty ending takes files without a dot).
#[must_use]
pub fn files(endings: &[&str]) -> Vec<Source> {
    let root = repository();
    let mut found = Vec::new();
    walk(&root, &root, &mut |path, relative| {
        let name = relative.rsplit('/').next().unwrap_or_default();
        let fits =
            |ending: &&str| if ending.is_empty() { !name.contains('.') } else { name.ends_with(*ending) };
        if endings.iter().any(fits)
            && let Ok(text) = std::fs::read_to_string(path)
        {
            found.push(Source { path: relative.to_owned(), text });
        }
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(root: &Path, folder: &Path, visit: &mut dyn FnMut(&PathBuf, &str)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || NOT_SOURCE.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, visit);
        } else if let Ok(relative) = path.strip_prefix(root) {
            visit(&path, &relative.to_string_lossy());
        }
    }
}

/// Rust code with every comment and every string's content blanked; lines stay where they were.
#[must_use]
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = vec![b' '; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped(bytes, at);
        if end > at {
            for index in at..end {
                if bytes[index] == b'\n' {
                    code[index] = b'\n';
                }
            }
            at = end;
        } else {
            code[at] = bytes[at];
            at += 1;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Where the comment, string or character literal that begins at `at` ends; `at` when none begins there.
fn skipped(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    if rest[0] == b'"' {
        return quoted_end(bytes, at + 1, b'"');
    }
    let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if !after_word || bytes[at - 1] == b'b' {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest[0] == b'r' && rest.get(1 + hashes) == Some(&b'"') {
            let mut close = vec![b'"'];
            close.extend(std::iter::repeat_n(b'#', hashes));
            let body = at + 2 + hashes;
            let length = bytes[body..].windows(close.len()).position(|window| window == close);
            return length.map_or(bytes.len(), |length| body + length + close.len());
        }
    }
    // A lifetime is a quote without a closing quote after one (escaped) character.
    let one = rest.get(1).is_some_and(|byte| *byte == b'\\');
    if rest[0] == b'\'' && (one || closes_after_one_character(rest)) {
        return quoted_end(bytes, at + 1, b'\'');
    }
    at
}

fn closes_after_one_character(rest: &[u8]) -> bool {
    let width = match rest.get(1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    rest.get(1 + width) == Some(&b'\'')
}

fn quoted_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// A function: its name, the line it begins on (from 1), and how many lines of code its body has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`.
    pub line: usize,
    /// Lines between its braces that hold code.
    pub body_lines: usize,
}

/// All functions with a body, nested ones too.
#[must_use]
pub fn functions(text: &str) -> Vec<Function> {
    let code = code_only(text);
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let name: String =
            code[at + 3..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some((open, close)) = body(bytes, at) {
            let lines = code[open + 1..close].lines().filter(|line| !line.trim().is_empty()).count();
            found.push(Function { name, line: code[..at].matches('\n').count() + 1, body_lines: lines });
        }
    }
    found
}

/// The braces of the body of the function that begins at `at`; none for a declaration that ends in `;`.
fn body(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (mut open, mut depth, mut brackets) = (None, 0_i32, 0_i32);
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'[' | b'(' => brackets += 1,
            b']' | b')' => brackets -= 1,
            b';' if open.is_none() && brackets == 0 => return None,
            b'{' => {
                open = open.or(Some(index));
                depth += 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return open.map(|open| (open, index));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blank() {
        let code = code_only(
            "let a = \"unsafe { // }\"; // unsafe\nlet b = r#\"un\"safe\"#; /* x /* y */ unsafe */ 'l: loop {}\n",
        );
        assert!(!code.contains("unsafe") && !code.contains("safe"));
        assert!(code.contains("let b =") && code.contains("'l: loop {}"));
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn character_literals_do_not_open_braces() {
        let text = "fn a<'x>(y: &'x str) -> bool {\n    y.contains('{') || y.contains('\\'')\n\n    // nothing\n}\nfn b();\n";
        assert_eq!(functions(text), [Function { name: "a".to_owned(), line: 1, body_lines: 1 }]);
    }
}
