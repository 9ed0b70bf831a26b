//! What a section and a key are: the types of the table in [`super::keys`].

/// One table of the file, as `[gateway]` or `[[port]]`.
pub(super) struct Section {
    /// Its path without indices: `cluster.node`.
    pub(super) path: &'static str,
    /// How often it may stand.
    pub(super) shape: Shape,
    /// What it is for: whole sentences.
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// How often a section may stand, and how it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[name]`, once.
    Table,
    /// `[[name]]`, so many times.
    List {
        /// Most of them in one file.
        most: usize,
    },
}

/// One key of a section.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) fallback: Fallback,
    /// A line of TOML that a reader can copy, without the key: `"eth1"`.
    pub(super) example: &'static str,
    /// What it means: whole sentences.
    pub(super) about: &'static str,
}

/// What a value has to be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A whole number from `min` to `max`.
    Number {
        min: u64,
        max: u64,
        /// What is counted, in the plural.
        unit: &'static str,
        /// Who says so, for bounds that an RFC sets; else empty.
        source: &'static str,
    },
    /// One of these words, each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
    /// One of these words, or a list of them, each with what it means.
    Choices(&'static [(&'static str, &'static str)]),
    /// `true` or `false`; the latter if it is not there.
    Flag,
    /// A port, or a string with the first and the last of several.
    Ports,
    /// A string; what it holds.
    Text(&'static str),
    /// A list of values; what they are, in the plural, and how many at most.
    List { of: &'static str, most: usize },
    /// A string, or a list of strings or tables with a section of their own; what one
    /// is, what they are in the plural, and how many at most.
    OneOrMore { one: &'static str, of: &'static str, most: usize },
    /// A table with a section of its own.
    Section(&'static str),
}

/// What holds when a key is not there.
#[derive(Clone, Copy)]
pub(super) enum Fallback {
    /// It has to be there.
    Required,
    /// This number.
    Number(u64),
    /// This word or text.
    Text(&'static str),
    /// What the sentence says.
    Said(&'static str),
}

impl Section {
    /// Its header, as it stands in a file.
    pub(super) fn header(&self) -> String {
        match self.shape {
            Shape::Table => format!("[{}]", self.path),
            Shape::List { .. } => format!("[[{}]]", self.path),
        }
    }

    /// The key called `name`.
    ///
    /// # Panics
    /// There is none: the parser asks for a key that the table does not know.
    pub(super) fn key(&self, name: &str) -> &'static Key {
        self.keys
            .iter()
            .find(|key| key.name == name)
            .unwrap_or_else(|| panic!("{} has no key {name:?} in the table of keys", self.header()))
    }
}

/// What was meant by `word`, if one of `known` is near enough; else all of them.
pub(crate) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let plain = word.to_ascii_lowercase().replace('_', "-");
    let nearest = known.clone().map(|candidate| (distance(&plain, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 4 => {
            format!("did you mean \"{candidate}\"?")
        }
        _ => format!("known are {}", listed(known)),
    }
}

/// `a, b and c`; what is too long is cut.
pub(super) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    match words.as_slice() {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] if words.len() <= LONGEST_LIST => {
            format!("{} and {last}", most.join(", "))
        }
        many => {
            let (shown, rest) = many.split_at(LONGEST_LIST);
            format!("{} and {} more", shown.join(", "), rest.len())
        }
    }
}

/// Names in one message.
const LONGEST_LIST: usize = 16;

/// How many letters must be put in, taken out or changed to make `a` into `b`
/// (Levenshtein), for words no longer than a key could be.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > b.len() {
        return a.len().max(b.len());
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("port", "port"), 0);
        assert_eq!(distance("ports", "port"), 1);
        assert_eq!(distance("prot", "port"), 2);
        assert_eq!(distance("via", "to"), 3);
        assert_eq!(distance("", "via"), 3);
        assert_eq!(distance(&"x".repeat(1_000_000), "via"), 1_000_000);
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_gets_the_list() {
        let known = ["name", "device", "addresses", "mtu"];
        let suggest = |word| suggestion(word, known.iter().copied());
        assert_eq!(suggest("adresses"), "did you mean \"addresses\"?");
        assert_eq!(suggest("Name"), "did you mean \"name\"?");
        assert_eq!(suggest("vlan"), "known are name, device, addresses and mtu");
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(listed([].into_iter()), "none");
        assert_eq!(listed(["a"].into_iter()), "a");
        assert_eq!(listed(["a", "b"].into_iter()), "a and b");
        let many = vec!["a"; 18];
        assert!(listed(many.into_iter()).ends_with("a and 2 more"));
    }
}
