//! What is wrong with a file: errors and warnings, each with its place.

use std::fmt;
use std::ops::Range;

use super::source::{Position, Source};
use super::value::Complaint;

/// Everything that is wrong with a configuration file, in the order of the file.
///
/// Shown one error a line, then a line with their number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", lines(.errors), self.closing())]
pub struct ConfigErrors {
    file: String,
    errors: Vec<ConfigError>,
    /// Errors found after the list was full.
    further: usize,
}

/// One thing that is wrong.
///
/// Shown as `file:line:column: path = value: what is wrong; what would do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Finding);

/// One thing that is accepted, but hardly meant.
///
/// Shown as `file:line:column: warning: path = value: what is odd; what was done`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(Finding);

/// What both have: where and what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    file: String,
    /// `None` for what concerns the file as a whole.
    position: Option<Position>,
    /// The key, as `port[0].addresses[1]`, counted from 0 as in JSON paths; empty
    /// where no key is to blame.
    path: String,
    /// What stands there, where it helps to repeat it.
    value: Option<String>,
    /// What is wrong and what would do.
    message: String,
}

impl ConfigErrors {
    /// One error about a file that could not be read at all.
    pub(super) fn unreadable(file: &str, message: impl Into<String>) -> Self {
        let error = ConfigError(Finding {
            file: file.to_owned(),
            position: None,
            path: String::new(),
            value: None,
            message: message.into(),
        });
        Self { file: file.to_owned(), errors: vec![error], further: 0 }
    }

    /// The errors, in the order of the file; at least one, at most 1 000.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    fn closing(&self) -> String {
        let count = self.errors.len() + self.further;
        let shown = match self.further {
            0 => String::new(),
            _ => format!(", {} shown", self.errors.len()),
        };
        let noun = if count == 1 { "error" } else { "errors" };
        format!("{}: {count} {noun}{shown}", self.file)
    }
}

impl ConfigError {
    /// Where it is. `None` if the file as a whole is to blame.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }
}

impl Warning {
    /// Where it is.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, "")
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, "warning: ")
    }
}

impl Finding {
    fn show(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {kind}")?;
        match (&self.path, &self.value) {
            (path, _) if path.is_empty() => {}
            (path, None) => write!(f, "{path}: ")?,
            (path, Some(value)) => write!(f, "{path} = {value}: ")?,
        }
        f.write_str(&self.message)
    }
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// The place of a key, a value or a table, to hang a finding on.
#[derive(Debug, Clone)]
pub(super) struct At {
    /// Byte offset.
    offset: usize,
    path: String,
    value: Option<String>,
}

impl At {
    /// A table, or a key whose value says nothing.
    pub(super) fn place(offset: usize, path: impl Into<String>) -> Self {
        Self { offset, path: path.into(), value: None }
    }

    /// A key of the table that is here, and at its place.
    pub(super) fn within(&self, key: &str) -> Self {
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Self::place(self.offset, path)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Spanned<T> {
    pub(super) at: At,
    pub(super) value: T,
}

/// Collects findings while a file is read and checked.
pub(super) struct Report<'a> {
    file: &'a str,
    source: Source<'a>,
    errors: Vec<(usize, ConfigError)>,
    further: usize,
    warnings: Vec<(usize, Warning)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, source: Source::new(text), errors: Vec::new(), further: 0, warnings: Vec::new() }
    }

    /// The place of the value at `span`.
    pub(super) fn at(&self, span: Range<usize>, path: String) -> At {
        At { offset: span.start, path, value: Some(self.source.excerpt(span)) }
    }

    /// `what` is wrong there; `remedy` would do.
    pub(super) fn error(&mut self, at: &At, what: impl fmt::Display, remedy: impl fmt::Display) {
        if self.errors.len() == MOST_FINDINGS {
            self.further += 1;
            return;
        }
        let finding = self.finding(at, format!("{what}; {remedy}"));
        self.errors.push((at.offset, ConfigError(finding)));
    }

    /// `what` is odd there; `done` was done about it, or would do.
    pub(super) fn warn(&mut self, at: &At, what: impl fmt::Display, done: impl fmt::Display) {
        if self.warnings.len() == MOST_FINDINGS {
            return;
        }
        let finding = self.finding(at, format!("{what}; {done}"));
        self.warnings.push((at.offset, Warning(finding)));
    }

    /// The value, if there is nothing to complain about.
    pub(super) fn accept<T>(&mut self, at: At, checked: Result<T, Complaint>) -> Option<Spanned<T>> {
        match checked {
            Ok(value) => Some(Spanned { at, value }),
            Err(Complaint { what, remedy }) => {
                self.error(&at, what, remedy);
                None
            }
        }
    }

    /// `port[0], line 5`, to say where the other one is.
    pub(super) fn reference(&self, at: &At) -> String {
        let line = self.source.position(at.offset).line;
        format!("{}, line {line}", at.path)
    }

    /// How many errors there are so far.
    pub(super) fn error_count(&self) -> usize {
        self.errors.len() + self.further
    }

    /// The warnings, in the order of the file; or, if there are any, the errors.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, ConfigErrors> {
        if !self.errors.is_empty() {
            return Err(self.fail());
        }
        // Stable: what concerns one place stays in the order in which it was found.
        self.warnings.sort_by_key(|&(offset, _)| offset);
        Ok(self.warnings.into_iter().map(|(_, warning)| warning).collect())
    }

    /// The errors, in the order of the file.
    pub(super) fn fail(mut self) -> ConfigErrors {
        self.errors.sort_by_key(|&(offset, _)| offset);
        ConfigErrors {
            file: self.file.to_owned(),
            errors: self.errors.into_iter().map(|(_, error)| error).collect(),
            further: self.further,
        }
    }

    fn finding(&self, at: &At, message: String) -> Finding {
        Finding {
            file: self.file.to_owned(),
            position: Some(self.source.position(at.offset)),
            path: at.path.clone(),
            value: at.value.clone(),
            message,
        }
    }
}

/// A file of nothing but errors must not fill the memory with messages.
const MOST_FINDINGS: usize = 1_000;
