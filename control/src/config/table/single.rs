//! Single values of a table: texts, numbers, words, ports.

use std::ops::RangeInclusive;

use super::{Read, Table, bounded};
use crate::config::report::{Report, Spanned};
use crate::config::schema::{Fallback, Kind, suggestion};
use crate::config::value::{self, Complaint};

impl<'d> Table<'d> {
    pub(in crate::config) fn text(&self, report: &mut Report<'_>, key: &str) -> Read<&'d str> {
        let (key, item) = self.entry(report, key)?;
        let Some(item) = item else {
            let Fallback::Text(value) = key.fallback else {
                return None;
            };
            let at = self.at.within(key.name);
            return Some(Spanned { at, value });
        };
        let at = self.value_place(report, key, item);
        match item.as_str() {
            Some(value) => Some(Spanned { at, value }),
            None => self.mismatch(report, key, &at, item.type_name(), "a string"),
        }
    }

    /// A string, if `check` accepts it.
    pub(in crate::config) fn parsed<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        check: impl FnOnce(&'d str) -> Result<T, Complaint>,
    ) -> Read<T> {
        let text = self.text(report, key)?;
        report.accept(text.at, check(text.value))
    }

    /// A number within the range of the key.
    pub(in crate::config) fn number(&self, report: &mut Report<'_>, key: &str) -> Read<u64> {
        let (key, item) = self.entry(report, key)?;
        let Kind::Number { min, max, unit, source } = key.kind else {
            panic!("{} is not a number in the table of keys", key.name);
        };
        let Some(item) = item else {
            let Fallback::Number(value) = key.fallback else {
                return None;
            };
            let at = self.at.within(key.name);
            return Some(Spanned { at, value });
        };
        let at = self.value_place(report, key, item);
        let Some(integer) = item.as_integer() else {
            return self.mismatch(report, key, &at, item.type_name(), "a whole number");
        };
        match u64::try_from(integer) {
            Ok(value) if (min..=max).contains(&value) => Some(Spanned { at, value }),
            _ => {
                let by = if source.is_empty() { String::new() } else { format!(" ({source})") };
                let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
                let remedy = format!("{min} to {max}{unit} would do{by}");
                report.error(&at, "is out of range", remedy);
                None
            }
        }
    }

    /// One of the words of the key.
    pub(in crate::config) fn choice(&self, report: &mut Report<'_>, key: &str) -> Read<&'static str> {
        let text = self.text(report, key)?;
        let Kind::Choice(words) = self.section.key(key).kind else {
            panic!("{key} is not a choice in the table of keys");
        };
        one_of(report, words, text)
    }

    /// The words of the key, one or several. What is none of them is reported and left
    /// out.
    pub(in crate::config) fn choices(&self, report: &mut Report<'_>, key: &str) -> Option<Vec<Spanned<&'static str>>> {
        let (key, item) = self.entry(report, key)?;
        let Kind::Choices(words) = key.kind else {
            panic!("{} is not choices in the table of keys", key.name);
        };
        let item = item?;
        let at = self.value_place(report, key, item);
        let elements = match (item.as_array(), item.as_value()) {
            (Some(array), _) if array.is_empty() => {
                report.error(&at, "is empty", format!("write {}", self.example(key)));
                return None;
            }
            (Some(array), _) => bounded(report, &at, array, words.len()),
            (None, Some(value)) => vec![Spanned { at, value }],
            (None, None) => {
                self.mismatch::<()>(report, key, &at, item.type_name(), "a string or a list");
                return None;
            }
        };
        let mut chosen = Vec::new();
        for Spanned { at, value } in elements {
            match value.as_str() {
                Some(value) => chosen.extend(one_of(report, words, Spanned { at, value })),
                None => {
                    self.mismatch::<()>(report, key, &at, value.type_name(), "a string");
                }
            }
        }
        Some(chosen)
    }

    /// Whether the key stands and is true.
    pub(in crate::config) fn flag(&self, report: &mut Report<'_>, key: &str) -> bool {
        let Some((key, Some(item))) = self.entry(report, key) else {
            return false;
        };
        let at = self.value_place(report, key, item);
        item.as_bool().unwrap_or_else(|| {
            self.mismatch::<()>(report, key, &at, item.type_name(), "true or false");
            false
        })
    }

    /// A port or a range of ports, none of them 0.
    pub(in crate::config) fn ports(&self, report: &mut Report<'_>, key: &str) -> Read<RangeInclusive<u16>> {
        let (key, item) = self.entry(report, key)?;
        let item = item?;
        let at = self.value_place(report, key, item);
        if let Some(text) = item.as_str() {
            return report.accept(at, value::port_range(text));
        }
        let Some(integer) = item.as_integer() else {
            return self.mismatch(report, key, &at, item.type_name(), "a port or a range of ports");
        };
        match u16::try_from(integer) {
            Ok(port @ 1..) => Some(Spanned { at, value: port..=port }),
            _ => {
                report.error(&at, "is out of range", "ports are 1 to 65535");
                None
            }
        }
    }
}

/// The text, if it is one of the words.
fn one_of(
    report: &mut Report<'_>,
    words: &'static [(&'static str, &'static str)],
    text: Spanned<&str>,
) -> Option<Spanned<&'static str>> {
    let found = words.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        report.error(&text.at, "is not known here", suggestion(text.value, words.iter().map(|&(word, _)| word)));
    }
    found.map(|&(value, _)| Spanned { at: text.at, value })
}
