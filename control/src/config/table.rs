//! Typed reading of one TOML table, against its section in the table of keys.

mod single;

use std::sync::LazyLock;

use ipnet::IpNet;
use toml_edit::{Array, Item, TableLike, Value};

use super::report::{At, Report, Spanned};
use super::schema::{Fallback, Key, Kind, Section, Shape, suggestion};
use super::value::{self, Complaint};

/// One table of the file, with the section that says what may stand in it.
pub(super) struct Table<'d> {
    table: &'d dyn TableLike,
    section: &'static Section,
    at: At,
}

/// What may stand alone or in a list.
pub(super) enum Element<'d> {
    /// A string.
    Text(Spanned<&'d str>),
    /// A table with more to say.
    Table(Table<'d>),
}

/// `Some` if the value is there and right, or has a default. What is wrong has
/// been reported.
type Read<T> = Option<Spanned<T>>;

impl<'d> Table<'d> {
    /// The file itself.
    pub(super) fn file(report: &mut Report<'_>, table: &'d dyn TableLike, section: &'static Section) -> Self {
        Self::open(report, table, section, At::place(0, ""))
    }

    /// Reports unknown keys at once.
    fn open(report: &mut Report<'_>, table: &'d dyn TableLike, section: &'static Section, at: At) -> Self {
        let table = Self { table, section, at };
        for (name, item) in table.table.iter() {
            if section.keys.iter().all(|key| key.name != name) {
                let at = table.key_place(name, item);
                let header = match section.path {
                    "" => "of this file".to_owned(),
                    _ => format!("of {}", section.header()),
                };
                let remedy = suggestion(name, section.keys.iter().map(|key| key.name));
                report.error(&at, format!("is not a key {header}"), remedy);
            }
        }
        table
    }

    /// The place of its header.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// The place of the key's value, or of the table that lacks it.
    pub(super) fn place(&self, report: &Report<'_>, key: &str) -> At {
        match self.get(key) {
            Some(item) => self.value_place(report, self.section.key(key), item),
            None => self.at.within(key),
        }
    }

    /// Whether the key stands in the file.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// How many elements the list of the key has, if it stands in the file and is
    /// one.
    pub(super) fn list_len(&self, key: &str) -> Option<usize> {
        let array = self.get(key).and_then(Item::as_array);
        array.map(Array::len)
    }

    /// The elements of a list, no more than the key allows.
    pub(super) fn list(&self, report: &mut Report<'_>, key: &str) -> Option<Vec<Spanned<&'d Value>>> {
        let (key, item) = self.entry(report, key)?;
        let Kind::List { most, .. } = key.kind else {
            panic!("{} is not a list in the table of keys", key.name);
        };
        let item = item?;
        let at = self.value_place(report, key, item);
        let Some(array) = item.as_array() else {
            self.mismatch::<()>(report, key, &at, item.type_name(), "a list");
            return None;
        };
        Some(bounded(report, &at, array, most))
    }

    /// The strings of a list that `check` accepts.
    pub(super) fn parsed_list<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        check: impl Fn(&'d str) -> Result<T, Complaint>,
    ) -> Option<Vec<Spanned<T>>> {
        let mut accepted = Vec::new();
        for element in self.list(report, key)? {
            let Some(text) = element.value.as_str() else {
                let what = format!("is {}, not a string", article(element.value.type_name()));
                let remedy = format!("write {key} = {}", self.section.key(key).example);
                report.error(&element.at, what, remedy);
                continue;
            };
            accepted.extend(report.accept(element.at, check(text)));
        }
        Some(accepted)
    }

    /// A string by itself, or the strings and tables of a list, no more than the key
    /// allows. What is neither is reported and left out.
    pub(super) fn one_or_more(
        &self,
        report: &mut Report<'_>,
        key: &str,
        section: &'static Section,
    ) -> Option<Vec<Element<'d>>> {
        let (key, item) = self.entry(report, key)?;
        let Kind::OneOrMore { one, most, .. } = key.kind else {
            panic!("{} is not one or more in the table of keys", key.name);
        };
        let item = item?;
        let at = self.value_place(report, key, item);
        if let Some(value) = item.as_str() {
            return Some(vec![Element::Text(Spanned { at, value })]);
        }
        if item.is_array_of_tables() {
            return Some(self.tables(report, key.name, section).into_iter().map(Element::Table).collect());
        }
        let Some(array) = item.as_array() else {
            let wanted = format!("{} or a list", article(one));
            self.mismatch::<()>(report, key, &at, item.type_name(), &wanted);
            return None;
        };
        let mut elements = Vec::new();
        for element in bounded(report, &at, array, most) {
            if let Some(value) = element.value.as_str() {
                elements.push(Element::Text(Spanned { at: element.at, value }));
            } else if let Some(table) = element.value.as_inline_table() {
                let place = At::place(element.value.span().unwrap_or_default().start, element.at.path());
                elements.push(Element::Table(Self::open(report, table, section, place)));
            } else {
                let what = format!("is {}, not {} or a table", article(element.value.type_name()), article(one));
                report.error(&element.at, what, format!("write {}", self.example(key)));
            }
        }
        Some(elements)
    }

    /// The prefixes of a list, with host bits set to zero and warned about.
    pub(super) fn prefixes(&self, report: &mut Report<'_>, key: &str) -> Option<Vec<Spanned<IpNet>>> {
        let mut list = self.parsed_list(report, key, value::prefix)?;
        for net in &mut list {
            normalise(report, net);
        }
        Some(list)
    }

    /// The table of the key; an empty one, with every default, if it may be left out.
    pub(super) fn table(&self, report: &mut Report<'_>, key: &str, section: &'static Section) -> Option<Table<'d>> {
        let (key, item) = self.entry(report, key)?;
        let Some(item) = item else {
            let at = self.at.within(key.name);
            return Some(Self::open(report, &*EMPTY, section, at));
        };
        let at = self.key_place(key.name, item);
        match item.as_table_like() {
            Some(table) => Some(Self::open(report, table, section, at)),
            None => {
                let what = format!("is {}, not a table", article(item.type_name()));
                report.error(&at, what, format!("write {}", self.example(key)));
                None
            }
        }
    }

    /// The tables of a list of tables, no more than its section allows.
    pub(super) fn tables(&self, report: &mut Report<'_>, key: &str, section: &'static Section) -> Vec<Table<'d>> {
        let Shape::List { most } = section.shape else {
            panic!("{key} is not a list in the table of keys");
        };
        let Some((key, Some(item))) = self.entry(report, key) else {
            return Vec::new();
        };
        let at = self.key_place(key.name, item);
        let path = |index: usize| format!("{}[{index}]", at.path());
        let mut tables = Vec::new();
        if let Some(list) = item.as_array_of_tables() {
            for (index, table) in list.iter().enumerate().take(most) {
                let place = At::place(table.span().unwrap_or_default().start, path(index));
                tables.push(Self::open(report, table, section, place));
            }
            self.bound(report, &at, list.len(), most);
        } else if let Some(list) = item.as_array() {
            for (index, value) in list.iter().enumerate().take(most) {
                let span = value.span().unwrap_or_default();
                match value.as_inline_table() {
                    Some(table) => {
                        let place = At::place(span.start, path(index));
                        tables.push(Self::open(report, table, section, place));
                    }
                    None => {
                        let what = format!("is {}, not a table", article(value.type_name()));
                        let place = report.at(span, path(index));
                        report.error(&place, what, format!("write {}", section.header()));
                    }
                }
            }
            self.bound(report, &at, list.len(), most);
        } else {
            let what = format!("is {}, not a list of tables", article(item.type_name()));
            report.error(&at, what, format!("write {}", section.header()));
        }
        tables
    }

    fn bound(&self, report: &mut Report<'_>, at: &At, count: usize, most: usize) {
        if count > most {
            report.error(at, format!("stands {count} times"), format!("at most {most} will do"));
        }
    }

    /// What the table of keys and the file say about a key. `None` if it is
    /// missing and must not be, which is reported.
    fn entry(&self, report: &mut Report<'_>, key: &str) -> Option<(&'static Key, Option<&'d Item>)> {
        let key = self.section.key(key);
        let item = self.get(key.name);
        if item.is_none() && matches!(key.fallback, Fallback::Required) {
            let remedy = format!("write {}", self.example(key));
            report.error(&self.at.within(key.name), "is missing", remedy);
            return None;
        }
        Some((key, item))
    }

    fn get(&self, key: &str) -> Option<&'d Item> {
        self.table.get(key).filter(|item| !item.is_none())
    }

    /// A line that a reader can copy.
    fn example(&self, key: &Key) -> String {
        match key.kind {
            Kind::Section(_) if key.example.starts_with('[') => key.example.to_owned(),
            _ => format!("{} = {}", key.name, key.example),
        }
    }

    fn mismatch<T>(&self, report: &mut Report<'_>, key: &Key, at: &At, found: &str, wanted: &str) -> Read<T> {
        let what = format!("is {}, not {wanted}", article(found));
        report.error(at, what, format!("write {}", self.example(key)));
        None
    }

    fn value_place(&self, report: &Report<'_>, key: &Key, item: &Item) -> At {
        if item.is_value() {
            report.at(item.span().unwrap_or_default(), self.at.within(key.name).path().to_owned())
        } else {
            self.key_place(key.name, item)
        }
    }

    fn key_place(&self, name: &str, item: &Item) -> At {
        let key = self.table.key(name).and_then(toml_edit::Key::span);
        let start = key.or(item.span()).unwrap_or_default().start;
        At::place(start, self.at.within(name).path())
    }
}

/// The first `most` elements of a list; more of them are reported.
fn bounded<'d>(report: &mut Report<'_>, at: &At, array: &'d Array, most: usize) -> Vec<Spanned<&'d Value>> {
    if array.len() > most {
        let what = format!("has {} elements", array.len());
        report.error(at, what, format!("at most {most} will do"));
    }
    let element = |(index, value): (usize, &'d Value)| Spanned {
        at: report.at(value.span().unwrap_or_default(), format!("{}[{index}]", at.path())),
        value,
    };
    array.iter().take(most).enumerate().map(element).collect()
}

/// What stands for a table that was left out.
static EMPTY: LazyLock<toml_edit::Table> = LazyLock::new(toml_edit::Table::new);

/// Sets host bits to zero, and warns.
pub(super) fn normalise(report: &mut Report<'_>, net: &mut Spanned<IpNet>) {
    let network = net.value.trunc();
    if network != net.value {
        report.warn(&net.at, "has host bits set", format!("taken as \"{network}\""));
        net.value = network;
    }
}

/// `a string`, `an integer`.
fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {noun}")
}
