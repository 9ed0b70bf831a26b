//! The commands in fenced blocks of Markdown, and in comments of configurations.

use std::fs;
use std::path::{Path, PathBuf};

use causeway_tests::top;

/// A command in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Documented {
    /// "README.md:12".
    pub(crate) place: String,
    /// Without comment, prompt and line breaks.
    pub(crate) command: String,
}

/// Every command of `README.md` and of the pages under `docs/`, in blocks that say
/// `sh` and do not say `ignore`.
pub(crate) fn in_documents() -> Vec<Documented> {
    let pages: Vec<_> = [top().join("README.md")].into_iter().chain(files(&top().join("docs"), "md")).collect();
    pages.iter().filter(|page| page.exists()).flat_map(|page| in_page(&name(page), &read(page))).collect()
}

/// Every line of a comment in `configs/` that begins with `causeway `.
pub(crate) fn in_configs() -> Vec<Documented> {
    let line = |file: &PathBuf| {
        let (name, text) = (name(file), read(file));
        let commands = text.lines().map(|line| line.trim_start_matches(['#', ' '])).zip(1..);
        let found: Vec<_> = commands
            .filter(|(line, _)| line.starts_with("causeway ") && !line.ends_with('.'))
            .map(|(line, number)| Documented { place: format!("{name}:{number}"), command: line.to_owned() })
            .collect();
        found
    };
    files(&top().join("configs"), "toml").iter().flat_map(line).collect()
}

fn in_page(name: &str, text: &str) -> Vec<Documented> {
    let mut found: Vec<Documented> = Vec::new();
    // Whether the block we are in is one of ours; `None` between blocks.
    let mut block: Option<bool> = None;
    let mut continued = false;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if let Some(info) = line.strip_prefix("```") {
            let mut words = info.split([' ', ',']);
            let is_shell = matches!(words.next(), Some("sh" | "bash" | "shell" | "console"));
            block = if block.is_some() { None } else { Some(is_shell && !words.any(|word| word == "ignore")) };
            continued = false;
            continue;
        }
        if block != Some(true) {
            continue;
        }
        let command = line.trim_start_matches("$ ").split(" #").next().unwrap_or_default().trim();
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        let part = command.trim_end_matches('\\').trim_end();
        match found.last_mut() {
            Some(last) if continued => last.command = format!("{} {part}", last.command),
            _ => found.push(Documented { place: format!("{name}:{number}"), command: part.to_owned() }),
        }
        continued = command.ends_with('\\');
    }
    found
}

/// The files below `folder` whose names end in `extension`, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(top()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn commands_are_found_in_shell_blocks_and_nowhere_else() {
    let page = "# A page\n```sh\n# a comment\n$ one --flag   # why\ntwo \\\n  continued\n```\ncausewayless\n\
                ```toml\nnot = \"this\"\n```\n```sh ignore\nnor this\n```\n```console\nthree\n```\n";
    let found: Vec<_> = in_page("p.md", page).into_iter().map(|found| (found.place, found.command)).collect();
    let expected = [("p.md:4", "one --flag"), ("p.md:5", "two continued"), ("p.md:16", "three")];
    assert_eq!(found, expected.map(|(place, command)| (place.to_owned(), command.to_owned())));
}
