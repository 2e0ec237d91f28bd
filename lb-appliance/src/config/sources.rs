//! Several texts in one space of byte offsets: the main file first, then every included one behind it.
//!
//! Readers and rules know offsets only; which file one belongs to is asked when a finding is made.

use std::sync::Arc;

use super::source::{Source, Span};

/// The texts of one configuration and the offset at which each begins.
#[derive(Debug)]
pub(super) struct Sources {
    list: Vec<(usize, Arc<Source>)>,
}

impl Sources {
    pub(super) fn new(main: &Arc<Source>) -> Self {
        Self { list: vec![(0, Arc::clone(main))] }
    }

    /// Takes in another text: the offset at which it begins, and its number.
    pub(super) fn add(&mut self, source: Arc<Source>) -> (usize, usize) {
        // One more than the length: the end of a text is a place, too, and not the beginning of the next one.
        let base = self.list.last().map_or(0, |(base, last)| base + last.text().len() + 1);
        self.list.push((base, source));
        (base, self.list.len() - 1)
    }

    fn locate(&self, offset: usize) -> Option<(usize, usize, &Source)> {
        let file = self.list.partition_point(|(base, _)| *base <= offset).checked_sub(1)?;
        self.list.get(file).map(|(base, source)| (file, offset - base, source.as_ref()))
    }

    /// Where an offset is.
    pub(super) fn span(&self, offset: usize) -> Span {
        let nowhere = Span { file: 0, offset: 0, len: 0, line: 1, column: 1 };
        self.locate(offset).map_or(nowhere, |(file, offset, source)| Span { file, ..source.span(offset) })
    }

    /// The key or value at an offset, as written.
    pub(super) fn written(&self, offset: usize) -> String {
        let token = |(_, offset, source): (usize, usize, &Source)| {
            source.text().get(offset..offset + source.token_len(offset)).map(str::to_owned)
        };
        self.locate(offset).and_then(token).unwrap_or_default()
    }

    /// All but the first.
    pub(super) fn included(self) -> Vec<Arc<Source>> {
        self.list.into_iter().skip(1).map(|(_, source)| source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_belongs_to_one_text() {
        let mut sources = Sources::new(&Arc::new(Source::new("a", "a: 1\n")));
        assert_eq!(sources.add(Arc::new(Source::new("b", ""))), (6, 1));
        assert_eq!(sources.add(Arc::new(Source::new("c", "x\nyy: 1"))), (7, 2));
        let places = |offset| {
            let span = sources.span(offset);
            (span.file, span.line, span.column)
        };
        assert_eq!(
            [places(0), places(5), places(6), places(7), places(9)],
            [(0, 1, 1), (0, 2, 1), (1, 1, 1), (2, 1, 1), (2, 2, 1)]
        );
        assert_eq!(sources.written(9), "yy");
    }
}
