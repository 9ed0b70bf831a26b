//! `docs/config.md`, made from the table of keys.

use std::fmt::Write;

use super::keys::SECTIONS;
use super::schema::{Fallback, Key, Kind, Section, Shape};

/// The reference of every key, as Markdown.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in SECTIONS {
        write_section(&mut page, section).expect("a string takes everything");
    }
    page
}

fn write_section(page: &mut String, section: &Section) -> std::fmt::Result {
    if section.path.is_empty() {
        writeln!(page, "\n## Tables\n\n{}\n", section.about)?;
    } else {
        let most = match section.shape {
            Shape::List { most } => format!(" At most {most}."),
            Shape::Table => String::new(),
        };
        let header = section.header();
        writeln!(page, "\n## `{header}`\n\n{}{most}\n", section.about)?;
    }
    writeln!(page, "| key | value | default | meaning |")?;
    writeln!(page, "|---|---|---|---|")?;
    for key in section.keys {
        let (value, default, about) = (value(&key.kind), fallback(key), about(key));
        writeln!(page, "| `{}` | {value} | {default} | {about} |", key.name)?;
    }
    Ok(())
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Number { min, max, unit, source } => {
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let source = if source.is_empty() { String::new() } else { format!(" ({source})") };
            format!("{min} to {max}{unit}{source}")
        }
        Kind::Choice(words) => {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Kind::Choices(words) => {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
            format!("{}, or a list of them", words.join(", "))
        }
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Ports => "1 to 65535, or a range as `\"8000-8099\"`".to_owned(),
        Kind::Text(what) => (*what).to_owned(),
        Kind::List { of, most } => format!("list of {of}; at most {most}"),
        Kind::OneOrMore { one, of, most } => format!("{one}, or list of {of}; at most {most}"),
        Kind::Section(how) => format!("`{how}`"),
    }
}

fn fallback(key: &Key) -> String {
    match key.fallback {
        Fallback::Required => "required".to_owned(),
        Fallback::Number(number) => format!("`{number}`"),
        Fallback::Text(text) if text.starts_with('[') => format!("`{text}`"),
        Fallback::Text(text) => format!("`\"{text}\"`"),
        Fallback::Said(words) => words.to_owned(),
    }
}

fn about(key: &Key) -> String {
    let mut about = key.about.to_owned();
    if let Kind::Choice(words) | Kind::Choices(words) = key.kind {
        for (word, meaning) in words {
            about.push_str(&format!(" `{word}`: {meaning}."));
        }
    }
    let shown = fallback(key).contains(key.example);
    if !shown && !matches!(key.kind, Kind::Section(_)) {
        about.push_str(&format!(" Example: `{}`.", key.example));
    }
    about
}

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Made from the parser's own table of keys. To renew it:
     UPDATE_DOCS=1 cargo test -p causeway-control the_reference_is_what_the_parser_knows -->

A configuration is one TOML file, at most 16 MiB. Every key there is stands
below; any other is an error. A file is checked whole before anything starts:
`causeway check FILE` prints every error with file, line, column, the value and
what would do, and changes nothing. `configs/` holds a commented file for each
common situation.

Addresses and prefixes are strings, as `\"192.168.0.1\"` and `\"10.1.0.0/16\"`.
Where a prefix is wanted, host bits are set to zero with a warning. Names are
unique among their kind.
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_reference_is_what_the_parser_knows() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == reference(), "docs/config.md is out of date; run the tests with UPDATE_DOCS=1");
    }

    #[test]
    fn every_cell_stays_in_its_cell() {
        for line in reference().lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.matches('|').count(), 5, "{line}");
        }
    }
}
