//! Label selectors, as `kubectl get pods -l` takes them.

use std::collections::BTreeMap;
use std::fmt;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// What labels must be; all requirements hold. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    must: Must,
}

/// What the value of a label must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Must {
    /// It must be there.
    Exist,
    /// It must not be there.
    NotExist,
    /// It must be one of these.
    BeIn(Vec<String>),
    /// It must not be there, or be none of these.
    NotBeIn(Vec<String>),
}

impl LabelSelector {
    /// Reads `app=shop,tier!=db,env in (a,b),zone notin (c),canary,!legacy`.
    ///
    /// # Errors
    /// What is wrong with the first requirement that is not sound.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        requirements(text).map(requirement).collect::<Result<_, _>>().map(LabelSelector)
    }

    /// Are these labels as they must be?
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|Requirement { key, must }| {
            let value = labels.get(key);
            match must {
                Must::Exist => value.is_some(),
                Must::NotExist => value.is_none(),
                Must::BeIn(allowed) => value.is_some_and(|value| allowed.contains(value)),
                Must::NotBeIn(refused) => value.is_none_or(|value| !refused.contains(value)),
            }
        })
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { key, must }) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match must {
                Must::Exist => f.write_str(key),
                Must::NotExist => write!(f, "!{key}"),
                Must::BeIn(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
                Must::NotBeIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0]),
                Must::BeIn(values) => write!(f, "{key} in ({})", values.join(",")),
                Must::NotBeIn(values) => write!(f, "{key} notin ({})", values.join(",")),
            }?;
        }
        Ok(())
    }
}

/// The parts between commas that stand in no parentheses.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth <= 0
    })
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("holds an empty requirement".to_owned());
    }
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Requirement { key: label_key(key)?, must: Must::NotExist });
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement { key: label_key(key)?, must: Must::NotBeIn(vec![label_value(value)?]) });
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Requirement { key: label_key(key)?, must: Must::BeIn(vec![label_value(value)?]) });
    }
    let Some((key, rest)) = text.split_once(char::is_whitespace) else {
        return Ok(Requirement { key: label_key(text)?, must: Must::Exist });
    };
    let rest = rest.trim_start();
    let (must, list): (fn(Vec<String>) -> Must, &str) = if let Some(list) = rest.strip_prefix("notin") {
        (Must::NotBeIn, list)
    } else if let Some(list) = rest.strip_prefix("in") {
        (Must::BeIn, list)
    } else {
        return Err(format!("has {text:?}, in which \"in\" or \"notin\" should follow the key"));
    };
    let inner = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("has {text:?}, whose values are not in parentheses"))?;
    let values = inner.split(',').map(label_value).collect::<Result<Vec<_>, _>>()?;
    Ok(Requirement { key: label_key(key)?, must: must(values) })
}

/// A name, before which a DNS subdomain and a slash may stand.
fn label_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let is_domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let prefixed =
        prefix.is_none_or(|prefix| !prefix.is_empty() && prefix.len() <= 253 && prefix.chars().all(is_domain));
    if !prefixed || name.is_empty() || !is_label(name) {
        return Err(format!("has {text:?}, which cannot be the key of a label"));
    }
    Ok(text.to_owned())
}

fn label_value(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !is_label(text) {
        return Err(format!("has {text:?}, which cannot be the value of a label"));
    }
    Ok(text.to_owned())
}

/// At most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; or
/// nothing.
fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(fits) && is_end(text.chars().next()) && is_end(text.chars().next_back())
}

/// Bytes of a selector.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(text: &str) -> Labels {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_selector_means_what_it_means_to_kubectl() {
        for (selector, chosen, others) in [
            ("app=shop", "app=shop,x=y", "app=bank"),
            ("app==shop", "app=shop", "x=shop"),
            ("app!=shop", "app=bank", "app=shop"),
            ("app!=shop", "", "app=shop"),
            ("app", "app=", "x=app"),
            ("!app", "x=app", "app=shop"),
            ("env in (a, b)", "env=b", "env=c"),
            ("env in (a,b)", "env=a", ""),
            ("env notin (a,b)", "", "env=a"),
            ("env notin(a,b)", "env=c", "env=b"),
            ("app=shop,env in (a,b),!old", "app=shop,env=a", "app=shop,env=a,old=1"),
            ("example.com/team = red", "example.com/team=red", "team=red"),
            ("app=", "app=", "app=x"),
        ] {
            let read = LabelSelector::parse(selector).expect(selector);
            assert!(read.matches(&labels(chosen)), "{selector} and {chosen}");
            assert!(!read.matches(&labels(others)), "{selector} and {others}");
            assert_eq!(LabelSelector::parse(&read.to_string()), Ok(read), "what is shown can be read");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_reason() {
        for (selector, reason) in [
            ("", "an empty requirement"),
            ("a=b,", "an empty requirement"),
            ("a in b", "not in parentheses"),
            ("a near (b)", "\"in\" or \"notin\" should follow"),
            ("=b", "cannot be the key"),
            ("!", "cannot be the key"),
            ("-a=b", "cannot be the key"),
            ("/a=b", "cannot be the key"),
            ("A.com/a=b", "cannot be the key"),
            ("a=b c", "cannot be the value"),
            ("a in (b", "not in parentheses"),
            ("a=_", "cannot be the value"),
        ] {
            let error = LabelSelector::parse(selector).expect_err(selector);
            assert!(error.contains(reason), "{selector}: {error}");
        }
        assert!(LabelSelector::parse(&format!("a={}", "b".repeat(64))).is_err());
        assert!(LabelSelector::parse(&"a,".repeat(5_000)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_shown_as_what_it_is(text in "[a-c!=,() innot./]{0,30}") {
            if let Ok(read) = LabelSelector::parse(&text) {
                prop_assert_eq!(LabelSelector::parse(&read.to_string()), Ok(read));
            }
        }
    }
}
