//! The page of requirements names tests: they must be there.

use std::collections::BTreeSet;
use std::path::Path;

use causeway_tests::top;

#[test]
fn every_test_that_the_page_of_requirements_names_exists() {
    let page = std::fs::read_to_string(top().join("docs/rfc.md")).expect("docs/rfc.md");
    let mut tests = BTreeSet::new();
    for folder in ["fastpath", "control", "engine", "tests", "lab"] {
        collect(&top().join(folder), &mut tests);
    }
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    for row in rows.filter(|row| !row.starts_with("| requirement")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 3, "a row has a requirement, a word and a reason: {row}");
        assert!(matches!(cells[1], "met" | "departed"), "met or departed: {row}");
        for name in names(cells[2]) {
            assert!(tests.contains(name), "there is no test {name}: {row}");
        }
    }
}

/// The names of tests in a cell: words in backticks with three underscores at least.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 3)
}

/// Every function that stands behind `#[test]`.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, tests);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source file");
            let mut is_test = false;
            for line in source.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next())
                    && is_test
                {
                    tests.insert(name.to_owned());
                }
                is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            }
        }
    }
}
