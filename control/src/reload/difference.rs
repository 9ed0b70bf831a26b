//! What two configurations do not have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::items::{Name, Value, Values, items};
use crate::config::Config;

/// A thing that only one of two configurations has, or that is another in each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Its section of the file: `pool`, `cluster` and so on.
    pub kind: String,
    /// What it is called; nothing where there is one of the kind.
    pub name: String,
    /// Does it come or go?
    pub change: Turn,
    /// By key.
    pub values: Vec<ValueChange>,
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// It is there from now on.
    Added,
    /// It is no longer there.
    Removed,
    /// It has other values.
    Changed,
}

/// A key whose value is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ValueChange {
    /// The key.
    pub key: String,
    /// Its value before; none, if the thing is new.
    pub from: Option<String>,
    /// Its value from now on; none, if the thing is gone.
    pub to: Option<String>,
    /// Does it only count from the next start on?
    pub needs_restart: bool,
}

/// What turns one configuration into another, by kind and name.
pub fn differences(before: &Config, after: &Config) -> Vec<Difference> {
    let (before, after) = (items(before), items(after));
    let names: BTreeSet<&Name> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter_map(|name| difference(name, &before, &after)).collect()
}

fn difference(name: &Name, before: &BTreeMap<Name, Values>, after: &BTreeMap<Name, Values>) -> Option<Difference> {
    let (was, is) = (before.get(name), after.get(name));
    let change = match (was, is) {
        (None, _) => Turn::Added,
        (_, None) => Turn::Removed,
        (Some(was), Some(is)) if was == is => return None,
        _ => Turn::Changed,
    };
    let keys: BTreeSet<&'static str> = [was, is].into_iter().flatten().flat_map(BTreeMap::keys).copied().collect();
    let value = |values: Option<&Values>, key| values.and_then(|values| values.get(key)).cloned();
    let changed = |key: &'static str| {
        let (from, to) = (value(was, key), value(is, key));
        // Workers open ports, and only on start.
        let fixed = change != Turn::Changed && name.0 == "port";
        let needs_restart = fixed || [&from, &to].into_iter().flatten().any(|value| value.fixed);
        let text = |value: Option<Value>| value.map(|value| value.text);
        (from != to).then(|| ValueChange { key: key.to_owned(), from: text(from), to: text(to), needs_restart })
    };
    let values = keys.into_iter().filter_map(changed).collect();
    Some(Difference { kind: name.0.to_owned(), name: name.1.clone(), change, values })
}

impl Difference {
    /// What of it only counts from the next start on, in words.
    pub fn restarts(&self) -> Vec<String> {
        let fixed: Vec<_> = self.values.iter().filter(|value| value.needs_restart).collect();
        match self.change {
            _ if fixed.is_empty() => Vec::new(),
            Turn::Added => vec![format!("{} is new", self.what())],
            Turn::Removed => vec![format!("{} is gone", self.what())],
            Turn::Changed => fixed.iter().map(|value| format!("{}: {value}", self.what())).collect(),
        }
    }

    fn what(&self) -> String {
        if self.name.is_empty() { self.kind.clone() } else { format!("{} {}", self.kind, self.name) }
    }
}

/// A line for the thing, and where it has changed one for each value.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, listed) = match self.change {
            Turn::Added => ('+', true),
            Turn::Removed => ('-', false),
            Turn::Changed => ('~', false),
        };
        write!(f, "{sign} {}", self.what())?;
        let plain = |value: &&ValueChange| value.to.as_ref().is_some_and(|to| !matches!(to.as_str(), "none" | "false"));
        if listed {
            let values = self.values.iter().filter(plain).filter_map(|value| Some((&value.key, value.to.as_ref()?)));
            let values: Vec<String> = values.map(|(key, to)| format!("{key} {to}")).collect();
            return if values.is_empty() { Ok(()) } else { write!(f, ": {}", values.join("; ")) };
        }
        if self.change == Turn::Changed {
            for value in &self.values {
                write!(f, "\n    {value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ValueChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        write!(f, "{}: {} -> {}", self.key, text(&self.from), text(&self.to))
    }
}
