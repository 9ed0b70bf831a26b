//! Objects of Kubernetes in a file, as kubectl prints them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is expected in a file.
pub(crate) struct Expected {
    /// What prints it.
    pub(crate) command: &'static str,
    /// What the objects are, in the plural.
    pub(crate) nouns: &'static str,
    /// The kinds they have.
    pub(crate) kinds: &'static [&'static str],
}

/// An object, with its kind.
#[derive(Deserialize)]
pub(crate) struct Item<S, T> {
    kind: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default = "S::default", bound(deserialize = "S: Default + Deserialize<'de>"))]
    pub(crate) spec: S,
    pub(crate) status: Option<T>,
}

/// `metadata` of an object.
#[derive(Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// The objects of a list, or the one that is alone, each with its kind.
///
/// # Errors
/// It is not JSON, or holds something else.
pub(crate) fn read<S, T>(json: &[u8], expected: &Expected) -> Result<Vec<(&'static str, Item<S, T>)>, String>
where
    S: Default + DeserializeOwned,
    T: DeserializeOwned,
{
    /// A list, or an object.
    #[derive(Deserialize)]
    struct Outer<I> {
        kind: String,
        items: Option<Vec<I>>,
    }
    let Expected { command, nouns, kinds } = expected;
    let broken = |error| format!("is not the output of {command:?}: {error}");
    let Outer { kind, items } = serde_json::from_slice::<Outer<Item<S, T>>>(json).map_err(broken)?;
    let of = |kind: &str| kinds.iter().find(|known| **known == kind).copied();
    // Items of a List have a kind of their own, those of a NodeList need not.
    let of_list = kind.strip_suffix("List").and_then(of);
    match (of(&kind), items) {
        (_, Some(items)) if kind == "List" || of_list.is_some() => items
            .into_iter()
            .map(|item| {
                let kind = match &item.kind {
                    None => of_list.or_else(|| (kinds.len() == 1).then_some(kinds[0])).ok_or_else(String::new),
                    Some(kind) => of(kind).ok_or_else(|| kind.clone()),
                };
                let stranger = |kind| format!("holds an object of kind {kind:?} beside {nouns}; list {nouns} alone");
                Ok((kind.map_err(stranger)?, item))
            })
            .collect(),
        (Some(kind), None) => Ok(vec![(kind, serde_json::from_slice(json).map_err(broken)?)]),
        _ => Err(format!("holds an object of kind {kind:?}, not {nouns}; write {command:?} into it")),
    }
}
