//! Findings for people (miette: the line, the underline, the mend) and for programs (JSON).
//!
//! The JSON report is a contract: `version` counts its incompatible changes, fields are only ever added.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, SourceSpan};
use serde::Serialize;

use super::code::Severity;
use super::finding::{Diagnostic, Diagnostics};
use super::snippet::is_showable;
use super::source::{Source, Span};

/// Version of the JSON report.
pub(super) const REPORT_VERSION: u32 = 1;

/// How a report for people may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// ASCII, no colour: files, pipes, `NO_COLOR` without a terminal.
    Plain,
    /// Box drawing, no colour: a terminal with `NO_COLOR`.
    Drawn,
    /// Box drawing and colour.
    Coloured,
}

/// The JSON report.
#[derive(Debug, Serialize)]
pub struct Report<'d> {
    version: u32,
    file: &'d str,
    valid: bool,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<ReportItem<'d>>,
}

#[derive(Debug, Serialize)]
struct ReportItem<'d> {
    code: &'static str,
    severity: &'static str,
    file: &'d str,
    line: Option<usize>,
    column: Option<usize>,
    field: &'d str,
    message: &'d str,
    hint: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<ReportPlace<'d>>,
}

/// The other place of a collision.
#[derive(Debug, Serialize)]
struct ReportPlace<'d> {
    file: &'d str,
    line: usize,
    column: usize,
    note: &'d str,
}

impl Diagnostics {
    /// The report for programs; `strict` makes warnings count against validity.
    pub fn report(&self, strict: bool) -> Report<'_> {
        let file = self.source.name();
        let item = |finding: &'_ Diagnostic| -> (Option<usize>, Option<usize>) {
            finding.span.map_or((None, None), |span| (Some(span.line), Some(span.column)))
        };
        let diagnostics = self.list.iter().map(|finding| ReportItem {
            code: finding.code.id(),
            severity: finding.severity().word(),
            file: finding.span.map_or(file, |span| self.source_of(span).name()),
            line: item(finding).0,
            column: item(finding).1,
            field: &finding.field,
            message: &finding.message,
            hint: finding.hint.as_deref(),
            other: finding.other.as_ref().map(|(span, note)| ReportPlace {
                file: self.source_of(*span).name(),
                line: span.line,
                column: span.column,
                note,
            }),
        });
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        Report {
            version: REPORT_VERSION,
            file,
            valid: errors == 0 && (warnings == 0 || !strict),
            errors,
            warnings,
            diagnostics: diagnostics.collect(),
        }
    }

    /// The report for people, one paragraph per finding.
    pub fn render(&self, look: Look) -> String {
        let theme = match look {
            Look::Plain => GraphicalTheme::none(),
            Look::Drawn => GraphicalTheme::unicode_nocolor(),
            Look::Coloured => GraphicalTheme::unicode(),
        };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false).with_context_lines(1);
        let mut out = String::new();
        for finding in &self.list {
            // Writing to a string cannot fail.
            let _ = handler.render_report(&mut out, &Shown::new(finding, self));
            out.push('\n');
        }
        out
    }
}

/// A finding as miette wants to see it.
struct Shown<'d> {
    finding: &'d Diagnostic,
    source: &'d Source,
    has_snippet: bool,
    /// The other half of a collision, when it is in another file.
    elsewhere: Option<String>,
}

impl<'d> Shown<'d> {
    fn new(finding: &'d Diagnostic, all: &'d Diagnostics) -> Self {
        let source = finding.span.map_or(&all.source, |span| all.source_of(span));
        let elsewhere = all.elsewhere(finding);
        let other = finding.other.as_ref().map(|(span, _)| *span).filter(|_| elsewhere.is_none());
        let showable = |span: &Span| is_showable(source, span.offset, span.len);
        let has_snippet = finding.span.is_some() && finding.span.iter().chain(&other).all(showable);
        Self { finding, source, has_snippet, elsewhere }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = self.finding.span.filter(|_| !self.has_snippet) {
            write!(f, "{}:{}:{}: ", self.source.name(), span.line, span.column)?;
        }
        if !self.finding.field.is_empty() {
            write!(f, "{}: ", self.finding.field)?;
        }
        f.write_str(&self.finding.message)?;
        self.elsewhere.as_ref().map_or(Ok(()), |elsewhere| write!(f, " ({elsewhere})"))
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.finding.code.id()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.has_snippet.then_some(self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.finding.span.filter(|_| self.has_snippet)?;
        let place = |span: &Span| SourceSpan::from((span.offset, span.len));
        let other = self.finding.other.as_ref().filter(|_| self.elsewhere.is_none());
        let other = other.map(|(span, note)| LabeledSpan::new_with_span(Some(note.clone()), place(span)));
        let text = other.as_ref().map(|_| "again here".to_owned());
        let here = LabeledSpan::new_primary_with_span(text, place(&span));
        Some(Box::new(std::iter::once(here).chain(other)))
    }
}
