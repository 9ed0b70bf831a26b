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
    /// Which of the kinds that were expected it is of.
    #[serde(skip)]
    pub(crate) of: &'static str,
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

/// The objects of a list, or the one that is alone.
///
/// # Errors
/// It is not JSON, or holds something else.
pub(crate) fn read<S, T>(json: &[u8], expected: &Expected) -> Result<Vec<Item<S, T>>, String>
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
    let expected = |kind: &str| kinds.iter().find(|known| **known == kind).copied();
    // Items of a List have a kind of their own, those of a NodeList need not.
    let of_list = match kinds {
        [only] if kind == "List" => Some(*only),
        _ => kind.strip_suffix("List").and_then(expected),
    };
    match (expected(&kind), items) {
        (_, Some(mut items)) if kind == "List" || of_list.is_some() => {
            for item in &mut items {
                let own = item.kind.as_deref();
                item.of = own.map_or(of_list, expected).ok_or_else(|| {
                    let kind = own.unwrap_or_default();
                    format!("holds an object of kind {kind:?} beside {nouns}; list {nouns} alone")
                })?;
            }
            Ok(items)
        }
        (Some(of), None) => Ok(vec![Item { of, ..serde_json::from_slice(json).map_err(broken)? }]),
        _ => Err(format!("holds an object of kind {kind:?}, not {nouns}; write {command:?} into it")),
    }
}
