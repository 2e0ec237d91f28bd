//! The text of one configuration file and the arithmetic of positions in it.
//!
//! Byte offsets are the only currency inside `config`; lines and columns (both from 1, columns in characters) are
//! computed when somebody reads them. A line ends at `\n` for people and editors, but YAML 1.1 (5.4) also breaks at
//! `\r`, NEL, LS and PS, so positions reported by the YAML reader are translated here and nowhere else.

/// Characters between two entries of the index; bounds what a conversion has to walk.
const STRIDE: usize = 256;
/// Bytes that are looked at around a place, however long its line is.
const NEIGHBOURHOOD: usize = 256;

/// A named text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offset of every line as people count them.
    lines: Vec<usize>,
    /// Number of the first character of every line as YAML counts them.
    yaml_lines: Vec<usize>,
    /// Byte offset of every `STRIDE`th character.
    index: Vec<usize>,
}

/// A stretch of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which text: 0 = the main file, n = the nth included one.
    pub file: usize,
    /// First byte.
    pub offset: usize,
    /// Bytes, never past the end of the line.
    pub len: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Source {
    /// Takes a text; a leading byte order mark is dropped, as YAML demands.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let (mut lines, mut yaml_lines, mut index) = (vec![0], vec![0], Vec::new());
        let mut chars = text.char_indices().enumerate().peekable();
        while let Some((number, (at, c))) = chars.next() {
            if number % STRIDE == 0 {
                index.push(at);
            }
            if c == '\n' {
                lines.push(at + 1);
            }
            let crlf = c == '\r' && chars.peek().is_some_and(|(_, (_, following))| *following == '\n');
            if matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') && !crlf {
                yaml_lines.push(number + 1);
            }
        }
        Self { name: name.into(), text, lines, yaml_lines, index }
    }

    /// What the file is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text without byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Byte offset of a position of the YAML reader (line and column from 1); clamped to the text.
    pub(super) fn offset_of_yaml(&self, line: usize, column: usize) -> usize {
        let Some(start) = self.yaml_lines.get(line.saturating_sub(1)) else { return self.text.len() };
        let number = start + column.saturating_sub(1);
        let Some(&near) = self.index.get(number / STRIDE) else { return self.text.len() };
        let rest = self.text.get(near..).unwrap_or_default();
        rest.char_indices().nth(number % STRIDE).map_or(self.text.len(), |(at, _)| near + at)
    }

    /// Number of the character that starts at a byte offset.
    fn number(&self, offset: usize) -> usize {
        let entry = self.index.partition_point(|near| *near <= offset).saturating_sub(1);
        let near = self.index.get(entry).copied().unwrap_or_default();
        let walked = self.text.get(near..offset.min(self.text.len())).unwrap_or_default();
        entry * STRIDE + walked.chars().count()
    }

    /// Line and column (from 1) of a byte offset.
    pub(super) fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        (line, self.number(offset) - self.number(start) + 1)
    }

    /// Byte offset at which a line (from 1) starts; the end of the text for lines past it.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// The text of a line (from 1) without its end.
    pub(super) fn line(&self, line: usize) -> &str {
        let Some(&start) = self.lines.get(line.saturating_sub(1)) else { return "" };
        self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default()
    }

    /// The key or value that starts at `offset`, for underlining.
    pub(super) fn span(&self, offset: usize) -> Span {
        let (line, column) = self.line_column(offset);
        Span { file: 0, offset, len: self.token_len(offset), line, column }
    }

    /// Bytes of the key or value that starts at `offset`, as far as they are in its neighbourhood.
    pub(super) fn token_len(&self, offset: usize) -> usize {
        let end = self.text.floor_char_boundary(offset.saturating_add(NEIGHBOURHOOD));
        token_len(self.text.get(offset..end).unwrap_or_default().lines().next().unwrap_or_default())
    }

    /// The first opening bracket at or behind `offset` that is not in a comment; `offset` if there is none.
    pub(super) fn next_bracket(&self, offset: usize) -> usize {
        let mut comment = false;
        let mut before = ' ';
        let nearby = self.text.get(offset..).unwrap_or_default().char_indices().take(NEIGHBOURHOOD);
        for (at, c) in nearby {
            comment = c != '\n' && (comment || c == '#' && before.is_whitespace());
            if !comment && matches!(c, '[' | '{') {
                return offset + at;
            }
            before = c;
        }
        offset
    }

    /// Where a list or mapping begins whose first child is at `child`: at its bracket or dash, if one is there.
    pub(super) fn opening(&self, child: usize, openers: &[char]) -> usize {
        let nearby = self.text.get(..child).unwrap_or_default().char_indices().rev().take(NEIGHBOURHOOD);
        let mut before = nearby.skip_while(|(_, c)| c.is_whitespace());
        before.next().filter(|(_, c)| openers.contains(c)).map_or(child, |(at, _)| at)
    }
}

/// Bytes of the YAML token at the start of `rest`, at least 1 unless `rest` is empty.
fn token_len(rest: &str) -> usize {
    let first = rest.chars().next();
    if let Some(quote @ ('"' | '\'')) = first {
        return rest[1..].find(quote).map_or(rest.trim_end().len(), |end| end + 2);
    }
    let ends = [": ", " #", ", ", ",", "]", "}"];
    let stop = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let token = rest[..stop].trim_end();
    let token = if stop == rest.len() { token.strip_suffix(':').unwrap_or(token) } else { token };
    token.len().max(first.map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_positions_are_inverse() {
        let source = Source::new("x", "a: 1\nbé: [ü, \"z\"]\r\nc: 3\n");
        for (line, column, expected) in [(1, 1, 'a'), (2, 2, 'é'), (2, 6, 'ü'), (3, 4, '3')] {
            let offset = source.offset_of_yaml(line, column);
            assert_eq!(source.text()[offset..].chars().next(), Some(expected));
            assert_eq!(source.line_column(offset), (line, column));
        }
    }

    #[test]
    fn unusual_line_breaks_count_for_yaml_only() {
        let source = Source::new("x", "a: 1\u{2028}b: 2\n");
        let offset = source.offset_of_yaml(2, 1);
        assert_eq!(&source.text()[offset..], "b: 2\n");
        assert_eq!(source.line_column(offset), (1, 6));
    }

    #[test]
    fn positions_past_the_end_are_clamped() {
        let source = Source::new("x", "a");
        assert_eq!(source.offset_of_yaml(9, 9), 1);
        assert_eq!(source.offset_of_yaml(1, 9), 1);
        assert_eq!(source.span(1), Span { file: 0, offset: 1, len: 0, line: 1, column: 2 });
        assert_eq!(Source::new("x", "").span(0).line, 1);
    }

    #[test]
    fn long_lines_are_indexed() {
        let source = Source::new("x", &format!("a\n{}", "éx".repeat(1000)));
        for column in [1, 2, 255, 256, 257, 1999, 2000] {
            let offset = source.offset_of_yaml(2, column);
            assert_eq!(offset, 2 + (column - 1) / 2 * 3 + (column - 1) % 2 * 2);
            assert_eq!(source.line_column(offset), (2, column));
        }
    }

    #[test]
    fn tokens_end_where_yaml_ends_them() {
        for (rest, token) in [
            ("name: x", "name"),
            ("name:", "name"),
            ("10.0.0.1, 10.0.0.2]", "10.0.0.1"),
            ("\"a, b\" # c", "\"a, b\""),
            ("x # y", "x"),
            ("]", "]"),
            ("\"open", "\"open"),
        ] {
            assert_eq!(&rest[..token_len(rest)], token, "{rest}");
        }
    }
}
