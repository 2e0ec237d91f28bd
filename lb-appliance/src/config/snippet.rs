//! The lines around a finding, as miette asks for them.
//!
//! miette's own reader walks the text from its start for every snippet and counts columns in bytes. This one uses
//! the line table, so a thousand findings in a long file stay cheap and columns are those of the finding. Lines too
//! long to show are not shown.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::source::Source;

/// Bytes of the longest line that is worth showing.
const LINE_BYTES_MAX: usize = 400;

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len());
        let (line, column) = self.line_column(from);
        let (last, _) = self.line_column(to);
        // Without context miette asks where the span is, and its column with it.
        let (start, end, line, column) = if before == 0 && after == 0 {
            (from, to, line, column)
        } else {
            let first = line.saturating_sub(before).max(1);
            (self.line_start(first), self.line_start(last + after + 1), first, 1)
        };
        let data = self.text().get(start..end).ok_or(MietteError::OutOfBounds)?;
        if data.lines().any(|line| line.len() > LINE_BYTES_MAX) {
            return Err(MietteError::OutOfBounds);
        }
        let lines = data.lines().count();
        let span = (start, end - start).into();
        let name = self.name().to_owned();
        Ok(Box::new(MietteSpanContents::new_named(name, data.as_bytes(), span, line - 1, column - 1, lines)))
    }
}

/// Whether the lines of a span can be shown.
pub(super) fn is_showable(source: &Source, offset: usize, len: usize) -> bool {
    source.read_span(&(offset, len).into(), 1, 1).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_whole_lines_around_the_span() {
        let source = Source::new("t", "one\ntwo\nthré e\nfour\nfive\n");
        let offset = source.text().find(" e").unwrap() + 1;
        let window = source.read_span(&(offset, 1).into(), 1, 1).unwrap();
        assert_eq!(window.data(), "two\nthré e\nfour\n".as_bytes());
        assert_eq!((window.line(), window.column(), window.line_count()), (1, 0, 3));
        let exact = source.read_span(&(offset, 1).into(), 0, 0).unwrap();
        assert_eq!((exact.line(), exact.column()), (2, 5));
    }

    #[test]
    fn endless_lines_are_not_shown() {
        assert!(!is_showable(&Source::new("t", &"x".repeat(LINE_BYTES_MAX + 1)), 0, 1));
        assert!(is_showable(&Source::new("t", ""), 0, 0));
        assert!(is_showable(&Source::new("t", "a"), 1, 0));
    }
}
