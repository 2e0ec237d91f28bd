//! Findings: what is wrong, where, and how to mend it.
//!
//! Every finding names its code, its field (`vips[1].addresses[0]`) and, unless it is about the whole file, the
//! place in the text. Nothing stops at the first error: readers and rules report here and go on.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use super::code::{Code, Severity};
use super::source::{Source, Span};
use super::sources::Sources;

/// More than this many are counted, not kept: a generated file can repeat one mistake a million times.
pub(super) const FINDINGS_MAX: usize = 1000;

/// A field and where its text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `vips[1].addresses[0]`; empty for the root.
    pub(super) field: String,
    /// Byte offset in the source.
    pub(super) offset: usize,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind.
    pub code: Code,
    /// Path of the field; empty for the whole file.
    pub field: String,
    /// One sentence without full stop.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// Where it is, unless it concerns the whole file.
    pub span: Option<Span>,
    /// The other place of a collision, with a few words about it.
    pub other: Option<(Span, String)>,
}

impl Diagnostic {
    /// A finding about a whole file or about something that is not in it.
    pub fn new(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: field.to_owned(), message: message.into(), hint: None, span: None, other: None }
    }

    /// Adds the mend.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Fixed by the code.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: ", self.severity().word(), self.code.id())?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for Diagnostic {}

/// All findings about a file and what it includes, in the order of the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The main text.
    pub source: Arc<Source>,
    /// The texts that it includes, in the order in which they are merged.
    pub included: Vec<Arc<Source>>,
    /// Sorted by place, then by code.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// How many of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|finding| finding.severity() == severity).count()
    }

    /// The text that a span points into.
    pub fn source_of(&self, span: Span) -> &Arc<Source> {
        span.file.checked_sub(1).and_then(|index| self.included.get(index)).unwrap_or(&self.source)
    }

    /// `file:line:column` of a span.
    pub fn place_of(&self, span: Span) -> String {
        format!("{}:{}:{}", self.source_of(span).name(), span.line, span.column)
    }

    /// The other half of a collision, when it is in another file and no snippet can show both.
    pub(super) fn elsewhere(&self, finding: &Diagnostic) -> Option<String> {
        let (span, (other, note)) = (finding.span?, finding.other.as_ref()?);
        (span.file != other.file).then(|| format!("{note}: {}", self.place_of(*other)))
    }

    /// Whether the configuration is refused.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

/// One line per finding, `file:line:column: error[GW....]: field: message (hint)`.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match finding.span {
                Some(span) => f.write_str(&self.place_of(span))?,
                None => f.write_str(self.source.name())?,
            }
            write!(f, ": {finding}")?;
            if let Some(elsewhere) = self.elsewhere(finding) {
                write!(f, " [{elsewhere}]")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The collector that readers and rules share.
#[derive(Debug)]
pub(super) struct Findings<'s> {
    source: &'s Arc<Source>,
    sources: RefCell<Sources>,
    list: RefCell<Vec<Diagnostic>>,
    omitted: Cell<usize>,
    failed: Cell<bool>,
}

impl<'s> Findings<'s> {
    pub(super) fn new(source: &'s Arc<Source>) -> Self {
        Self {
            source,
            sources: RefCell::new(Sources::new(source)),
            list: RefCell::default(),
            omitted: Cell::new(0),
            failed: Cell::new(false),
        }
    }

    /// Takes in an included text; its offsets start at what this returns, and its number is in the spans.
    pub(super) fn include(&self, source: Source) -> (usize, usize) {
        self.sources.borrow_mut().add(Arc::new(source))
    }

    /// The key or value at an offset, as written.
    pub(super) fn written(&self, offset: usize) -> String {
        self.sources.borrow().written(offset)
    }

    /// Where an offset is.
    pub(super) fn span(&self, offset: usize) -> Span {
        self.sources.borrow().span(offset)
    }

    /// Whether a list, or one of its items as a whole, could not be read.
    pub(super) fn failed_list(&self, field: &str) -> bool {
        let whole = |rest: &str| rest.is_empty() || rest.starts_with('[') && !rest.contains('.');
        let about = |finding: &Diagnostic| {
            finding.severity() == Severity::Error && finding.field.strip_prefix(field).is_some_and(whole)
        };
        self.list.borrow().iter().any(about)
    }

    /// Whether an error has been reported.
    pub(super) fn failed(&self) -> bool {
        self.failed.get()
    }

    /// Reports a finding with its mend; there is none without.
    pub(super) fn add_hint(
        &self,
        code: Code,
        place: &Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Diagnostic::new(code, &place.field, message).hint(hint), Some(place.offset));
    }

    /// Reports a collision with something elsewhere in the file.
    pub(super) fn add_pair(
        &self,
        code: Code,
        place: &Place,
        message: impl Into<String>,
        hint: &str,
        other: (&Place, String),
    ) {
        let mut finding = Diagnostic::new(code, &place.field, message).hint(hint);
        finding.other = Some((self.span(other.0.offset), other.1));
        self.push(finding, Some(place.offset));
    }

    /// Reports a finding made elsewhere.
    pub(super) fn push(&self, mut finding: Diagnostic, offset: Option<usize>) {
        self.failed.set(self.failed.get() || finding.severity() == Severity::Error);
        let mut list = self.list.borrow_mut();
        if list.len() >= FINDINGS_MAX {
            self.omitted.set(self.omitted.get() + 1);
            return;
        }
        finding.span = finding.span.or(offset.map(|offset| self.span(offset)));
        list.push(finding);
    }

    /// Sorts what was found.
    pub(super) fn finish(self) -> Diagnostics {
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| {
            (finding.span.map_or((0, 0), |span| (span.file, span.offset)), finding.code)
        });
        if self.omitted.get() > 0 {
            let message = format!("{} more findings are not listed", self.omitted.get());
            list.push(Diagnostic::new(Code::TooManyFindings, "", message).hint("mend these first"));
        }
        Diagnostics { source: Arc::clone(self.source), included: self.sources.into_inner().included(), list }
    }
}
