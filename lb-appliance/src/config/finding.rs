//! Findings: what is wrong, where, and how to mend it.
//!
//! Every finding names its code, its field (`vips[1].addresses[0]`) and, unless it is about the whole file, the
//! place in the text. Nothing stops at the first error: readers and rules report here and go on.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use super::code::{Code, Severity};
use super::source::{Source, Span};

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

/// All findings about one file, in the order of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The text they point into.
    pub source: Arc<Source>,
    /// Sorted by place, then by code.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// How many of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|finding| finding.severity() == severity).count()
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
            f.write_str(self.source.name())?;
            if let Some(span) = finding.span {
                write!(f, ":{}:{}", span.line, span.column)?;
            }
            write!(f, ": {finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The collector that readers and rules share.
#[derive(Debug)]
pub(super) struct Findings<'s> {
    source: &'s Arc<Source>,
    list: RefCell<Vec<Diagnostic>>,
    omitted: Cell<usize>,
    failed: Cell<bool>,
}

impl<'s> Findings<'s> {
    pub(super) fn new(source: &'s Arc<Source>) -> Self {
        Self { source, list: RefCell::default(), omitted: Cell::new(0), failed: Cell::new(false) }
    }

    pub(super) fn source(&self) -> &'s Source {
        self.source
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
        finding.other = Some((self.source.span(other.0.offset), other.1));
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
        finding.span = finding.span.or(offset.map(|offset| self.source.span(offset)));
        list.push(finding);
    }

    /// Sorts what was found.
    pub(super) fn finish(self) -> Diagnostics {
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| (finding.span.map_or(0, |span| span.offset), finding.code));
        if self.omitted.get() > 0 {
            let message = format!("{} more findings are not listed", self.omitted.get());
            list.push(Diagnostic::new(Code::TooManyFindings, "", message).hint("mend these first"));
        }
        Diagnostics { source: Arc::clone(self.source), list }
    }
}
