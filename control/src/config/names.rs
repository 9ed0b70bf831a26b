//! Names that must be unique, and finding what they name.

use std::collections::HashMap;

use super::report::{At, Report, Spanned};
use super::schema::suggestion;

/// The names of one kind of thing, in the order of the file.
#[derive(Default)]
pub(super) struct Names {
    by_name: HashMap<String, (usize, At)>,
    in_order: Vec<String>,
}

impl Names {
    /// Names the next thing, which stands at `owner`. One without a name, which has
    /// been reported, counts too.
    pub(super) fn add(&mut self, report: &mut Report<'_>, name: Option<Spanned<&str>>, owner: &At) -> String {
        let index = self.in_order.len();
        let Some(Spanned { at, value }) = name else {
            self.in_order.push(String::new());
            return String::new();
        };
        self.in_order.push(value.to_owned());
        if let Some((_, first)) = self.by_name.get(value) {
            let what = format!("is already the name of {}", report.reference(first));
            report.error(&at, what, "names are unique: take another");
        } else {
            self.by_name.insert(value.to_owned(), (index, owner.clone()));
        }
        value.to_owned()
    }

    /// The index of what is called so; `kind` is what it should be.
    pub(super) fn find(&self, report: &mut Report<'_>, name: &Spanned<&str>, kind: &str) -> Option<usize> {
        if let Some(&(index, _)) = self.by_name.get(name.value) {
            return Some(index);
        }
        // A thing whose own name is wrong may be the one that is meant.
        if !self.in_order.iter().any(String::is_empty) {
            let known = self.in_order.iter().map(String::as_str);
            report.error(&name.at, format!("names no {kind}"), suggestion(name.value, known));
        }
        None
    }
}
